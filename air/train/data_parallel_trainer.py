"""The trainer that calls one function in every worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from air.checkpoint import Checkpoint
from air.config import DatasetConfig, RunConfig, ScalingConfig
from air.errors import InvalidOption
from air.executor.keywords import suggests_keywords
from air.train.backend import BackendConfig
from air.train.functions import TrainFunction, takes_config
from air.train.group_trainer import GroupTrainer
from air.train.ingest import merge_dataset_configs
from air.train.restoring import restored

if TYPE_CHECKING:
    from air.data import Dataset
    from air.data.preprocessor import Preprocessor


class DataParallelTrainer(GroupTrainer):
    """Calls a training function in every worker, each with its part of the data.

    The function finds its part with ``air.train.get_dataset_shard(name)``, its place among the
    workers with ``get_world_rank()`` and so on, and reports with ``air.train.report``. The rows
    and checkpoints that rank 0 reports are the run's; those of other ranks are dropped.

    The workers are actors in a placement group, which are gone when :meth:`fit` returns. If one
    of them fails, so does the run, with that worker's exception; the others are ended. On a
    backend that runs everything in one thread there is one worker, in the calling thread.

    Args:
        train_loop_per_worker: the function; takes the config, or nothing.
        train_loop_config: the config, a dict; empty unless given.
        backend_config: the set-up of a framework around the function; none unless given.
        scaling_config: workers and what they hold; one worker with 1 CPU unless given.
        dataset_config: what to do with each of the datasets, where the default will not do:
            "train" is split among the workers, the others are there whole in each of them; all
            are preprocessed. ``"*"`` stands for every dataset that is not named.
        run_config, datasets, preprocessor, resume_from_checkpoint: see
            :class:`~air.train.BaseTrainer`.
    """

    _dataset_defaults: ClassVar[Mapping[str, DatasetConfig]] = {
        "train": DatasetConfig(fit=True, split=True, required=False, transform=True),
        "*": DatasetConfig(fit=False, split=False, required=False, transform=True),
    }

    @suggests_keywords
    def __init__(
        self,
        train_loop_per_worker: TrainFunction,
        *,
        train_loop_config: Mapping[str, Any] | None = None,
        backend_config: BackendConfig | None = None,
        scaling_config: ScalingConfig | None = None,
        dataset_config: Mapping[str, DatasetConfig] | None = None,
        run_config: RunConfig | None = None,
        datasets: Mapping[str, Dataset] | None = None,
        preprocessor: Preprocessor | None = None,
        resume_from_checkpoint: Checkpoint | None = None,
    ) -> None:
        self.train_loop_per_worker = train_loop_per_worker
        self.train_loop_config = {} if train_loop_config is None else train_loop_config
        self.backend_config = BackendConfig() if backend_config is None else backend_config
        self.dataset_config = {} if dataset_config is None else dataset_config
        super().__init__(
            scaling_config=scaling_config,
            run_config=run_config,
            datasets=datasets,
            preprocessor=preprocessor,
            resume_from_checkpoint=resume_from_checkpoint,
        )

    @classmethod
    def restore(
        cls,
        path: str | os.PathLike[str],
        datasets: Mapping[str, Dataset] | None = None,
        preprocessor: Preprocessor | None = None,
        scaling_config: ScalingConfig | None = None,
        *,
        train_loop_per_worker: Callable[..., object] | None = None,
        train_loop_config: Mapping[str, Any] | None = None,
    ) -> Self:
        """See :meth:`BaseTrainer.restore`.

        Args:
            train_loop_per_worker, train_loop_config: take the place of the trainer's.
        """
        changes = {
            "preprocessor": preprocessor,
            "scaling_config": scaling_config,
            "train_loop_per_worker": train_loop_per_worker,
            "train_loop_config": train_loop_config,
        }
        return cast("Self", restored(cls, path, datasets, changes))

    def _validate(self) -> None:
        super()._validate()
        name = type(self).__name__
        if not callable(self.train_loop_per_worker):
            raise InvalidOption(
                f"{name}: train_loop_per_worker must be a function, got "
                f"{self.train_loop_per_worker!r}"
            )
        takes_config(self.train_loop_per_worker)
        if not isinstance(self.train_loop_config, Mapping):
            raise InvalidOption(
                f"{name}: train_loop_config must be a dict, got {self.train_loop_config!r}"
            )
        if not isinstance(self.backend_config, BackendConfig):
            raise InvalidOption(
                f"{name}: backend_config must be a BackendConfig, got {self.backend_config!r}"
            )
        self._check_checkpoint_config()
        self._dataset_configs()

    def _check_checkpoint_config(self) -> None:
        """Refuse settings that only a trainer which makes the checkpoints itself can follow."""
        config = self.run_config.checkpoint_config
        if config.checkpoint_frequency or config.checkpoint_at_end is not None:
            raise InvalidOption(
                f"{type(self).__name__}: checkpoint_frequency and checkpoint_at_end of the "
                "CheckpointConfig are for trainers that make checkpoints themselves. Here the "
                "training function does: pass checkpoint= to air.train.report where one is due."
            )

    def _dataset_configs(self) -> Mapping[str, DatasetConfig]:
        return merge_dataset_configs(
            self._dataset_defaults, self.dataset_config, self.datasets, type(self).__name__
        )

    def get_dataset_config(self) -> dict[str, DatasetConfig]:
        """What happens to each of the datasets, with the defaults filled in."""
        return dict(self._dataset_configs())

    def _train_function(self) -> TrainFunction:
        return self.train_loop_per_worker

    def _train_config(self) -> dict[str, Any]:
        return dict(self.train_loop_config)

    def _backend_config(self) -> BackendConfig:
        return self.backend_config

    def _parameters(self) -> dict[str, Any]:
        return {"train_loop_config": dict(self.train_loop_config)}
