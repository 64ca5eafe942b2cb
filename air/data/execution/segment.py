"""Runs a segment on the executor's tasks and actors, as the scheduler decides."""

from __future__ import annotations

import itertools
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from air.data.blocks.handle import BlockHandle
from air.data.blocks.metadata import BlockMetadata
from air.data.budget import Budget
from air.data.execution.actors import ActorStage
from air.data.execution.expectations import Item, StageLimits
from air.data.execution.scheduling import Launch, Scheduler
from air.data.execution.shares import Share
from air.data.execution.stages import Stage, Unit, together, working_bytes
from air.data.execution.stats import StageStats
from air.data.execution.tasks import TaskStage
from air.data.execution.work import work_on
from air.errors import GetTimeout, OutOfMemory, WorkerDied
from air.executor.current import get_executor
from air.executor.handles import ObjectRef, ObjectRefGenerator
from air.executor.streaming import VALUES_AHEAD

_MODULES = ("numpy", "pyarrow", "pyarrow.compute", "pandas", __name__)
"""What every task imports, so that workers may start with it. Arrow imports pandas if it can."""

_TASKS_PER_CPU = 2
_POLL_SECONDS = 0.01
_LOOK_SECONDS = 0.5
"""How often pools are looked at while nothing else happens."""
_BLOCKS_AT_A_TIME = VALUES_AHEAD // 2  # each comes as two values


@dataclass(slots=True)
class _Running:
    """A unit that a stage works on, or that waits for an actor.

    Attributes:
        source: what messages call the unit.
        stream: what it gives: blocks, each followed by what it is like; ``None`` while it waits.
        block: of which it has not been told yet what it is like.
    """

    stage: int
    source: str
    stream: ObjectRefGenerator | None = None
    block: ObjectRef[Any] | None = None


def run_on_tasks(
    stages: Sequence[Stage],
    shares: Sequence[Share],
    units: Iterator[Unit],
    stats: Sequence[StageStats],
    first_index: Sequence[int],
    budget: Budget,
    apart_bytes: int = 0,
    running: list[Scheduler] | None = None,
) -> Iterator[BlockHandle]:
    """The blocks that come out of *stages*, in order, as references.

    Closing the iterator ends what is still running.

    Args:
        shares: of the cluster, by stage.
        first_index: by stage, the position of its first piece of work among all.
        apart_bytes: of the budget, that blocks have which wait elsewhere.
        running: those of the segments that share the budget; this one is among them while it runs.
    """
    running = [] if running is None else running
    segment = _Segment(stages, shares, units, stats, first_index, budget, apart_bytes, running)
    running.append(segment.scheduler)
    try:
        yield from segment.outputs()
    finally:
        running.remove(segment.scheduler)
        segment.close()


class _Segment:
    def __init__(
        self,
        stages: Sequence[Stage],
        shares: Sequence[Share],
        units: Iterator[Unit],
        stats: Sequence[StageStats],
        first_index: Sequence[int],
        budget: Budget,
        apart_bytes: int,
        running: list[Scheduler],
    ) -> None:
        get_executor().preload(_MODULES)
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
        self._running: OrderedDict[int, _Running] = OrderedDict()
        self._error: Exception | None = None
        self._schema: pa.Schema | None = None
        self._backends: list[TaskStage | ActorStage] = []
        for stage, share in zip(stages, shares, strict=True):
            kind = TaskStage if stage.compute.pool is None else ActorStage
            self._backends.append(kind(stage, budget, share))
        self._pools = [one for one in self._backends if isinstance(one, ActorStage)]
        self.scheduler = Scheduler(
            limits,
            budget_bytes=budget.beside(apart_bytes),
            unknown_bytes=budget.block_bytes,
            elsewhere=lambda: sum(one.held for one in running if one is not self.scheduler),
        )

    def outputs(self) -> Iterator[BlockHandle]:
        scheduler = self.scheduler
        while not scheduler.is_done:
            self._start_what_can_start()
            for pool in self._pools:
                self._advance(pool)
            key = scheduler.next_output()
            if key is None:
                if self._running:  # otherwise the last input has just been asked for
                    self._wait()
                continue
            (handle,) = self._items.pop(key).pieces
            assert isinstance(handle, BlockHandle)
            yield handle
            del handle  # its memory may be needed for the next one
            scheduler.output_taken(key)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        for running in self._running.values():
            if running.stream is not None:
                running.stream.close()
        self._running.clear()
        for pool in self._pools:
            pool.close()

    def _start_what_can_start(self) -> None:
        while True:
            launch = self.scheduler.next_launch()
            if launch is not None:
                self._start(launch)
            elif self.scheduler.wants_input():
                unit = next(self._units, None)
                if unit is None:
                    self.scheduler.input_ended()
                else:
                    self.scheduler.input_arrived(self._item(unit, 0))
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
        work, refs = work_on(unit, context, is_kept=not self._budget.is_tight)
        running = self._running[launch.task] = _Running(launch.stage, context.source)
        backend = self._backends[launch.stage]
        if isinstance(backend, ActorStage):
            backend.start(launch.task, work, refs)
        else:
            running.stream = backend.start(work, refs)

    def _advance(self, pool: ActorStage) -> None:
        for task, outcome in pool.advance():
            if isinstance(outcome, Exception):
                self._failed(task, outcome)
            else:
                self._running[task].stream = outcome

    def _wait(self) -> None:
        """Take in what has happened; if nothing has, wait for the oldest task for a moment."""
        happened = False
        for task in list(self._running):
            happened |= task in self._running and self._drain(task, 0.0)
        if happened:
            return
        # Streams cannot be waited for together: after a moment look at the others again.
        for task, running in self._running.items():
            if running.stream is not None and self.scheduler.takes_from(task):
                self._drain(task, self._patience())
                return
        # The awaited one is none of these, so it waits for an actor: one that starts, because those
        # that are there take the first unit before all others.
        starting = [ref for pool in self._pools for ref in pool.starting]
        assert starting, f"nothing is under way that task {self.scheduler.awaited} waits for"
        get_executor().wait(starting, 1, _LOOK_SECONDS, False)

    def _patience(self) -> float | None:
        """How long to wait for the only task, or the oldest of several."""
        if len(self._running) > 1 or any(pool.starting for pool in self._pools):
            return _POLL_SECONDS
        return _LOOK_SECONDS if self._pools else None

    def _drain(self, task: int, timeout: float | None) -> bool:
        """Take in what a task has given by now; whether there was anything.

        Not all of it: one that gives faster than is taken must not keep others waiting, nor who
        waits for the result.
        """
        running = self._running[task]
        stream, stage = running.stream, running.stage
        if stream is None:
            return False
        backend = self._backends[stage]
        for number in range(_BLOCKS_AT_A_TIME):
            if not self.scheduler.takes_from(task) or (number and self.scheduler.has_output):
                return number > 0
            try:
                if isinstance(backend, ActorStage):
                    backend.see_begin(task, timeout)
                if running.block is None:
                    running.block = _next(stream, timeout)
                described = _next(stream, timeout)
                metadata, cost = get_executor().get([described], None)[0]
            except GetTimeout:
                return number > 0
            except StopIteration:
                if running.block is None:
                    self._done(task)
                else:  # which stands for an error then
                    self._end_with(task, running.block)
                return True
            except Exception as error:
                self._lost(task, error)
                return True
            handle = BlockHandle.of_ref(running.block, self._with_known_schema(metadata))
            running.block = None
            if isinstance(backend, ActorStage):
                backend.block_taken(task, handle.num_rows)
            self._stats[stage].add(handle.num_rows, handle.size_bytes, cost)
            self.scheduler.block_arrived(task, self._item(Unit((handle,)), stage + 1))
            timeout = 0.0
        return True

    def _with_known_schema(self, metadata: BlockMetadata) -> BlockMetadata:
        """The same, with the schema of the block before if they are equal.

        Many columns make a schema large, and each block brings one of its own.
        """
        ours, known = metadata.schema, self._schema
        if isinstance(ours, pa.Schema) and known and ours.equals(known, check_metadata=True):
            return replace(metadata, schema=known)
        self._schema = ours if isinstance(ours, pa.Schema) else known
        return metadata

    def _done(self, task: int) -> None:
        self._stats[self._running[task].stage].done += 1
        self._ended(task)
        self.scheduler.task_ended(task)

    def _end_with(self, task: int, error: ObjectRef[Any]) -> None:
        try:
            get_executor().get([error], None)
        except Exception as raised:
            self._lost(task, raised)
        else:
            raise RuntimeError("a stream ended between a block and what it is like")

    def _lost(self, task: int, error: Exception) -> None:
        """A task cannot go on; with another actor perhaps."""
        backend = self._backends[self._running[task].stage]
        again = backend.died(task, error) if isinstance(backend, ActorStage) else []
        for other in again:
            running = self._running[other]
            running.stream, running.block = None, None
        if not again:
            self._failed(task, error)

    def _failed(self, task: int, error: Exception) -> None:
        if isinstance(error, (WorkerDied, OutOfMemory)):  # of which no function tells where it was
            error.add_note(f"while it worked on {self._running[task].source}")
        self._ended(task)
        # Everything after this task is given up, so a later error comes from before it.
        self._error = error
        for other in self.scheduler.task_failed(task):
            self._ended(other)

    def _ended(self, task: int) -> None:
        """Nothing is wanted of a task any more."""
        running = self._running.pop(task)
        if running.stream is not None:
            running.stream.close()
        backend = self._backends[running.stage]
        if isinstance(backend, ActorStage):
            backend.ended(task)


def _next(stream: ObjectRefGenerator, timeout: float | None) -> ObjectRef[Any]:
    return next(stream) if timeout is None else stream.next_within(timeout)


def _max_in_flight(stage: Stage, share: Share, budget: Budget) -> int:
    if stage.compute.pool is not None:
        return share.largest * stage.compute.pool.in_flight
    # Each that has begun has a process, with what that keeps, whether it waits or not.
    return stage.compute.max_tasks or budget.cpus * (1 if budget.is_tight else _TASKS_PER_CPU)
