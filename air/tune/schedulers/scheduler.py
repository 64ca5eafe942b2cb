"""The interface of trial schedulers, and the one that lets every trial run to its end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from air.tune.search.searcher import check_mode

if TYPE_CHECKING:
    from air.tune.machine import Experiment
    from air.tune.trial import Trial


class TrialScheduler(ABC):
    """Decides on every result whether its trial goes on.

    Methods are called from the thread that called ``Tuner.fit``, never two at a time.
    ``experiment`` holds all trials (``experiment.trials``), to be read and not changed; ``trial``
    is the one in question. When an experiment is restored the scheduler hears everything again that
    was reported, in the same order, and what it then returns is ignored: its state must follow from
    what it is told, and not from the time of day.
    """

    CONTINUE: ClassVar[str] = "CONTINUE"
    STOP: ClassVar[str] = "STOP"

    def __init__(self, metric: str | None = None, mode: str | None = None) -> None:
        self.metric = metric
        self.mode = check_mode(mode)

    def set_search_properties(self, metric: str | None, mode: str | None) -> None:
        """Told once, before anything else: what to go by if the scheduler was not told itself."""
        if self.metric is None:
            self.metric = metric
        if self.mode is None:
            self.mode = check_mode(mode)

    def on_trial_add(self, experiment: Experiment, trial: Trial) -> None:
        """There is a new trial. Does nothing unless overridden."""

    @abstractmethod
    def on_trial_result(
        self, experiment: Experiment, trial: Trial, result: Mapping[str, Any]
    ) -> str:
        """Whether a trial goes on after ``result``: ``CONTINUE`` or ``STOP``.

        The result is not in ``trial`` yet.
        """

    def on_trial_complete(
        self, experiment: Experiment, trial: Trial, result: Mapping[str, Any] | None
    ) -> None:
        """A trial is over and did not fail. Does nothing unless overridden."""

    def on_trial_error(self, experiment: Experiment, trial: Trial) -> None:
        """A trial failed for good. Does nothing unless overridden."""


class FIFOScheduler(TrialScheduler):
    """Lets every trial run to its end."""

    def on_trial_result(
        self, experiment: Experiment, trial: Trial, result: Mapping[str, Any]
    ) -> str:
        return self.CONTINUE
