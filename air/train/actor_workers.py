"""Workers that are actors."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from air.core.api import get, wait
from air.core.runtime_context import get_runtime_context
from air.executor.handles import ActorHandle, ObjectRef
from air.train.functions import TrainFunction
from air.train.session import Session
from air.train.sharing import share
from air.train.worker_group import CONFIG, FUNCTION, OnReport, placements_on

logger = logging.getLogger(__name__)

STOP_GRACE_S = 10.0
"""How long rank 0 may go on reporting after it was told to stop, before all workers are ended."""

CONSEQUENCE_GRACE_S = 5.0
"""How long to wait for the failure that another worker's failure looks like a consequence of."""


class ActorWorkerGroup:
    """Workers that are actors; see :class:`~air.train.worker_group.WorkerGroup`."""

    def __init__(self, actors: Sequence[ActorHandle]) -> None:
        infos = get([actor.info.remote() for actor in actors])
        nodes = list(dict.fromkeys(info.node_id for info in infos))
        # Neighbours in rank share a node, so that collectives in a ring cross the network least.
        order = sorted(range(len(actors)), key=lambda i: nodes.index(infos[i].node_id))
        self._actors = [actors[i] for i in order]
        self.infos = [infos[i] for i in order]
        self.placements = placements_on([info.node_id for info in self.infos])

    def execute(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        results: list[Any] = get([a.execute.remote(function, *args) for a in self._actors])
        return results

    def execute_single(self, rank: int, function: Callable[..., Any], *args: Any) -> Any:
        return get(self._actors[rank].execute.remote(function, *args))

    def run(
        self,
        function: TrainFunction,
        config: dict[str, Any],
        sessions: Sequence[Session],
        on_report: OnReport,
        is_consequence: Callable[[BaseException], bool],
    ) -> None:
        here = get_runtime_context().get_node_id()
        shared = share(function, FUNCTION), share(config, CONFIG)
        steps = {
            self._actors[rank].begin.remote(*shared, replace(session, sink=_unset_sink), here): rank
            for rank, session in enumerate(sessions)
        }
        stopped = False
        overdue_at: float | None = None
        while steps:
            ready, _ = wait(list(steps), num_returns=1)
            rank = steps.pop(ready[0])
            try:
                report = get(ready[0])
            except Exception as error:
                if stopped:
                    # The others were left behind by the stop, or rank 0 failed to clean up
                    # after it; the run has its results.
                    logger.debug("worker %d failed after the run was stopped", rank, exc_info=True)
                    report = None
                else:
                    self._raise_cause(error, rank, steps, is_consequence)
            if report is not None:
                if stopped:
                    # It may do so once, to give the last checkpoint. More often it does where an
                    # "except" of the training function holds StopTraining up.
                    overdue_at = overdue_at or time.monotonic() + STOP_GRACE_S
                    if time.monotonic() > overdue_at:
                        return
                stopped = on_report(report) or stopped
                steps[self._actors[rank].resume.remote(stopped)] = rank
            elif stopped and rank == 0:
                return

    def _raise_cause(
        self,
        error: Exception,
        rank: int,
        steps: Mapping[ObjectRef[Any], int],
        is_consequence: Callable[[BaseException], bool],
    ) -> None:
        """Raise *error*, or what caused it, with the rank of the worker noted on it."""
        deadline = time.monotonic() + CONSEQUENCE_GRACE_S
        others = dict(steps)
        while others and is_consequence(error):
            ready, _ = wait(list(others), timeout=max(0, deadline - time.monotonic()))
            if not ready:
                break
            other = others.pop(ready[0])
            try:
                get(ready[0])
            except Exception as cause:
                if not is_consequence(cause):
                    error, rank = cause, other
        error.add_note(f"(raised in training worker {rank} of {len(self._actors)})")
        raise error


def _unset_sink(metrics: dict[str, Any], checkpoint: Any) -> None:
    raise AssertionError("the worker sets the sink")
