"""One run of a trainer: its attempts, and the record that is kept of it."""

from __future__ import annotations

import logging
import os
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from air.checkpoint import Checkpoint
from air.result import Result
from air.train.failures import NOT_TO_BE_TRIED_AGAIN
from air.train.journal import ResultJournal
from air.train.metrics import ITERATION
from air.train.progress import Show, progress
from air.train.restoring import forget, keep
from air.train.session import Session, StopTraining, install
from air.train.stopping import should_stop
from air.train.storage import new_run_directory, or_nothing

if TYPE_CHECKING:
    from air.train.base_trainer import BaseTrainer

logger = logging.getLogger(__name__)


def carry_out(
    trainer: BaseTrainer, parameters: dict[str, Any], kept: bytes | None = None
) -> Result:
    """Train in a new directory, as often as it takes; *trainer* is prepared, and is used up.

    One that was restored goes on in the directory of its run. *parameters* are what the record says
    of the trainer. A run that fails leaves its record; one that is refused before it has reported
    anything leaves nothing.

    Args:
        kept: the trainer, as it is put beside the record until the run is finished.
    """
    goes_on = trainer._goes_on_in is not None
    journal = _gone_on_with(trainer, parameters) if goes_on else _begun(trainer, parameters, kept)
    path = journal.path
    name = type(trainer).__name__
    try:
        with progress(
            name, trainer.planned_iterations(), path, live=trainer.trains_elsewhere()
        ) as show:
            _attempt_until_done(trainer, journal, show)
    except BaseException as error:
        if isinstance(error, NOT_TO_BE_TRIED_AGAIN) and not journal.rows and not goes_on:
            forget(path)
            journal.discard()
            raise
        error.add_note(f"(the run is kept in {path})")
        if isinstance(error, Exception):
            # The error itself is worth more than that it could not be kept, on a full disk say.
            with suppress(OSError):
                journal.record_error(error)
        raise
    finally:
        journal.close()
    forget(path)
    return Result(
        metrics=journal.metrics,
        checkpoint=journal.latest_checkpoint,
        best_checkpoints=[(each.checkpoint, each.metrics) for each in journal.kept],
        path=path,
        config=parameters,
    )


def _begun(trainer: BaseTrainer, parameters: dict[str, Any], kept: bytes | None) -> ResultJournal:
    """The record of a new run."""
    config = trainer.run_config
    name = config.name or f"{type(trainer).__name__}_{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    path = new_run_directory(config.storage_dir, name)
    with or_nothing(path):
        journal = ResultJournal(
            path,
            config=parameters,
            checkpoint_config=config.checkpoint_config,
            trial_id=uuid.uuid4().hex[:8],
        )
        keep(path, kept)
    return journal


def _gone_on_with(trainer: BaseTrainer, parameters: dict[str, Any]) -> ResultJournal:
    """The record of the run that a restored trainer goes on with; sets where it goes on from."""
    assert trainer._goes_on_in is not None
    journal = ResultJournal.gone_on_with(
        trainer._goes_on_in,
        config=parameters,
        checkpoint_config=trainer.run_config.checkpoint_config,
        trial_id=uuid.uuid4().hex[:8],
    )
    trainer.resume_from_checkpoint = journal.latest_checkpoint or trainer.resume_from_checkpoint
    return journal


def _attempt_until_done(trainer: BaseTrainer, journal: ResultJournal, show: Show) -> None:
    stop = trainer.run_config.stop
    stopped = False

    def sink(metrics: dict[str, Any], checkpoint: Checkpoint | None) -> None:
        nonlocal stopped
        # What may still come after the end adds to the last row, such as the final checkpoint.
        if not stopped or metrics.get(ITERATION) == journal.metrics[ITERATION]:
            row = journal.record(metrics, checkpoint)
            show(row)
            stopped = stopped or should_stop(stop, journal.trial_id, row)
        if stopped:
            raise StopTraining

    name = os.path.basename(journal.path)
    failures_left = trainer.run_config.failure_config.max_failures
    while True:
        session = Session(
            sink=sink,
            checkpoint=trainer.resume_from_checkpoint,
            trial_name=name,
            trial_id=journal.trial_id,
            trial_dir=journal.path,
            trial_resources=trainer.scaling_config.bundles,
            experiment_name=name,
        )
        try:
            with install(session):
                trainer.training_loop()
            return
        except StopTraining:
            return
        except NOT_TO_BE_TRIED_AGAIN:
            raise
        except Exception as error:
            if stopped:
                logger.debug("the run failed after it was stopped", exc_info=True)
                return  # it has its results
            if failures_left == 0:
                raise
            failures_left -= 1
            journal.rewind()
            trainer.resume_from_checkpoint = (
                journal.latest_checkpoint or trainer.resume_from_checkpoint
            )
            _log_restart(error, trainer.resume_from_checkpoint)


def _log_restart(error: Exception, checkpoint: Checkpoint | None) -> None:
    # One line: the whole error is shown if it is the last.
    first_line = str(error).partition("\n")[0]
    logger.warning(
        "The run failed (%s: %s) and starts again from %s.",
        type(error).__name__,
        first_line,
        "the beginning" if checkpoint is None else checkpoint,
    )
