"""Which leases to ask back for requests that wait.

A lease may be asked back for a request that its return would help, if one of these holds:

* its owner wants no more workers of that shape: it is idle, or on its last task;
* the request is deeper than the lease: somebody's blocked parent waits for it;
* the request starves: its owner holds no lease of its shape and has waited for longer than
  the patience of the node;
* its owner holds at least two leases more than the one who asks, in the same home.

The last two never take a lease only to take it back at once: one needs a whole patience to
starve, and a difference of two shrinks to none. Leases whose worker is blocked are left alone;
they have lent their CPU already. A lease that was asked back is expected to come for one
patience; after that it is overdue and another one is tried, as it may be in a task of an hour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from air_cluster.core.accounts import Account, Allocation
from air_cluster.core.homes import Home
from air_cluster.core.shapes import ShapeKey
from air_cluster.core.waiting import Waiter
from air_cluster.core.workers import Claim


class ReclaimPlan:
    """What of one home will be asked back. Feed it requests in serving order."""

    def __init__(
        self,
        home: Home,
        leases: Iterable[Claim],
        coming: Iterable[Allocation],
        overdue: Iterable[Allocation],
        holdings: Counter[bytes],
        wants: Callable[[bytes, ShapeKey], bool],
    ) -> None:
        """Start with what is there and what comes without anybody being asked.

        Args:
            home: the account.
            leases: granted leases that have not been asked back, oldest first.
            coming: what is about to come back.
            overdue: what should have come back by now.
            holdings: how many leases each owner keeps.
            wants: whether an owner has an unmet demand for a shape.
        """
        self.chosen: list[Claim] = []
        self._account = home.account.copy()
        for allocation in coming:
            self._account.give(allocation)
        self._leases = [lease for lease in leases if not lease.blocked]
        self._overdue = list(overdue)
        self._holdings = holdings
        self._unwanted = {
            lease.claim_id for lease in self._leases if not wants(lease.owner, lease.shape)
        }

    def add(self, waiter: Waiter, *, starving: bool) -> None:
        """Choose what would help to serve *waiter*, for as many as it wants.

        With the first of them it would not starve any more.
        """
        request = waiter.shape.resources
        if not request:  # is not short of any resource
            return
        for served in range(waiter.wanting):
            if self._account.take(request) is None and not self._find(
                waiter, desperate=starving and not served
            ):
                break
            self._holdings[waiter.owner] += 1

    def _find(self, waiter: Waiter, desperate: bool) -> bool:
        """Choose leases whose return makes room for one of *waiter*, and take that room.

        Only if that cannot be done without them, what is overdue is counted on as well.
        """
        if self._try(waiter, desperate, self._account.copy()):
            return True
        account = self._account.copy()
        for allocation in self._overdue:
            account.give(allocation)
        if not self._overdue or not self._try(waiter, desperate, account):
            return False
        self._overdue = []
        return True

    def _try(self, waiter: Waiter, desperate: bool, account: Account) -> bool:
        request, chosen, holdings = waiter.shape.resources, [], self._holdings.copy()
        fits = account.take(request) is not None
        for lease in sorted(self._leases, key=lambda lease: -holdings[lease.owner]):
            if fits:
                break
            helps = not account.short_of(request).isdisjoint(lease.allocation.resources)
            if helps and (
                desperate
                or lease.claim_id in self._unwanted
                or waiter.depth > lease.depth
                or holdings[lease.owner] - holdings[waiter.owner] >= 2
            ):
                holdings[lease.owner] -= 1
                chosen.append(lease)
                account.give(lease.allocation)
                fits = account.take(request) is not None
        if fits:
            self.chosen += chosen
            self._account, self._holdings = account, holdings
            self._leases = [lease for lease in self._leases if lease not in chosen]
        return fits
