"""Which few of many nodes have to be looked at to place a group.

Planning takes time in proportion to the nodes. :class:`RoomIndex` picks as many as there are
bundles, or a few times that, among which there is a plan if there is one at all: for bundles on
different nodes it is enough to look at so many for each shape, as one is always left. What has to
fill nodes up to the brim may need others; then all are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from air.executor.resources import CPU, GPU, Resources
from air_cluster.core.cluster_index import LEVELS, FitIndex, level_of
from air_cluster.core.cluster_shapes import COMMON
from air_cluster.core.placement import plan

FEW_NODES = 64
"""So many are looked at anyway."""

_MANY_SHAPES = 8


class RoomIndex:
    """Nodes by what is free on them; indexed once there are many."""

    def __init__(self) -> None:
        self.free: dict[str, Resources] = {}
        self._is_indexed = False
        self._fullest = FitIndex[str]()
        self._emptiest = FitIndex[str]()

    def put(self, node_id: str, free: Resources) -> None:
        """Note what is free on a node, none of it below zero."""
        self.free[node_id] = free
        if self._is_indexed:
            self._enter(node_id, free)
        elif len(self.free) > FEW_NODES:
            self._is_indexed = True
            for each, left in self.free.items():
                self._enter(each, left)

    def _enter(self, node_id: str, free: Resources) -> None:
        vector = _vector(free)
        level = level_of(free.get(CPU, 0.0))
        gpus_last = LEVELS if GPU in free else 0
        self._fullest.put(node_id, gpus_last + level, vector)
        self._emptiest.put(node_id, gpus_last + LEVELS - 1 - level, vector)

    def remove(self, node_id: str) -> None:
        """A node is gone."""
        del self.free[node_id]
        self._fullest.remove(node_id)  # if they are there
        self._emptiest.remove(node_id)

    def plan(self, bundles: Sequence[Resources], strategy: str) -> list[str] | None:
        """The node of each bundle, or ``None`` if they do not fit; see :func:`.placement.plan`."""
        if len(self.free) <= FEW_NODES:
            return plan(bundles, strategy, self.free)
        chosen = self._candidates(bundles)
        if chosen is not None:
            found = plan(bundles, strategy, chosen)
            if found is not None or not chosen or strategy in ("STRICT_PACK", "STRICT_SPREAD"):
                return found
        return plan(bundles, strategy, self.free)

    def _candidates(self, bundles: Sequence[Resources]) -> Mapping[str, Resources] | None:
        """A few nodes; none if a bundle fits nowhere; ``None`` if that is not known so quickly."""
        shapes = dict.fromkeys(bundles)
        if len(shapes) > _MANY_SHAPES or any(name not in COMMON for s in shapes for name in s):
            return None
        chosen: dict[str, Resources] = {}
        together = sum(bundles, Resources())
        lowest = level_of(together.get(CPU, 0.0))
        for node_id in islice(self._fullest.walk(_vector(together), lowest), 1):
            chosen[node_id] = self.free[node_id]
        for shape in shapes:
            fitting = list(islice(self._emptiest.walk(_vector(shape)), len(bundles)))
            if not fitting:
                return {}
            chosen.update((node_id, self.free[node_id]) for node_id in fitting)
        return chosen

    def check(self) -> None:
        """Assert that the indexes show what is free."""
        assert self._is_indexed or len(self.free) <= FEW_NODES
        for index in (self._fullest, self._emptiest):
            index.check()
            assert len(index) == (len(self.free) if self._is_indexed else 0)
            for node_id, free in self.free.items():
                entry = index.entry(node_id)
                shown = None if entry is None else entry[1]
                assert shown == (_vector(free) if self._is_indexed else None)


def _vector(resources: Resources) -> tuple[float, ...]:
    return tuple(resources.get(name, 0.0) for name in COMMON)
