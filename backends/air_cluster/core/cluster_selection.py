"""All supplies that may meet a kind of need, and finding the best one among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from air.executor.labels import all_match
from air.executor.resources import CPU, GPU, Resources
from air_cluster.core.cluster_index import LEVELS, FitIndex, MaxTree, level_of
from air_cluster.core.cluster_shapes import Need, Where
from air_cluster.core.cluster_supply import Supply, request_vector
from air_cluster.core.shapes import ANY_BUNDLE

if TYPE_CHECKING:
    from air_cluster.core.cluster_waiting import Lane

_LOAD_LEVELS = 64

Accepts = Callable[[Supply], bool]
LevelIn = Callable[[Supply], int | None]


class Selection:
    """The supplies that ``where`` admits.

    Its indexes are made when they are first asked, in time proportional to the members; from
    then on, a change of a member and a search take logarithmic time.

    Attributes:
        where: what admits a supply.
        members: the supplies.
        lanes: what waits for room on one of them.
    """

    def __init__(self, where: Where, members: Iterable[Supply]) -> None:
        self.where = where
        self.members: dict[Supply, None] = {}
        self.lanes: dict[Need, Lane] = {}
        self._indexes: list[tuple[LevelIn, FitIndex[Supply]]] = []
        self._in_turn: MaxTree[Supply] | None = None
        for supply in members:
            self.add(supply)

    def admits(self, supply: Supply) -> bool:
        """Whether a supply belongs here."""
        where, node = self.where, supply.node
        if where.group is not None:
            return supply.bundle is not None and (
                supply.bundle[0] == where.group and where.index in (ANY_BUNDLE, supply.bundle[1])
            )
        return (
            supply.bundle is None
            and not node.is_guest
            and where.node in (None, node.name)
            and all(name in supply.total for name in where.customs)
            and all_match(where.labels, node.labels)
        )

    def add(self, supply: Supply) -> None:
        """There is a supply that belongs here."""
        self.members[supply] = None
        supply.selections[self.where] = self
        if self._in_turn is not None:
            self._in_turn.append(supply, supply.total_vector(self.where.customs))
        self.refresh(supply)

    def remove(self, supply: Supply) -> None:
        """A supply is gone."""
        del self.members[supply], supply.selections[self.where]
        for _, index in self._indexes:
            index.remove(supply)
        if self._in_turn is not None:
            self._in_turn.remove(supply)

    def dissolve(self) -> None:
        """It is not needed any more."""
        for supply in self.members:
            del supply.selections[self.where]

    def refresh(self, supply: Supply) -> None:
        """What is free on a member has changed."""
        for level_in, index in self._indexes:
            self._enter(supply, level_in, index)

    def find(self, request: Resources, accepts: Accepts, *, spread: bool) -> Supply | None:
        """A supply that seems to have room, and is accepted.

        To spread, that is the one with the least load; where nothing is taken and so load does
        not grow, the next one in turn. Otherwise it is the one with the fewest
        free CPUs, and those without GPUs come first, or for a request for GPUs, the one with
        the fewest free ones: so larger requests find room elsewhere.
        """
        if spread:
            index, lowest = self._index(_load_level if request else _one_level), 0
        elif GPU in request:
            index, lowest = self._index(_gpu_level), level_of(request[GPU])
        else:
            index, lowest = self._index(_cpu_level), level_of(request.get(CPU, 0.0))
        return index.find(
            request_vector(request, self.where.customs),
            lambda supply: supply.fits(request) and accepts(supply),
            lowest,
        )

    def find_ever(self, request: Resources, accepts: Accepts) -> Supply | None:
        """The next one in turn that would have room if it were empty, and is accepted."""
        customs = self.where.customs
        if self._in_turn is None:
            self._in_turn = MaxTree()
            for supply in self.members:
                self._in_turn.append(supply, supply.total_vector(customs))
        found = self._in_turn.find(
            request_vector(request, customs),
            lambda supply: supply.could_fit(request) and accepts(supply),
        )
        if found is not None:
            self._in_turn.remove(found)
            self._in_turn.append(found, found.total_vector(customs))
        return found

    def _index(self, level_in: LevelIn) -> FitIndex[Supply]:
        for known, index in self._indexes:
            if known is level_in:
                return index
        index = FitIndex[Supply](in_turn=level_in in (_load_level, _one_level))
        for supply in self.members:
            self._enter(supply, level_in, index)
        self._indexes.append((level_in, index))
        return index

    def _enter(
        self,
        supply: Supply,
        level_in: LevelIn,
        index: FitIndex[Supply],
    ) -> None:
        level = level_in(supply)
        if level is not None:
            index.put(supply, level, supply.free_vector(self.where.customs))

    def check(self) -> None:
        """Assert that the indexes show the members as they are."""
        for supply in self.members:
            assert supply.selections[self.where] is self
            assert self.admits(supply), (self.where, supply.node)
        for level_in, index in self._indexes:
            index.check()
            for supply in self.members:
                level = level_in(supply)
                shown = (level, supply.free_vector(self.where.customs))
                assert index.entry(supply) == (None if level is None else shown)
        if self._in_turn is not None:
            self._in_turn.check()
            assert set(self._in_turn) == set(self.members)


def _cpu_level(supply: Supply) -> int:
    """Fewest free CPUs first; nodes with GPUs after all others.

    A request finds its own level in the first half, from where on it looks: all of the second
    half comes after that.
    """
    return level_of(supply.account.free.get(CPU, 0.0)) + (LEVELS if supply.has_gpus else 0)


def _gpu_level(supply: Supply) -> int | None:
    """Fewest free GPUs first."""
    return level_of(supply.account.free.get(GPU, 0.0)) if supply.has_gpus else None


def _one_level(_supply: Supply) -> int:
    """All alike."""
    return 0


def _load_level(supply: Supply) -> int:
    """Least load first."""
    return int(supply.load * _LOAD_LEVELS)
