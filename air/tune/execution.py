"""One attempt at a trial, in the process that it runs in: the call of the user's function.

The function's reports become ``Report``s, complete rows with their checkpoint on disk, and go to an
``emit`` function that says whether the trial is to stop.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from air.checkpoint import Checkpoint
from air.train.checkpoint_classes import class_of, open_as
from air.train.metrics import ITERATION
from air.train.reports import checked
from air.train.session import Session, StopTraining, install

TrialFunction: TypeAlias = Callable[[dict[str, Any]], Any]
"""What runs a trial: takes its configuration, calls ``air.train.report``, may return a dict."""

_CHECKPOINT = re.compile(r"checkpoint_(\d{6,})")
_UNFINISHED_CHECKPOINT = re.compile(r"\.checkpoint_\d{6,}\..+")


class TrialSpec(msgspec.Struct, frozen=True):
    """What the process of a trial needs to know about it.

    ``checkpoint`` is the path to go on from, ``checkpoint_class`` its class where that is not the
    plain one; ``last_result`` is the row that came with it. ``bundles`` are the resources reserved
    for the trial.
    """

    trial_id: str
    name: str
    experiment_name: str
    experiment_dir: str
    config: dict[str, Any]
    bundles: Sequence[Mapping[str, float]]
    checkpoint: str | None = None
    last_result: dict[str, Any] | None = None
    checkpoint_class: str | None = None

    @property
    def directory(self) -> str:
        """The trial's own directory, which exists once something was put into it."""
        return os.path.join(self.experiment_dir, self.name)


class Report(msgspec.Struct, frozen=True):
    """A row of results; see ``air.tune.events.Reported``.

    ``is_last`` says that the function has returned: nothing comes after this.
    """

    metrics: dict[str, Any]
    checkpoint: str | None
    amends: bool
    is_last: bool = False
    checkpoint_class: str | None = None


Emit: TypeAlias = Callable[[Report], bool]
"""Takes a report; returns whether the trial is to stop."""


def run_trial(function: TrialFunction, spec: TrialSpec, emit: Emit) -> None:
    """Call ``function`` and emit its reports; a dict that it returns is one more.

    Returns when the function has ended, also where it was told to stop. Raises what it raises,
    and ``TypeError`` if it returns anything but a dict or ``None``.
    """
    sink = _Sink(spec, emit)
    session = Session(
        sink=sink,
        checkpoint=open_as(spec.checkpoint_class, spec.checkpoint) if spec.checkpoint else None,
        trial_id=spec.trial_id,
        trial_name=spec.name,
        trial_dir=spec.directory,
        trial_resources=spec.bundles,
        experiment_name=spec.experiment_name,
    )
    with install(session):
        try:
            final = function(spec.config)
            if final is None:
                return
            if not isinstance(final, Mapping):
                raise TypeError(
                    "A trainable returns None or a dict of metrics, but this one returned "
                    f"{final!r}. Return {{'score': ...}}, or report with air.train.report."
                )
            sink.report(checked(final), None, is_last=True)
        except StopTraining:
            return


class _Sink:
    """Makes rows of what the function reports, and puts its checkpoints where they stay."""

    def __init__(self, spec: TrialSpec, emit: Emit) -> None:
        last = spec.last_result or {}
        self._spec = spec
        self._emit = emit
        self._row: dict[str, Any] | None = None
        self._iteration: int = last.get(ITERATION, 0)
        self._now = time.time()
        self._began = self._now - last.get("time_total_s", 0.0)
        self._next_checkpoint: int | None = None

    def __call__(self, metrics: dict[str, Any], checkpoint: Checkpoint | None) -> None:
        self.report(metrics, checkpoint, is_last=False)

    def report(
        self, metrics: dict[str, Any], checkpoint: Checkpoint | None, *, is_last: bool
    ) -> None:
        # A trainer may add to the row that it has just reported, such as the last checkpoint.
        amends = self._row is not None and metrics.get(ITERATION) == self._row[ITERATION]
        row = self._with_automatic(metrics)
        if amends:
            row = (self._row or {}) | row
        self._row, self._iteration = row, row[ITERATION]
        path = kind = None
        if checkpoint is not None:
            path, kind = self._store(checkpoint), class_of(checkpoint)
        if self._emit(Report(row, path, amends, is_last, kind)):
            raise StopTraining

    def _with_automatic(self, metrics: dict[str, Any]) -> dict[str, Any]:
        before, self._now = self._now, time.time()
        return {
            ITERATION: self._iteration + 1,
            **metrics,
            "trial_id": self._spec.trial_id,
            "timestamp": int(self._now),
            "time_this_iter_s": self._now - before,
            "time_total_s": self._now - self._began,
        }

    def _store(self, checkpoint: Checkpoint) -> str:
        """Write ``checkpoint`` into the trial's directory; returns its path in the experiment's."""
        if self._next_checkpoint is None:
            self._next_checkpoint = 1 + max(_numbers(self._spec.directory), default=-1)
        path = os.path.join(self._spec.name, f"checkpoint_{self._next_checkpoint:06d}")
        checkpoint.to_directory(os.path.join(self._spec.experiment_dir, path))
        self._next_checkpoint += 1
        return path


def delete_unfinished(directory: str) -> None:
    """Delete checkpoints in a trial's directory whose writer was killed half-way."""
    if not os.path.isdir(directory):
        return
    for name in os.listdir(directory):
        if _UNFINISHED_CHECKPOINT.fullmatch(name):
            shutil.rmtree(os.path.join(directory, name), ignore_errors=True)


def delete_strays(directory: str, known: Sequence[str]) -> None:
    """Delete checkpoints in a trial's directory that are unfinished, or not ``known``.

    They are there if the experiment was killed after a checkpoint was written and before it was
    recorded, or before a superfluous one was gone.
    """
    delete_unfinished(directory)
    if not os.path.isdir(directory):
        return
    kept = {os.path.basename(path) for path in known}
    for name in os.listdir(directory):
        if _CHECKPOINT.fullmatch(name) and name not in kept:
            shutil.rmtree(os.path.join(directory, name))


def _numbers(directory: str) -> list[int]:
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return [int(match.group(1)) for name in names if (match := _CHECKPOINT.fullmatch(name))]
