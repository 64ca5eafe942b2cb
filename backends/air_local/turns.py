"""Whose turn it is in an actor: calls in order, concurrency group by concurrency group."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping

from air_local.calls import Call

NO_GROUP = ""
"""The lane of calls that are in no concurrency group, and of the constructor."""


class Turns:
    """The calls of one actor that wait, and how many run; to be used under a lock.

    Each lane is served in order, whatever holds up the others.

    Args:
        total: how many may run at the same time in all lanes together.
        limits: how many may in each lane.
    """

    def __init__(self, total: int, limits: Mapping[str, int]) -> None:
        self._total = total
        self._limits = limits
        self._waiting: dict[str, deque[tuple[int, Call]]] = {lane: deque() for lane in limits}
        self._running = dict.fromkeys(limits, 0)
        self._number = itertools.count()
        self.running = 0

    def add(self, call: Call) -> None:
        """One more call; it waits behind those of its lane."""
        self._waiting[call.frame.lane].append((next(self._number), call))

    def take(self, *, constructing: bool) -> Call | None:
        """The call that has waited for longest of those that may start now.

        Args:
            constructing: nothing may start before the constructor, or beside it.
        """
        if self.running >= (1 if constructing else self._total):
            return None
        lanes = [NO_GROUP] if constructing else self._waiting
        found = [(self._waiting[lane][0][0], lane) for lane in lanes if self._is_ready(lane)]
        if not found:
            return None
        _, lane = min(found)
        self.running += 1
        self._running[lane] += 1
        return self._waiting[lane].popleft()[1]

    def _is_ready(self, lane: str) -> bool:
        waiting = self._waiting[lane]
        while waiting and waiting[0][1].finished:
            waiting.popleft()
        if not waiting or self._running[lane] >= self._limits[lane]:
            return False
        return waiting[0][1].waiting_for == 0

    def ended(self, call: Call) -> None:
        """A call that was taken has ended."""
        self.running -= 1
        self._running[call.frame.lane] -= 1

    def clear(self) -> None:
        """Forget all that wait."""
        for waiting in self._waiting.values():
            waiting.clear()
