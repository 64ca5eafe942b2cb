"""What frameworks and trainers see of the workers of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from air.train.functions import TrainFunction
from air.train.session import Session
from air.train.worker import Report, WorkerInfo

FUNCTION, CONFIG = "the training function", "the config of the training function"
"""What errors call them."""

OnReport = Callable[[Report], bool]
"""Deals with a report of rank 0, and says whether to stop."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a worker stands among the others; see the getters of `air.train` for each."""

    world_rank: int
    world_size: int
    local_rank: int
    local_world_size: int
    node_rank: int


def placements_on(node_ids: Sequence[str]) -> list[Placement]:
    """Where workers stand whose nodes, in the order of their ranks, are *node_ids*."""
    nodes = list(dict.fromkeys(node_ids))
    return [
        Placement(
            world_rank=rank,
            world_size=len(node_ids),
            local_rank=node_ids[:rank].count(node),
            local_world_size=node_ids.count(node),
            node_rank=nodes.index(node),
        )
        for rank, node in enumerate(node_ids)
    ]


class WorkerGroup(Protocol):
    """What a framework's set-up and a trainer see of the workers."""

    @property
    def placements(self) -> Sequence[Placement]:
        """Of each worker, in the order of their ranks."""
        ...

    @property
    def infos(self) -> Sequence[WorkerInfo]:
        """Of each worker, in the order of their ranks."""
        ...

    def execute(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Call *function* in every worker at the same time; results in the order of ranks."""
        ...

    def execute_single(self, rank: int, function: Callable[..., Any], *args: Any) -> Any:
        """Call *function* in one worker."""
        ...

    def run(
        self,
        function: TrainFunction,
        config: dict[str, Any],
        sessions: Sequence[Session],
        on_report: OnReport,
        is_consequence: Callable[[BaseException], bool],
    ) -> None:
        """Run a training function in every worker to its end; *sessions* by rank.

        Returns when all have ended, or rank 0 has after it was told to stop. Raises what the
        first worker to fail raised; an error that *is_consequence* of another worker's failure
        gives way to that.
        """
        ...
