"""Where resources are taken from: the node itself, or bundles reserved on it.

A bundle is cut out of the node's account (phase one), may be used once it is committed
(phase two), and closes when it is given back: it returns to the node when the last worker
in it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from air.executor.resources import Resources
from air_cluster.core.accounts import Account, Allocation
from air_cluster.core.shapes import ANY_BUNDLE, ShapeKey
from air_cluster.core.waiting import Waiter


class Home(msgspec.Struct, eq=False):
    """An account, and the request that it is being held for, if any.

    Attributes:
        account: the quantities.
        key: ``None`` for the node, else group and index of the bundle.
        allocation: what the bundle takes from the node.
        committed: whether requests may be served from it.
        claims: how many claims have been made on it and not released.
        holder: the request that has waited so long that others may no longer take what
            it needs.
        hold_until: when it gives the others a chance again.
    """

    account: Account
    key: tuple[bytes, int] | None = None
    allocation: Allocation | None = None
    committed: bool = True
    claims: int = 0
    holder: Waiter | None = None
    hold_until: float = 0.0

    def room_for(self, request: Resources, depth: int, waiter: Waiter | None = None) -> bool:
        """Whether *request* fits, and may be served while there is a holder.

        The holder itself may, and what is deeper (it could be what the tasks in the
        holder's way are waiting for), and what leaves the holder no shorter of anything.
        """
        if not self.account.fits(request):
            return False
        holder = self.holder
        if holder is None or holder is waiter or depth > holder.depth:
            return True
        after = self.account.copy()
        after.take(request)
        return after.short_of(holder.shape.resources).isdisjoint(request)

    def fits_after(self, given_back: Iterable[Allocation], request: Resources) -> bool:
        """Whether *request* would fit if these allocations had come back."""
        account = self.account.copy()
        for allocation in given_back:
            account.give(allocation)
        return account.fits(request)


class Homes:
    """The node and the bundles on it."""

    def __init__(self, total: Resources) -> None:
        self.node = Home(Account(total))
        self.closing: list[Home] = []
        """Bundles that were given back and still have workers in them."""
        self.held: dict[Home, None] = {}
        """Those with a holder, in the order in which they got one."""
        self._groups: dict[bytes, dict[int, Home]] = {}

    def __iter__(self) -> Iterator[Home]:
        """The node, then the bundles that are not closing."""
        yield self.node
        for bundles in self._groups.values():
            yield from bundles.values()

    def hold(self, home: Home, waiter: Waiter) -> None:
        """Make *waiter* the holder of a home."""
        home.holder = waiter
        self.held[home] = None

    def let_go(self, home: Home) -> None:
        """A home, which has a holder, is held for nobody."""
        home.holder = None
        del self.held[home]

    def expect(self, group_id: bytes) -> None:
        """A group exists, with or without bundles here."""
        self._groups.setdefault(group_id, {})

    def knows(self, group_id: bytes) -> bool:
        """Whether the group exists, as far as this node was told."""
        return group_id in self._groups

    def find(self, group_id: bytes, index: int) -> Home | None:
        """That bundle, if it is here."""
        return self._groups.get(group_id, {}).get(index)

    def of_group(self, group_id: bytes) -> list[Home]:
        """The bundles of a group that are here, by index."""
        return [home for _, home in sorted(self._groups.get(group_id, {}).items())]

    def of_shape(self, shape: ShapeKey) -> list[Home]:
        """Where *shape* may be taken from, committed or not."""
        if shape.pool is None:
            return [self.node]
        group_id, index = shape.pool
        if index == ANY_BUNDLE:
            return self.of_group(group_id)
        home = self.find(group_id, index)
        return [home] if home is not None else []

    def open(self, group_id: bytes, index: int, resources: Resources) -> None:
        """Cut a bundle that fits out of the node; uncommitted."""
        allocation = self.node.account.take(resources)
        assert allocation is not None, f"{resources} does not fit in {self.node.account.free}"
        account = Account.of_bundle(allocation)
        home = Home(account, (group_id, index), allocation, committed=False)
        self._groups.setdefault(group_id, {})[index] = home

    def close(self, group_id: bytes, index: int) -> None:
        """Give a bundle back: at once if nothing is in it, else by :meth:`settle`."""
        home = self._groups[group_id].pop(index)
        if home.holder is not None:
            self.let_go(home)
        self.closing.append(home)
        self.settle(home)

    def forget(self, group_id: bytes) -> None:
        """A group, whose bundles are closed, does not exist any more."""
        assert not self._groups.pop(group_id, None)

    def settle(self, home: Home) -> None:
        """Return a closing bundle to the node if the last claim on it has been released."""
        if not home.claims and home in self.closing:
            self.closing.remove(home)
            assert home.allocation is not None
            self.node.account.give(home.allocation)

    def bundle_allocations(self) -> list[Allocation]:
        """What all bundles have taken from the node, closing ones too."""
        return [h.allocation for h in [*self, *self.closing] if h.allocation is not None]
