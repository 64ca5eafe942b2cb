"""When a node's memory runs out, and whose worker ends for that.

::

    CALM --a limit is reached: the largest worker is chosen--> ENDING --it ended--> CALM

The kernel would end *some* process of the machine, with no word to whoever waits for its result.
So we are quicker: the worker that uses most is ended, and its owner is told why.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

FULL = 0.95
"""Such a share of the limit may be in use."""

FASTEST_FILLING = 4 << 30
"""Bytes a second: twice of what a core clears of fresh pages."""

OUR_SHARE = 0.1
"""If workers use less than that of a limit, it is not for them that memory runs out."""

SOONEST_S, LATEST_S = 0.02, 1.0
"""Between two looks."""

SETTLE_S = 2.0
"""So long may an ended worker's memory take to be free before another one is ended."""


class WatchState(enum.Enum):
    """Where the watch is."""

    CALM = "calm"
    ENDING = "ending"


class Usage(msgspec.Struct, frozen=True):
    """What is used of what may be used, in bytes.

    Attributes:
        what: whose limit it is, for people: ``the machine``, ``the container`` ...
    """

    used: int
    limit: int
    what: str

    @property
    def headroom(self) -> float:
        """Bytes that may still be taken."""
        return self.limit * FULL - self.used


class Victim(msgspec.Struct, frozen=True):
    """A worker to end; *why* is for whoever waits for what it does."""

    worker: str
    why: str
    is_hopeless: bool
    """Whether it alone used more than half of the limit: it would do so again."""


class MemoryWatch:
    """Decides from what is measured; whoever calls it measures and ends workers."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._ending: str = ""
        self._since = 0.0

    @property
    def state(self) -> WatchState:
        """Where the watch is."""
        return WatchState.ENDING if self._ending else WatchState.CALM

    def is_short(self, usages: Iterable[Usage], now: float) -> bool:
        """Whether a worker has to end: then call :meth:`choose`."""
        if self._ending and now - self._since >= SETTLE_S:
            self._ending = ""
        return not self._ending and any(usage.headroom < 0 for usage in usages)

    def choose(
        self, usages: Iterable[Usage], workers: Iterable[tuple[str, int]], now: float
    ) -> Victim | None:
        """The worker that ends: the one that uses most, of equals the one named last.

        None does if all together use little: ending them would free nothing.

        Args:
            workers: those that do something, and the bytes that each uses alone.
        """
        full = min(usages, key=lambda usage: usage.headroom / usage.limit)
        known = list(workers)
        found = max(known, key=lambda worker: (worker[1], worker[0]), default=None)
        if found is None or sum(nbytes for _, nbytes in known) < full.limit * OUR_SHARE:
            return None
        self._ending, self._since = found[0], now
        return Victim(
            found[0],
            f"node {self._node} ran out of memory: its worker used {_size(found[1])}, more than"
            f" any other, when {full.what} had {_size(full.used)} of {_size(full.limit)} in use."
            " Work on smaller pieces, run fewer at a time (.options(memory=BYTES) sets memory"
            " aside for each), or use a machine with more",
            is_hopeless=found[1] > full.limit / 2,
        )

    def ended(self, worker: str) -> None:
        """A worker is gone, and its memory free."""
        if worker == self._ending:
            self._ending = ""

    @staticmethod
    def next_look(usages: Iterable[Usage]) -> float:
        """Seconds until the next look: by then no more than half of what is left can be gone."""
        headroom = min((usage.headroom for usage in usages), default=float("inf"))
        return min(LATEST_S, max(SOONEST_S, headroom / FASTEST_FILLING / 2))


def _size(nbytes: float) -> str:
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if nbytes >= scale:
            return f"{nbytes / scale:.1f} {unit}"
    return f"{nbytes / 1024:.0f} KiB"
