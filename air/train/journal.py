"""The directory of a run: its results row by row, its checkpoints, its parameters.

::

    XGBoostTrainer_2026-11-22_20-30-12/
        params.json         what the run was configured with
        result.json         a line for each report, and the class of its checkpoint
        checkpoint_000000/  a directory for each checkpoint that is kept
        error.txt, error.pkl    if it failed: the traceback, and the exception where it pickles
"""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import shutil
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from typing import Any

from air._files import write_whole
from air.checkpoint import Checkpoint
from air.config import CheckpointConfig
from air.errors import InvalidOption
from air.executor.validation import listing, nearest
from air.train.checkpoint_classes import class_of, open_as
from air.train.metrics import ITERATION, is_number, lookup, names_in

PARAMS_FILE = "params.json"
RESULTS_FILE = "result.json"
ERROR_FILE = "error.pkl"
ERROR_TEXT_FILE = "error.txt"
CHECKPOINT_COLUMN = "checkpoint_dir_name"
_CLASS_COLUMN = "_checkpoint_class"  # on disk only

_CHECKPOINT_NAME = "checkpoint_{:06d}"
_CHECKPOINT_PATTERN = re.compile(r"checkpoint_\d{6,}")


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A checkpoint on disk, and the row that it was reported with."""

    checkpoint: Checkpoint
    metrics: dict[str, Any]


class ResultJournal:
    """Writes a run's directory as the reports come in, and deletes superfluous checkpoints.

    What is on disk is complete after every report: a checkpoint appears by a rename, and before
    the row that names it.
    """

    def __init__(
        self,
        path: str,
        *,
        config: Mapping[str, Any],
        checkpoint_config: CheckpointConfig,
        trial_id: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.path = path
        self.trial_id = trial_id
        self.rows: list[dict[str, Any]] = []
        self.kept: list[KeptCheckpoint] = []
        self._checkpoint_config = checkpoint_config
        self._next_checkpoint = 0
        self._classes: dict[str, str] = {}
        self._clock = clock
        self._started = self._last_report = clock()
        write_whole(os.path.join(path, PARAMS_FILE), _encoded(dict(config), max_bytes=8192))
        self._results = _opened(path)

    @classmethod
    def gone_on_with(
        cls,
        path: str,
        *,
        config: Mapping[str, Any],
        checkpoint_config: CheckpointConfig,
        trial_id: str,
        clock: Callable[[], float] = time.time,
    ) -> ResultJournal:
        """The journal of a run that was cut off, with its rows up to the last checkpoint.

        Args:
            trial_id: for one that has reported nothing yet.
        """
        rows, kept = read(path)
        own_id = rows[-1]["trial_id"] if rows else trial_id
        journal = cls(
            path, config=config, checkpoint_config=checkpoint_config, trial_id=own_id, clock=clock
        )
        journal.rows, journal.kept = rows, kept
        for each in kept:
            name = each.metrics[CHECKPOINT_COLUMN]
            kind = class_of(each.checkpoint)
            if kind is not None:
                journal._classes[name] = kind
        numbers = [int(name.rpartition("_")[2]) for name in _checkpoints_in(path)]
        journal._next_checkpoint = max(numbers, default=-1) + 1
        journal.rewind()
        if journal.rows:
            journal._started -= journal.rows[-1]["time_total_s"]
        for name in (ERROR_FILE, ERROR_TEXT_FILE):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(path, name))
        return journal

    @property
    def metrics(self) -> dict[str, Any]:
        """The last row; empty before the first report."""
        return dict(self.rows[-1]) if self.rows else {}

    @property
    def latest_checkpoint(self) -> Checkpoint | None:
        """The checkpoint of the last report that had one."""
        return self.kept[-1].checkpoint if self.kept else None

    def record(self, metrics: Mapping[str, Any], checkpoint: Checkpoint | None) -> dict[str, Any]:
        """Add a row, copy its checkpoint into the directory, and return the row as written.

        A report for the ``training_iteration`` that the last row has already adds to that row:
        so a checkpoint can follow its metrics.
        """
        row = self._row(metrics)
        row.pop(CHECKPOINT_COLUMN, None)  # of another run, whose row was passed on
        follows = bool(self.rows) and metrics.get(ITERATION) == self.rows[-1][ITERATION]
        if follows:
            row = self.rows[-1] | row
        if checkpoint is not None:
            self._check_score(row)
            name = _CHECKPOINT_NAME.format(self._next_checkpoint)
            path = checkpoint.to_directory(os.path.join(self.path, name))
            self._next_checkpoint += 1
            row[CHECKPOINT_COLUMN] = name
            kept = type(checkpoint).from_directory(path)
            if (kind := class_of(checkpoint)) is not None:
                self._classes[name] = kind
        if follows:
            self.rows[-1] = row
            self._rewrite()
        else:
            self._append(self._line(row))
            self.rows.append(row)
        if checkpoint is not None:
            self.kept.append(KeptCheckpoint(kept, row))
            self._delete_superfluous()
        return dict(row)

    def rewind(self) -> None:
        """Forget the rows after the last checkpoint, from which the run goes on after a failure."""
        last = self.kept[-1].metrics[CHECKPOINT_COLUMN] if self.kept else None
        while self.rows and (last is None or self.rows[-1].get(CHECKPOINT_COLUMN) != last):
            self.rows.pop()
        self._rewrite()

    def record_error(self, error: BaseException) -> None:
        """Keep the exception that ended the run."""
        import cloudpickle

        text = "".join(traceback.format_exception(error))
        write_whole(os.path.join(self.path, ERROR_TEXT_FILE), text.encode())
        try:
            content = cloudpickle.dumps(error)
        except Exception:  # an exception may hold anything, and the text is there in any case
            return
        write_whole(os.path.join(self.path, ERROR_FILE), content)

    def close(self) -> None:
        """Close the files. Nothing can be recorded afterwards."""
        self._results.close()

    def discard(self) -> None:
        """Close, and take back what was written of a run that never was.

        The directory goes too, unless the training function has put something there.
        """
        self.close()
        for name in (PARAMS_FILE, RESULTS_FILE):
            os.unlink(os.path.join(self.path, name))
        with suppress(OSError):  # it is not empty
            os.rmdir(self.path)

    def _row(self, metrics: Mapping[str, Any]) -> dict[str, Any]:
        now = self._clock()
        iteration = self.rows[-1][ITERATION] + 1 if self.rows else 1
        row = {
            ITERATION: iteration,
            **metrics,
            "trial_id": self.trial_id,
            "timestamp": int(now),
            "time_this_iter_s": now - self._last_report,
            "time_total_s": now - self._started,
        }
        self._last_report = now
        return row

    def _rewrite(self) -> None:
        self._results.close()
        path = os.path.join(self.path, RESULTS_FILE)
        write_whole(path, b"".join(map(self._line, self.rows)))
        self._results = _opened(self.path)

    def _append(self, line: bytes) -> None:
        """Add a whole line, or (a full disk) nothing of it."""
        end = os.fstat(self._results.fileno()).st_size
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[self._results.write(rest) :]
        except OSError:
            self._results.truncate(end)
            raise

    def _line(self, row: dict[str, Any]) -> bytes:
        kind = self._classes.get(row.get(CHECKPOINT_COLUMN, ""))
        return _encoded(row if kind is None else {**row, _CLASS_COLUMN: kind})

    def _check_score(self, row: Mapping[str, Any]) -> None:
        score = self._checkpoint_config.checkpoint_score_attribute
        if score is not None and lookup(row, score) is None:
            names = names_in(row)
            raise InvalidOption(
                f"CheckpointConfig.checkpoint_score_attribute names the metric {score!r}, which "
                f"was not reported with the checkpoint.{nearest(score, names)} "
                f"Reported were {listing(names, limit=20)}."
            )

    def _delete_superfluous(self) -> None:
        limit = self._checkpoint_config.num_to_keep
        if limit is None:
            return
        best = best_first(self.kept, self._checkpoint_config)[:limit]
        stays = {each.checkpoint.path for each in [*best, self.kept[-1]]}
        for each in self.kept:
            if each.checkpoint.path is not None and each.checkpoint.path not in stays:
                shutil.rmtree(each.checkpoint.path)
        self.kept = [each for each in self.kept if each.checkpoint.path in stays]


def _checkpoints_in(path: str) -> list[str]:
    """The directories of checkpoints in that of a run, whether a row names them or not."""
    return [name for name in os.listdir(path) if _CHECKPOINT_PATTERN.fullmatch(name)]


def _opened(path: str) -> FileIO:
    """The file of results in the directory *path*, to add to; without a buffer of its own."""
    return open(os.path.join(path, RESULTS_FILE), "ab", buffering=0)


def best_first(kept: list[KeptCheckpoint], config: CheckpointConfig) -> list[KeptCheckpoint]:
    """The checkpoints by their score, the best first; without a score the newest first.

    A score that is NaN, or no number, counts as the worst.
    """
    newest_first = kept[::-1]
    score = config.checkpoint_score_attribute
    if score is None:
        return newest_first
    sign = -1 if config.checkpoint_score_order == "max" else 1

    def rank(each: KeptCheckpoint) -> tuple[bool, float]:
        value = lookup(each.metrics, score)
        if not is_number(value) or math.isnan(value):
            return (True, 0.0)
        return (False, sign * value)

    return sorted(newest_first, key=rank)


def read(path: str) -> tuple[list[dict[str, Any]], list[KeptCheckpoint]]:
    """The rows of the run in the directory *path*, and its checkpoints that are there.

    Both the oldest first. The row of an unfinished last line is left out.
    """
    rows, kept = [], []
    for line in _whole_lines(os.path.join(path, RESULTS_FILE)):
        row = json.loads(line)
        kind = row.pop(_CLASS_COLUMN, None)
        rows.append(row)
        name = row.get(CHECKPOINT_COLUMN)
        if isinstance(name, str) and _CHECKPOINT_PATTERN.fullmatch(name):
            directory = os.path.join(path, name)
            if os.path.isdir(directory):
                kept.append(KeptCheckpoint(open_as(kind, directory), row))
    return rows, kept


def _whole_lines(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            return [line for line in file if line.endswith(b"\n")]
    except FileNotFoundError:
        return []


def read_config(path: str) -> dict[str, Any]:
    """The parameters of the run in the directory *path*."""
    try:
        with open(os.path.join(path, PARAMS_FILE), "rb") as file:
            config: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return {}
    return config


def read_error(path: str) -> Exception | None:
    """The exception that ended the run in the directory *path*; ``None`` if none did."""
    try:
        with open(os.path.join(path, ERROR_TEXT_FILE), encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return None
    try:
        with open(os.path.join(path, ERROR_FILE), "rb") as file:
            error = pickle.load(file)
    except Exception:  # it is not there, or its class is not: then the text has to do
        return RuntimeError(text)
    return error if isinstance(error, Exception) else RuntimeError(text)


def _encoded(value: dict[str, Any], *, max_bytes: float = math.inf) -> bytes:
    """A line of JSON; arrays larger than *max_bytes* are only described."""

    def plain(value: Any) -> Any:
        # numpy's and torch's numbers and arrays
        if hasattr(value, "tolist") and getattr(value, "nbytes", 0) <= max_bytes:
            return value.tolist()
        return repr(value)

    return json.dumps(_with_text_keys(value), default=plain).encode() + b"\n"


def _with_text_keys(value: Any) -> Any:
    """*value* with every key of its dicts as text, which is all that JSON has."""
    if isinstance(value, Mapping):
        return {
            key if isinstance(key, str) else repr(key): _with_text_keys(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_with_text_keys(item) for item in value]
    return value
