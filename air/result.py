"""What a run comes to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from air.checkpoint import Checkpoint
from air.errors import InvalidOption
from air.executor.extras import import_pandas
from air.executor.validation import nearest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Result:
    """The outcome of ``Trainer.fit()`` or of one trial of a ``Tuner``.

    Attributes:
        metrics: the last row of results; empty if nothing was reported.
        checkpoint: the last checkpoint; ``None`` if there is none.
        error: the exception that ended the run; ``None`` if it ended well.
        best_checkpoints: the checkpoints that were kept, each with the row that it was reported
            with, oldest first.
        path: the run's directory.
        config: what the run was configured with.
    """

    metrics: dict[str, Any]
    checkpoint: Checkpoint | None = None
    error: Exception | None = None
    _: KW_ONLY
    best_checkpoints: Sequence[tuple[Checkpoint, dict[str, Any]]] = ()
    path: str | None = None
    config: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> Result:
        """The result of the run whose directory is *path*, also of one that was cut off.

        Checkpoints are of the classes that they were reported with. The results of the trials of a
        ``Tuner`` are in its experiment: ``Tuner.restore(path, trainable).get_results()``.

        Raises:
            FileNotFoundError: there is no run of a trainer in *path*.
        """
        from air.train import journal

        directory = os.path.abspath(os.path.expanduser(os.fspath(path)))
        if not os.path.exists(os.path.join(directory, journal.PARAMS_FILE)):
            raise _no_run(directory, journal.PARAMS_FILE)
        rows, kept = journal.read(directory)
        return cls(
            metrics=rows[-1] if rows else {},
            checkpoint=kept[-1].checkpoint if kept else None,
            error=journal.read_error(directory),
            best_checkpoints=[(each.checkpoint, each.metrics) for each in kept],
            path=directory,
            config=journal.read_config(directory),
        )

    @cached_property
    def metrics_dataframe(self) -> pd.DataFrame:
        """All rows of results as a pandas DataFrame; dicts in a row become columns ``a/b``.

        Raises:
            FileNotFoundError: the run's directory is no longer there.
        """
        from air.train import journal

        pd = import_pandas("metrics_dataframe")
        if self.path is None:
            return pd.json_normalize([self.metrics], sep="/")
        if not os.path.exists(os.path.join(self.path, journal.RESULTS_FILE)):
            raise FileNotFoundError(
                f"The results of the run at {self.path} are gone: its directory was deleted or "
                "moved. Result.from_path reads them from another one."
            )
        return pd.json_normalize(journal.read(self.path)[0], sep="/")

    def get_best_checkpoint(self, metric: str, mode: str) -> Checkpoint | None:
        """Of the checkpoints that were kept, the one with the best *metric*.

        ``metric`` may be a path into nested metrics, such as ``"eval/loss"``; ``mode`` is ``"max"``
        or ``"min"``. Rows whose metric is NaN do not count; ``None`` if nothing is left.

        Raises:
            InvalidOption: another mode, or a metric that no checkpoint was reported with, or that
                is no number.
        """
        from air.train.metrics import is_number, lookup, names_in

        if mode not in ("max", "min"):
            raise InvalidOption(f"mode must be 'max' or 'min', got {mode!r}")
        scored = [
            (value, checkpoint)
            for checkpoint, metrics in self.best_checkpoints
            if (value := lookup(metrics, metric)) is not None
        ]
        if self.best_checkpoints and not scored:
            names = {name for _, metrics in self.best_checkpoints for name in names_in(metrics)}
            raise InvalidOption(
                f"No checkpoint was reported with the metric {metric!r}."
                f"{nearest(metric, names)} They have {sorted(names)}."
            )
        for value, _ in scored:
            if not is_number(value):
                raise InvalidOption(f"The metric {metric!r} is no number: it was {value!r:.80}")
        finite = [(value, checkpoint) for value, checkpoint in scored if value == value]
        if not finite:
            return None
        best = max if mode == "max" else min
        return best(finite, key=lambda pair: pair[0])[1]

    @property
    def log_dir(self) -> Path | None:
        """``path`` as a ``pathlib.Path``; its other name."""
        return None if self.path is None else Path(self.path)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.metrics.items())
        failed = f", error={self.error!r}" if self.error is not None else ""
        return f"Result({shown}, checkpoint={self.checkpoint!r}{failed}, path={self.path!r})"


def _no_run(directory: str, missing: str) -> FileNotFoundError:
    from air.train.storage import EXPERIMENT_FILE

    parent = os.path.dirname(directory)
    for experiment, what in ((directory, "an experiment"), (parent, "a trial of an experiment")):
        if os.path.exists(os.path.join(experiment, EXPERIMENT_FILE)):
            return FileNotFoundError(
                f"There is no run of a trainer at {directory}, but {what} of a Tuner: "
                f"Tuner.restore({experiment!r}, trainable).get_results() has its results."
            )
    return FileNotFoundError(
        f"There is no run at {directory}: it has no {missing}. Give the path that result.path "
        "showed."
    )
