"""The interface of search algorithms: who proposes the configurations of an experiment."""

from __future__ import annotations

import os
import pickle
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar


def check_mode(mode: str | None) -> str | None:
    """``mode``, if it is "min", "max" or ``None``; raises ``ValueError`` otherwise."""
    if mode not in (None, "min", "max"):
        raise ValueError(f'mode must be "min" or "max", got {mode!r}.')
    return mode


class Searcher(ABC):
    """Proposes configurations, and hears how they fared.

    All methods are called from the thread that called ``Tuner.fit``, never two at a time. The order
    is: ``set_search_properties`` once; then for every trial ``suggest``, any number of
    ``on_trial_result``, and ``on_trial_complete`` once; trials overlap. When an experiment is
    restored,
    ``set_state`` comes right after ``set_search_properties``, with the last state that was
    recorded, and then once more everything that happened since. A searcher that has no state to
    record is asked and told all of it again, and what it suggests in the course of that is not
    used.

    An exception of any method ends the experiment, which can be restored.
    """

    FINISHED: ClassVar[str] = "FINISHED"
    """What ``suggest`` returns when there will be no more configurations."""

    def __init__(self, metric: str | None = None, mode: str | None = None) -> None:
        self._metric = metric
        self._mode = check_mode(mode)

    @property
    def metric(self) -> str | None:
        """The metric to optimize: the searcher's own, or that of the ``TuneConfig``."""
        return self._metric

    @property
    def mode(self) -> str | None:
        """``"min"`` or ``"max"``."""
        return self._mode

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], *, num_samples: int
    ) -> bool:
        """Told once, before anything else, what the experiment is about.

        ``config`` is the ``param_space``. A searcher that takes its domains from there returns
        True: what it then suggests are whole configurations. One that brings its own space returns
        False (this method's default), and its suggestions are laid over the ``param_space``, which
        may then hold constants only. ``metric`` and ``mode`` are used where the searcher has none
        of its own.
        """
        if self._metric is None:
            self._metric = metric
        if self._mode is None:
            self._mode = check_mode(mode)
        return False

    def total_trials(self, num_samples: int) -> int | None:
        """How many trials ``num_samples`` stands for; ``None`` without a limit (-1 samples)."""
        return None if num_samples == -1 else num_samples

    @abstractmethod
    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The configuration of a new trial.

        ``None`` means "not now": asked again when a result has come in. ``Searcher.FINISHED`` means
        that there are no more.
        """

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """A trial reported ``result``. Does nothing unless overridden."""

    @abstractmethod
    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """A trial ended; ``result`` is its last one, ``None`` if there was none.

        ``error`` says that the trial failed for good. A trial that is tried again is not complete.
        """

    def get_state(self) -> dict[str, Any]:
        """What ``set_state`` needs in order to go on from here; picklable.

        Taken after every suggestion and written to the journal of the experiment, so it must be
        small; an algorithm with a large state keeps that in a file of its own. Empty unless
        overridden.
        """
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``. Does nothing unless overridden."""

    def save(self, checkpoint_path: str | os.PathLike[str]) -> None:
        """Write the state to a file, which appears whole or not at all."""
        target = Path(checkpoint_path)
        partial = target.with_name(f".{target.name}.partial")
        partial.write_bytes(pickle.dumps(self.get_state()))
        partial.replace(target)

    def restore(self, checkpoint_path: str | os.PathLike[str]) -> None:
        """Go on from a file that ``save`` wrote; ``FileNotFoundError`` if it is not there."""
        self.set_state(pickle.loads(Path(checkpoint_path).read_bytes()))
