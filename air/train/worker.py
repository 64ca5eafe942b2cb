"""A training worker: runs one training function and hands its reports over one by one."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, TypeVar

from air.checkpoint import Checkpoint
from air.core.runtime_context import get_runtime_context
from air.executor.current import get_executor
from air.train.functions import TrainFunction, takes_config
from air.train.session import Session, StopTraining, install

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """Where a worker is: its node, the node's address, its process."""

    node_id: str
    address: str
    pid: int

    @classmethod
    def here(cls) -> WorkerInfo:
        """Of the calling process."""
        node_id = get_runtime_context().get_node_id()
        addresses = {node.node_id: node.address for node in get_executor().nodes()}
        return cls(node_id, addresses[node_id], os.getpid())


@dataclass(frozen=True, slots=True)
class Report:
    """One call of ``report`` in a training function."""

    metrics: dict[str, Any]
    checkpoint: Checkpoint | None


class Worker:
    """The class of worker actors.

    The training function runs in a thread of its own. ``report`` there waits until the
    coordinator has dealt with the report, so the function never runs ahead of a decision to
    stop it and a checkpoint's directory stays until it has been copied. One call of
    :meth:`resume` both brings the coordinator's answer and waits for the next report: a round
    trip for each.
    """

    def __init__(self) -> None:
        self._reports: SimpleQueue[Report | BaseException | None] = SimpleQueue()
        self._answers: SimpleQueue[bool] = SimpleQueue()

    def info(self) -> WorkerInfo:
        """Where this worker is."""
        return WorkerInfo.here()

    def execute(self, function: Callable[..., T], *args: Any) -> T:
        """Call *function* in this process."""
        return function(*args)

    def begin(
        self,
        function: TrainFunction,
        config: dict[str, Any],
        session: Session,
        coordinator_node: str,
    ) -> Report | None:
        """Start *function* and wait for its first report; *session* lacks only its sink.

        ``None`` when the function has ended. Raises what the function raised.
        """
        same_node = get_runtime_context().get_node_id() == coordinator_node
        leads = session.world_rank == 0

        def sink(metrics: dict[str, Any], checkpoint: Checkpoint | None) -> None:
            if not leads:
                return
            if checkpoint is not None and checkpoint.path is not None and not same_node:
                checkpoint = checkpoint.in_memory()
            self._reports.put(Report(metrics, checkpoint))
            if self._answers.get():
                raise StopTraining

        def run() -> None:
            try:
                run_train_function(function, config, replace(session, sink=sink))
            except BaseException as error:  # it is the coordinator's to judge
                self._reports.put(error)
            else:
                self._reports.put(None)

        # The backend may keep who is running what in context variables.
        context = contextvars.copy_context()
        name = f"train-rank-{session.world_rank}"
        threading.Thread(target=context.run, args=(run,), name=name, daemon=True).start()
        return self._next_report()

    def resume(self, stop: bool) -> Report | None:
        """Answer the report before this one and wait for the next; see :meth:`begin`."""
        self._answers.put(stop)
        return self._next_report()

    def _next_report(self) -> Report | None:
        event = self._reports.get()
        if isinstance(event, BaseException):
            raise event
        return event


def run_train_function(function: TrainFunction, config: dict[str, Any], session: Session) -> None:
    """Call a training function with its session installed, until it ends or is stopped."""
    with install(session):
        try:
            function(config) if takes_config(function) else function()
        except StopTraining:
            return
