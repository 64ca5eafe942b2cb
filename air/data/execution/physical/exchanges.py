"""Computes the steps for which every block may need rows of every other."""

from __future__ import annotations

import time
from collections.abc import Iterator

from air.data.execution import exchange
from air.data.execution.run import Run
from air.data.handle import BlockHandle
from air.data.plan import RandomShuffle, Repartition


def repartition(run: Run, node: Repartition, _limit: int | None) -> Iterator[BlockHandle]:
    """Blocks of equal size."""
    return exchange.repartition(run.run(node.input), node.blocks, run.over_units)


def random_shuffle(run: Run, node: RandomShuffle, _limit: int | None) -> Iterator[BlockHandle]:
    """All rows in an order that the seed decides."""
    handles = list(run.run(node.input))
    if not handles:
        return
    (stats,) = run.stats.begin([node.name])
    started = time.perf_counter()
    parts = node.blocks or max(sum(handle.num_rows > 0 for handle in handles), 1)
    if run.stays_here(sum(handle.size_bytes for handle in handles)):
        shuffled = exchange.shuffle_here(handles, node.seed, parts)
    else:
        shuffled = exchange.shuffle_on_tasks(handles, node.seed, parts)
    for handle in shuffled:
        stats.add(handle.num_rows, handle.size_bytes, time.perf_counter() - started)
        yield handle
        started = time.perf_counter()
