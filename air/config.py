"""Settings of a run that every library shares.

All of these are values: frozen, compared by their fields, checked when they are made. A field
that is misspelt, or a value that no run could use, raises here and not minutes later in a
worker.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, TypeVar, dataclass_transform

from air._files import path_of_uri
from air.errors import InvalidOption
from air.executor.keywords import refuses, suggests_keywords
from air.executor.validation import check_flag, check_number, listing, nearest

T = TypeVar("T")

PLACEMENT_STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")

StopCriterion = Mapping[str, float] | Callable[[str, dict[str, Any]], bool]


@dataclass_transform(frozen_default=True)
def options_class(cls: type[T]) -> type[T]:
    """Make a frozen dataclass whose constructor names the nearest option for a misspelt one.

    Options of other toolkits that it does without are in its ``_instead``, each with what to do.
    """
    cls = dataclass(frozen=True)(cls)
    mark = refuses(**getattr(cls, "_instead", {}))
    cls.__init__ = suggests_keywords(mark(cls.__init__))  # type: ignore[method-assign]
    return cls


@options_class
class ScalingConfig:
    """How many workers a trainer uses, and what each of them holds.

    Attributes:
        trainer_resources: what the coordinator holds besides the workers; nothing unless given,
            so that n workers fit on n CPUs.
        num_workers: training workers, at least 1; ``None`` leaves it to the trainer (1).
        use_gpu: whether each worker holds a GPU (1, unless ``resources_per_worker`` says how
            much of one).
        resources_per_worker: what each worker holds, as ``{"CPU": 2, "GPU": 0.5, "disk": 1}``;
            1 CPU unless given, and with ``use_gpu`` 1 GPU.
        placement_strategy: ``"PACK"`` (on few nodes), ``"SPREAD"``, ``"STRICT_PACK"`` (on one
            node) or ``"STRICT_SPREAD"`` (each on a node of its own).
    """

    trainer_resources: Mapping[str, float] | None = None
    num_workers: int | None = None
    use_gpu: bool = False
    resources_per_worker: Mapping[str, float] | None = None
    placement_strategy: str = "PACK"

    def __post_init__(self) -> None:
        if self.num_workers is not None:
            check_number(self.num_workers, "ScalingConfig.num_workers", minimum=1, integer=True)
        check_flag(self.use_gpu, "ScalingConfig.use_gpu")
        _check_resources(self.trainer_resources, "ScalingConfig.trainer_resources")
        _check_resources(self.resources_per_worker, "ScalingConfig.resources_per_worker")
        _check_choice(
            self.placement_strategy, PLACEMENT_STRATEGIES, "ScalingConfig.placement_strategy"
        )
        gpus = (self.resources_per_worker or {}).get("GPU")
        if self.use_gpu and gpus == 0:
            raise InvalidOption(
                "ScalingConfig(use_gpu=True) contradicts resources_per_worker={'GPU': 0}: "
                "leave one of the two out."
            )
        if not self.use_gpu and gpus:
            raise InvalidOption(
                f"ScalingConfig.resources_per_worker asks for {gpus:g} GPU, but use_gpu is "
                "False: set use_gpu=True."
            )

    @property
    def worker_bundle(self) -> dict[str, float]:
        """What one worker holds, with the defaults filled in; amounts of 0 are left out."""
        bundle: dict[str, float] = {"CPU": 1}
        if self.use_gpu:
            bundle["GPU"] = 1
        return _positive(bundle | dict(self.resources_per_worker or {}))

    @property
    def trainer_bundle(self) -> dict[str, float]:
        """What the coordinator holds; empty unless ``trainer_resources`` is given."""
        return _positive(self.trainer_resources or {})

    @property
    def bundles(self) -> list[dict[str, float]]:
        """The bundles that a run reserves: the coordinator's, then one for each worker."""
        return [self.trainer_bundle, *(self.worker_bundle for _ in range(self.num_workers or 1))]

    @property
    def num_cpus_per_worker(self) -> float:
        """CPUs that each worker holds."""
        return self.worker_bundle.get("CPU", 0)

    @property
    def num_gpus_per_worker(self) -> float:
        """GPUs that each worker holds."""
        return self.worker_bundle.get("GPU", 0)

    @property
    def additional_resources_per_worker(self) -> dict[str, float]:
        """What each worker holds besides CPUs and GPUs."""
        return {k: v for k, v in self.worker_bundle.items() if k not in ("CPU", "GPU")}

    @property
    def total_resources(self) -> dict[str, float]:
        """What the coordinator and all workers hold together."""
        total: dict[str, float] = {}
        for bundle in self.bundles:
            for name, amount in bundle.items():
                total[name] = total.get(name, 0) + amount
        return total


@options_class
class FailureConfig:
    """What to do when a run fails.

    Attributes:
        max_failures: how often a run is started again, from its last checkpoint, after a worker
            died or the training function raised; 0 never, -1 without limit.
        fail_fast: whether the first trial of a ``Tuner`` that fails for good ends the whole
            experiment. A run of its own ends with its failure in any case.
    """

    max_failures: int = 0
    fail_fast: bool = False

    def __post_init__(self) -> None:
        check_number(self.max_failures, "FailureConfig.max_failures", minimum=-1, integer=True)
        check_flag(self.fail_fast, "FailureConfig.fail_fast")


@options_class
class CheckpointConfig:
    """Which checkpoints are made and which are kept.

    Attributes:
        num_to_keep: how many checkpoints stay on disk, at least 1; ``None`` keeps all. The last
            one always stays, besides these if it is not among them: a run goes on from it.
        checkpoint_score_attribute: the metric by which the best ones are kept; ``None`` keeps
            the newest.
        checkpoint_score_order: ``"max"`` where a higher score is better, else ``"min"``.
        checkpoint_frequency: for trainers that make checkpoints on their own, one every so many
            iterations; 0 makes none on the way.
        checkpoint_at_end: for such trainers, whether the end of training makes one; ``None``
            leaves it to the trainer (yes).
    """

    num_to_keep: int | None = None
    checkpoint_score_attribute: str | None = None
    checkpoint_score_order: str = "max"
    checkpoint_frequency: int = 0
    checkpoint_at_end: bool | None = None

    def __post_init__(self) -> None:
        if self.num_to_keep is not None:
            check_number(self.num_to_keep, "CheckpointConfig.num_to_keep", minimum=1, integer=True)
        if self.checkpoint_score_attribute is not None:
            _check_text(
                self.checkpoint_score_attribute, "CheckpointConfig.checkpoint_score_attribute"
            )
        _check_choice(
            self.checkpoint_score_order, ("max", "min"), "CheckpointConfig.checkpoint_score_order"
        )
        check_number(
            self.checkpoint_frequency,
            "CheckpointConfig.checkpoint_frequency",
            minimum=0,
            integer=True,
        )
        if self.checkpoint_at_end is not None:
            check_flag(self.checkpoint_at_end, "CheckpointConfig.checkpoint_at_end")


@options_class
class RunConfig:
    """Where a run is kept, when it ends, and what it does about failures and checkpoints.

    Attributes:
        name: directory of the run under ``storage_path``; made up from the trainer's name and
            the time unless given. Nothing that is there is ever overwritten: where the name is
            taken, the run is kept under the next free of ``name-2``, ``name-3`` ... This is so
            for trainers and ``Tuner`` alike; ``Result.path`` and ``ResultGrid.experiment_path``
            say what became of it. ``Tuner.restore`` goes on with an experiment that is there.
        storage_path: directory that runs are kept under, made where it is missing, also as
            ``file://...``; ``$AIR_RESULTS`` unless given, and ``~/air_results`` where that is
            not set.
        stop: ends a run early: ``{"training_iteration": 50, "accuracy": 0.99}`` as soon as one
            of the metrics reaches its value, or a function of (trial id, metrics) as soon as
            it returns true.
        failure_config: see :class:`FailureConfig`.
        checkpoint_config: see :class:`CheckpointConfig`.
    """

    name: str | None = None
    storage_path: str | os.PathLike[str] | None = None
    _: KW_ONLY
    stop: StopCriterion | None = None
    failure_config: FailureConfig = field(default_factory=FailureConfig)
    checkpoint_config: CheckpointConfig = field(default_factory=CheckpointConfig)

    _instead: ClassVar[Mapping[str, str]] = {
        "callbacks": "a function given as stop sees every result as it comes, and "
        "Result.metrics_dataframe has them all",
        "local_dir": "it is called storage_path",
        "log_to_file": "what workers print comes out of this program; redirect its output",
        "progress_reporter": "progress goes to the standard error stream, which can be redirected",
        "sync_config": "runs are kept on this machine; copy a checkpoint with to_uri(...)",
        "verbose": "progress goes to the standard error stream, which can be redirected",
    }

    def __post_init__(self) -> None:
        if self.name is not None:
            _check_text(self.name, "RunConfig.name")
            is_one_step = os.path.basename(self.name) == self.name and "\0" not in self.name
            if self.name in (".", "..") or not is_one_step:
                raise InvalidOption(
                    f"RunConfig.name is the name of one directory, got {self.name!r}. Give the "
                    "directories above it as storage_path."
                )
        if self.storage_path is not None:
            _check_storage_path(self.storage_path)
        _check_stop(self.stop)
        # None means the default here: a program that fills these in from its own options
        # should not have to know the defaults.
        if self.failure_config is None:
            object.__setattr__(self, "failure_config", FailureConfig())
        if self.checkpoint_config is None:
            object.__setattr__(self, "checkpoint_config", CheckpointConfig())
        _check_type(self.failure_config, FailureConfig, "RunConfig.failure_config")
        _check_type(self.checkpoint_config, CheckpointConfig, "RunConfig.checkpoint_config")

    @property
    def storage_dir(self) -> str:
        """The absolute path that runs are kept under, with the defaults filled in.

        Raises:
            InvalidOption: it begins with the home directory (``~``) of somebody who has none.
        """
        if self.storage_path is not None:
            return _local_directory(os.fspath(self.storage_path), "RunConfig.storage_path")
        if from_environment := os.environ.get("AIR_RESULTS"):
            return _local_directory(from_environment, "$AIR_RESULTS")
        return _local_directory("~/air_results", "The directory of results")


@options_class
class DatasetConfig:
    """What a trainer does with one of its datasets. ``None`` leaves it to the trainer.

    Attributes:
        fit: whether the preprocessor is fitted on it (the dataset "train" only).
        split: whether each worker gets a part of it (yes for "train") or all of it.
        required: whether it is an error not to give it; ``False`` lets a configuration stand for
            a dataset that is not there, which is otherwise taken for a misspelt name.
        transform: whether the preprocessor is applied to it (yes).
    """

    fit: bool | None = None
    split: bool | None = None
    required: bool | None = None
    transform: bool | None = None

    _instead: ClassVar[Mapping[str, str]] = {
        "global_shuffle": "shuffle the dataset before: random_shuffle()",
        "max_object_store_memory_fraction": "what does not fit into memory goes to disk",
        "per_epoch_preprocessor": "call map_batches on the shard, in the training function",
        "randomize_block_order": "shuffle the dataset before: random_shuffle()",
        "stream_window_size": "shards are read batch by batch in any case",
        "use_stream_api": "shards are read batch by batch in any case",
    }

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if value is not None:
                check_flag(value, f"DatasetConfig.{f.name}")
        if self.fit and self.transform is False:
            raise InvalidOption(
                "DatasetConfig(fit=True, transform=False): the preprocessor is fitted on a "
                "dataset to transform it; leave one of the two out."
            )

    def over(self, default: DatasetConfig) -> DatasetConfig:
        """This configuration, with what it leaves open taken from ``default``."""
        chosen = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        given = {name: value for name, value in chosen.items() if value is not None}
        return dataclasses.replace(default, **given)


def _positive(resources: Mapping[str, float]) -> dict[str, float]:
    return {name: amount for name, amount in resources.items() if amount}


def _check_type(value: object, expected: type, name: str) -> None:
    if not isinstance(value, expected):
        raise InvalidOption(
            f"{name} must be a {expected.__name__}, got {type(value).__name__}: {value!r}"
        )


def _check_text(value: object, name: str) -> None:
    if not isinstance(value, str) or not value:
        raise InvalidOption(f"{name} must be a non-empty str, got {value!r}")


def _check_choice(value: object, choices: tuple[str, ...], name: str) -> None:
    if value not in choices:
        raise InvalidOption(
            f"{name} must be one of {listing(choices)}, got {value!r}.{nearest(value, choices)}"
        )


def _check_resources(resources: object, name: str) -> None:
    if resources is None:
        return
    if not isinstance(resources, Mapping):
        raise InvalidOption(f'{name} must be a dict like {{"CPU": 2}}, got {resources!r}')
    for key, amount in resources.items():
        _check_text(key, f"the name of a resource in {name}")
        if key != key.upper() and key.upper() in ("CPU", "GPU"):
            raise InvalidOption(f"{name} names {key!r}; the resource is spelt {key.upper()!r}")
        check_number(amount, f"{name}[{key!r}]", minimum=0)


def _check_storage_path(path: object) -> None:
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidOption(f"RunConfig.storage_path must be a directory's path, got {path!r}")
    _local_directory(text, "RunConfig.storage_path")


def _local_directory(text: str, named_by: str) -> str:
    """The absolute path of what a path or URI names."""
    path: str | None = text
    if text.startswith("file://"):
        path = path_of_uri(text)
    elif "://" in text:
        path = None
    if path is None:
        raise InvalidOption(
            f"{named_by} must be a directory on this machine, as a path or like "
            f"'file:///data/runs', got {text!r}. Copy results elsewhere with "
            "result.checkpoint.to_uri(...)."
        )
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):  # else a directory of that name would be made
        raise InvalidOption(
            f"{named_by} is {path!r}, and there is no home directory "
            f"{path.partition('/')[0]!r} here. Give another directory as $AIR_RESULTS or "
            "RunConfig(storage_path=...)."
        )
    return os.path.abspath(expanded)


def _check_stop(stop: object) -> None:
    if stop is None:
        return
    if callable(stop):
        _check_stop_function(stop)
        return
    if not isinstance(stop, Mapping):
        raise InvalidOption(
            "RunConfig.stop must be a dict of metric to value, as "
            f'{{"training_iteration": 10}}, or a function of (trial id, metrics), got {stop!r}'
        )
    for metric, threshold in stop.items():
        _check_text(metric, "the name of a metric in RunConfig.stop")
        check_number(threshold, f"RunConfig.stop[{metric!r}]")


def _check_stop_function(stop: Callable[..., object]) -> None:
    try:
        signature = inspect.signature(stop)
    except (TypeError, ValueError):  # written in C: the call will show
        return
    try:
        signature.bind("trial id", {})
    except TypeError:
        name = getattr(stop, "__name__", type(stop).__name__)
        raise InvalidOption(
            "RunConfig.stop is called with two arguments, the trial's id and its metrics; "
            f"{name}{signature} does not take them."
        ) from None
