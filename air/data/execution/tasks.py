"""Does a stage's work as tasks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from air.core.api import remote
from air.data.blocks.allocation import give_back, keep_pieces
from air.data.blocks.block import Block
from air.data.budget import Budget
from air.data.execution.shares import Share
from air.data.execution.stages import Stage
from air.data.execution.work import Work, results
from air.executor.current import get_executor
from air.executor.handles import ObjectRef, ObjectRefGenerator


def _run_stage(stage: Stage, budget: Budget, work: Work, *given: Block) -> Iterator[Any]:
    keep_pieces(budget.kept_piece_bytes)
    yield from results(stage.open(budget), work, given)
    if budget.is_tight:
        give_back()  # what lies between small pieces of memory that are kept


class TaskStage:
    """Starts a stage's work as tasks, which whoever runs them tries again if their process dies."""

    def __init__(self, stage: Stage, budget: Budget, share: Share) -> None:
        self._function = remote(_run_stage).options(
            num_returns="streaming",
            bytes_ahead=budget.ahead_bytes,
            name=f"data: {stage.name}"[:200],
            **share.options,
        )
        self._stage = get_executor().put(stage)
        self._budget = budget

    def start(self, work: Work, refs: Sequence[ObjectRef[Any]]) -> ObjectRefGenerator:
        """Work on a unit; gives what comes of it as it is made, see :func:`results`."""
        stream: ObjectRefGenerator = self._function.remote(self._stage, self._budget, work, *refs)
        return stream
