"""One run of a plan: which code computes which step, and chains of maps as stages."""

from __future__ import annotations

import copy
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from air.data.blocks.handle import BlockHandle
from air.data.budget import Budget, current_budget
from air.data.execution.exchange.partitioners import equal_edges
from air.data.execution.exchange.sections import SpillDirectory
from air.data.execution.here import Here
from air.data.execution.neighbours import Held, Neighbours
from air.data.execution.placement import Placement, Probation, decide
from air.data.execution.scheduling import Scheduler
from air.data.execution.segment import run_on_tasks
from air.data.execution.shares import check_supply, held_by, share_cluster
from air.data.execution.skipped import SkippedRun
from air.data.execution.stages import Stage, Unit, fuse, grouped
from air.data.execution.stats import ExecutionStats, StageStats
from air.data.plan import InputBlocks, Map, Node, Read, Repartition
from air.data.transforms import Transform
from air.executor.capabilities import Capability
from air.executor.current import get_executor, is_initialized
from air.executor.resources import Resources

Operator = Callable[["Run", Any, int | None], Iterator[BlockHandle]]
"""Computes a step of one type: its blocks, of which no more than so many rows are needed."""

Gathering = Callable[["Run", Any, int | None, tuple[Transform, ...]], Iterator[BlockHandle]]
"""The same, and what transforms make of each block in the same place."""


@dataclass(frozen=True, slots=True)
class Given:
    """Units for the first stage of several; what is not known of them is ``None``.

    Attributes:
        neighbours: of a segment that takes them; those of the run if ``None``.
        held: for what its pools hold.
        merge: puts blocks between those that the segment makes, that were made before.
    """

    units: Iterable[Unit]
    count: int | None
    size_bytes: int | None
    neighbours: Neighbours | None = None
    held: Held = field(default_factory=Held)
    merge: Callable[[Iterator[BlockHandle]], Generator[BlockHandle, None, None]] | None = None

    def let_go(self) -> Given:
        """The same units, each of which is let go of when its turn comes; those here are gone."""
        units = deque(self.units)
        taken = (units.popleft() for _ in range(len(units)))
        return replace(self, units=taken)


@dataclass(slots=True)
class _Memory:
    """What there is for blocks, and how much of it is set aside for those that wait.

    Attributes:
        running: the schedulers of segments that run now.
        waiting: where the blocks of exchanges wait that are under way.
    """

    budget: Budget
    apart_bytes: int = 0
    running: list[Scheduler] = field(default_factory=list)
    waiting: list[SpillDirectory] = field(default_factory=list)


class Run:
    """What the operators of one execution have in common.

    Args:
        operator_of: what computes a type of step; ``None`` for a map or a source.
        stats: filled as the plan runs.
        stay: start no tasks.
        place: which part of something that was divided the plan works on, if it was.
        gathering_of: the same of those that can do more where they put rows together.
    """

    def __init__(
        self,
        operator_of: Callable[[type[Node]], Operator | None],
        stats: ExecutionStats,
        stay: bool,
        place: str = "",
        gathering_of: Callable[[type[Node]], Gathering | None] = lambda _step: None,
    ) -> None:
        self._operator_of = operator_of
        self._gathering_of = gathering_of
        self.stats = stats
        self.stay = stay
        self._memory = _Memory(current_budget())
        self._neighbours = Neighbours()
        self._place = place

    def run(self, node: Node, limit: int | None = None) -> Iterator[BlockHandle]:
        """The result of *node*, of which no more than *limit* rows are needed."""
        operator = self._operator_of(type(node))
        if operator is None:
            return self._maps(node, limit)
        return operator(self._at(self._neighbours.within(node)), node, limit)

    @property
    def budget(self) -> Budget:
        """For blocks that are on the way or wait."""
        return self._memory.budget

    def _at(self, neighbours: Neighbours) -> Run:
        """The same run, seen from another place in the plan."""
        other = copy.copy(self)
        other._neighbours = neighbours
        return other

    def spills_beyond(self) -> int | None:
        """Bytes of blocks that may wait for others in memory; ``None``: as many as there are.

        From now on they are set aside. Files that one node writes cannot be read on another, so
        where there are several blocks stay in the store, which goes to disk by itself; unless all
        work stays in this process.
        """
        if not self.stay and is_initialized() and len(get_executor().nodes()) > 1:
            return None
        self._memory.apart_bytes = self.budget.waiting_bytes
        return self._memory.apart_bytes

    def files(self) -> SpillDirectory:
        """Where the blocks of an exchange wait; whoever asks for it closes it."""
        return SpillDirectory(self.stats, self._memory.waiting)

    def over_units(self, stage: Stage, units: Sequence[Unit]) -> Iterator[BlockHandle]:
        """The result of one stage on units that are there."""
        return self.segment([stage], self.given(units))

    def given(self, units: Sequence[Unit]) -> Given:
        """Units that are there, as input of a segment."""
        sizes = [unit.size_bytes for unit in units]
        total = None if None in sizes else sum(size for size in sizes if size is not None)
        return Given(units, len(units), total)

    def _maps(self, node: Node, limit: int | None) -> Iterator[BlockHandle]:
        """A chain of operators on a source that is run apart."""
        maps, base = _maps_on(node)
        gathering = self._gathering_of(type(base))
        if gathering is not None and limit is None:
            stages = fuse(maps, reads=False)
            if len(stages) == 1 and stages[0] == Stage(stages[0].transforms):
                # What works on the rows of a part does it where they are put together: handed on
                # they would be there twice, and so would processes.
                run = self._at(self._neighbours.within(base))
                return gathering(run, base, None, stages[0].transforms)
        stages, given = self.chain(node, limit)
        return self.segment(stages, given, limited=limit is not None)

    def chain(self, node: Node, limit: int | None = None) -> tuple[list[Stage], Given]:
        """The stages that make *node*, as far as they are maps, and what they work on."""
        maps, base = _maps_on(node)
        return fuse(maps, reads=isinstance(base, Read), limit=limit), self._input(base)

    def _input(self, node: Node) -> Given:
        neighbours = self._neighbours.taking(node)
        if isinstance(node, Read):
            tasks = node.tasks()
            size = node.source.estimate_inmemory_data_size()
            return Given([Unit((task,)) for task in tasks], len(tasks), size, neighbours)
        if isinstance(node, InputBlocks):
            handles = [piece for handle in node.handles for piece in self._divided(handle)]
            size = sum(handle.size_bytes for handle in handles)
            return Given([Unit((h,)) for h in handles], len(handles), size, neighbours)
        count = node.num_blocks() if isinstance(node, Repartition) else None
        held = Held()
        made = self._at(self._neighbours.below(held)).run(node)
        return Given((Unit((handle,)) for handle in made), count, None, neighbours, held)

    def _divided(self, handle: BlockHandle) -> list[BlockHandle]:
        """A block as what is copied for tasks at a time, where memory is short."""
        pieces = 1
        if self.budget.is_tight and handle.is_here and not handle.travels_by_value:
            pieces = max(min(-(-handle.size_bytes // self.budget.piece_bytes), handle.num_rows), 1)
        return [
            handle.slice(begin, end)
            for begin, end in itertools.pairwise(equal_edges(handle.num_rows, pieces))
        ]

    def segment(
        self, stages: Sequence[Stage], given: Given, *, limited: bool = False
    ) -> Iterator[BlockHandle]:
        """The result of *stages* on *given*, wherever it is best to run them."""
        units = given.count if stages and not stages[0].min_rows else None
        stats = self.stats.begin([stage.name for stage in stages], units)
        with (
            SkippedRun(stages, stats, self._place) as skipped,
            closing(self._placed(skipped.stages, given, limited, stats)) as made,
        ):
            for handle in made if given.merge is None else given.merge(made):
                if skipped.counted(handle):
                    yield handle
                del handle  # its memory may be needed for the next one

    def _placed(
        self, stages: Sequence[Stage], given: Given, limited: bool, stats: Sequence[StageStats]
    ) -> Generator[BlockHandle, None, None]:
        placement = decide(
            stages,
            size_bytes=given.size_bytes,
            num_units=given.count,
            limited=limited,
            stay=self.stay,
            can_run_in_parallel=can_run_in_parallel,
        )
        asks = any(stage.compute.asked for stage in stages)
        if asks and placement is Placement.HERE and not self.stay:
            check_supply(stages, Resources(get_executor().cluster_resources()))
        units = grouped(given.units, stages[0].min_rows)
        if placement is Placement.TASKS:
            yield from self._on_tasks(stages, given, units, stats, [0] * len(stages))
            return
        here = Here(stages, stats, self.budget)
        if placement is Placement.HERE:
            yield from here.run(units)
            return
        probation = Probation(given.count, backend_runs=is_initialized())
        for unit in units:
            before = here.seconds
            yield from here.run(iter([unit]))
            probation.unit_took(here.seconds - before)
            if not probation.proves_slow:
                continue
            rest = next(units, None)
            if rest is None:
                return
            units = itertools.chain([rest], units)
            if not can_run_in_parallel():
                yield from here.run(units)
            else:
                yield from self._on_tasks(stages, given, units, stats, here.counts)
            return

    def _on_tasks(
        self,
        stages: Sequence[Stage],
        given: Given,
        units: Iterator[Unit],
        stats: Sequence[StageStats],
        first_index: Sequence[int],
    ) -> Iterator[BlockHandle]:
        # A backend may have been started since this run began.
        memory = self._memory
        memory.budget = current_budget()
        pools = any(stage.compute.pool is not None for stage in stages)
        beside = (given.neighbours or self._neighbours).beside(pools)
        shares = share_cluster(stages, Resources(get_executor().cluster_resources()), beside)
        given.held.resources = held_by(stages, shares)
        return run_on_tasks(
            stages,
            shares,
            units,
            stats,
            first_index,
            memory.budget,
            memory.apart_bytes,
            memory.running,
        )


def _maps_on(node: Node) -> tuple[list[Map], Node]:
    """The chain of maps that ends with *node*, in the order of the data, and what it works on."""
    maps: list[Map] = []
    while isinstance(node, Map):
        maps.append(node)
        node = node.input
    return maps[::-1], node


def can_run_in_parallel() -> bool:
    """Whether there is anything but this process to run on."""
    return Capability.PARALLEL_TASKS in get_executor().capabilities
