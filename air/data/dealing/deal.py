"""Who gets which rows, and who has to wait for whom: a state machine without I/O.

Blocks go to the consumers in turn, or an equal share of each to each. What a consumer has not taken
waits for it, up to a bound: then the others wait as well. In an epoch everybody gets rows once; it
begins when all consumers have asked for it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from air.data.blocks.handle import BlockHandle

WAITING_BLOCKS = 8
"""Blocks that may wait for a consumer."""


@dataclass(frozen=True, slots=True)
class Take:
    """A block, or a part of one, for who asked."""

    handle: BlockHandle


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again when something has changed; it depends on these consumers.

    Attributes:
        for_epoch: whether they have not asked for the epoch, rather than for rows that wait.
    """

    consumers: tuple[int, ...]
    for_epoch: bool


@dataclass(frozen=True, slots=True)
class Pull:
    """The next block of :attr:`epoch` is wanted: feed it, or end the epoch, and ask again."""

    epoch: int


@dataclass(frozen=True, slots=True)
class End:
    """There is nothing more in this epoch."""


@dataclass(slots=True)
class Deal:
    """Decides for *consumers* consumers.

    Attributes:
        equal: give all the same number of rows, leaving out up to ``consumers - 1`` in the end.
        epoch: the one that is under way; -1 before the first.
    """

    consumers: int
    equal: bool = False
    epoch: int = -1
    _wanted: list[int] = field(init=False)
    _left: list[int] = field(init=False)
    _queues: list[deque[BlockHandle]] = field(init=False)
    _rest: list[BlockHandle] = field(default_factory=list)
    _blocks: int = 0
    _ended: bool = False

    def __post_init__(self) -> None:
        self._wanted = [-1] * self.consumers
        self._left = [-1] * self.consumers
        self._queues = [deque() for _ in range(self.consumers)]

    def ask(self, consumer: int, epoch: int) -> Take | Wait | Pull | End:
        """What *consumer*, who is in *epoch*, is to do now."""
        if epoch < self._wanted[consumer] or epoch <= self._left[consumer]:
            return End()  # it has begun another since, or wants no more of this one
        if epoch > self._wanted[consumer]:
            self._wanted[consumer] = epoch
            self._queues[consumer].clear()
        if epoch > self.epoch:
            late = tuple(c for c, wanted in enumerate(self._wanted) if wanted <= self.epoch)
            if late:
                return Wait(late, True)
            self._begin()
        if self._queues[consumer]:
            return Take(self._queues[consumer].popleft())
        if self._ended:
            return End()
        full = tuple(c for c, queue in enumerate(self._queues) if len(queue) >= WAITING_BLOCKS)
        return Wait(full, False) if full else Pull(self.epoch)

    def feed(self, epoch: int, handle: BlockHandle) -> None:
        """The next block that was made; one of an epoch that is over is not wanted."""
        if epoch != self.epoch:
            return
        if not self.equal:
            self._give(self._blocks % self.consumers, handle)
            self._blocks += 1
            return
        self._rest.append(handle)
        rows = sum(one.num_rows for one in self._rest)
        share = rows // self.consumers
        if share:
            for consumer in range(self.consumers):
                for piece in _cut(self._rest, consumer * share, (consumer + 1) * share):
                    self._give(consumer, piece)
            self._rest = _cut(self._rest, share * self.consumers, rows)

    def leave(self, consumer: int, epoch: int) -> None:
        """*consumer* wants no more rows of *epoch*, so nobody waits for it until the next."""
        self._left[consumer] = max(self._left[consumer], epoch)
        if epoch == self._wanted[consumer]:
            self._queues[consumer].clear()

    def end(self, epoch: int) -> None:
        """No more blocks will come in *epoch*."""
        if epoch == self.epoch:
            self._ended = True

    def _begin(self) -> None:
        self.epoch = min(self._wanted)
        self._rest, self._blocks, self._ended = [], 0, False
        for queue in self._queues:
            queue.clear()

    def _give(self, consumer: int, handle: BlockHandle) -> None:
        wants = self._wanted[consumer] == self.epoch and self._left[consumer] < self.epoch
        if wants:  # otherwise it has left the epoch
            self._queues[consumer].append(handle)


def _cut(handles: list[BlockHandle], start: int, stop: int) -> list[BlockHandle]:
    """Rows ``start <= i < stop`` of all of *handles*."""
    found = []
    before = 0
    for handle in handles:
        first, last = max(start - before, 0), min(stop - before, handle.num_rows)
        if first < last:
            found.append(handle.slice(first, last))
        before += handle.num_rows
    return found
