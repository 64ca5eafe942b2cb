"""An actor with asynchronous methods: its calls are tasks of one event loop."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import Any

from air_cluster.client.endings import position
from air_cluster.protocol.messages import STREAMING, ActorCall
from air_cluster.worker import coroutines
from air_cluster.worker.actor_host import ActorHost
from air_cluster.worker.iteration import as_iterator
from air_cluster.worker.leading_loop import LeadingLoop
from air_cluster.worker.reporter import Job


def serve(host: ActorHost, cls: type) -> None:
    """Make the instance and run calls, as many at a time as the actor allows, until it ends."""

    loop = LeadingLoop(host.reactor)

    async def run() -> None:
        if host.construct(cls):
            await _LoopHost(host, loop).serve()

    loop.run(run())


class _LoopHost:
    def __init__(self, host: ActorHost, loop: LeadingLoop) -> None:
        self._host = host
        self._loop = loop
        self._rooms = {
            group: asyncio.Semaphore(size)
            for group, size in {"": host.spec.max_concurrency, **host.spec.groups}.items()
        }
        self._tasks: dict[bytes, tuple[asyncio.Task[None], Job]] = {}
        self._cancelled: set[bytes] = set()
        self._about_to_begin = 0
        self._ended = asyncio.Event()

    async def serve(self) -> None:
        host, loop = self._host, self._loop
        host.alone_in_this_thread()
        with host.lock:
            if host.left:
                return
            host.ahead = self._ahead
            host.is_own = self._is_own
            host.take_waiting = self._take_waiting
            host.arrived = self._arrived
            host.cancel = partial(loop.call_soon, self._cancel)
            host.wake = partial(loop.call_soon, self._look)
            self._start_queued()
            self._look()
        await self._ended.wait()

    def _ahead(self, task_id: bytes) -> int | None:
        waiting = list(self._tasks)
        return position(task_id, [one for one in waiting if not self._host.is_running(one)])

    def _is_own(self, task_id: bytes) -> bool:
        if not self._loop.is_here() or task_id not in self._tasks:
            return False
        return self._tasks[task_id][0] is asyncio.current_task()

    def _take_waiting(self) -> list[Job]:
        """Those that wait for room; they are cancelled with the loop, in which nothing begins."""
        known = list(self._tasks.items())
        return [job for task_id, (_, job) in known if not self._host.is_running(task_id)]

    def _arrived(self, job: Job) -> None:
        """Have a call begin behind those that arrived before it; called under the lock.

        What another thread has read waits until the loop comes to it. The loop's own thread may
        read more in the meantime, and must not begin that first.
        """
        queue = self._host.queue
        queue.append(job)
        if self._loop.is_here():
            self._start_queued()
        elif len(queue) == 1:
            self._loop.call_soon(self._start_queued)

    def _start_queued(self) -> None:
        with self._host.lock:
            while self._host.queue:
                self._start(self._host.queue.popleft())

    def _start(self, job: Job) -> None:
        task_id = job.message.task_id
        task = self._loop.create_task(self._run(job))
        self._about_to_begin += 1
        self._tasks[task_id] = task, job
        task.add_done_callback(partial(self._done, job))

    def _done(self, job: Job, task: asyncio.Task[None]) -> None:
        task_id = job.message.task_id
        if task.cancelled():  # before it ran for the first time
            self._about_to_begin -= 1
            self._host.finish(job, [], cancelled=True)
        del self._tasks[task_id]
        self._cancelled.discard(task_id)
        self._look()

    def _look(self) -> None:
        host = self._host
        if host.ending and (not self._tasks or (host.left and host.leaver not in self._tasks)):
            self._ended.set()

    def _cancel(self, task_id: bytes, recursive: bool) -> None:
        if task_id not in self._tasks:
            return
        self._cancelled.add(task_id)
        # Before its children, or it might see the end of one of these in place of its own.
        self._tasks[task_id][0].cancel()
        if recursive:
            with self._host.lock:
                self._host.cancel_children(task_id)

    async def _run(self, job: Job) -> None:
        host = self._host
        self._about_to_begin -= 1
        try:
            assert isinstance(job.message, ActorCall)
            async with (places := self._rooms[job.message.group]):
                contents = await self._call(job, places)
        except asyncio.CancelledError as error:
            if job.message.task_id in self._cancelled:
                host.finish(job, [], cancelled=True)
            else:
                host.fail(job, error)
        except BaseException as error:
            host.fail(job, error)
        else:
            host.finish(job, contents, may_wait=self._about_to_begin > 0)

    async def _call(self, job: Job, places: asyncio.Semaphore) -> list[Any]:
        method, args, kwargs = self._host.begin(job)
        value = method(*args, **kwargs)
        del args, kwargs
        if inspect.isawaitable(value):
            value = await value
        reporter = self._host.reporter
        if job.message.returns != STREAMING:
            return reporter.pack_results(job, value)
        if not hasattr(value, "__aiter__"):
            value = coroutines.steps(as_iterator(value, job.message.name))
        await coroutines.produce(reporter, job, value, places)
        return []
