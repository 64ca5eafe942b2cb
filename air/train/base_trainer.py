"""The trainer that all others derive from."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from air.checkpoint import Checkpoint
from air.config import DatasetConfig, RunConfig, ScalingConfig
from air.errors import InvalidOption, SerializationError, Unschedulable, UnsupportedByBackend
from air.executor.current import get_executor
from air.executor.keywords import suggests_keywords
from air.executor.validation import listing, nearest
from air.result import Result
from air.train.ingest import check_datasets, check_preprocessor, preprocess
from air.train.journal import ResultJournal, new_run_directory
from air.train.session import Session, StopTraining, get_session, install
from air.train.stopping import should_stop

if TYPE_CHECKING:
    from air.data import Dataset
    from air.data.preprocessor import Preprocessor

logger = logging.getLogger(__name__)

_NOT_TO_BE_TRIED_AGAIN = (InvalidOption, SerializationError, Unschedulable, UnsupportedByBackend)
"""What goes wrong at the next attempt as it did at this one."""

T = TypeVar("T", bound="BaseTrainer")


class BaseTrainer:
    """Trains a model: datasets and a preprocessor go in, a :class:`~air.Result` comes out.

    Derive from it and define :meth:`training_loop`, which calls ``air.train.report``; it runs in
    the process that calls :meth:`fit`. For training on several workers see
    :class:`~air.train.DataParallelTrainer`.

    Args:
        scaling_config: workers and what they hold; one worker unless given.
        run_config: name, storage, stop criterion, failures and checkpoints.
        datasets: :class:`~air.data.Dataset` objects by name; "train" is the one to train on.
        preprocessor: is fitted on "train", unless it is fitted already, and applied to all.
        resume_from_checkpoint: where to go on from.

    Raises:
        InvalidOption, TypeError: an argument is not what it should be.
    """

    @suggests_keywords
    def __init__(
        self,
        *,
        scaling_config: ScalingConfig | None = None,
        run_config: RunConfig | None = None,
        datasets: Mapping[str, Dataset] | None = None,
        preprocessor: Preprocessor | None = None,
        resume_from_checkpoint: Checkpoint | None = None,
    ) -> None:
        self.scaling_config = ScalingConfig() if scaling_config is None else scaling_config
        self.run_config = RunConfig() if run_config is None else run_config
        self.datasets = {} if datasets is None else datasets
        self.preprocessor = preprocessor
        self.resume_from_checkpoint = resume_from_checkpoint
        self._validate()

    def _validate(self) -> None:
        """Check the attributes, however they were set. Subclasses check theirs too."""
        name = type(self).__name__
        if type(self).training_loop is BaseTrainer.training_loop:
            raise NotImplementedError(
                f"{name} does not define training_loop(), which does the training. To call a "
                "function on several workers use air.train.DataParallelTrainer."
            )
        for attribute, expected in (
            ("scaling_config", ScalingConfig),
            ("run_config", RunConfig),
        ):
            value = getattr(self, attribute)
            if not isinstance(value, expected):
                raise InvalidOption(
                    f"{name}: {attribute} must be a {expected.__name__}, got {value!r}"
                )
        self.datasets = check_datasets(self.datasets, name)
        check_preprocessor(self.preprocessor, name)
        checkpoint = self.resume_from_checkpoint
        if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
            raise InvalidOption(
                f"{name}: resume_from_checkpoint must be a Checkpoint, got {checkpoint!r}. "
                "Make one of a directory with Checkpoint.from_directory(path)."
            )

    # For subclasses -----------------------------------------------------------------------

    def setup(self) -> None:
        """Called once in each run, before the datasets are preprocessed."""

    def preprocess_datasets(self) -> None:
        """Fit the preprocessor and apply it: sets ``self.datasets``, not materialized."""
        self.datasets = preprocess(self.datasets, self.preprocessor, self._dataset_configs())

    def training_loop(self) -> None:
        """Train, on ``self.datasets``, from ``self.resume_from_checkpoint`` on if that is set.

        Calls ``air.train.report`` for each iteration. Called again, with the last checkpoint,
        if it raises and ``FailureConfig.max_failures`` allows.
        """
        raise NotImplementedError

    def _dataset_configs(self) -> Mapping[str, DatasetConfig]:
        """What to do with each dataset."""
        return {name: DatasetConfig(fit=name == "train") for name in self.datasets}

    def _modules(self) -> Sequence[str]:
        """Modules that tasks and workers of this trainer import."""
        return ("pyarrow", "numpy")

    def _parameters(self) -> dict[str, Any]:
        """What ``Result.config`` and ``params.json`` say of a run that no ``Tuner`` started."""
        return {}

    # Running ------------------------------------------------------------------------------

    def fit(self) -> Result:
        """Train, and return what came of it.

        The run is kept under ``RunConfig.storage_path`` as it goes on. A trainer can be fitted
        any number of times; each is a run of its own.

        Raises:
            Exception: what the training function raised, of its own class, after
                ``FailureConfig.max_failures`` further attempts; or what the system did.
        """
        run = copy.copy(self)
        run._prepare()
        now = time.strftime("%Y-%m-%d_%H-%M-%S")
        name = self.run_config.name or f"{type(self).__name__}_{now}"
        path = new_run_directory(self.run_config.storage_dir, name)
        journal = ResultJournal(
            path,
            config=self._parameters(),
            checkpoint_config=self.run_config.checkpoint_config,
            trial_id=uuid.uuid4().hex[:8],
        )
        try:
            run._attempt_until_done(journal)
        except Exception as error:
            error.add_note(f"(the run is kept in {path})")
            journal.record_error(error)
            raise
        finally:
            journal.close()
        return Result(
            metrics=journal.metrics,
            checkpoint=journal.latest_checkpoint,
            best_checkpoints=[(each.checkpoint, each.metrics) for each in journal.kept],
            path=path,
            config=self._parameters(),
        )

    def as_trainable(self) -> Callable[[dict[str, Any]], None]:
        """A function of a config that runs this trainer, changed by the config.

        It reports to the session that it is called in: it is what a ``Tuner`` runs for each of
        its trials. A key of the config is a parameter of the trainer; dicts are merged into the
        trainer's own, so that ``{"params": {"max_depth": 3}}`` leaves the other ``params``
        alone, and a dict for ``scaling_config`` changes single fields.
        """
        trainer = self

        def trainable(config: dict[str, Any]) -> None:
            run = trainer._changed_by(config)
            session = get_session()
            if session is not None and session.checkpoint is not None:
                run.resume_from_checkpoint = session.checkpoint
            run._prepare()
            run.training_loop()

        trainable.__name__ = type(self).__name__
        return trainable

    def _prepare(self) -> None:
        """Do what comes before training, and find out now what could not work."""
        get_executor().preload(self._modules())
        self.setup()
        self.preprocess_datasets()

    def _attempt_until_done(self, journal: ResultJournal) -> None:
        stop = self.run_config.stop

        def sink(metrics: dict[str, Any], checkpoint: Checkpoint | None) -> None:
            row = journal.record(metrics, checkpoint)
            if should_stop(stop, journal.trial_id, row):
                raise StopTraining

        name = os.path.basename(journal.path)
        failures_left = self.run_config.failure_config.max_failures
        while True:
            session = Session(
                sink=sink,
                checkpoint=self.resume_from_checkpoint,
                trial_name=name,
                trial_id=journal.trial_id,
                trial_dir=journal.path,
                trial_resources=self.scaling_config.bundles,
                experiment_name=name,
            )
            try:
                with install(session):
                    self.training_loop()
                return
            except StopTraining:
                return
            except _NOT_TO_BE_TRIED_AGAIN:
                raise
            except Exception as error:
                if failures_left == 0:
                    raise
                failures_left -= 1
                journal.rewind()
                self.resume_from_checkpoint = (
                    journal.latest_checkpoint or self.resume_from_checkpoint
                )
                _log_restart(error, self.resume_from_checkpoint)

    def _trial_resources(self, config: Mapping[str, Any]) -> list[dict[str, float]]:
        """The bundles that a trial with *config* reserves.

        The coordinator's, which is empty unless ``trainer_resources`` are given, and one for
        each worker.
        """
        return self._changed_by(config).scaling_config.bundles

    def _changed_by(self: T, config: Mapping[str, Any]) -> T:
        """A copy with the parameters that *config* names changed.

        Raises:
            InvalidOption: a key of *config* is no parameter of this trainer.
        """
        changed = copy.copy(self)
        parameters = [name for name in vars(self) if not name.startswith("_")]
        for name, value in config.items():
            if name not in parameters:
                raise InvalidOption(
                    f"{type(self).__name__} has no parameter {name!r} to set for a trial."
                    f"{nearest(name, parameters)} It has {listing(sorted(parameters), limit=40)}."
                )
            setattr(changed, name, _merged(getattr(self, name), value))
        changed._validate()
        return changed

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._parameters().items())
        return f"{type(self).__name__}({given})"


def _merged(old: Any, new: Any) -> Any:
    """What a trial's config makes of a parameter."""
    if not isinstance(new, Mapping):
        return new
    if isinstance(old, ScalingConfig):
        fields: dict[str, Any] = {
            f.name: getattr(old, f.name) for f in dataclasses.fields(ScalingConfig)
        }
        return ScalingConfig(**_merged(fields, new))
    if isinstance(old, Mapping):
        return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
    return dict(new)


def _log_restart(error: Exception, checkpoint: Checkpoint | None) -> None:
    # One line: the whole error is shown if it is the last.
    first_line = str(error).partition("\n")[0]
    logger.warning(
        "The run failed (%s: %s) and starts again from %s.",
        type(error).__name__,
        first_line,
        "the beginning" if checkpoint is None else checkpoint,
    )
