"""The consumer's side of a streaming generator."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from air.executor.streaming import BYTES_AHEAD, VALUES_AHEAD
from air_cluster.protocol.ids import object_id
from air_cluster.protocol.messages import StreamClose, StreamCredit
from air_cluster.transport.connection import Connection


class Stream(msgspec.Struct):
    """Values that a generator task has yielded and nobody has taken yet, in order."""

    task_id: bytes
    name: str
    ahead: int = BYTES_AHEAD
    """Bytes that have not been taken, at which the producer stops."""
    ready: deque[bytes] = msgspec.field(default_factory=deque)
    sizes: deque[int] = msgspec.field(default_factory=deque)
    ended: bool = False
    connection: Connection | None = None
    produced: int = 0
    consumed: int = 0
    untold: int = 0
    """Bytes that were taken since the producer was last told so."""
    large: list[int] = msgspec.field(default_factory=list)
    """Which values went to shared memory, but for some that were freed."""
    prune_at: int = 64
    watchers: list[Callable[[], object]] = msgspec.field(default_factory=list)

    def add(self, size: int) -> bytes:
        """The identity of the value that arrives now, of so many bytes."""
        identity = object_id(self.task_id, self.produced)
        self.produced += 1
        self.ready.append(identity)
        self.sizes.append(size)
        return identity

    def note_large(self, lives: Callable[[int], object]) -> None:
        """The value that arrived last lies in shared memory.

        Args:
            lives: whether anybody still wants the value of an index.
        """
        self.large.append(self.produced - 1)
        if len(self.large) >= self.prune_at:
            self.large = [index for index in self.large if lives(index)]
            self.prune_at = 2 * len(self.large) + 64

    def take(self) -> bytes | None:
        """The next value's identity, or ``None`` at the end; lets the producer go on."""
        if not self.ready:
            return None
        self.consumed += 1
        self._tell(self.consumed, self.consumed, self.sizes.popleft())
        return self.ready.popleft()

    def made_again(self, index: int, size: int) -> None:
        """A retry has made a value that was given out before: let it hurry on."""
        self._tell(index + 1, max(self.consumed, index + 1), size)

    def _tell(self, number: int, consumed: int, size: int) -> None:
        """Let the producer know, before it must stop, that it has made less ahead."""
        self.untold += size
        if number % (VALUES_AHEAD // 2) and self.untold < self.ahead // 2:
            return
        self.untold = 0
        if self.connection is not None and not self.ended:
            self.connection.send(StreamCredit(self.task_id, consumed))

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
        self.sizes.clear()
        return left
