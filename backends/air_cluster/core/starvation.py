"""What a node does for requests that do not fit: holding resources, asking leases back."""

from __future__ import annotations

import heapq
from collections import Counter

from air_cluster.core.accounts import Allocation
from air_cluster.core.claims import ClaimBook
from air_cluster.core.homes import Home, Homes
from air_cluster.core.instructions import Instruction, Reclaim
from air_cluster.core.reclaim import ReclaimPlan
from air_cluster.core.shapes import ShapeKey
from air_cluster.core.waiting import Kind, Waiter, WaitingList
from air_cluster.core.workers import WorkerState

FIRST_HOLD = 10.0
"""Seconds for which resources are held the first time; each further time is twice as long."""

_RECLAIM_WINDOW = 16
"""For how many requests, the first in the order, leases are asked back at a time."""


class Starvation:
    """Watches over the requests of a node that wait for room.

    A request starves if its owner has no lease of its shape and it has got nothing for
    ``patience`` seconds (actors and bundles: if they wait for so long).
    """

    def __init__(
        self, homes: Homes, waiting: WaitingList, claims: ClaimBook, patience: float
    ) -> None:
        self._homes = homes
        self._waiting = waiting
        self._claims = claims
        self._patience = patience

    def choose_holders(self, now: float) -> None:
        """Let holders go whose time is up, and choose new ones among those that starve."""
        for home in list(self._homes.held):
            holder = home.holder
            if holder is not None and now >= home.hold_until:
                holder.aging_since = now
                holder.hold_for *= 2
                self._homes.let_go(home)
        starving = [waiter for waiter in self._waiting if self._starves(waiter, now)]
        for waiter in sorted(starving, key=lambda w: (-w.depth, w.aging_since, w.arrival)):
            for home in self._homes.of_shape(waiter.shape):
                open_to = home.holder is None or waiter.depth > home.holder.depth
                if open_to and home.fits_after(self._drained(home), waiter.shape.resources):
                    self._homes.hold(home, waiter)
                    home.hold_until = now + waiter.hold_for
                    break

    def reclaim(self, now: float) -> list[Instruction]:
        """Ask for leases back that would help holders and the first of those that wait."""
        waiting = [waiter for waiter in self._waiting if waiter.wanting > 0]
        first = heapq.nsmallest(_RECLAIM_WINDOW, waiting, key=self._waiting.rank)
        return self._reclaim_for(first, now)

    def reclaim_for(self, waiter: Waiter, now: float) -> list[Instruction]:
        """The same for a new request, looking only at the first of each lane besides."""
        if waiter.wanting <= 0:
            return []
        return self._reclaim_for(
            sorted([*self._waiting.heads(), waiter], key=self._waiting.rank), now
        )

    def _reclaim_for(self, waiters: list[Waiter], now: float) -> list[Instruction]:
        holders = [h for home in self._homes.held if (h := home.holder) and h.wanting > 0]
        plans: dict[int, ReclaimPlan] = {}
        for waiter in dict.fromkeys([*holders, *waiters]):
            starving = self._starves(waiter, now)
            for home in self._homes.of_shape(waiter.shape):
                if id(home) not in plans:
                    plans[id(home)] = self._plan(home, now)
                plans[id(home)].add(waiter, starving=starving)
        out: list[Instruction] = []
        for plan in plans.values():
            for claim in plan.chosen:
                claim.reclaimed_at = now
                out.append(Reclaim(claim.claim_id, claim.owner))
        return out

    def _starves(self, waiter: Waiter, now: float) -> bool:
        if waiter.wanting <= 0 or now - waiter.aging_since < self._patience:
            return False
        return waiter.kind is not Kind.LEASE or not self._claims.held(waiter.owner, waiter.shape)

    def _drained(self, home: Home) -> list[Allocation]:
        """What comes back once all leases of a home are returned, though no actor ends."""
        claims = [claim.held for claim in self._claims if claim.home is home and claim.ends]
        return claims + self._closing_into(home)

    def _closing_into(self, home: Home) -> list[Allocation]:
        """What closing bundles are about to give back to *home*."""
        if home.key is not None:
            return []
        return [h.allocation for h in self._homes.closing if h.allocation is not None]

    def _plan(self, home: Home, now: float) -> ReclaimPlan:
        leases, overdue, holdings = [], list[Allocation](), Counter[bytes]()
        coming = self._closing_into(home)
        for claim in self._claims:
            if claim.home is not home:
                continue
            if claim.worker is not None and claim.worker.state is WorkerState.STOPPING:
                coming.append(claim.held)
            elif claim.kind is not Kind.LEASE:
                continue
            elif claim.reclaimed_at is None:
                holdings[claim.owner] += 1
                if claim.worker is not None:
                    leases.append(claim)
            elif now - claim.reclaimed_at < self._patience:
                coming.append(claim.held)
            else:
                overdue.append(claim.held)
        return ReclaimPlan(home, leases, coming, overdue, holdings, self._wants)

    def _wants(self, owner: bytes, shape: ShapeKey) -> bool:
        waiter = self._waiting.find(Kind.LEASE, owner, shape)
        return waiter is not None and waiter.wanting > 0
