"""Where there may be room: a node, or a bundle of a placement group on it, as the head sees it."""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from air.executor.resources import CPU, GPU, MEMORY, UNIT, Resources
from air_cluster.core.accounts import Account, Allocation, gpu_units
from air_cluster.core.cluster_index import Vector
from air_cluster.core.cluster_shapes import COMMON, Need, NodeView, Where

if TYPE_CHECKING:
    from air_cluster.core.cluster_selection import Selection

GPUS_AT_ONCE = 256
"""How many requests for GPUs are taken from a supply at a time, at most."""

WEIGHTLESS_AT_ONCE = 32
"""How many requests for nothing are sent to a node before it has reported again."""


class Supply:
    """What a node or a bundle has, and what is probably free there.

    The latter is what its node has reported, less what has been sent there since.

    Attributes:
        node: the node.
        bundle: ``None`` for the node itself, else group and index.
        total: what it has.
        account: what is probably free; a new one with every report.
        shunned: needs that it has no room for, whatever it seems, and until when.
        selections: those that it belongs to.
    """

    def __init__(
        self, node: NodeView, total: Resources, bundle: tuple[bytes, int] | None = None
    ) -> None:
        self.node = node
        self.number = node.number
        self.bundle = bundle
        self.total = total
        self.has_gpus = GPU in total
        self.shunned: dict[Need, float] = {}
        self.selections: dict[Where, Selection] = {}
        self._whole = Account(total)
        self._slots = _slots_of(total)
        self.account = Account(total, self._slots)

    def report(self, free: Resources, gpus: Sequence[float] | None) -> bool:
        """Its node says what is free, and if it likes, the free share of each GPU.

        Returns:
            Whether there may be room for something for which there was none before.
        """
        before, vector = self.account.free, self.free_vector(())
        if gpus is None:
            self._slots = _slots_of(free)
        else:
            self._slots = {slot: round(share * UNIT) for slot, share in enumerate(gpus)}
        self.account = Account(free, self._slots)
        was_shunned = bool(self.shunned)
        self.shunned.clear()
        no_more = free.fits_in(before) and all(map(operator.le, self.free_vector(()), vector))
        return was_shunned or not no_more

    def take(self, request: Resources, most: int) -> tuple[int, list[Allocation]]:
        """Count *request* as taken, as often as it fits, but no more than *most* times.

        Returns:
            How often, and what was taken.
        """
        if not request:
            return min(most, WEIGHTLESS_AT_ONCE), []
        if GPU in request:
            taken: list[Allocation] = []
            while len(taken) < min(most, GPUS_AT_ONCE) and (one := self.account.take(request)):
                taken.append(one)
                for slot, units in one.gpus:
                    self._slots[slot] -= units
            return len(taken), taken
        free = self.account.free
        count = min(most, *(_times(free.get(name, 0.0), want) for name, want in request.items()))
        if count <= 0:
            return 0, []
        together = Resources({name: want * count for name, want in request.items()})
        allocation = self.account.take(together)
        assert allocation is not None, f"{count} x {request} do not fit in {free}"
        return count, [allocation]

    def give(self, allocation: Allocation) -> None:
        """Take back that it was taken, from the account that is still there."""
        self.account.give(allocation)
        for slot, units in allocation.gpus:
            self._slots[slot] += units

    def fits(self, request: Resources) -> bool:
        """Whether there seems to be room."""
        return self.account.fits(request)

    def could_fit(self, request: Resources) -> bool:
        """Whether there would be room if it were empty."""
        return self._whole.could_fit(request)

    def free_vector(self, customs: Sequence[str]) -> Vector:
        """What is free, for an index in which others have these custom resources, too."""
        return _vector(self.account.free, self._slots.values(), customs)

    def total_vector(self, customs: Sequence[str]) -> Vector:
        """The same of what there is."""
        return _vector(self.total, _slots_of(self.total).values(), customs)

    @property
    def load(self) -> float:
        """The largest share in use of the common resources; 0 to 1."""
        free = self.account.free
        used = [
            1 - free.get(name, 0.0) / have
            for name in COMMON
            if (have := self.total.get(name, 0.0)) > 0
        ]
        return min(1.0, max(0.0, *used)) if used else 0.0

    def check(self) -> None:
        """Assert that what is known of GPU slots agrees with the account."""
        assert sum(self._slots.values()) == gpu_units(self.account.free)
        assert self.account.fits(Resources({GPU: sum(u == UNIT for u in self._slots.values())}))


def request_vector(request: Resources, customs: Sequence[str]) -> Vector:
    """What a supply's vector must not fall short of anywhere, or there is no room."""
    whole, part = divmod(gpu_units(request), UNIT)
    return (
        request.get(CPU, 0.0),
        whole,
        part,
        request.get(MEMORY, 0.0),
        *(request.get(name, 0.0) for name in customs),
    )


def _vector(resources: Resources, slots: Collection[int], customs: Sequence[str]) -> Vector:
    """CPUs, whole GPUs, the largest share of a GPU, memory, custom resources."""
    return (
        resources.get(CPU, 0.0),
        sum(units == UNIT for units in slots),
        max(slots, default=0),
        resources.get(MEMORY, 0.0),
        *(resources.get(name, 0.0) for name in customs),
    )


def _slots_of(resources: Resources) -> dict[int, int]:
    """GPU slots as whole as can be."""
    whole, part = divmod(max(0, gpu_units(resources)), UNIT)
    return dict.fromkeys(range(whole), UNIT) | ({whole: part} if part else {})


def _times(have: float, want: float) -> int:
    """How often *want* goes into *have*, to the ten-thousandth."""
    return round(have * UNIT) // round(want * UNIT)
