"""Demands and actors that wait for a node, and the order in which they are served.

Order: greater depth first; among equal depth the client that was served longest ago; then
first come, first served. That is the order on a node, too (see
:mod:`~air_cluster.core.waiting`). Who needs the same waits in one *lane*: what has no room for
the first of a lane has none for the others.

Lanes are heaps whose keys may be out of date. They are set right when they come to the top,
which works because keys only grow, save when a waiter gains depth: then it is pushed again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from air_cluster.core.cluster_selection import Selection
from air_cluster.core.cluster_shapes import ClusterShape, Need
from air_cluster.core.cluster_supply import Supply

if TYPE_CHECKING:
    from air_cluster.core.cluster_promises import Promise

_TURNS_REMEMBERED = 10_000

Rank = tuple[int, int, int]
"""Position in the order: negated depth, turn of the client, arrival."""

_Entry = tuple[Rank, int, "Waiter"]
"""In a heap; the serial number keeps entries of equal rank from comparing waiters."""


class Waiter(msgspec.Struct, eq=False):
    """A client's demand for workers of one shape, or an actor.

    Attributes:
        client: whose turn it uses up.
        home: number of the node that its client is on.
        shape: what it needs.
        lane: where it waits.
        depth: how many blocked tasks stand above it.
        count: how many workers it wants, those included that it was sent somewhere for.
        since: when it came, or last made progress.
        arrival: serial number.
        actor_id: ``None`` if it is a demand.
        sent: for how many of ``count`` it was sent where there seemed to be room.
        promises: of these, the ones that are not settled, oldest first.
        lines: on which nodes it waits for room, and for how many.
        at_home: whether its home has it on record and serves it by itself.
        patience: seconds until it is looked after the next time.
    """

    client: bytes
    home: int
    shape: ClusterShape
    lane: Lane
    depth: int
    count: int
    since: float
    arrival: int
    actor_id: bytes | None = None
    sent: int = 0
    promises: dict[Promise, None] = msgspec.field(default_factory=dict)
    lines: dict[int, int] = msgspec.field(default_factory=dict)
    at_home: bool = False
    patience: float = 0.0
    _entry: _Entry | None = None

    @property
    def wanting(self) -> int:
        """How many it was not sent anywhere for where there seemed to be room."""
        return self.count - self.sent


class Lane(msgspec.Struct, eq=False):
    """All who have the same need.

    Attributes:
        need: what they need.
        selection: the supplies that may meet it.
        waiters: all of them, in order of arrival.
        feasible: whether an empty cluster could ever meet it.
        witness: a supply that could, if that is why.
        doomed_since: since when none could.
    """

    need: Need
    selection: Selection
    waiters: dict[Waiter, None] = msgspec.field(default_factory=dict)
    feasible: bool = True
    witness: Supply | None = None
    doomed_since: float = 0.0
    _heap: list[_Entry] = msgspec.field(default_factory=list)


class WaitingRoom:
    """All who wait, in lanes. Call :meth:`refresh` after ``count``, ``sent`` or ``depth`` of
    one have changed."""

    def __init__(self) -> None:
        self.lanes: dict[Need, Lane] = {}
        self._turns: dict[bytes, int] = {}  # who was served longest ago comes first
        self._forgotten_turn = 0
        self._turn = 0
        self._arrivals = 0
        self._pushes = 0

    def __iter__(self) -> Iterator[Waiter]:
        for lane in self.lanes.values():
            yield from lane.waiters

    def next_arrival(self) -> int:
        """A serial number for a waiter."""
        self._arrivals += 1
        return self._arrivals

    def enter(self, waiter: Waiter) -> None:
        """One more waits."""
        waiter.lane.waiters[waiter] = None
        self.refresh(waiter)

    def leave(self, waiter: Waiter) -> None:
        """One waits no more."""
        del waiter.lane.waiters[waiter]
        waiter.count = waiter.sent = 0

    def refresh(self, waiter: Waiter) -> None:
        """What its place in the order depends on has changed."""
        rank = self.rank(waiter)
        if waiter.wanting <= 0 or (waiter._entry is not None and waiter._entry[0] <= rank):
            return
        lane = waiter.lane
        if len(lane._heap) > 2 * len(lane.waiters) + 64:  # mostly entries that are out of date
            lane._heap = [entry for entry in lane._heap if entry[2]._entry is entry]
            heapq.heapify(lane._heap)
        heapq.heappush(lane._heap, self._make_entry(waiter, rank))

    def served(self, waiter: Waiter) -> None:
        """Move the client of *waiter* to the end of the round."""
        self._turn += 1
        self._turns.pop(waiter.client, None)
        self._turns[waiter.client] = self._turn
        if len(self._turns) > _TURNS_REMEMBERED:
            # Nobody is wronged: all who were served before that are forgotten already.
            oldest = next(iter(self._turns))
            self._forgotten_turn = self._turns.pop(oldest)

    def rank(self, waiter: Waiter) -> Rank:
        """Where *waiter* stands; lower is served earlier. No two are equal."""
        turn = self._turns.get(waiter.client, self._forgotten_turn)
        return -waiter.depth, turn, waiter.arrival

    def head(self, lane: Lane) -> Waiter | None:
        """The first of a lane that wants something."""
        heap = lane._heap
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
        """Assert that each lane's head is its first."""
        assert len(self._turns) <= _TURNS_REMEMBERED
        for need, lane in self.lanes.items():
            assert lane.need == need
            assert lane.waiters, need
            for waiter in lane.waiters:
                assert waiter.lane is lane
                assert 0 <= waiter.sent <= waiter.count, waiter
                assert waiter.count > 0, waiter
            wanting = [waiter for waiter in lane.waiters if waiter.wanting]
            assert self.head(lane) is min(wanting, key=self.rank, default=None)
