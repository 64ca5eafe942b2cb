"""Waiting in line: where a demand or an actor waits for which no node has room now.

A node that has no room would refuse it at once; but only who waits on a node counts there when
leases are asked back from clients that hold many, and when resources are held together for
large requests. So whatever waits is on record of at least one node that could ever meet it:

* a demand that its home could meet waits there anyway;
* any other demand is sent to wait on one node, and while it makes no progress to twice as many
  every time it is looked after, up to :data:`MAX_LINES`: for one, that node may be full of
  actors that live for ever; for another, clients with a backlog get fair shares of a node only
  where they wait. Its count is divided among the nodes.
* an actor waits on one node, and moves on to another one after a while.

Workers may then come from several nodes at a time, more than wanted; they are given back.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

from air_cluster.core.cluster_instructions import (
    ClusterInstruction,
    RecallActor,
    Redirect,
    SendActor,
)
from air_cluster.core.cluster_map import ClusterMap
from air_cluster.core.cluster_supply import Supply
from air_cluster.core.cluster_waiting import Waiter

MAX_LINES = 8
"""On how many nodes a demand waits at a time, at most, besides its home."""

FIRST_LOOK = 1.0
"""Seconds after which a demand that waits is looked after; then twice as long every time."""

FIRST_MOVE = 15.0
"""The same for actors. Nodes hold resources for who has waited there longer than a moment."""

_LONGEST = 60.0


class Lines:
    """Who waits on which nodes."""

    def __init__(self, cluster: ClusterMap) -> None:
        self._cluster = cluster
        self._on: dict[int, dict[Waiter, None]] = {}
        self._looks: list[tuple[float, int, Waiter]] = []
        self._next_look: dict[Waiter, float] = {}
        self._serial = 0

    def watch(self, waiter: Waiter, now: float) -> None:
        """*waiter* has just come, or made progress: look after it a while from now."""
        waiter.patience = FIRST_LOOK if waiter.actor_id is None else FIRST_MOVE
        if self._next_look.get(waiter, math.inf) > now + waiter.patience:
            self._schedule(waiter, now)

    def to_look_after(self, now: float) -> list[Waiter]:
        """Those that have not made progress for too long."""
        found = []
        while self._looks and self._looks[0][0] <= now:
            due, _, waiter = heapq.heappop(self._looks)
            if self._next_look.get(waiter) == due:
                waiter.patience = min(2 * waiter.patience, _LONGEST)
                self._schedule(waiter, now)
                found.append(waiter)
        return found

    def join(self, waiter: Waiter) -> list[ClusterInstruction]:
        """Have *waiter* wait on a node, if it wants anything and waits on none."""
        if waiter.lines or waiter.wanting <= 0 or not waiter.lane.feasible:
            return []
        if waiter.lane.need.where.pinned:
            only = next(iter(waiter.lane.selection.members), None)
            if only is None or (waiter.at_home and only.number == waiter.home):
                return []
            return [self._set(waiter, only.number, waiter.count)]
        if self._home_lines(waiter) or (supply := self._next_supply(waiter)) is None:
            return []
        return [self._set(waiter, supply.number, waiter.wanting)]

    def restate(self, waiter: Waiter) -> list[ClusterInstruction]:
        """Divide what *waiter* wants now among the nodes on which it waits.

        That is said even where it has not changed: what it has got from a node since was taken
        off there, and the head does not know from which node that came.
        """
        if waiter.wanting <= 0:
            return self.leave(waiter)
        share = -(-waiter.wanting // max(1, len(waiter.lines) + self._home_lines(waiter)))
        return [self._set(waiter, number, share) for number in waiter.lines]

    def widen(self, waiter: Waiter) -> list[ClusterInstruction]:
        """*waiter* has made no progress for a while: have it wait on other nodes, too."""
        if not waiter.lane.feasible or waiter.wanting <= 0:
            return []
        if waiter.actor_id is not None:
            supply = None if waiter.lane.need.where.pinned else self._next_supply(waiter)
            if supply is None:
                return []
            return [*self.leave(waiter), self._set(waiter, supply.number, 1)]
        lines = len(waiter.lines) + self._home_lines(waiter)
        if not waiter.lane.need.where.pinned:
            for _ in range(min(max(1, lines), MAX_LINES - len(waiter.lines))):
                supply = self._next_supply(waiter)
                if supply is not None:
                    self._set(waiter, supply.number, 1)
        return self.restate(waiter)

    def leave(self, waiter: Waiter) -> list[ClusterInstruction]:
        """Have *waiter* wait on no node any more, save its home."""
        return [self.withdraw(waiter, number) for number in list(waiter.lines)]

    def withdraw(self, waiter: Waiter, number: int) -> ClusterInstruction:
        """Have *waiter* no longer wait on a node."""
        self._forget(waiter, number)
        if waiter.actor_id is not None:
            return RecallActor(waiter.actor_id, number)
        return Redirect(waiter.client, waiter.shape, number, 0, pinned=True)

    def forget(self, waiter: Waiter) -> None:
        """*waiter* is gone, with all that it said."""
        for number in list(waiter.lines):
            self._forget(waiter, number)
        del self._next_look[waiter]

    def node_lost(self, number: int) -> list[Waiter]:
        """A node is gone: returns those who waited there."""
        found = list(self._on.get(number, ()))
        for waiter in found:
            self._forget(waiter, number)
        return found

    def _next_supply(self, waiter: Waiter) -> Supply | None:
        """Another one on which it may wait."""
        return waiter.lane.selection.find_ever(
            waiter.lane.need.resources,
            lambda supply: (
                supply.number not in waiter.lines
                and not (waiter.at_home and supply.number == waiter.home)
            ),
        )

    def _home_lines(self, waiter: Waiter) -> int:
        """1 if it waits on its home, which could meet it; else 0."""
        lane = waiter.lane
        return int(
            waiter.at_home
            and any(
                supply in lane.selection.members and supply.could_fit(lane.need.resources)
                for supply in self._cluster.supplies_on(waiter.home, lane.need.where.group)
            )
        )

    def _set(self, waiter: Waiter, number: int, count: int) -> ClusterInstruction:
        waiter.lines[number] = count
        self._on.setdefault(number, {})[waiter] = None
        if waiter.actor_id is not None:
            return SendActor(waiter.actor_id, number, pinned=True)
        return Redirect(waiter.client, waiter.shape, number, count, pinned=True)

    def _forget(self, waiter: Waiter, number: int) -> None:
        del waiter.lines[number]
        on_node = self._on[number]
        del on_node[waiter]
        if not on_node:
            del self._on[number]

    def _schedule(self, waiter: Waiter, now: float) -> None:
        self._serial += 1
        self._next_look[waiter] = now + waiter.patience
        heapq.heappush(self._looks, (now + waiter.patience, self._serial, waiter))

    def check(self, waiters: Iterable[Waiter]) -> None:
        """Assert that each of *waiters* is looked after, and waits where the index says."""
        known = list(waiters)
        assert set(self._next_look) == set(known)
        assert sum(map(len, self._on.values())) == sum(len(waiter.lines) for waiter in known)
        for waiter in known:
            assert len(waiter.lines) <= MAX_LINES
            assert all(waiter in self._on[number] for number in waiter.lines)
            assert all(count > 0 for count in waiter.lines.values())
            assert waiter.actor_id is None or len(waiter.lines) <= 1
            if waiter.wanting > 0 and waiter.lane.feasible:
                possible = {
                    supply.number
                    for supply in waiter.lane.selection.members
                    if supply.could_fit(waiter.lane.need.resources)
                }
                here = waiter.at_home and waiter.home in possible
                assert here or waiter.lines or not possible, f"{waiter} waits nowhere"
