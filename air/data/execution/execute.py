"""Runs a plan: a stream of blocks, in order, made as they are asked for."""

from __future__ import annotations

from collections.abc import Generator

from air.data.execution.physical import OPERATORS
from air.data.execution.run import Run
from air.data.execution.stats import ExecutionStats
from air.data.handle import BlockHandle
from air.data.optimizer import optimize
from air.data.plan import Node


def execute(
    plan: Node, *, stats: ExecutionStats | None = None, stay: bool = False
) -> Generator[BlockHandle, None, None]:
    """The blocks of *plan*, in order; none is made before it is asked for.

    Closing the iterator ends what is still running.

    Args:
        stats: filled as the plan runs.
        stay: start no tasks, as befits a worker that was given the machine to itself.
    """
    yield from Run(OPERATORS, stats or ExecutionStats(), stay).run(optimize(plan))
