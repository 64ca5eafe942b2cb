"""The trainer for PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from air.checkpoint import Checkpoint
from air.config import DatasetConfig, RunConfig, ScalingConfig
from air.executor.extras import check_extra
from air.executor.keywords import suggests_keywords
from air.train.data_parallel_trainer import DataParallelTrainer
from air.train.torch.config import TorchConfig

if TYPE_CHECKING:
    from air.data import Dataset
    from air.data.preprocessor import Preprocessor


class TorchTrainer(DataParallelTrainer):
    """Calls a PyTorch training function in every worker, joined in a process group.

    The function makes its model and calls ``air.train.torch.prepare_model`` for it, goes through
    ``air.train.get_dataset_shard("train").iter_torch_batches(...)`` or a loader of its own that
    ``prepare_data_loader`` divides, and reports with ``air.train.report``.

    All workers see equally many rows of each dataset that is divided, because each step waits for
    the gradients of all: of the last rows as many are left out as there are too many for that, at
    most one less than there are workers.

    Args:
        train_loop_per_worker: the function; takes the config, or nothing.
        train_loop_config: the config, a dict; empty unless given.
        torch_config: how workers are joined; see :class:`TorchConfig`.
        scaling_config, dataset_config, run_config, datasets, preprocessor,
            resume_from_checkpoint: see :class:`~air.train.DataParallelTrainer`.

    Raises:
        InvalidOption, TypeError: an argument is not what it should be.
        ImportError: torch is not installed.
    """

    @suggests_keywords
    def __init__(
        self,
        train_loop_per_worker: Callable[..., object],
        *,
        train_loop_config: Mapping[str, Any] | None = None,
        torch_config: TorchConfig | None = None,
        scaling_config: ScalingConfig | None = None,
        dataset_config: Mapping[str, DatasetConfig] | None = None,
        run_config: RunConfig | None = None,
        datasets: Mapping[str, Dataset] | None = None,
        preprocessor: Preprocessor | None = None,
        resume_from_checkpoint: Checkpoint | None = None,
    ) -> None:
        check_extra("torch", "TorchTrainer", "airloom[torch]")
        super().__init__(
            train_loop_per_worker,
            train_loop_config=train_loop_config,
            backend_config=TorchConfig() if torch_config is None else torch_config,
            scaling_config=scaling_config,
            dataset_config=dataset_config,
            run_config=run_config,
            datasets=datasets,
            preprocessor=preprocessor,
            resume_from_checkpoint=resume_from_checkpoint,
        )

    def _parts(self, name: str, num_workers: int) -> Sequence[Dataset]:
        dataset = self.datasets[name]
        if not self._dataset_configs()[name].split:
            return [dataset] * num_workers
        return dataset.split(num_workers, equal=True)
