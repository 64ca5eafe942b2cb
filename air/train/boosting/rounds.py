"""Reporting round by round: which rounds have a checkpoint, and how all workers end together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from air.checkpoint import Checkpoint
from air.train.boosting.job import Job
from air.train.session import StopTraining, get_world_rank, report


@dataclass(slots=True)
class RoundReports:
    """What rank 0 reports of each round; the other workers report nothing.

    A round that is known to be the last is reported with the finished model (:meth:`finish`), so
    whether it is must be known when it ends.

    Attributes:
        keep: makes a checkpoint of a model.
        stopped: whether the run is to end. The other workers are in the middle of a round then:
            they must be told after it, so that all end together.
    """

    job: Job
    keep: Callable[[Any], Checkpoint]
    stopped: bool = False
    _unreported: dict[str, Any] | None = None
    _without_checkpoint: dict[str, Any] | None = None
    _leads: bool = field(default_factory=lambda: get_world_rank() == 0)

    def ended(self, number: int, metrics: dict[str, Any], model: Any, *, is_last: bool) -> None:
        """Round *number*, counted from 1, ended with these metrics."""
        metrics = metrics | {"training_iteration": number}
        if is_last or number == self.job.num_boost_round:
            self._unreported = metrics
        elif self._leads:
            frequency = self.job.checkpoint_frequency
            self._report(metrics, model if frequency and number % frequency == 0 else None)

    def finish(self, model: Any) -> None:
        """Report what is still to be said of the last round, with the finished model."""
        if not self._leads:
            return
        final = model if self.job.checkpoint_at_end else None
        if self._unreported is not None:
            self._report(self._unreported, final)
        elif self._without_checkpoint is not None and final is not None:
            # Stopped from outside: the round was reported before it was known to be the last.
            self._report(self._without_checkpoint, final)

    def _report(self, metrics: dict[str, Any], model: Any) -> None:
        self._without_checkpoint = metrics if model is None else None
        try:
            report(metrics, checkpoint=None if model is None else self.keep(model))
        except StopTraining:
            self.stopped = True
