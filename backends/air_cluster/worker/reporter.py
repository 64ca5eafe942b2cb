"""Packs what tasks and methods return, and reports it to their callers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from air.errors import ObjectLost
from air.executor.failures import forget_frames, trim
from air.executor.returns import split_returns
from air.executor.streaming import BYTES_AHEAD, VALUES_AHEAD
from air_cluster.client.client import Client
from air_cluster.client.contents import INLINE_MAX_BYTES, Content
from air_cluster.client.copies import CopyFailed
from air_cluster.client.gathering import Gathering
from air_cluster.client.returned import failure_id
from air_cluster.client.task_links import Loaded
from air_cluster.core.references import Register
from air_cluster.protocol.ids import object_id, owner_of
from air_cluster.protocol.messages import (
    ActorCall,
    Assign,
    BorrowAdd,
    StreamClose,
    StreamCredit,
    StreamItem,
    Task,
    TaskDone,
    Value,
)
from air_cluster.transport.connection import Connection

_REPORT_BYTES = 8 << 20
"""Small results travel with the report up to this; those of a thousand returns may be more."""


class Job(msgspec.Struct):
    """A task or a call that has arrived."""

    connection: Connection
    message: Task | ActorCall
    payload: bytes
    assignment: Assign | None
    code: Loaded | None = None


class Production(msgspec.Struct):
    """A generator that is being consumed elsewhere."""

    connection: Connection
    limit: int = BYTES_AHEAD
    made: int = 0
    consumed: int = 0
    ahead: deque[int] = msgspec.field(default_factory=deque)
    """Bytes of each value that has not been taken, as far as that is known."""
    bytes_ahead: int = 0
    closed: bool = False
    resume: Callable[[], object] = bool

    @property
    def ended(self) -> bool:
        """Whether nobody wants more."""
        return self.closed or self.connection.closed

    @property
    def has_room(self) -> bool:
        """Whether the next value may be made now."""
        return self.ended or (len(self.ahead) < VALUES_AHEAD and self.bytes_ahead < self.limit)

    def add(self, size: int) -> None:
        """A value of so many bytes was made."""
        self.made += 1
        self.ahead.append(size)
        self.bytes_ahead += size

    def taken(self, consumed: int) -> None:
        """So many values have been taken in all; what is told late says nothing new."""
        while self.consumed < consumed and self.ahead:
            self.consumed += 1
            self.bytes_ahead -= self.ahead.popleft()


def close_iterator(items: Iterator[Any]) -> None:
    """Close a generator; other iterators need not be."""
    close = getattr(items, "close", None)
    if close is not None:
        close()


class Reporter:
    """Packs results and sends reports; shared by all ways to run things."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = client.reactor.lock
        self._delayed = 0  # reports that wait for owners to know of references
        self._reports = Gathering(client.reactor)
        self.productions: dict[bytes, Production] = {}
        client.peers.handle(StreamCredit, self._on_credit)
        client.peers.handle(StreamClose, self._on_close)
        client.on_peer_lost = self.lost

    def pack_results(self, job: Job, value: Any) -> list[Content]:
        """One content for each return; complains if there are too many or too few.

        Raises:
            ValueError: the function did not return ``num_returns`` values.
            SerializationError: a value cannot be sent.
        """
        returns, name = job.message.returns, job.message.name
        what = f"the return value of {name}"
        contents: list[Content] = []
        room = _REPORT_BYTES
        try:
            for item in split_returns(value, returns, name):
                contents.append(self._pack(job, len(contents), item, what, room))
                room -= sum(map(len, contents[-1].pieces))
        except BaseException:
            self.take_back(job, contents)
            raise
        return contents

    def _pack(self, job: Job, index: int, value: Any, what: str, room: int) -> Content:
        """The content of one result; references inside are kept for the caller."""
        objects = self._client.objects
        content = objects.pack(value, what, inline_max=min(room, INLINE_MAX_BYTES))
        if content.refs:
            with self._lock:
                objects.returned.hold(object_id(job.message.task_id, index), content.refs)
        if content.location is not None:
            with self._lock:
                objects.lodgers.add(owner_of(job.message.task_id), content.location)
        return content

    def take_back(self, job: Job, contents: list[Content]) -> None:
        """Packed results are not returned after all."""
        with self._lock:
            for index, content in enumerate(contents):
                self._take_back(object_id(job.message.task_id, index), content)

    def _take_back(self, result_id: bytes, content: Content) -> None:
        if content.location is not None:
            self._client.objects.lodgers.freed(owner_of(result_id), content.location)
            self._client.writer.free(content.location)
        self._client.objects.returned.drop(result_id)

    def refuse(self, job: Job, failed: Content) -> None:
        """Say for a call, running or not, that it will not end; called under the lock.

        What it still yields goes nowhere; what it returns is for the caller to take back.
        """
        production = self.productions.get(job.message.task_id)
        if production is not None:
            production.closed = True
            production.resume()
        done = TaskDone(job.message.task_id, 0.0, [failed.to_wire()], False)
        job.connection.send(done, failed.pieces)

    def report(
        self,
        job: Job,
        contents: list[Content],
        seconds: float,
        *,
        cancelled: bool,
        unread: bool = False,
        may_wait: bool = False,
    ) -> None:
        """Tell the caller that the task is done, after what it left behind is on record.

        Args:
            may_wait: others will end in a moment, to be told with this one in one write. It is lost
                if the process dies before; at the latest the next round of events sends it.
        """
        values: list[Value] = []
        payload: list[Any] = []
        for content in contents:
            values.append(content.to_wire())
            payload += content.pieces
        done = TaskDone(job.message.task_id, seconds, values, cancelled, unread)
        connection = job.connection
        objects = self._client.objects
        with self._lock:
            self._client.gathering.flush()
            objects.drain()
            registrations, tokens = self._client.references.settle(connection.peer)
            if not registrations:
                if may_wait:
                    self._reports.add(connection)
                connection.send(done, payload)
                if not may_wait:
                    self._reports.flush()
                return
            away: list[Register] = []
            for made in registrations:
                if made.token:
                    away.append(made)
                else:
                    connection.send(BorrowAdd(made.object_ids, 0))

            def send() -> None:
                self._delayed -= 1
                connection.send(done, payload)

            self._delayed += 1
            objects.when_acknowledged(tokens, send)
            objects.follow(away)

    def flush(self) -> None:
        """Send the reports that may wait; called under the lock."""
        self._reports.flush()

    @property
    def is_idle(self) -> bool:
        """Whether all that was reported is on its way."""
        return not self._delayed

    def produce(
        self, job: Job, items: Iterator[Any], wait: Callable[[Production], object] | None = None
    ) -> None:
        """Send each value that a generator yields, as fast as they are consumed.

        Args:
            wait: waits, in this thread, until there is room.
        """
        production = self.open_production(job)
        try:
            while not self.advance(job, production, items):
                (wait or self._wait_for_room)(production)
        finally:
            self.close_production(job)

    def advance(self, job: Job, production: Production, items: Iterator[Any]) -> bool:
        """Send what a generator yields while there is room; whether it has ended, or was closed."""
        if production.ended and production.made:
            close_iterator(items)
            return True
        reactor = self._client.reactor
        for value in items:
            if not production.ended:
                self.send_item(job, production, value)
            if reactor.thread_interrupts:  # a cancellation that had come while this ran our code
                reactor.interrupt_this_thread()
            if not production.has_room:
                return False
            if production.ended:
                close_iterator(items)
                return True
        return True

    def _wait_for_room(self, production: Production) -> None:
        self._client.waiting.wait_until(lambda: production.has_room, None)

    def open_production(self, job: Job) -> Production:
        """A generator starts; its consumer's messages will be found."""
        production = Production(job.connection, job.message.ahead)
        self.productions[job.message.task_id] = production
        return production

    def close_production(self, job: Job) -> None:
        """A generator has ended, if the call was one."""
        self.productions.pop(job.message.task_id, None)

    def lost(self, connection: Connection) -> None:
        """A consumer is gone; called under the lock."""
        for production in self.productions.values():
            if production.connection is connection:
                production.resume()

    def waits_for(self, task_id: bytes) -> str:
        """In words, what a task or call that has begun waits for; empty if it runs."""
        production = self.productions.get(task_id)
        if production is None or production.has_room:
            return ""
        ahead = len(production.ahead)
        return f"its consumer to take values: {ahead} that it has yielded are not taken"

    def send_item(self, job: Job, production: Production, value: Any) -> None:
        """Send one value that a generator yielded."""
        what = f"a value that {job.message.name} yielded"
        content = self._pack(job, production.made, value, what, _REPORT_BYTES)
        item = StreamItem(job.message.task_id, production.made, content.to_wire())
        production.add(content.size_bytes)
        with self._lock:
            self._client.gathering.flush()
            job.connection.send(item, content.pieces)

    def _on_credit(self, _connection: Connection, message: StreamCredit, _p: object) -> None:
        production = self.productions.get(message.task_id)
        if production is not None:
            production.taken(message.consumed)
            production.resume()

    def _on_close(self, _connection: Connection, message: StreamClose, _p: object) -> None:
        production = self.productions.get(message.task_id)
        if production is not None:
            production.closed = True
            production.resume()

    def failed(self, job: Job, error: BaseException) -> list[Content]:
        """A user's exception in the place of all results; what is in it is kept for the caller."""
        if isinstance(error, CopyFailed):
            error = ObjectLost(str(error))  # what people know it by
        trim(error)
        try:
            content = self._client.objects.pack_failure(error, job.message.name)
        finally:
            # The frames hold the arguments, which must be counted off before the report.
            forget_frames(error)
        if content.refs:
            with self._lock:
                returned = self._client.objects.returned
                returned.hold(failure_id(job.message.task_id), content.refs)
        return [content]
