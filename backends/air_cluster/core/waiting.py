"""Requests that wait on a node, and the order in which they are served.

Order: greater depth first (the children of blocked parents before more parents); among equal
depth the owner that was served longest ago, so that a backlog of a million does not starve a
demand of one; then first come, first served. Requests that do not fit are passed over, which
is why the scheduler also holds resources for those that wait too long.

Requests of one kind and shape form a lane with a heap of its own: what does not fit for the
first of a lane does not fit for the others, so serving looks at lanes, not at requests. Keys in
the heaps may be out of date; they are set right when they come to the top, which works because
keys only grow, save when a request gains depth: then it is pushed again.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterator

import msgspec

from air_cluster.core.shapes import ShapeKey


class Kind(enum.Enum):
    """What a request is for."""

    LEASE = "lease"
    ACTOR = "actor"
    BUNDLE = "bundle"


Subject = bytes | tuple[bytes, int]

Rank = tuple[int, int, int]
"""Position in the order: negated depth, turn of the owner, arrival."""

_Entry = tuple[Rank, int, "Waiter"]
"""In a heap; the serial number keeps entries of equal rank from comparing waiters."""


class Waiter(msgspec.Struct, eq=False):
    """A request, or several of the same kind, owner and shape.

    Attributes:
        kind: what it is for.
        owner: the process whose turn it uses up.
        shape: what it needs.
        subject: who or what it is for: the owner of leases, an actor, or a bundle as
            ``(group_id, index)``.
        depth: how many blocked tasks stand above it.
        count: how many are asked for, those included for which a worker is being started.
        set_aside: for how many of these a worker is being started.
        since: when it last made progress: asked, or was last served, or lost its last lease.
        arrival: serial number of the request.
        aging_since: since when it counts as starving; later than ``since`` if resources
            were held for it in vain.
        hold_for: how many seconds resources would be held for it the next time.
    """

    kind: Kind
    owner: bytes
    shape: ShapeKey
    subject: Subject
    depth: int
    count: int
    since: float
    aging_since: float
    arrival: int
    hold_for: float
    set_aside: int = 0
    _entry: _Entry | None = None

    @property
    def wanting(self) -> int:
        """How many nothing has been set aside for yet."""
        return self.count - self.set_aside


Lane = tuple[Kind, ShapeKey]


class WaitingList:
    """All requests that want something, in lanes.

    A waiter is in the list while its ``count`` is above zero, also when ``wanting`` is zero:
    call :meth:`refresh` after either has changed.
    """

    def __init__(self) -> None:
        self._waiters: dict[_Key, Waiter] = {}
        self._lanes: dict[Lane, list[_Entry]] = {}
        self._turns: dict[bytes, int] = {}
        self._turn = 0
        self._arrivals = 0
        self._pushes = 0

    def __iter__(self) -> Iterator[Waiter]:
        """All waiters, in order of arrival of the first request of each."""
        return iter(self._waiters.values())

    def __contains__(self, waiter: Waiter) -> bool:
        return self._waiters.get(_key(waiter)) is waiter

    def find(self, kind: Kind, subject: Subject, shape: ShapeKey | None = None) -> Waiter | None:
        """The waiter of that identity; demands for leases are told apart by their shape too."""
        return self._waiters.get((kind, subject, shape))

    def add(
        self,
        kind: Kind,
        owner: bytes,
        shape: ShapeKey,
        subject: Subject,
        *,
        depth: int,
        count: int,
        now: float,
        hold_for: float,
    ) -> Waiter:
        """Enter a new request."""
        self._arrivals += 1
        arrival = self._arrivals
        waiter = Waiter(
            kind, owner, shape, subject, depth, count, now, now, arrival, hold_for=hold_for
        )
        self._waiters[_key(waiter)] = waiter
        self.refresh(waiter)
        return waiter

    def remove(self, waiter: Waiter) -> None:
        """Forget a request."""
        del self._waiters[_key(waiter)]
        waiter.count = waiter.set_aside = 0

    def refresh(self, waiter: Waiter) -> None:
        """Note that the count, the share set aside or the depth of *waiter* has changed."""
        rank = self.rank(waiter)
        if waiter.wanting <= 0 or (waiter._entry is not None and waiter._entry[0] <= rank):
            return
        lane = self._lanes.setdefault((waiter.kind, waiter.shape), [])
        if len(lane) > 2 * len(self._waiters) + 64:  # mostly entries that are out of date
            lane[:] = [entry for entry in lane if entry[2]._entry is entry]
            heapq.heapify(lane)
        heapq.heappush(lane, self._make_entry(waiter, rank))

    def served(self, waiter: Waiter) -> None:
        """Move the owner of *waiter* to the end of the round."""
        self._turn += 1
        self._turns[waiter.owner] = self._turn

    def forget(self, owner: bytes) -> None:
        """Forget the turn of an owner that is gone."""
        self._turns.pop(owner, None)
        for waiter in self:  # such as detached actors of that owner
            if waiter.owner == owner:
                self.refresh(waiter)

    def rank(self, waiter: Waiter) -> Rank:
        """Where *waiter* stands; lower is served earlier. No two are equal."""
        return -waiter.depth, self._turns.get(waiter.owner, 0), waiter.arrival

    def heads(self) -> list[Waiter]:
        """The first of each lane, unordered."""
        heads = []
        for lane in list(self._lanes):
            head = self._head(self._lanes[lane])
            if head is None:
                del self._lanes[lane]
            else:
                heads.append(head)
        return heads

    def _head(self, heap: list[_Entry]) -> Waiter | None:
        while heap:
            queued, _, waiter = heap[0]
            if waiter._entry is not heap[0]:  # of a waiter that was pushed again
                heapq.heappop(heap)
            elif waiter.wanting <= 0:
                waiter._entry = None
                heapq.heappop(heap)
            elif queued != (rank := self.rank(waiter)):
                heapq.heapreplace(heap, self._make_entry(waiter, rank))
            else:
                return waiter
        return None

    def _make_entry(self, waiter: Waiter, rank: Rank) -> _Entry:
        self._pushes += 1
        waiter._entry = (rank, self._pushes, waiter)
        return waiter._entry

    def check(self) -> None:
        """Assert that each lane's head is its first, and nobody is left out."""
        best: dict[Lane, Waiter] = {}
        for waiter in self:
            assert 0 <= waiter.set_aside <= waiter.count, waiter
            assert waiter.count > 0, waiter
            lane = (waiter.kind, waiter.shape)
            first = best.get(lane)
            if waiter.wanting > 0 and (first is None or self.rank(waiter) < self.rank(first)):
                best[lane] = waiter
        assert {id(head) for head in self.heads()} == {id(head) for head in best.values()}


_Key = tuple[Kind, Subject, ShapeKey | None]


def _key(waiter: Waiter) -> _Key:
    return waiter.kind, waiter.subject, waiter.shape if waiter.kind is Kind.LEASE else None
