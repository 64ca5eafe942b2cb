"""Accounts of resources: what a node, or a bundle reserved on it, has and has left.

GPUs are numbered slots. A request for a fraction of a GPU goes into one slot, the fullest
that has room, so that whole slots stay whole; a request for n GPUs gets n slots that nobody
else uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from air.executor.resources import CPU, GPU, UNIT, Resources

GpuShares = tuple[tuple[int, int], ...]
"""Pairs of a slot's number and ten-thousandths of it."""


class Allocation(msgspec.Struct, frozen=True):
    """What was taken out of an account, to be given back exactly."""

    resources: Resources
    gpus: GpuShares = ()

    @property
    def gpu_ids(self) -> tuple[int, ...]:
        """Numbers of the GPUs, ascending."""
        return tuple(sorted(slot for slot, _ in self.gpus))

    def without_cpu(self) -> Allocation:
        """The same less its CPU: what a worker keeps while it is blocked."""
        return Allocation(self.resources.without(CPU), self.gpus)


def cpu_part(resources: Resources) -> Resources:
    """The CPU of *resources* alone."""
    return resources - resources.without(CPU)


def gpu_units(resources: Resources) -> int:
    """GPUs of *resources* in ten-thousandths."""
    return round(resources.get(GPU, 0.0) * UNIT)


class Account:
    """Total and free quantities.

    Free CPU (and nothing else) may fall below zero for a while: see :meth:`overdraw_cpu`.
    """

    __slots__ = ("_free_slots", "_slots", "free", "total")

    def __init__(self, total: Resources, slots: Mapping[int, int] | None = None) -> None:
        """Open an account with everything free.

        Args:
            total: what it has.
            slots: ten-thousandths of each GPU slot; by default whole slots from 0 on.
        """
        self.total = total
        self.free = total
        if slots is None:
            whole, part = divmod(gpu_units(total), UNIT)
            slots = dict.fromkeys(range(whole), UNIT) | ({whole: part} if part else {})
        self._slots = dict(slots)
        self._free_slots = dict(slots)

    @classmethod
    def of_bundle(cls, allocation: Allocation) -> Account:
        """The account of a bundle, out of what was allocated for it."""
        return cls(allocation.resources, dict(allocation.gpus))

    def copy(self) -> Account:
        """An account with the same balances, to try things out on."""
        made = Account(self.total, self._slots)
        made.free = self.free
        made._free_slots = dict(self._free_slots)
        return made

    def fits(self, request: Resources) -> bool:
        """Whether *request* can be taken now."""
        return request.fits_in(self.free) and _pick(self._free_slots, request) is not None

    def could_fit(self, request: Resources) -> bool:
        """Whether *request* could be taken if everything were free."""
        return request.fits_in(self.total) and _pick(self._slots, request) is not None

    def short_of(self, request: Resources) -> set[str]:
        """Names of which there is not enough for *request* now."""
        short = {name for name, amount in request.items() if self.free.get(name, 0.0) < amount}
        if _pick(self._free_slots, request) is None:
            short.add(GPU)
        return short

    def take(self, request: Resources) -> Allocation | None:
        """Take *request* if it fits, else nothing."""
        shares = _pick(self._free_slots, request)
        if shares is None or not request.fits_in(self.free):
            return None
        self.free -= request
        for slot, units in shares:
            self._free_slots[slot] -= units
        return Allocation(request, shares)

    def give(self, allocation: Allocation) -> None:
        """Put back what was taken."""
        self.free += allocation.resources
        for slot, units in allocation.gpus:
            self._free_slots[slot] += units

    def lend_cpu(self, allocation: Allocation) -> None:
        """Put back only the CPU of what was taken."""
        self.free += cpu_part(allocation.resources)

    def overdraw_cpu(self, allocation: Allocation) -> None:
        """Take the CPU of *allocation* again, though free CPU may become negative by it."""
        self.free -= cpu_part(allocation.resources)

    def check(self, held: Iterable[Allocation]) -> None:
        """Assert that free and *held* add up to the total, and every slot to itself."""
        sum_of, slots = self.free, dict(self._free_slots)
        for allocation in held:
            sum_of += allocation.resources
            assert sum(units for _, units in allocation.gpus) == gpu_units(allocation.resources)
            for slot, units in allocation.gpus:
                slots[slot] += units
        assert sum_of == self.total, f"{sum_of} is accounted for of {self.total}"
        assert slots == self._slots, f"GPU slots add up to {slots}, not {self._slots}"
        assert not self.free.without(CPU).is_negative(), f"negative: {self.free}"
        assert all(0 <= units <= UNIT for units in self._free_slots.values()), self._free_slots


def _pick(free_slots: Mapping[int, int], request: Resources) -> GpuShares | None:
    """Slots for the GPUs of *request*, or ``None`` if there are not enough."""
    wanted = gpu_units(request)
    if not wanted:
        return ()
    whole, part = divmod(wanted, UNIT)
    shares = [(slot, UNIT) for slot in sorted(free_slots) if free_slots[slot] >= UNIT][:whole]
    if len(shares) < whole:
        return None
    if part:
        taken = {slot for slot, _ in shares}
        room = [s for s in free_slots if s not in taken and free_slots[s] >= part]
        if not room:
            return None
        shares.append((min(room, key=lambda slot: (free_slots[slot], slot)), part))
    return tuple(shares)
