"""Runs tasks one after another in the main thread of a worker, and reports their results."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from air.errors import AirError, WorkerDied
from air.executor.failures import dump_failure, trim
from air.executor.returns import not_a_generator, split_returns
from air_cluster.client import context
from air_cluster.client.arguments import unpack_arguments
from air_cluster.client.client import Client
from air_cluster.client.contents import Content, failure
from air_cluster.client.context import TaskContext
from air_cluster.client.streams import WINDOW
from air_cluster.core.references import Register
from air_cluster.protocol.frames import FrameError
from air_cluster.protocol.ids import object_id
from air_cluster.protocol.messages import (
    STREAMING,
    ActorCall,
    Assign,
    Blocked,
    BorrowAdd,
    CancelTask,
    StreamClose,
    StreamCredit,
    StreamItem,
    Task,
    TaskDone,
    TasksReturned,
    Value,
)
from air_cluster.transport.connection import Connection
from air_cluster.transport.interrupts import InterruptGuard

_LONG_S = 0.01
_GATHER_S = 0.001


@dataclass(slots=True)
class Job:
    """A task or a call that has arrived."""

    connection: Connection
    message: Task | ActorCall
    payload: bytes
    assignment: Assign | None


@dataclass(slots=True)
class _Production:
    """A generator that is being consumed elsewhere."""

    connection: Connection
    made: int = 0
    consumed: int = 0
    closed: bool = False
    resume: Callable[[], object] = bool

    @property
    def ended(self) -> bool:
        """Whether nobody wants more."""
        return self.closed or self.connection.closed

    @property
    def has_room(self) -> bool:
        """Whether the next value may be made now."""
        return self.ended or self.made - self.consumed < WINDOW


class Reporter:
    """Packs results and sends reports; shared by all ways to run things."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = client.reactor.lock
        self.productions: dict[bytes, _Production] = {}
        client.peers.handle(StreamCredit, self._on_credit)
        client.peers.handle(StreamClose, self._on_close)

    def pack_results(self, job: Job, value: Any) -> list[Content]:
        """One content for each return; complains if there are too many or too few.

        Raises:
            ValueError: the function did not return ``num_returns`` values.
            SerializationError: a value cannot be sent.
        """
        returns, name = job.message.returns, job.message.name
        what = f"the return value of {name}"
        values = split_returns(value, returns, name)
        return [self.pack(job, index, item, what) for index, item in enumerate(values)]

    def pack(self, job: Job, index: int, value: Any, what: str) -> Content:
        """The content of one result; references inside are kept for the caller."""
        content = self._client.objects.pack(value, what)
        if content.refs:
            identity = object_id(job.message.task_id, index)
            self._client.objects.hold_for_caller(identity, content.refs)
        return content

    def report(self, job: Job, contents: list[Content], seconds: float, *, cancelled: bool) -> None:
        """Tell the caller that the task is done, after what it left behind is on record."""
        values: list[Value] = []
        payload: list[Any] = []
        for content in contents:
            values.append(content.to_wire())
            payload += content.pieces
        done = TaskDone(job.message.task_id, seconds, values, cancelled)
        connection = job.connection
        objects = self._client.objects
        with self._lock:
            objects.drain()
            registrations, tokens = self._client.references.settle(connection.peer)
            if not registrations:
                connection.send(done, payload)
                return
            away: list[Register] = []
            for made in registrations:
                if made.token:
                    away.append(made)
                else:
                    connection.send(BorrowAdd(made.object_ids, 0))
            objects.when_acknowledged(tokens, lambda: connection.send(done, payload))
            objects.follow(away)

    def produce(self, job: Job, items: Iterator[Any]) -> None:
        """Send each value that a generator yields, as fast as they are consumed."""
        production = self._open(job)
        try:
            for value in items:
                self._send_item(job, production, value)
                if not production.has_room:
                    self._client.objects.wait_until(lambda: production.has_room, None)
                if production.ended:
                    close = getattr(items, "close", None)
                    if close is not None:
                        close()
                    return
        finally:
            del self.productions[job.message.task_id]

    async def produce_async(self, job: Job, items: AsyncIterator[Any]) -> None:
        """:meth:`produce` for an asynchronous generator, on its own loop."""
        production = self._open(job)
        loop = asyncio.get_running_loop()
        room = asyncio.Event()
        production.resume = lambda: loop.call_soon_threadsafe(room.set)
        try:
            async for value in items:
                self._send_item(job, production, value)
                while not production.has_room:
                    room.clear()
                    if not production.has_room:
                        await room.wait()
                if production.ended:
                    break
        finally:
            del self.productions[job.message.task_id]
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    def _open(self, job: Job) -> _Production:
        production = _Production(job.connection)
        self.productions[job.message.task_id] = production
        return production

    def _send_item(self, job: Job, production: _Production, value: Any) -> None:
        what = f"a value that {job.message.name} yielded"
        content = self.pack(job, production.made, value, what)
        item = StreamItem(job.message.task_id, production.made, content.to_wire())
        production.made += 1
        with self._lock:
            job.connection.send(item, content.pieces)

    def _on_credit(self, _connection: Connection, message: StreamCredit, _p: object) -> None:
        production = self.productions.get(message.task_id)
        if production is not None:
            production.consumed = message.consumed
            production.resume()

    def _on_close(self, _connection: Connection, message: StreamClose, _p: object) -> None:
        production = self.productions.get(message.task_id)
        if production is not None:
            production.closed = True
            production.resume()

    def failed(self, error: BaseException, name: str) -> list[Content]:
        """A user's exception in the place of all results."""
        trim(error)
        try:
            return [failure(dump_failure(error, name))]
        finally:
            # The frames hold the arguments, which must be counted off before the report.
            error.__traceback__ = None


class TaskRunner:
    """The main loop of a worker that runs tasks."""

    def __init__(self, client: Client, reporter: Reporter) -> None:
        self._client = client
        self._reactor = client.reactor
        self._lock = client.reactor.lock
        self._reporter = reporter
        self.queue: deque[Job] = deque()
        self.stop = False
        self._codes: dict[bytes, Callable[..., Any]] = {}
        self._pickled: dict[bytes, bytes] = {}
        self._assignments: dict[bytes, Assign] = {}
        self._running: bytes | None = None
        self._running_since = 0.0
        self._cancelling: bytes | None = None
        self._was_cancelled = False
        self._watching = False
        self._corked: list[Connection] = []
        self.guard = InterruptGuard(client.reactor, self._interrupted)
        client.on_block = self._on_block
        handle = client.peers.handle
        handle(Assign, self._on_assign)
        handle(Task, self._on_task)
        handle(CancelTask, self._on_cancel)

    # Messages (under the lock) ------------------------------------------------------------

    def _on_assign(self, connection: Connection, message: Assign, _payload: object) -> None:
        self._assignments[connection.peer] = message
        self._client.namespace = message.namespace
        self._client.job_id = message.job_id

    def _on_task(self, connection: Connection, message: Task, payload: bytes) -> None:
        if message.code_bytes:
            self._pickled[message.code] = bytes(payload[: message.code_bytes])
        self.queue.append(Job(connection, message, payload, self._assignments[connection.peer]))

    def _on_cancel(self, connection: Connection, message: CancelTask, _payload: object) -> None:
        for job in self.queue:
            if job.message.task_id == message.task_id:
                self.queue.remove(job)
                connection.send(TaskDone(message.task_id, 0.0, [], True))
                return
        if self._running == message.task_id:
            if message.recursive:
                self._client.cancel_children(message.task_id)
            self._cancelling = message.task_id
            self.guard.send()

    def _interrupted(self) -> None:
        if self._running is not None and self._running == self._cancelling:
            self._cancelling = None
            self._was_cancelled = True
            raise KeyboardInterrupt

    def _on_block(self, blocked: bool) -> None:
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
                self._running = job.message.task_id
                self._running_since = time.monotonic()
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
        cancelled = self._was_cancelled = False
        started = time.perf_counter()
        try:
            contents = self._call(job, message)
        except BaseException as error:
            cancelled = self._was_cancelled and isinstance(error, KeyboardInterrupt)
            contents = [] if cancelled else self._reporter.failed(error, message.name)
        finally:
            self._running = None
            self._cancelling = None
            context.current.reset(token)
        seconds = time.perf_counter() - started
        try:
            self._reporter.report(job, contents, seconds, cancelled=cancelled)
        except FrameError as error:
            contents = self._reporter.failed(error, message.name)
            self._reporter.report(job, contents, seconds, cancelled=False)

    def _call(self, job: Job, message: Task) -> list[Content]:
        function = self._function(message)
        caller = (job.connection.peer, message.address)
        args, kwargs = unpack_arguments(
            self._client, message.task_id, caller, message, job.payload, message.code_bytes
        )
        job.payload = b""
        value = function(*args, **kwargs)
        del args, kwargs
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        if message.returns == STREAMING:
            self._reporter.produce(job, as_iterator(value, message.name))
            return []
        return self._reporter.pack_results(job, value)

    def _function(self, message: Task) -> Callable[..., Any]:
        function = self._codes.get(message.code)
        if function is None:
            try:
                function = pickle.loads(self._pickled[message.code])
            except Exception as error:
                raise _cannot_load(message.name, error) from error
            self._codes[message.code] = function
            del self._pickled[message.code]
        return function


def _cannot_load(name: str, error: Exception) -> AirError:
    return WorkerDied(
        f"task {name} cannot be loaded in the worker: {type(error).__name__}: {error}."
        " Modules that it imports must be importable from the same paths as in the driver"
    )


def as_iterator(value: Any, name: str) -> Iterator[Any]:
    """Whatever a streaming task returned, as an iterator in this thread."""
    if hasattr(value, "__aiter__"):
        return _drive(value)
    try:
        return iter(value)
    except TypeError:
        raise not_a_generator(value, name) from None


def _drive(source: Any) -> Iterator[Any]:
    """The values of an asynchronous generator, on a loop of its own."""
    with asyncio.Runner() as runner:

        async def following() -> Any:
            return await anext(source)

        try:
            while True:
                try:
                    yield runner.run(following())
                except StopAsyncIteration:
                    return
        finally:
            runner.run(source.aclose())
