"""What an experiment comes to: the results of its trials."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from air.errors import InvalidOption
from air.executor.extras import import_pandas
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import listing, nearest
from air.result import Result
from air.train.checkpoint_classes import open_as
from air.train.metrics import flatten, is_finite, is_number, lookup, never_reported
from air.tune import journal
from air.tune.failures import TuneError, revive
from air.tune.machine import Experiment
from air.tune.restoring import rows
from air.tune.trial import Trial, TrialState

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

_SCOPES: Mapping[str, int | None] = {
    "last": 1,
    "last-5-avg": 5,
    "last-10-avg": 10,
    "avg": None,
    "all": None,
}
"""How many of the last results of a trial count; ``None`` for every one."""


@dataclass(frozen=True, repr=False)
class TrialResult(Result):
    """The result of one trial; its rows are read from the experiment's journal when asked for."""

    read_rows: Callable[[], Sequence[Row]] = field(default=tuple, compare=False)

    @functools.cached_property
    def metrics_dataframe(self) -> pd.DataFrame:
        """All rows of results as a pandas DataFrame; dicts in a row become columns ``a/b``."""
        pd = import_pandas("metrics_dataframe")
        return pd.DataFrame([dict(flatten(row)) for row in self.read_rows()])


@methods_suggest_keywords
class ResultGrid(Sequence[Result]):
    """The results of an experiment's trials, in the order in which they were proposed.

    ``grid[0]``, ``len(grid)`` and ``for result in grid`` give a ``Result`` for each trial, also for
    those that failed (``result.error``) or were not finished.
    """

    def __init__(
        self,
        experiment: Experiment,
        directory: str,
        *,
        metric: str | None = None,
        mode: str | None = None,
        errors: Mapping[str, BaseException] | None = None,
    ) -> None:
        self._experiment = experiment
        self._trials = list(experiment.trials.values())
        self._directory = directory
        self._metric = metric
        self._mode = mode
        self._errors = dict(errors or {})
        self._results: dict[int, Result] = {}

    @property
    def experiment_path(self) -> str:
        """The directory of the experiment."""
        return self._directory

    @property
    def errors(self) -> list[Exception]:
        """The exceptions of the trials that failed."""
        return [result.error for result in self if result.error is not None]

    @property
    def num_errors(self) -> int:
        """How many trials failed."""
        return self._experiment.count(TrialState.ERROR)

    @property
    def num_terminated(self) -> int:
        """How many trials ended without failing, by themselves or because they were stopped."""
        return self._experiment.count(TrialState.TERMINATED)

    def __len__(self) -> int:
        return len(self._trials)

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> list[Result]: ...

    def __getitem__(self, index: int | slice) -> Result | list[Result]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} trials, and no result {index}")
        position = range(len(self))[index]
        if position not in self._results:
            self._results[position] = self._result(self._trials[position])
        return self._results[position]

    def __iter__(self) -> Iterator[Result]:
        return (self[index] for index in range(len(self)))

    def get_best_result(
        self,
        metric: str | None = None,
        mode: str | None = None,
        scope: str = "last",
        filter_nan_and_inf: bool = True,
    ) -> Result:
        """The trial with the best ``metric``.

        ``metric`` and ``mode`` are those of the ``TuneConfig`` unless given. ``scope`` says which
        of a trial's results count: its ``"last"``, the best of ``"all"``, or the mean of all
        (``"avg"``), of the ``"last-5-avg"`` or the ``"last-10-avg"``. Of equals the first trial
        wins.

        Raises:
            InvalidOption: no metric or mode is known, the mode or scope is none of those there
                are, the metric was never reported (names those that were) or is no number.
            TuneError: no trial has a result whose metric is finite. With
                ``filter_nan_and_inf=False`` infinite values count, and NaN counts as the worst.
        """
        metric, mode = self._objective(metric, mode)
        if scope not in _SCOPES:
            raise InvalidOption(
                f"scope must be one of {listing(_SCOPES)}, got {scope!r}.{nearest(scope, _SCOPES)}"
            )
        self._check_reported(metric)
        sign = 1.0 if mode == "max" else -1.0
        best: tuple[float, int] | None = None
        for position, trial in enumerate(self._trials):
            score = self._score(trial, metric, sign, scope, filter_nan_and_inf)
            if score is not None and (best is None or score > best[0]):
                best = (score, position)
        if best is None:
            raise TuneError(
                f"No trial has a finite value of {metric!r}: all were NaN or infinite"
                f"{'' if scope == 'last' else f' (scope {scope!r})'}. Their results are in "
                "get_dataframe(); filter_nan_and_inf=False lets such values count."
            )
        return self[best[1]]

    def get_dataframe(
        self, filter_metric: str | None = None, filter_mode: str | None = None
    ) -> pd.DataFrame:
        """A pandas DataFrame with a row for each trial: metrics, and the configuration as
        ``config/...``.

        The row is a trial's last result; with ``filter_metric`` and ``filter_mode``, the one that
        is best by that metric. A trial without results has only its id and configuration.

        Raises ``InvalidOption`` as ``get_best_result`` does.
        """
        pd = import_pandas("get_dataframe")
        if filter_mode is not None and filter_metric is None:
            raise InvalidOption("get_dataframe: filter_mode goes with filter_metric.")
        if filter_metric is not None:
            filter_metric, filter_mode = self._objective(filter_metric, filter_mode)
            self._check_reported(filter_metric)
        frame = []
        for trial in self._trials:
            row = trial.last_result or {}
            if filter_metric is not None:
                row = _best_row(self._rows(trial), filter_metric, filter_mode) or row
            frame.append(
                {
                    **dict(flatten(row)),
                    "trial_id": trial.trial_id,
                    **dict(flatten(trial.config, "config/")),
                }
            )
        return pd.DataFrame(frame)

    def __repr__(self) -> str:
        return (
            f"ResultGrid({len(self)} trials: {self.num_terminated} terminated, "
            f"{self.num_errors} failed; {self._directory!r})"
        )

    def _result(self, trial: Trial) -> Result:
        error: BaseException | None = None
        if trial.state is TrialState.ERROR and trial.failure is not None:
            error = self._errors.get(trial.trial_id)
            if not isinstance(error, Exception):
                error = revive(trial.failure)
        kept = [
            (open_as(saved.kind, path), saved.metrics)
            for saved in trial.checkpoints
            if os.path.isdir(path := os.path.join(self._directory, saved.path))
        ]
        return TrialResult(
            metrics=dict(trial.last_result or {}),
            checkpoint=kept[-1][0] if kept else None,
            error=error if isinstance(error, Exception) else None,
            best_checkpoints=kept,
            path=os.path.join(self._directory, trial.name),
            config=trial.config,
            read_rows=functools.partial(self._rows, trial),
        )

    @functools.cached_property
    def _all_rows(self) -> dict[str, list[Row]]:
        path = os.path.join(self._directory, journal.FILE_NAME)
        return rows(list(journal.read(path)), self._experiment.limits)

    def _rows(self, trial: Trial) -> list[Row]:
        return self._all_rows.get(trial.trial_id, [])

    def _objective(self, metric: str | None, mode: str | None) -> tuple[str, str]:
        # A mode of the TuneConfig says how its own metric is meant, and no other.
        if self._metric is None or metric in (None, self._metric):
            mode = mode or self._mode
        metric = metric or self._metric
        if metric is None:
            raise InvalidOption(
                "There is no metric to go by: give one, get_best_result(metric=..., mode=...), or "
                "set it in TuneConfig."
            )
        if mode not in ("min", "max"):
            given = "it is not given" if mode is None else f"got {mode!r}"
            raise InvalidOption(
                f'mode must be "min" or "max", whichever is good for {metric!r}; {given}.'
            )
        return metric, mode

    def _check_reported(self, metric: str) -> None:
        results = [trial.last_result for trial in self._trials if trial.last_result is not None]
        if not results:
            raise TuneError(
                f"None of the {len(self)} trials has reported anything; {self._failures()}."
            )
        if any(lookup(result, metric) is not None for result in results):
            return
        # Not in the last results: only in earlier ones, if anywhere.
        found = [row for of_trial in self._all_rows.values() for row in of_trial]
        if not any(lookup(row, metric) is not None for row in found):
            names = {name for row in (*found, *results) for name, _ in flatten(row)}
            raise InvalidOption(never_reported(metric, names))

    def _failures(self) -> str:
        """How many trials failed, and why the first one did."""
        first = next((trial.failure for trial in self._trials if trial.failure is not None), None)
        if first is None:
            return "none failed"
        why = f"{first.kind}: {first.message}".partition("\n")[0]
        return f"{self.num_errors} failed, the first with {why} (see errors)"

    def _score(
        self, trial: Trial, metric: str, sign: float, scope: str, finite_only: bool
    ) -> float | None:
        """What a trial is ranked by, higher is better; ``None`` if it is out of the running."""
        found = [trial.last_result or {}] if scope == "last" else self._rows(trial)
        values = [value for row in found if (value := lookup(row, metric)) is not None]
        for value in values:
            if not is_number(value):
                raise InvalidOption(
                    f"The metric {metric!r} is no number: trial {trial.name} reported {value!r}"
                )
        count = _SCOPES[scope]
        scores = [sign * float(value) for value in (values[-count:] if count else values)]
        if finite_only:
            scores = [score for score in scores if math.isfinite(score)]
        if not scores:
            return None
        ranked = [-math.inf if math.isnan(score) else score for score in scores]
        return max(ranked) if scope == "all" else sum(ranked) / len(ranked)


def _best_row(found: Sequence[Row], metric: str, mode: str | None) -> Row | None:
    finite = [row for row in found if is_finite(lookup(row, metric))]
    if not finite:
        return None
    best = max if mode == "max" else min
    return best(finite, key=lambda row: lookup(row, metric))
