"""The consumer's side of a streaming generator."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from air_cluster.protocol.ids import object_id
from air_cluster.protocol.messages import StreamClose, StreamCredit
from air_cluster.transport.connection import Connection

WINDOW = 64
"""A producer stops when this many values have not been taken."""


class Stream(msgspec.Struct):
    """Values that a generator task has yielded and nobody has taken yet, in order."""

    task_id: bytes
    name: str
    ready: deque[bytes] = msgspec.field(default_factory=deque)
    ended: bool = False
    connection: Connection | None = None
    produced: int = 0
    consumed: int = 0
    watchers: list[Callable[[], object]] = msgspec.field(default_factory=list)

    def next_id(self) -> bytes:
        """The identity of the value that arrives now."""
        self.produced += 1
        return object_id(self.task_id, self.produced - 1)

    def take(self) -> bytes | None:
        """The next value's identity, or ``None`` at the end; lets the producer go on."""
        if not self.ready:
            return None
        self.consumed += 1
        if self.consumed % (WINDOW // 2) == 0 and self.connection is not None and not self.ended:
            self.connection.send(StreamCredit(self.task_id, self.consumed))
        return self.ready.popleft()

    def credit_again(self, index: int) -> None:
        """A retry has made a value that was given out before: let it hurry on."""
        if (index + 1) % (WINDOW // 2) == 0 and self.connection is not None:
            self.connection.send(StreamCredit(self.task_id, max(self.consumed, index + 1)))

    def notify(self) -> None:
        """Something arrived, or the end did."""
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            watcher()

    def close(self) -> list[bytes]:
        """Stop the producer; returns the values that nobody has taken."""
        if not self.ended and self.connection is not None:
            self.connection.send(StreamClose(self.task_id))
        left = list(self.ready)
        self.ready.clear()
        return left
