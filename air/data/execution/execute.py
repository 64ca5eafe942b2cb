"""Runs a plan: a stream of blocks, in order, made as they are asked for."""

from __future__ import annotations

import itertools
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from air.data.block import Block
from air.data.context import DataContext
from air.data.execution.exchange import repartition, shuffle_here, shuffle_on_tasks
from air.data.execution.placement import SMALL_BYTES, Placement, Probation, decide
from air.data.execution.shares import check_supply
from air.data.execution.stages import OpenStage, Stage, Unit, fuse, grouped
from air.data.execution.stats import ExecutionStats, StageStats
from air.data.execution.tasks import run_on_tasks
from air.data.functions import TaskContext
from air.data.handle import BlockHandle
from air.data.optimizer import optimize
from air.data.plan import InputBlocks, Limit, Map, Node, RandomShuffle, Read, Repartition, Union
from air.executor.capabilities import Capability
from air.executor.current import get_executor, is_initialized
from air.executor.resources import Resources


def execute(
    plan: Node, *, stats: ExecutionStats | None = None, stay: bool = False
) -> Generator[BlockHandle, None, None]:
    """The blocks of *plan*, in order; none is made before it is asked for.

    Closing the iterator ends what is still running.

    Args:
        stats: filled as the plan runs.
        stay: start no tasks, as befits a worker that was given the machine to itself.
    """
    yield from _Execution(stats or ExecutionStats(), stay).run(optimize(plan))


@dataclass(frozen=True, slots=True)
class _Input:
    """Units for the first stage of a segment; what is not known of them is ``None``."""

    units: Iterable[Unit]
    count: int | None
    size_bytes: int | None


class _Execution:
    def __init__(self, stats: ExecutionStats, stay: bool) -> None:
        self._stats = stats
        self._stay = stay

    def run(self, node: Node, limit: int | None = None) -> Iterator[BlockHandle]:
        """The result of *node*, of which no more than *limit* rows are needed."""
        if isinstance(node, Limit):
            return self._first_rows(node)
        if isinstance(node, Union):
            return itertools.chain.from_iterable(self.run(part, limit) for part in node.parts)
        if isinstance(node, Repartition):
            return repartition(self.run(node.input), node.blocks, self._over_units)
        if isinstance(node, RandomShuffle):
            return self._shuffled(node)
        if isinstance(node, InputBlocks):
            return iter(node.handles)
        return self._maps(node, limit)

    def _first_rows(self, node: Limit) -> Iterator[BlockHandle]:
        missing = node.count
        for handle in self.run(node.input, node.count):
            kept = handle.slice(0, min(missing, handle.num_rows))
            yield kept  # also without rows: it carries the schema
            missing -= kept.num_rows
            if missing <= 0:
                return

    def _shuffled(self, node: RandomShuffle) -> Iterator[BlockHandle]:
        handles = list(self.run(node.input))
        if not handles:
            return
        (stats,) = self._stats.begin([node.name])
        started = time.perf_counter()
        is_small = sum(handle.size_bytes for handle in handles) <= SMALL_BYTES
        parts = node.blocks or max(sum(handle.num_rows > 0 for handle in handles), 1)
        if self._stay or is_small or not _can_run_in_parallel():
            shuffled = shuffle_here(handles, node.seed, parts)
        else:
            shuffled = shuffle_on_tasks(handles, node.seed, parts)
        for handle in shuffled:
            stats.add(handle.num_rows, handle.size_bytes, time.perf_counter() - started)
            yield handle
            started = time.perf_counter()

    def _over_units(self, stage: Stage, units: Sequence[Unit]) -> Iterator[BlockHandle]:
        sizes = [unit.size_bytes for unit in units]
        total = None if None in sizes else sum(size for size in sizes if size is not None)
        return self._segment([stage], _Input(units, len(units), total))

    def _maps(self, node: Node, limit: int | None) -> Iterator[BlockHandle]:
        """A chain of operators on a source that is run apart."""
        maps: list[Map] = []
        while isinstance(node, Map):
            maps.append(node)
            node = node.input
        stages = fuse(maps[::-1], reads=isinstance(node, Read), limit=limit)
        return self._segment(stages, self._input(node), limited=limit is not None)

    def _input(self, node: Node) -> _Input:
        if isinstance(node, Read):
            tasks = node.source.get_read_tasks(node.parallelism)
            size = node.source.estimate_inmemory_data_size()
            return _Input([Unit((task,)) for task in tasks], len(tasks), size)
        if isinstance(node, InputBlocks):
            size = sum(handle.size_bytes for handle in node.handles)
            return _Input([Unit((h,)) for h in node.handles], len(node.handles), size)
        count = node.blocks if isinstance(node, Repartition) else None
        return _Input((Unit((handle,)) for handle in self.run(node)), count, None)

    def _segment(
        self, stages: Sequence[Stage], given: _Input, *, limited: bool = False
    ) -> Iterator[BlockHandle]:
        placement = decide(
            stages,
            size_bytes=given.size_bytes,
            num_units=given.count,
            limited=limited,
            stay=self._stay,
            can_run_in_parallel=_can_run_in_parallel,
        )
        asks = any(stage.compute.asked for stage in stages)
        if asks and placement is Placement.HERE and not self._stay:
            check_supply(stages, Resources(get_executor().cluster_resources()))
        stats = self._stats.begin([stage.name for stage in stages])
        units = grouped(given.units, stages[0].min_rows)
        if placement is Placement.TASKS:
            yield from run_on_tasks(stages, units, stats, [0] * len(stages))
            return
        here = _Here(stages, stats)
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
            if not _can_run_in_parallel():
                yield from here.run(units)
            else:
                yield from run_on_tasks(stages, units, stats, here.counts)
            return


class _Here:
    """Runs stages in this process, one block at a time."""

    def __init__(self, stages: Sequence[Stage], stats: Sequence[StageStats]) -> None:
        target = DataContext.get_current().target_max_block_size
        self._stages = stages
        self._open: list[OpenStage | None] = [None] * len(stages)
        self._target = target
        self._stats = stats
        self.counts = [0] * len(stages)
        """Units that each stage has worked on."""
        self.seconds = 0.0
        """Time spent so far, without that of whoever takes the blocks."""

    def run(self, units: Iterator[Unit]) -> Iterator[BlockHandle]:
        """The blocks that come out of the last stage."""
        handles = self._run_stage(0, units)
        for position in range(1, len(self._stages)):
            units = grouped((Unit((h,)) for h in handles), self._stages[position].min_rows)
            handles = self._run_stage(position, units)
        while True:
            started = time.perf_counter()
            handle = next(handles, None)
            self.seconds += time.perf_counter() - started
            if handle is None:
                return
            yield handle

    def _run_stage(self, position: int, units: Iterator[Unit]) -> Iterator[BlockHandle]:
        for unit in units:
            context = TaskContext(self.counts[position], unit.source)
            self.counts[position] += 1
            for block, seconds in self._opened(position).run(unit.blocks(), context):
                yield self._counted(position, block, seconds, unit.source)

    def _opened(self, position: int) -> OpenStage:
        opened = self._open[position]
        if opened is None:
            opened = self._open[position] = self._stages[position].open(self._target)
        return opened

    def _counted(self, position: int, block: Block, seconds: float, source: str) -> BlockHandle:
        handle = BlockHandle.of_block(block, source)
        self._stats[position].add(handle.num_rows, handle.size_bytes, seconds)
        return handle


def _can_run_in_parallel() -> bool:
    return Capability.PARALLEL_TASKS in get_executor().capabilities
