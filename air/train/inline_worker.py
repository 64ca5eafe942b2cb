"""The one worker of a backend that runs everything in one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from air.core.api import get
from air.train.failures import failure_of
from air.train.functions import TrainFunction
from air.train.session import Session, StopTraining
from air.train.sharing import share
from air.train.worker import Report, WorkerInfo, run_train_function
from air.train.worker_group import CONFIG, FUNCTION, OnReport, placements_on


class InlineWorkerGroup:
    """One worker that is the calling thread, so that a debugger stops in user code."""

    def __init__(self) -> None:
        self.infos = [WorkerInfo.here()]
        self.placements = placements_on([self.infos[0].node_id])

    def execute(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        return [function(*args)]

    def execute_single(self, rank: int, function: Callable[..., Any], *args: Any) -> Any:
        assert rank == 0
        return function(*args)

    def run(
        self,
        function: TrainFunction,
        config: dict[str, Any],
        sessions: Sequence[Session],
        on_report: OnReport,
        is_consequence: Callable[[BaseException], bool],
    ) -> None:
        # As elsewhere a worker has copies: what it does to its config is its own affair, and what
        # could not be sent to it is refused.
        function, config = get([share(function, FUNCTION), share(config, CONFIG)])
        stopped = False
        trouble: list[BaseException] = []

        def sink(metrics: dict[str, Any], checkpoint: Any) -> None:
            nonlocal stopped
            try:
                stopped = on_report(Report(metrics, checkpoint)) or stopped
            except BaseException as error:
                # Not the function's error: the function is to end, and the caller to see it.
                trouble.append(error)
                raise StopTraining from None
            if stopped:
                raise StopTraining

        (session,) = sessions
        failure = failure_of(
            lambda: run_train_function(function, config, replace(session, sink=sink)),
            getattr(function, "__qualname__", type(function).__name__),
        )
        if trouble:
            raise trouble[0]
        if failure is not None and not stopped:  # as elsewhere: the run has its results
            raise failure
