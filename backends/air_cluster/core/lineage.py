"""Lineage: which tasks have to run again to make lost values anew, without I/O.

A task that has ended is remembered while one of its results lives, or is an argument of a
task that is remembered. Large values are not kept for that: an argument that was freed meanwhile
is made anew too, from where it came, however far back that goes. What is remembered is
bounded; the oldest is forgotten first, and then its results can no longer be made anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from air_cluster.protocol.ids import task_of


class _Task(msgspec.Struct, eq=False):
    arguments: Sequence[bytes]
    cost: int
    living: set[bytes]  # results that somebody refers to


class Unrecoverable(Exception):
    """A value cannot be made anew: nothing is remembered of where it came from."""

    def __init__(self, object_id: bytes) -> None:
        super().__init__(object_id)
        self.object_id = object_id


class Lineage:
    """Events in, answers out.

    Args:
        capacity: the costs of what is remembered, together.
        forgotten: called with each task that is remembered no more, and those of its results
            that somebody refers to even so.
    """

    def __init__(
        self, capacity: int, forgotten: Callable[[bytes, Iterable[bytes]], object]
    ) -> None:
        self._capacity = capacity
        self._forgotten = forgotten
        self._tasks: dict[bytes, _Task] = {}  # oldest first
        # Task (or put) -> arguments of remembered tasks that it has made.
        self._used: Counter[bytes] = Counter()
        self._cost = 0

    def __contains__(self, task_id: bytes) -> bool:
        return task_id in self._tasks

    def __len__(self) -> int:
        return len(self._tasks)

    def finished(
        self, task_id: bytes, arguments: Sequence[bytes], living: Iterable[bytes], cost: int
    ) -> None:
        """A task has ended that may run again.

        Args:
            arguments: the values of this process that it was given, directly or inside others.
            living: its results that somebody refers to.
            cost: bytes that remembering it takes.
        """
        known = self._tasks.get(task_id)
        if known is not None:  # it ran again
            known.living.update(living)
            return
        self._tasks[task_id] = _Task(arguments, cost, set(living))
        self._cost += cost
        self._used.update(task_of(argument) for argument in arguments)
        self._drop_unneeded(task_id)
        while self._cost > self._capacity:
            for maker in self._drop(next(iter(self._tasks))):
                self._drop_unneeded(maker)

    def freed(self, object_id: bytes) -> None:
        """Nobody refers to a value any more."""
        task_id = task_of(object_id)
        task = self._tasks.get(task_id)
        if task is not None:
            task.living.discard(object_id)
            self._drop_unneeded(task_id)

    def plan(self, object_id: bytes, is_there: Callable[[bytes], bool]) -> list[bytes]:
        """The tasks that have to run to make a value anew, each after those it needs.

        Args:
            is_there: whether a value is there, or is being made already.

        Raises:
            Unrecoverable: that of the value, or of one that it takes, is not remembered.
        """
        plan: dict[bytes, None] = {}
        # Depth first, without recursion: a chain of tasks may be thousands long.
        stack: list[tuple[bytes, bool]] = [(object_id, False)]
        while stack:
            wanted, ready = stack.pop()
            task_id = task_of(wanted)
            if ready:
                plan[task_id] = None
                continue
            if task_id in plan:
                continue
            task = self._tasks.get(task_id)
            if task is None:
                raise Unrecoverable(wanted)
            stack.append((wanted, True))
            stack += [(a, False) for a in reversed(task.arguments) if not is_there(a)]
        return list(plan)

    def _drop_unneeded(self, task_id: bytes) -> None:
        doubtful = [task_id]
        while doubtful:
            task_id = doubtful.pop()
            task = self._tasks.get(task_id)
            if task is not None and not task.living and not self._used[task_id]:
                doubtful += self._drop(task_id)

    def _drop(self, task_id: bytes) -> list[bytes]:
        """Forget a task; returns those that are perhaps not needed any more either."""
        task = self._tasks.pop(task_id)
        self._cost -= task.cost
        makers = [task_of(argument) for argument in task.arguments]
        for maker in makers:
            self._used[maker] -= 1
            if not self._used[maker]:
                del self._used[maker]
        self._forgotten(task_id, task.living)  # which may free values, and so come back here
        return makers

    def check(self) -> None:
        """Assert the invariants."""
        used = Counter(task_of(a) for task in self._tasks.values() for a in task.arguments)
        assert used == self._used
        for task_id, task in self._tasks.items():
            assert task.living or used[task_id], task_id
            assert all(task_of(result) == task_id for result in task.living)
        assert self._cost == sum(task.cost for task in self._tasks.values())
        assert self._cost <= self._capacity
