"""Runs tasks one after another in the main thread of a worker."""

from __future__ import annotations

import inspect
import os
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from air.executor.code import describe_callable
from air.executor.serialization import loads_code
from air_cluster.client import context
from air_cluster.client.arguments import unpack_arguments
from air_cluster.client.client import Client
from air_cluster.client.contents import Content
from air_cluster.client.context import TaskContext
from air_cluster.client.copies import CopyFailed
from air_cluster.client.endings import CANCELLED, FAILED, FINISHED, Running, position
from air_cluster.client.task_links import Loaded, task_link
from air_cluster.protocol.frames import FrameError
from air_cluster.protocol.messages import (
    STREAMING,
    Assign,
    Blocked,
    CancelTask,
    Task,
    TaskDone,
    TasksReturned,
)
from air_cluster.transport.connection import Connection
from air_cluster.worker.aftermath import end_forked_child, forks
from air_cluster.worker.cancellation import Interruptible
from air_cluster.worker.devices import show_gpus
from air_cluster.worker.iteration import as_iterator
from air_cluster.worker.reporter import Job, Reporter
from air_cluster.worker.voice import Voice

_LONG_S = 0.01
_GATHER_S = 0.001


class TaskRunner:
    """The main loop of a worker that runs tasks."""

    def __init__(self, client: Client, reporter: Reporter, voice: Voice) -> None:
        self._client = client
        self._reactor = client.reactor
        self._lock = client.reactor.lock
        self._reporter = reporter
        self.queue: deque[Job] = deque()
        self.stop = False
        # Of all callers, as long as one of them has it in its book.
        self._codes: WeakValueDictionary[bytes, Loaded] = WeakValueDictionary()
        self._forks = forks()
        self._voice = voice
        self._blocked = False
        self._running: Job | None = None
        self._ran = client.endings.ran
        client.endings.runs = self._runs
        client.endings.ahead = lambda task_id: position(
            task_id, (job.message.task_id for job in self.queue)
        )
        self._running_since = 0.0
        self._watching = False
        self._corked: list[Connection] = []
        self.interruptible = Interruptible(client.reactor)
        client.on_block = self._on_block
        handle = client.peers.handle
        handle(Assign, self._on_assign)
        handle(Task, self._on_task)
        handle(CancelTask, self._on_cancel)

    # Messages (under the lock) ------------------------------------------------------------

    def _on_assign(self, connection: Connection, message: Assign, _payload: object) -> None:
        task_link(connection).assignment = message
        self._client.namespace = message.namespace
        self._client.job_id = message.job_id
        self._voice.serve(message.job_id)
        show_gpus(message.gpu_ids)  # a worker with GPUs is lent once only

    def _on_task(self, connection: Connection, message: Task, payload: bytes) -> None:
        link = task_link(connection)
        if message.code_bytes:
            code = self._codes.get(message.code)
            if code is None:
                code = Loaded(bytes(payload[: message.code_bytes]))
                self._codes[message.code] = code
            link.got.add(message.code, message.code_bytes, code)
        else:
            code = link.got.entries.get(message.code)
        if code is None or link.assignment is None:
            # The two books differ, which must not be: an end is heard of, and the task tried again.
            os.write(2, f"task {message.name} came without its function\n".encode())
            os._exit(1)
        self.queue.append(Job(connection, message, payload, link.assignment, code))
        # It was sent before its caller knew that this worker is blocked, or busy for long.
        if self._blocked:
            self._return_queue()
        elif self._running is not None:
            self._start_watching(_LONG_S)

    def _on_cancel(self, connection: Connection, message: CancelTask, _payload: object) -> None:
        for job in self.queue:
            if job.message.task_id == message.task_id:
                self.queue.remove(job)
                connection.send(TaskDone(message.task_id, 0.0, [], True))
                return
        if self._running is not None and self._running.message.task_id == message.task_id:
            # It is not to see the end of one of its children in place of its own.
            children = partial(self._client.cancelling.children, message.task_id)
            self.interruptible.cancel(children if message.recursive else bool)

    def _runs(self) -> list[Running]:
        job = self._running
        if job is None:
            return []
        seconds = time.monotonic() - self._running_since
        task_id = job.message.task_id
        waits_for = self._reporter.waits_for(task_id)
        return [Running(task_id, job.message.name, b"", seconds, waits_for)]

    def _on_block(self, blocked: bool) -> None:
        self._blocked = blocked
        self._client.daemon.send(Blocked(blocked))
        if blocked:
            self._return_queue()

    def _return_queue(self) -> None:
        """Hand back what has not started: it would wait behind a task that takes long."""
        self._uncork()
        by_caller: dict[int, tuple[Connection, list[bytes]]] = {}
        while self.queue:
            job = self.queue.popleft()
            _, task_ids = by_caller.setdefault(id(job.connection), (job.connection, []))
            task_ids.append(job.message.task_id)
        for connection, task_ids in by_caller.values():
            connection.send(TasksReturned(task_ids))

    def _watch(self) -> None:
        """Runs in the background while a task computes: sends off what waits for it."""
        self._watching = False
        self._uncork()
        if self._running is None or not self.queue:
            return
        if time.monotonic() - self._running_since >= _LONG_S:
            self._return_queue()
        else:
            self._start_watching(_LONG_S)

    def _start_watching(self, delay: float) -> None:
        if not self._watching:
            self._watching = True
            self._reactor.call_later(delay, self._watch)

    def _uncork(self) -> None:
        while self._corked:
            self._corked.pop().uncork()

    # The main loop ------------------------------------------------------------------------

    def run(self) -> None:
        """Run tasks until told to stop."""
        queue = self.queue
        while True:
            if not queue:
                with self._lock:
                    self._uncork()
            self._reactor.wait_for(lambda: queue or self.stop)
            if not queue:
                return
            with self._lock:
                if not queue:
                    continue
                job = queue.popleft()
                if queue:
                    self._gather(job.connection)
                self._running = job
                self._running_since = time.monotonic()
                self.interruptible.begin()
            self._execute(job)

    def _gather(self, connection: Connection) -> None:
        """More tasks wait: let the answers of several travel together, for a moment."""
        if connection not in self._corked:
            connection.cork()
            self._corked.append(connection)
        self._start_watching(_GATHER_S)

    def _execute(self, job: Job) -> None:
        message = job.message
        assert isinstance(message, Task)
        assignment = job.assignment
        assert assignment is not None
        token = context.current.set(
            TaskContext(
                task_id=message.task_id,
                name=message.name,
                depth=message.depth,
                group=assignment.group,
                capture=message.capture,
                resources=assignment.resources,
                gpu_ids=tuple(assignment.gpu_ids),
            )
        )
        cancelled = unread = failed = False
        started = time.perf_counter()
        try:
            contents = self._call(job, message)
            end_forked_child(self._forks, None)
        except CopyFailed as error:
            unread = failed = True
            contents = self._reporter.failed(job, error)
        except BaseException as error:
            end_forked_child(self._forks, error)
            cancelled, failed = self.interruptible.ended_by(error), True
            contents = [] if cancelled else self._reporter.failed(job, error)
        finally:
            self._running = None
            if self._voice.spoke:
                self._voice.hush()
            context.current.reset(token)
            self._voice.repair()
        seconds = time.perf_counter() - started
        outcome = CANCELLED if cancelled else FAILED if failed else FINISHED
        function = "" if job.code is None else job.code.name
        self._ran.append((message.task_id, message.name, started, seconds, outcome, function))
        try:
            self._reporter.report(job, contents, seconds, cancelled=cancelled, unread=unread)
        except FrameError as error:
            contents = self._reporter.failed(job, error)
            self._reporter.report(job, contents, seconds, cancelled=False)

    def _call(self, job: Job, message: Task) -> list[Content]:
        function = self._function(job.code, message)
        caller = (job.connection.peer, message.address)
        # What fails to be read in here has not run; in user code that is an ObjectLost.
        args, kwargs = unpack_arguments(
            self._client, message.task_id, caller, message, job.payload, message.code_bytes
        )
        job.payload = b""
        value = self.interruptible.run(partial(function, *args, **kwargs))
        del args, kwargs
        if inspect.iscoroutine(value):
            from air_cluster.worker.coroutines import run

            value = self.interruptible.run(partial(run, value))
        if message.returns == STREAMING:
            items = as_iterator(value, message.name)
            self.interruptible.run(partial(self._reporter.produce, job, items))
            return []
        return self._reporter.pack_results(job, value)

    def _function(self, code: Loaded | None, message: Task) -> Callable[..., Any]:
        assert code is not None
        if code.function is None:
            code.function = loads_code(code.pickled, f"task {message.name}")
            code.name = describe_callable(code.function)
            code.pickled = b""
        return code.function
