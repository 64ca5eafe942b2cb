"""What tasks of a segment are expected to give, by what those before them have given."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StageLimits:
    """What the machine must know of a stage.

    Attributes:
        max_in_flight: tasks that may run or wait for a process at the same time.
        min_rows: blocks from the stage before are put together until they have so many rows.
        most_expected: bytes that are set aside at most for what a task will give: one that gives
            more, block by block, gives the rest when there is room.
    """

    max_in_flight: int
    min_rows: int = 0
    most_expected: int = sys.maxsize


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of data between stages; the caller's ``key`` says which.

    ``rows`` and ``size`` are ``None`` where they are not known before reading. ``work`` is how many
    bytes a task takes that works on it, beside this and what it gives.
    """

    key: int
    rows: int | None
    size: int | None
    work: int = 0


@dataclass(slots=True)
class TaskState:
    """A task of a stage.

    Attributes:
        expected: bytes that are set aside for what it gives.
        given: bytes that it has given.
        waiting: what it has given before its turn.
        ended: whether it gives no more.
    """

    stage: int
    inputs: tuple[Item, ...]
    expected: int
    given: int = 0
    waiting: deque[Item] = field(default_factory=deque)
    ended: bool = False

    @property
    def still_expected(self) -> int:
        """Bytes that are set aside for what it has not given yet."""
        return max(self.expected - self.given, 0)


@dataclass(slots=True)
class StageState:
    """A stage, its input, its tasks, and what those had and gave that have ended.

    Attributes:
        queue: input that no task has yet.
        order: its tasks, as far as not all is passed on that they gave.
        in_flight: how many of them have not ended.
        bytes_in, bytes_out: of the *tasks_ended* others.
    """

    limits: StageLimits
    queue: deque[Item] = field(default_factory=deque)
    order: deque[int] = field(default_factory=deque)
    in_flight: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    tasks_ended: int = 0

    def expected(self, group: tuple[Item, ...] | None, unknown: int) -> int:
        """Bytes to set aside for what a task would give.

        Args:
            group: its input; ``None`` if that is not known yet.
            unknown: what to expect of it where nothing tells.
        """
        return min(self._estimate(group, unknown), self.limits.most_expected)

    def _estimate(self, group: tuple[Item, ...] | None, unknown: int) -> int:
        sizes = [item.size for item in group] if group else [None]
        if None in sizes or (self.tasks_ended and not self.bytes_in):
            return self.bytes_out // self.tasks_ended if self.tasks_ended else unknown
        total = sum(size for size in sizes if size is not None)
        return total * self.bytes_out // self.bytes_in if self.bytes_in else total


def work_of(items: Iterable[Item]) -> int:
    """Bytes that a task takes that works on these."""
    return sum(item.work for item in items)


def size_of(items: Iterable[Item]) -> int:
    """Bytes of these, as far as they are known."""
    return sum(item.size or 0 for item in items)
