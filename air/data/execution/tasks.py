"""Runs a segment on the executor's tasks and actors, as the scheduler decides."""

from __future__ import annotations

import functools
import itertools
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from air.core.api import remote
from air.data.blocks.allocation import keep_nothing
from air.data.blocks.block import Block, compact
from air.data.blocks.handle import BlockHandle, cut
from air.data.blocks.origins import Origins, Runs
from air.data.budget import Budget
from air.data.datasource import ReadTask
from air.data.execution.exchange.marks import described
from air.data.execution.scheduling import Item, Launch, Scheduler, StageLimits
from air.data.execution.shares import Share, share_cluster
from air.data.execution.stages import (
    OpenStage,
    Stage,
    Unit,
    read_blocks,
    runs_of,
    together,
    working_bytes,
)
from air.data.execution.stats import StageStats
from air.data.udf.functions import TaskContext
from air.errors import GetTimeout
from air.executor.current import get_executor, is_initialized
from air.executor.handles import ActorHandle, ObjectRef, ObjectRefGenerator
from air.executor.resources import Resources
from air.executor.streaming import VALUES_AHEAD

_MODULES = ("numpy", "pyarrow", "pyarrow.compute", "pandas", __name__)
"""What every task imports, so that workers may start with it. Arrow imports pandas if it can."""

_TASKS_PER_CPU = 2
_POLL_SECONDS = 0.01
_BLOCKS_AT_A_TIME = VALUES_AHEAD // 2  # each comes as two values


@dataclass(frozen=True, slots=True)
class _Range:
    """Which rows of the next block that a task is given it works on; see :func:`cut`."""

    offset: int | None
    num_rows: int
    runs: Runs


@dataclass(frozen=True, slots=True)
class _Work:
    """What a task is told: where its blocks come from, beside those that it is given."""

    pieces: tuple[ReadTask | BlockHandle | _Range, ...]
    context: TaskContext

    def blocks(self, given: tuple[Block, ...], origins: Origins) -> Iterator[Block]:
        fetched = iter(given)
        for piece in self.pieces:
            if isinstance(piece, ReadTask):
                yield from read_blocks(piece, origins)
            elif isinstance(piece, BlockHandle):
                origins.note_all(runs_of(piece.metadata))
                yield piece.get()
            else:
                origins.note_all(piece.runs)
                yield cut(next(fetched), piece.offset, piece.num_rows)


def _results(stage: OpenStage, work: _Work, given: tuple[Block, ...]) -> Iterator[Any]:
    """For each block that comes out: first what it is like and what it took, then itself.

    In this order an error is seen where the small first part is fetched.
    """
    for made, cost in stage.run(functools.partial(work.blocks, given), work.context):
        metadata, block = described(made, work.context.source)
        if isinstance(metadata.schema, type) and not _travels(metadata.schema):
            metadata = replace(metadata, schema=object)
        yield metadata, cost
        yield compact(block)


def _travels(kind: type) -> bool:
    """Whether a class can be sent. Some of the interpreter's own are found nowhere by their name.

    Locks are of such a class. What is wrong with these is told of the objects.
    """
    if kind.__module__ not in sys.builtin_module_names or kind in vars(types).values():
        return True
    return getattr(sys.modules[kind.__module__], kind.__qualname__, None) is kind


def _run_stage(stage: Stage, budget: Budget, work: _Work, *given: Block) -> Iterator[Any]:
    keep_nothing(budget.is_tight)
    yield from _results(stage.open(budget), work, given)


class _StageActor:
    """Keeps a stage open, with its instances of callable classes.

    What a constructor of the user raises is raised by the first piece of work: as itself, which
    it would not be if this constructor raised it.
    """

    def __init__(self, stage: Stage, budget: Budget) -> None:
        self._stage: OpenStage | None = None
        self._error: Exception | None = None
        keep_nothing(budget.is_tight)
        try:
            self._stage = stage.open(budget)
        except Exception as error:
            self._error = error

    def run(self, work: _Work, *given: Block) -> Iterator[Any]:
        if self._stage is None:
            assert self._error is not None
            raise self._error
        yield from _results(self._stage, work, given)


class _TaskStage:
    """Starts a stage's work as tasks."""

    def __init__(self, stage: Stage, budget: Budget, share: Share) -> None:
        self._function = remote(_run_stage).options(
            num_returns="streaming",
            bytes_ahead=budget.ahead_bytes,
            name=f"data: {stage.name}"[:200],
            **share.options,
        )
        self._stage = get_executor().put(stage)
        self._budget = budget

    def start(self, task: int, work: _Work, refs: Sequence[ObjectRef[Any]]) -> ObjectRefGenerator:
        stream: ObjectRefGenerator = self._function.remote(self._stage, self._budget, work, *refs)
        return stream

    def ended(self, task: int) -> None:
        """Nothing to give back."""

    def close(self) -> None:
        """Nothing to end."""


class _ActorStage:
    """Starts a stage's work on a pool of actors, the least busy first."""

    def __init__(self, stage: Stage, budget: Budget, share: Share) -> None:
        self._executor = get_executor()
        self._class = remote(_StageActor).options(**share.options)
        self._arguments = (self._executor.put(stage), budget)
        self._ahead_bytes = budget.ahead_bytes
        self._largest = share.largest
        self._actors: list[ActorHandle] = []
        self._load: list[int] = []
        self._actor_of: dict[int, int] = {}
        for _ in range(share.smallest):
            self._grow()

    def start(self, task: int, work: _Work, refs: Sequence[ObjectRef[Any]]) -> ObjectRefGenerator:
        if min(self._load) >= 1 and len(self._actors) < self._largest:
            self._grow()
        index = self._load.index(min(self._load))
        self._load[index] += 1
        self._actor_of[task] = index
        method = self._actors[index].run.options(
            num_returns="streaming", bytes_ahead=self._ahead_bytes
        )
        stream: ObjectRefGenerator = method.remote(work, *refs)
        return stream

    def ended(self, task: int) -> None:
        self._load[self._actor_of.pop(task)] -= 1

    def close(self) -> None:
        # An iterator may be closed long after the backend it ran on.
        if is_initialized() and get_executor() is self._executor:
            for actor in self._actors:
                self._executor.kill_actor(actor, no_restart=True)

    def _grow(self) -> None:
        self._actors.append(self._class.remote(*self._arguments))
        self._load.append(0)


def run_on_tasks(
    stages: Sequence[Stage],
    units: Iterator[Unit],
    stats: Sequence[StageStats],
    first_index: Sequence[int],
    budget: Budget,
    apart_bytes: int = 0,
) -> Iterator[BlockHandle]:
    """The blocks that come out of *stages*, in order, as references.

    Closing the iterator ends what is still running.

    Args:
        first_index: by stage, the position of its first piece of work among all.
        apart_bytes: of the budget, that blocks have which wait elsewhere.
    """
    segment = _Segment(stages, units, stats, first_index, budget, apart_bytes)
    try:
        yield from segment.outputs()
    finally:
        segment.close()


class _Segment:
    def __init__(
        self,
        stages: Sequence[Stage],
        units: Iterator[Unit],
        stats: Sequence[StageStats],
        first_index: Sequence[int],
        budget: Budget,
        apart_bytes: int,
    ) -> None:
        get_executor().preload(_MODULES)
        supply = Resources(get_executor().cluster_resources())
        shares = share_cluster(stages, supply)
        in_flight = [
            _max_in_flight(stage, share, budget)
            for stage, share in zip(stages, shares, strict=True)
        ]
        # Of a task that gives more, the others have enough; see Scheduler.takes_from.
        share_bytes = budget.total_bytes // (2 * sum(in_flight))
        limits = [
            StageLimits(
                number,
                stage.min_rows,
                max(share_bytes, 2 * budget.block_bytes) if stage.divides else sys.maxsize,
            )
            for number, stage in zip(in_flight, stages, strict=True)
        ]
        self._stages = stages
        self._budget = budget
        self._units = units
        self._stats = stats
        self._index = list(first_index)
        self._items: dict[int, Unit] = {}
        self._keys = itertools.count()
        self._streams: OrderedDict[int, tuple[int, ObjectRefGenerator]] = OrderedDict()
        self._error: Exception | None = None
        self._backends: list[_TaskStage | _ActorStage] = []
        for stage, share in zip(stages, shares, strict=True):
            kind = _TaskStage if stage.compute.pool is None else _ActorStage
            self._backends.append(kind(stage, budget, share))
        self._scheduler = Scheduler(
            limits,
            budget_bytes=budget.beside(apart_bytes),
            unknown_bytes=budget.block_bytes,
        )

    def outputs(self) -> Iterator[BlockHandle]:
        scheduler = self._scheduler
        while not scheduler.is_done:
            self._start_what_can_start()
            key = scheduler.next_output()
            if key is None:
                if self._streams:  # otherwise the last input has just been asked for
                    self._wait()
                continue
            (handle,) = self._items.pop(key).pieces
            assert isinstance(handle, BlockHandle)
            yield handle
            scheduler.output_taken(key)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        for _, stream in self._streams.values():
            stream.close()
        self._streams.clear()
        for backend in self._backends:
            backend.close()

    def _start_what_can_start(self) -> None:
        while True:
            launch = self._scheduler.next_launch()
            if launch is not None:
                self._start(launch)
            elif self._scheduler.wants_input():
                unit = next(self._units, None)
                if unit is None:
                    self._scheduler.input_ended()
                else:
                    self._scheduler.input_arrived(self._item(unit, 0))
            else:
                return

    def _item(self, unit: Unit, stage: int) -> Item:
        """A unit that is to go through a stage, or is a result."""
        key = next(self._keys)
        self._items[key] = unit
        work = (
            working_bytes(unit, self._stages[stage], self._budget)
            if stage < len(self._stages)
            else 0
        )
        return Item(key, unit.num_rows, unit.size_bytes, work)

    def _start(self, launch: Launch) -> None:
        unit = together([self._items.pop(key) for key in launch.keys])
        context = unit.context(self._index[launch.stage])
        self._index[launch.stage] += 1
        self._stats[launch.stage].tasks += 1
        pieces: list[ReadTask | BlockHandle | _Range] = []
        refs = []
        for piece in unit.pieces:
            if isinstance(piece, BlockHandle) and not piece.travels_by_value:
                refs.append(piece.ref())
                pieces.append(_Range(piece.offset, piece.num_rows, runs_of(piece.metadata)))
            else:
                pieces.append(piece)
        work = _Work(tuple(pieces), context)
        stream = self._backends[launch.stage].start(launch.task, work, refs)
        self._streams[launch.task] = (launch.stage, stream)

    def _wait(self) -> None:
        """Take in what has happened; if nothing has, wait for the oldest task for a moment."""
        happened = False
        for task in list(self._streams):
            happened |= task in self._streams and self._drain(task, 0.0)
        if not happened:
            # Streams cannot be waited for together: after a moment look at the others again.
            oldest = next(task for task in self._streams if self._scheduler.takes_from(task))
            self._drain(oldest, None if len(self._streams) == 1 else _POLL_SECONDS)

    def _drain(self, task: int, timeout: float | None) -> bool:
        """Take in what a task has given by now; whether there was anything.

        Not all of it: one that gives faster than is taken must not keep others waiting, nor who
        waits for the result.
        """
        stage, stream = self._streams[task]
        for number in range(_BLOCKS_AT_A_TIME):
            if not self._scheduler.takes_from(task) or (number and self._scheduler.has_output):
                return number > 0
            try:
                described = next(stream) if timeout is None else stream.next_within(timeout)
            except GetTimeout:
                return number > 0
            except StopIteration:
                self._ended(task)
                self._stats[stage].done += 1
                self._scheduler.task_ended(task)
                return True
            try:
                metadata, cost = get_executor().get([described], None)[0]
                handle = BlockHandle.of_ref(next(stream), metadata)
            except Exception as error:
                self._failed(task, error)
                return True
            self._stats[stage].add(handle.num_rows, handle.size_bytes, cost)
            self._scheduler.block_arrived(task, self._item(Unit((handle,)), stage + 1))
            timeout = 0.0
        return True

    def _failed(self, task: int, error: Exception) -> None:
        self._ended(task)
        # Everything after this task is given up, so a later error comes from before it.
        self._error = error
        for other in self._scheduler.task_failed(task):
            self._ended(other).close()

    def _ended(self, task: int) -> ObjectRefGenerator:
        stage, stream = self._streams.pop(task)
        self._backends[stage].ended(task)
        return stream


def _max_in_flight(stage: Stage, share: Share, budget: Budget) -> int:
    if stage.compute.pool is not None:
        return share.largest * stage.compute.pool.in_flight
    # Each that has begun has a process, with what that keeps, whether it waits or not.
    return stage.compute.max_tasks or budget.cpus * (1 if budget.is_tight else _TASKS_PER_CPU)
