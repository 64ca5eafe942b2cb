"""The directory of an experiment: begun anew, found again, or given up."""

from __future__ import annotations

import logging
import os
import secrets
import time
from contextlib import suppress

from air.config import RunConfig
from air.train.storage import new_run_directory, or_nothing, run_before
from air.tune import journal
from air.tune.events import JOURNAL_VERSION, Opened
from air.tune.execution import delete_strays
from air.tune.failures import TuneError
from air.tune.journal import Journal
from air.tune.machine import Experiment
from air.tune.trial import Limits

logger = logging.getLogger(__name__)


def begin(trainable: str, config: RunConfig, settings: bytes) -> tuple[Opened, Journal]:
    """Make the directory and the journal of a new experiment.

    It bears ``RunConfig.name``, with a number where that is taken: nothing is overwritten.
    """
    name = config.name or f"{trainable}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    directory = new_run_directory(config.storage_dir, name)
    opened = Opened(
        version=JOURNAL_VERSION,
        experiment_id=secrets.token_hex(4),
        name=os.path.basename(directory),
        trainable=trainable,
        created=time.time(),
        settings=settings,
    )
    with or_nothing(directory):
        book = Journal.create(directory, opened)
    _mention_unfinished(run_before(directory, name), directory)
    return opened, book


def discard(book: Journal) -> None:
    """Take back what was written of an experiment that never was.

    Directories in which a trainable has put something stay.
    """
    book.close()
    directory = os.path.dirname(book.path)
    os.unlink(book.path)
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        delete_strays(path, known=())
        with suppress(OSError):  # it is not empty, or no directory
            os.rmdir(path)
    with suppress(OSError):
        os.rmdir(directory)


def replay(directory: str, limits: Limits | None = None) -> tuple[Experiment, Opened]:
    """The experiment in *directory* as its journal has it, whether or not it is running.

    Raises ``FileNotFoundError`` if there is none, ``JournalDamaged`` if it cannot be read.
    """
    if not journal.exists(directory):
        if not os.path.isdir(directory):
            raise FileNotFoundError(f"There is no experiment at {directory}: no such directory.")
        raise FileNotFoundError(
            f"There is no experiment at {directory}: it has no {journal.FILE_NAME}. Give the path "
            "that ResultGrid.experiment_path showed."
        )
    path = os.path.join(directory, journal.FILE_NAME)
    experiment = Experiment.replay(journal.read(path), limits or Limits())
    return experiment, opening_of(experiment, directory)


def opening_of(experiment: Experiment, directory: str) -> Opened:
    """The first event of an experiment; raises ``TuneError`` if there is none."""
    if experiment.opened is None:
        raise TuneError(f"The journal in {directory} is empty.")
    return experiment.opened


def _mention_unfinished(earlier: str | None, directory: str) -> None:
    """Whoever meant to go on with an experiment that was cut off should know that this is not it.

    Nothing that the earlier directory holds keeps a new experiment from beginning.
    """
    if earlier is None or not journal.exists(earlier):
        return
    try:
        trials = replay(earlier)[0].trials.values()
    except (OSError, journal.JournalDamaged, TuneError):
        return
    over = sum(trial.is_over for trial in trials)
    if over < len(trials):
        logger.warning(
            "%s holds an experiment that is not finished (%d of %d trials are over). This is a new "
            "one, kept in %s; Tuner.restore(%r, trainable).fit() goes on with the other.",
            earlier,
            over,
            len(trials),
            directory,
            earlier,
        )
