"""What was sent to nodes and has not shown in their reports yet."""

from __future__ import annotations

from collections import deque

import msgspec

from air_cluster.core.accounts import Account, Allocation
from air_cluster.core.cluster_supply import Supply
from air_cluster.core.cluster_waiting import Waiter


class Promise(msgspec.Struct, eq=False):
    """A waiter was sent where there seemed to be room.

    Attributes:
        waiter: who.
        supply: where.
        account: what the room was taken from. Once the supply has another one, its node has
            reported, and what it says counts.
        taken: what was taken from it.
        count: for how many the outcome is not known.
        until: when it counts as broken.
    """

    waiter: Waiter
    supply: Supply
    account: Account
    taken: list[Allocation]
    count: int
    until: float


class Promises:
    """All promises that are not settled, or whose room may have to be given back.

    A promise to a demand is settled as far as the client wants fewer workers afterwards, or
    the node says that it was busy. That to an actor is settled by the node's answer.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._all: deque[Promise] = deque()
        self._made_to: dict[Supply, dict[Promise, None]] = {}

    def make(
        self, waiter: Waiter, supply: Supply, taken: list[Allocation], count: int, now: float
    ) -> None:
        """Send *waiter* to *supply* for *count* workers, for which *taken* was taken."""
        promise = Promise(waiter, supply, supply.account, taken, count, now + self._patience)
        self._all.append(promise)
        self._made_to.setdefault(supply, {})[promise] = None
        waiter.promises[promise] = None
        waiter.sent += count

    def settle(self, waiter: Waiter, count: int, number: int | None = None) -> int:
        """The outcome is known for *count* of what a waiter was sent for, oldest first.

        Args:
            number: only count those on that node.

        Returns:
            For how many that was unknown before; the waiter is not ``sent`` for them any more.
        """
        left = count
        for promise in list(waiter.promises):
            if number in (None, promise.supply.number):
                settled = min(left, promise.count)
                promise.count -= settled
                left -= settled
                if not promise.count:
                    self._forget(promise)
        waiter.sent -= count - left
        return count - left

    def drop(self, waiter: Waiter) -> None:
        """A waiter is gone, or wants something else."""
        self.settle(waiter, waiter.sent)

    def lost(self, supply: Supply) -> list[Waiter]:
        """A supply is gone: returns those who were sent there in vain."""
        found: dict[Waiter, None] = {}
        for promise in list(self._made_to.get(supply, ())):
            promise.waiter.sent -= promise.count
            promise.count = 0
            found[promise.waiter] = None
            self._forget(promise)
        return list(found)

    def expire(self, now: float) -> tuple[dict[Supply, None], list[Promise]]:
        """Give room back that nobody seems to have taken, and give up on outcomes.

        Returns:
            The supplies on which there is more room now, and promises to demands that were not
            kept; the waiters are not ``sent`` for those any more.
        """
        freed: dict[Supply, None] = {}
        broken: list[Promise] = []
        while self._all and self._all[0].until <= now:
            promise = self._all.popleft()
            if promise.supply.account is promise.account:
                for allocation in promise.taken:
                    promise.supply.give(allocation)
                freed[promise.supply] = None
            if promise.count and promise.waiter.actor_id is None:
                promise.waiter.sent -= promise.count
                self._forget(promise)
                broken.append(promise)
        return freed, broken

    def _forget(self, promise: Promise) -> None:
        """Nothing about its outcome is unknown."""
        del promise.waiter.promises[promise]
        made = self._made_to[promise.supply]
        del made[promise]
        if not made:
            del self._made_to[promise.supply]

    def check(self) -> None:
        """Assert that waiters and supplies know the same promises."""
        for supply, promises in self._made_to.items():
            assert promises
            for promise in promises:
                assert promise.supply is supply
                assert promise.count > 0, promise.count
                assert promise in promise.waiter.promises
                assert promise in self._all or promise.waiter.actor_id is not None

    def check_waiter(self, waiter: Waiter) -> None:
        """Assert that a waiter was sent for as many as were promised."""
        assert waiter.sent == sum(promise.count for promise in waiter.promises)
        assert all(promise in self._made_to[promise.supply] for promise in waiter.promises)
