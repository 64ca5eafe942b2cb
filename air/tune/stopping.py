"""When trials and experiments end early, by ``RunConfig.stop``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from air.config import StopCriterion
from air.train.stopping import should_stop


class Stopper(ABC):
    """A stop criterion that can also end the whole experiment; for ``RunConfig.stop``."""

    @abstractmethod
    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the trial ends with this result."""

    @abstractmethod
    def stop_all(self) -> bool:
        """Whether the experiment is to end; asked after every result."""


class StopRule:
    """``RunConfig.stop``, whatever its kind."""

    def __init__(self, criterion: StopCriterion | None) -> None:
        self._criterion = criterion

    def stops_trial(self, trial_id: str, metrics: Mapping[str, Any]) -> bool:
        """Whether a trial ends with this result.

        Raises ``InvalidOption`` if the rule names a metric that is not in it.
        """
        return should_stop(self._criterion, trial_id, dict(metrics))

    def stops_experiment(self) -> bool:
        """Whether the experiment is to end."""
        return isinstance(self._criterion, Stopper) and bool(self._criterion.stop_all())
