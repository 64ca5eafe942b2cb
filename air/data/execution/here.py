"""Runs stages in this process, one block at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from air.data.blocks.allocation import give_back
from air.data.blocks.block import Block
from air.data.blocks.handle import BlockHandle
from air.data.budget import Budget
from air.data.execution.cost import Cost
from air.data.execution.exchange.marks import Marked, described
from air.data.execution.stages import OpenStage, Stage, Unit, grouped
from air.data.execution.stats import StageStats


class Here:
    """Runs stages in this process, one block at a time."""

    def __init__(
        self, stages: Sequence[Stage], stats: Sequence[StageStats], budget: Budget
    ) -> None:
        self._stages = stages
        self._open: list[OpenStage | None] = [None] * len(stages)
        self._budget = budget
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
            context = unit.context(self.counts[position])
            self.counts[position] += 1
            for block, cost in self._opened(position).run(unit.blocks, context):
                yield self._counted(position, block, cost, unit.source)
                if self._budget.is_tight:
                    give_back()
            self._stats[position].done += 1

    def _opened(self, position: int) -> OpenStage:
        opened = self._open[position]
        if opened is None:
            opened = self._open[position] = self._stages[position].open(self._budget)
        return opened

    def _counted(
        self, position: int, given: Block | Marked, cost: Cost, source: str
    ) -> BlockHandle:
        metadata, block = described(given, source)
        handle = BlockHandle(metadata, block=block)
        self._stats[position].add(handle.num_rows, handle.size_bytes, cost)
        return handle
