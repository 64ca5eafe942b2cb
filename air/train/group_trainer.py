"""Training on a group of workers: what all trainers that do so share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from air.checkpoint import Checkpoint
from air.config import DatasetConfig
from air.executor.capabilities import Capability
from air.executor.current import get_executor
from air.train.backend import BackendConfig
from air.train.base_trainer import BaseTrainer
from air.train.functions import TrainFunction
from air.train.ingest import check_rows
from air.train.session import StopTraining, get_session
from air.train.start_workers import effective_num_workers, worker_group
from air.train.worker import Report

if TYPE_CHECKING:
    from air.data import Dataset


class GroupTrainer(BaseTrainer):
    """Runs one function in every worker, each with its part of the data.

    The workers are actors in a placement group, which are gone when the training loop ends. If
    one of them fails, so does the run, with that worker's exception; the others are ended. On a
    backend that runs everything in one thread there is one worker, in the calling thread.
    """

    _dataset_defaults: ClassVar[Mapping[str, DatasetConfig]]
    """What to do with each dataset; ``"*"`` stands for those that are not named."""

    @abstractmethod
    def _train_function(self) -> TrainFunction:
        """What every worker runs."""

    @abstractmethod
    def _train_config(self) -> dict[str, Any]:
        """What the function is called with, besides what the framework's set-up adds."""

    def _backend_config(self) -> BackendConfig:
        """The framework's set-up."""
        return BackendConfig()

    def _dataset_configs(self) -> Mapping[str, DatasetConfig]:
        others = self._dataset_defaults["*"]
        return {name: self._dataset_defaults.get(name, others) for name in self.datasets}

    def trains_elsewhere(self) -> bool:
        return Capability.PARALLEL_TASKS in get_executor().capabilities

    def required_modules(self) -> Sequence[str]:
        own = ("air.train.group_trainer", "air.train.worker")
        return (*super().required_modules(), *own, *self._backend_config().backend_cls.modules)

    def _load_data(self) -> None:
        super()._load_data()
        # Workers only read: what makes the data has the machine to itself before they start.
        self.datasets = {name: dataset.materialize() for name, dataset in self.datasets.items()}

    def _prepare(self) -> None:
        super()._prepare()
        num_workers = effective_num_workers(self.scaling_config)
        check_rows(self.datasets, self._dataset_configs(), num_workers)

    def _parts(self, name: str, num_workers: int) -> Sequence[Dataset]:
        """A dataset for each worker: its part of the one called *name*, or all of it.

        Parts are neighbouring rows, equally many within one row.
        """
        dataset = self.datasets[name]
        if not self._dataset_configs()[name].split:
            return [dataset] * num_workers
        return dataset.split(num_workers)

    def training_loop(self) -> None:
        """Start the workers, run the training function in them, and pass the reports on."""
        outer = get_session()
        assert outer is not None  # fit() and as_trainable() see to it
        backend_config = self._backend_config()
        backend = backend_config.backend_cls()
        num_workers = effective_num_workers(self.scaling_config)
        parts = {name: self._parts(name, num_workers) for name in self.datasets}
        with closing(backend), worker_group(self.scaling_config) as workers:
            config = self._train_config() | backend.on_start(workers, backend_config)
            sessions = [
                replace(
                    outer,
                    checkpoint=self.resume_from_checkpoint,
                    dataset_shards={name: part[place.world_rank] for name, part in parts.items()},
                    world_rank=place.world_rank,
                    world_size=place.world_size,
                    local_rank=place.local_rank,
                    local_world_size=place.local_world_size,
                    node_rank=place.node_rank,
                )
                for place in workers.placements
            ]

            def pass_on(report: Report) -> bool:
                try:
                    outer.sink(report.metrics, self._with_preprocessor(report.checkpoint))
                except StopTraining:
                    return True
                return False

            workers.run(self._train_function(), config, sessions, pass_on, backend.is_consequence)
            backend.on_shutdown(workers)

    def _with_preprocessor(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        if checkpoint is None or self.preprocessor is None:
            return checkpoint
        if checkpoint.get_preprocessor() is not None:  # the training function's own
            return checkpoint
        checkpoint = type(checkpoint).from_checkpoint(checkpoint)
        checkpoint.set_preprocessor(self.preprocessor)
        return checkpoint
