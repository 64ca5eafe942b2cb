"""An actor whose methods run in several threads, or in several groups of threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import msgspec

from air_cluster.client.endings import position
from air_cluster.protocol.messages import ActorCall, TaskDone
from air_cluster.worker.reporter import Job, Production
from air_cluster.worker.thread_interrupts import InterruptibleCall

if TYPE_CHECKING:
    from air_cluster.worker.actor_host import ActorHost


class _Turn(msgspec.Struct, eq=False):
    """Of a call to go on."""

    is_asked_for: bool = False
    has_come: bool = False


class ThreadHost:
    """Hands calls to threads, in the order in which they arrived.

    A call that waits is taken out by whoever removes it from :attr:`_waiting` first: the thread
    that runs it, or its cancellation. So neither needs a lock.

    A streaming call whose consumer does not take what was yielded keeps its thread, as what it has
    there may belong to it (a connection, PyTorch's modes); but another thread takes its place
    meanwhile. It goes on in the place of one that has nothing to do, or would begin a call.
    """

    def __init__(self, host: ActorHost, size: int, group: str = "") -> None:
        self._host = host
        self._size = size
        self._name = f"air-actor_{group}_" if group else "air-actor_"
        self._jobs: SimpleQueue[Job | _Turn | None] = SimpleQueue()
        self._waiting: dict[bytes, Job] = {}
        self._active: dict[bytes, InterruptibleCall] = {}
        self._started = 0  # but for those whose places are taken
        self._aside = 0  # calls that have given their places away, and do not ask for one

    @property
    def is_idle(self) -> bool:
        """Whether no call waits or runs."""
        return not self._waiting and not self._active

    def arrived(self, job: Job) -> None:
        """One more call; called under the lock."""
        self._waiting[job.message.task_id] = job
        self._jobs.put(job)
        self._start()

    def _start(self) -> None:
        """Have one more thread if there are calls for it and there is a place."""
        wanted = len(self._waiting) + len(self._active) - self._aside
        if self._started < min(self._size, wanted):
            self._started += 1
            name = f"{self._name}{self._started + self._aside}"
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def cancel(self, task_id: bytes, recursive: bool) -> None:
        """Take a call out that waits, or interrupt one that runs; called under the lock."""
        job = self._waiting.pop(task_id, None)
        if job is not None:
            job.connection.send(TaskDone(task_id, 0.0, [], True))
            return
        running = self._active.get(task_id)
        if running is not None:
            # It is not to see the end of one of its children in place of its own.
            children = partial(self._host.cancel_children, task_id) if recursive else bool
            running.cancel(children)

    def ahead(self, task_id: bytes) -> int | None:
        """How many calls wait in front of one that waits."""
        return position(task_id, list(self._waiting))

    def take_waiting(self) -> list[Job]:
        """Take out all calls that wait."""
        taken = (self._waiting.pop(task_id, None) for task_id in list(self._waiting))
        return [job for job in taken if job is not None]

    def runs(self, task_id: bytes) -> bool:
        """Whether one of the threads has taken a call, and is not done with it."""
        return task_id in self._active

    def is_own(self, task_id: bytes) -> bool:
        """Whether a call runs in the calling thread."""
        running = self._active.get(task_id)
        return running is not None and running.is_here

    def close(self) -> None:
        """Let the threads end that have nothing to do."""
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if isinstance(job, _Turn):
                job.has_come = True
                self._host.reactor.nudge()
                return  # the other thread takes this one's place
            task_id = job.message.task_id
            self._active[task_id] = running = InterruptibleCall(self._host.reactor)
            if self._waiting.pop(task_id, None) is None:  # it was cancelled
                del self._active[task_id]
                continue
            try:
                copy_context().run(self._host.run_job, job, running, self._produce)
            finally:
                del self._active[task_id]
                del job
                if self._host.ending:
                    self._host.wake()  # the main thread looks again

    def _produce(self, job: Job, items: Iterator[Any]) -> bool:
        self._host.reporter.produce(job, items, self._step_aside)
        return True

    def _step_aside(self, production: Production) -> None:
        """Wait in this thread until there is room for a value, and a place to make it in."""
        turn = _Turn()
        with self._host.lock:
            if production.has_room:
                return
            self._aside += 1
            self._started -= 1
            self._start()
            production.resume = partial(self._look, production, turn)
        wait_until = self._host.client.waiting.wait_until
        try:
            wait_until(lambda: turn.has_come, None)
        finally:  # also of one that is cancelled
            with self._host.lock:
                production.resume = bool
                self._ask_back(turn)
            wait_until(lambda: turn.has_come, None)

    def _look(self, production: Production, turn: _Turn) -> None:
        if production.has_room:
            self._ask_back(turn)

    def _ask_back(self, turn: _Turn) -> None:
        """Have a place for a call that had given its own away; called under the lock."""
        if turn.is_asked_for:
            return
        turn.is_asked_for = True
        self._aside -= 1
        if self._started < self._size:
            self._started += 1
            turn.has_come = True
        else:
            self._jobs.put(turn)


class ThreadGroups:
    """Concurrency groups: each has threads of its own, and so have the calls that are in none."""

    def __init__(self, host: ActorHost, others: ThreadHost, sizes: Mapping[str, int]) -> None:
        self._by_name = {"": others}
        self._by_name.update({name: ThreadHost(host, size, name) for name, size in sizes.items()})
        self.hosts = list(self._by_name.values())

    def arrived(self, job: Job) -> None:
        """One more call; called under the lock."""
        assert isinstance(job.message, ActorCall)
        self._by_name[job.message.group].arrived(job)

    def ahead(self, task_id: bytes) -> int | None:
        """See :meth:`ThreadHost.ahead`."""
        found = (host.ahead(task_id) for host in self.hosts)
        return next((number for number in found if number is not None), None)

    def cancel(self, task_id: bytes, recursive: bool) -> None:
        """See :meth:`ThreadHost.cancel`; only one of them knows the call."""
        for host in self.hosts:
            host.cancel(task_id, recursive)
