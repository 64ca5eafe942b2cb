"""Which values are fetched next, of many that wait: neither large nor small ones for ever.

There are two lanes, one for small values and one for large ones, and each may have so many
bytes under way: a value that does not fit waits until enough has arrived, and what came later
waits behind it, in its lane only. Within a lane the nodes that values come from take turns, and
each has a few under way at most, so that one that stalls does not keep the others waiting.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

SMALL_MAX_BYTES = 4 << 20
"""Larger values go in the lane of the large ones."""

_SMALL_SHARE = 4  # of all bytes under way, one part in so many is for small values


class Waiting(Protocol):
    """What can be queued."""

    @property
    def id(self) -> bytes:
        """Tells it from all others."""
        ...

    @property
    def node(self) -> int:
        """Where it comes from."""
        ...

    @property
    def nbytes(self) -> int:
        """Its size."""
        ...


class FetchQueue:
    """Values that wait to be fetched; every operation takes constant time.

    Args:
        max_bytes: so much is under way at a time; a value that is larger than its lane's
            share goes alone.
        max_per_node: so many are under way from one node at a time, in each lane.
    """

    def __init__(self, max_bytes: int, max_per_node: int) -> None:
        small = max_bytes // _SMALL_SHARE
        self._small = _Lane(small, max_per_node)
        self._large = _Lane(max_bytes - small, max_per_node)

    def add(self, waiting: Waiting, *, first: bool = False) -> None:
        """Queue a value: as the last of those from its node, or as their first."""
        self._lane(waiting.nbytes).add(waiting, first=first)

    def remove(self, waiting: Waiting) -> None:
        """A queued value is wanted no more."""
        self._lane(waiting.nbytes).remove(waiting)

    def take(self) -> bytes | None:
        """The value that is to be fetched now, which counts as under way from here on."""
        return self._small.take() or self._large.take()

    def depart(self, waiting: Waiting) -> None:
        """A value that is not queued is under way, whatever else is."""
        self._lane(waiting.nbytes).depart(waiting)

    def arrived(self, node: int, nbytes: int) -> None:
        """A value is under way no more."""
        self._lane(nbytes).arrived(node, nbytes)

    def __len__(self) -> int:
        return len(self._small) + len(self._large)

    def __contains__(self, waiting: Waiting) -> bool:
        return waiting in self._lane(waiting.nbytes)

    @property
    def under_way(self) -> tuple[int, int]:
        """Bytes under way: small values, large ones."""
        return self._small.under_way, self._large.under_way

    def _lane(self, nbytes: int) -> _Lane:
        return self._small if nbytes <= SMALL_MAX_BYTES else self._large

    def check(self) -> None:
        """Assert the invariants."""
        self._small.check()
        self._large.check()


class _Lane:
    def __init__(self, max_bytes: int, max_per_node: int) -> None:
        self.under_way = 0
        self._max_bytes = max_bytes
        self._max_per_node = max_per_node
        self._queues: dict[int, OrderedDict[bytes, Waiting]] = {}  # by node
        self._running: dict[int, int] = {}  # node -> how many are under way from there
        # Nodes from which one can be taken, in order.
        self._turns: OrderedDict[int, None] = OrderedDict()

    def add(self, waiting: Waiting, *, first: bool) -> None:
        queue = self._queues.setdefault(waiting.node, OrderedDict())
        queue[waiting.id] = waiting
        if first:
            queue.move_to_end(waiting.id, last=False)
        self._give_turn(waiting.node)

    def remove(self, waiting: Waiting) -> None:
        queue = self._queues[waiting.node]
        del queue[waiting.id]
        if not queue:
            del self._queues[waiting.node]
            self._turns.pop(waiting.node, None)

    def take(self) -> bytes | None:
        node = next(iter(self._turns), None)
        if node is None:
            return None
        waiting = next(iter(self._queues[node].values()))
        if self.under_way and self.under_way + waiting.nbytes > self._max_bytes:
            return None
        self.remove(waiting)
        self.depart(waiting)
        self._turns.pop(node, None)
        self._give_turn(node)
        return waiting.id

    def depart(self, waiting: Waiting) -> None:
        self.under_way += waiting.nbytes
        self._running[waiting.node] = self._running.get(waiting.node, 0) + 1
        if self._running[waiting.node] >= self._max_per_node:
            self._turns.pop(waiting.node, None)

    def arrived(self, node: int, nbytes: int) -> None:
        self.under_way -= nbytes
        self._running[node] -= 1
        if not self._running[node]:
            del self._running[node]
        self._give_turn(node)

    def _give_turn(self, node: int) -> None:
        if node in self._queues and self._running.get(node, 0) < self._max_per_node:
            self._turns.setdefault(node)

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def __contains__(self, waiting: Waiting) -> bool:
        return waiting.id in self._queues.get(waiting.node, ())

    def check(self) -> None:
        assert all(self._queues.values())
        assert all(self._running.values())
        assert self.under_way >= 0
        assert (self.under_way > 0) <= bool(self._running)
        for node in self._queues:
            has_turn = self._running.get(node, 0) < self._max_per_node
            assert (node in self._turns) == has_turn, node
        assert self._turns.keys() <= self._queues.keys()
