"""The trainer that all others derive from."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

from air.checkpoint import Checkpoint
from air.config import DatasetConfig, RunConfig, ScalingConfig
from air.errors import InvalidOption
from air.executor.current import get_executor
from air.executor.keywords import suggests_keywords
from air.train.ingest import check_datasets, check_preprocessor, preprocess
from air.train.restoring import is_kept, packed, restored
from air.train.run import carry_out
from air.train.storage import check_storage
from air.train.variants import Trainable, merged, unknown_parameter

if TYPE_CHECKING:
    from air.data import Dataset
    from air.data.preprocessor import Preprocessor
    from air.result import Result

_DATA_PARAMETERS = frozenset(
    {"datasets", "preprocessor", "dataset_config", "resume_from_checkpoint"}
)
"""What the preprocessing of the datasets goes by."""


class BaseTrainer:
    """Trains a model: datasets and a preprocessor go in, a :class:`~air.Result` comes out.

    Derive from it and define :meth:`training_loop`, which calls ``air.train.report``; it runs in
    the process that calls :meth:`fit`. For training on several workers see
    :class:`~air.train.DataParallelTrainer`.

    Args:
        scaling_config: workers and what they hold; one worker unless given.
        run_config: name, storage, stop criterion, failures and checkpoints.
        datasets: :class:`~air.data.Dataset` objects by name; "train" is the one to train on.
        preprocessor: is applied to all datasets. Unless it is fitted already, each run fits a
            copy of it on "train", which is then in the run's checkpoints; the one given here
            stays as it is.
        resume_from_checkpoint: where to go on from. Its preprocessor is used unless one is given
            here: the model in it knows the data as that leaves them.

    Raises:
        InvalidOption, TypeError: an argument is not what it should be.
    """

    _goes_on_in: str | None = None
    """The directory of the run that :meth:`fit` goes on with, for one that was restored."""

    _raw: BaseTrainer | None = None
    """The trainer that this one was made of by :meth:`preprocessed`; its datasets are as given."""

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
        self.datasets, self.preprocessor = preprocess(
            self.datasets, self._preprocessor_to_use(), self._dataset_configs()
        )

    def training_loop(self) -> None:
        """Train, on ``self.datasets``, from ``self.resume_from_checkpoint`` on if that is set.

        Calls ``air.train.report`` for each iteration. Called again, with the last checkpoint,
        if it raises and ``FailureConfig.max_failures`` allows.
        """
        raise NotImplementedError

    def trains_elsewhere(self) -> bool:
        """Whether the training function runs in other processes than this one."""
        return False

    def planned_iterations(self) -> int | None:
        """How many iterations a run reports if it goes on to its end; ``None`` if nobody knows."""
        stop = self.run_config.stop
        planned = stop.get("training_iteration") if isinstance(stop, Mapping) else None
        return planned if isinstance(planned, int) else None

    def _preprocessor_to_use(self) -> Preprocessor | None:
        if self.preprocessor is None and self.resume_from_checkpoint is not None:
            return self.resume_from_checkpoint.get_preprocessor()
        return self.preprocessor

    def _dataset_configs(self) -> Mapping[str, DatasetConfig]:
        """What to do with each dataset."""
        return {name: DatasetConfig(fit=name == "train") for name in self.datasets}

    def _parameters(self) -> dict[str, Any]:
        """What ``Result.config`` and ``params.json`` say of a run that no ``Tuner`` started."""
        return {}

    # Running ------------------------------------------------------------------------------

    def fit(self) -> Result:
        """Train, and return what came of it.

        The run is kept under ``RunConfig.storage_path`` as it goes on. A trainer can be fitted
        any number of times; each is a run of its own, in a directory of its own, and leaves the
        trainer as it was.

        Raises:
            Exception: what the training function raised, of its own class, after
                ``FailureConfig.max_failures`` further attempts; or what the system did.
            InvalidOption, SerializationError, Unschedulable: the run cannot be begun, and nothing
                of it is kept.
            OSError: nor where results cannot be kept; says why, and how to name another place.
        """
        check_storage(self.run_config.storage_dir)
        kept = packed(self)
        run = copy.copy(self)
        run._prepare()
        return carry_out(run, self._parameters(), kept)

    @classmethod
    def can_restore(cls, path: str | os.PathLike[str]) -> bool:
        """Whether *path* is the directory of a trainer's run that is not finished."""
        return is_kept(path)

    @classmethod
    def restore(
        cls,
        path: str | os.PathLike[str],
        datasets: Mapping[str, Dataset] | None = None,
        preprocessor: Preprocessor | None = None,
        scaling_config: ScalingConfig | None = None,
    ) -> Self:
        """The trainer of a run that failed or was killed; its :meth:`fit` goes on with that.

        In the same directory, from the last checkpoint: rows that were reported after that are
        taken back. All arguments are as they were, but for those that are given here. The
        directory must be one that you trust, because it holds a pickle.

        Args:
            path: the run's directory: ``Result.path``, or what the error of the run said.
            datasets: all datasets that the trainer had, by their names, with the same rows.
            preprocessor: takes the place of the trainer's. One that is not fitted is fitted
                again, on the same rows.
            scaling_config: takes the place of the trainer's.

        Raises:
            FileNotFoundError: there is no run in *path* that is not finished.
            InvalidOption: the run is of another trainer, or had other datasets.
        """
        changes = {"preprocessor": preprocessor, "scaling_config": scaling_config}
        return cast("Self", restored(cls, path, datasets, changes))

    def _prepare(self) -> None:
        """Do what comes before training, and find out now what could not work."""
        get_executor().preload(self.required_modules())
        if self._raw is None:
            self.setup()
            self._load_data()

    def _load_data(self) -> None:
        """Bring the datasets into the form in which they are trained on."""
        self.preprocess_datasets()

    # For whoever runs variants of it, as a `Tuner` does -------------------------------------
    #
    # The order: preprocessed() once; of its result, as_trainable() once; that function is called
    # for each variant, anywhere. variant() tells beforehand what a variant holds
    # (scaling_config.bundles), required_modules() what its processes will import.

    def as_trainable(self) -> Trainable:
        """A function of a config that runs this trainer, changed by the config.

        It reports to the session that it is called in: it is what a ``Tuner`` runs for each of
        its trials. See :meth:`variant` for what a config can say.
        """
        return Trainable(self)

    def preprocessed(self) -> Self:
        """A copy whose datasets are preprocessed already, for many runs on the same data.

        Preprocessing is then not repeated by each run. A :meth:`variant` that changes what it goes
        by (``datasets``, ``preprocessor``) does its own all the same. Where a subclass defines
        :meth:`setup` or :meth:`preprocess_datasets`, which may go by any parameter, every run does.

        Raises what preprocessing raises, such as an exception of a function in it.
        """
        ready = copy.copy(self)
        own = (type(self).setup, type(self).preprocess_datasets)
        if own == (BaseTrainer.setup, BaseTrainer.preprocess_datasets) and self._raw is None:
            ready._load_data()
            ready._raw = self
        return ready

    def tunable_parameters(self) -> Sequence[str]:
        """The parameters that a :meth:`variant` can change: all but ``run_config``, sorted."""
        return sorted(
            name for name in vars(self) if not name.startswith("_") and name != "run_config"
        )

    def variant(self, config: Mapping[str, Any]) -> Self:
        """A copy with the parameters that *config* names changed.

        Dicts are merged into the trainer's own, so that ``{"params": {"max_depth": 3}}`` leaves
        the other ``params`` alone; a dict for ``scaling_config`` changes single fields. Other
        values take the place of the trainer's.

        Raises:
            InvalidOption: a key of *config* is no parameter of this trainer, or the changed trainer
                is one that could not be made.
        """
        changed = copy.copy(self)
        if self._raw is not None and config.keys() & _DATA_PARAMETERS:
            changed = copy.copy(cast("Self", self._raw))
        parameters = self.tunable_parameters()
        for name, value in config.items():
            if name not in parameters:
                raise unknown_parameter(name, type(self).__name__, parameters)
            changed._set(name, value)
        changed._validate()
        return changed

    def _set(self, name: str, value: Any) -> None:
        """Change one of the :meth:`tunable_parameters`."""
        setattr(self, name, merged(getattr(self, name), value))

    def required_modules(self) -> Sequence[str]:
        """Modules that the processes of this trainer's runs import, to be loaded in advance."""
        return ("air.data.dataset",) if self.datasets else ()

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._parameters().items())
        return f"{type(self).__name__}({given})"
