"""Runs a plan: a stream of blocks, in order, made as they are asked for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator

from air.data.blocks.handle import BlockHandle
from air.data.execution.physical import gathering_of, operator_of
from air.data.execution.progress import progress
from air.data.execution.run import Run
from air.data.execution.stats import ExecutionStats
from air.data.optimizer import optimize
from air.data.plan import Node, Repartition, place_of, told_apart


def execute(
    plan: Node,
    *,
    stats: ExecutionStats | None = None,
    stay: bool = False,
    any_blocks: bool = False,
) -> Generator[BlockHandle, None, None]:
    """The blocks of *plan*, in order; none is made before it is asked for.

    Closing the iterator ends what is still running.

    Args:
        stats: filled as the plan runs.
        stay: start no tasks, as befits a worker that was given the machine to itself.
        any_blocks: whether the rows may come in other blocks, in the same order.
    """
    stats = stats or ExecutionStats()
    run = Run(operator_of, stats, stay, place_of(plan), gathering_of)
    steps = optimize(told_apart(plan))
    while any_blocks and isinstance(steps, Repartition):
        steps = steps.input
    with progress(stats), closed(run.run(steps)) as handles:
        while True:
            stats.waits = True
            handle = next(handles, None)
            stats.waits, stats.asked = False, time.monotonic()
            if handle is None:
                return
            yield handle
            del handle  # its memory may be needed for the next one


@contextlib.contextmanager
def closed(handles: Iterator[BlockHandle]) -> Iterator[Iterator[BlockHandle]]:
    """Ends *handles* in the end, if they can be."""
    try:
        yield handles
    finally:
        if isinstance(handles, Generator):
            handles.close()
