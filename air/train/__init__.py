"""Training and prediction: trainers, what a training function calls, predictors.

Trainers for a library are in the subpackage of its name, such as ``air.train.xgboost``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "Backend": "air.train.backend",
    "BackendConfig": "air.train.backend",
    "BaseTrainer": "air.train.base_trainer",
    "BatchPredictor": "air.train.batch_predictor",
    "Checkpoint": "air.checkpoint",
    "CheckpointConfig": "air.config",
    "DataParallelTrainer": "air.train.data_parallel_trainer",
    "FailureConfig": "air.config",
    "Predictor": "air.train.predictor",
    "Result": "air.result",
    "RunConfig": "air.config",
    "ScalingConfig": "air.config",
    "get_checkpoint": "air.train.session",
    "get_dataset_shard": "air.train.session",
    "get_experiment_name": "air.train.session",
    "get_local_rank": "air.train.session",
    "get_local_world_size": "air.train.session",
    "get_node_rank": "air.train.session",
    "get_trial_dir": "air.train.session",
    "get_trial_id": "air.train.session",
    "get_trial_name": "air.train.session",
    "get_trial_resources": "air.train.session",
    "get_world_rank": "air.train.session",
    "get_world_size": "air.train.session",
    "report": "air.train.session",
}
_SUBMODULES = {"lightgbm", "sklearn", "torch", "xgboost"}

__all__ = [
    "Backend",
    "BackendConfig",
    "BaseTrainer",
    "BatchPredictor",
    "Checkpoint",
    "CheckpointConfig",
    "DataParallelTrainer",
    "FailureConfig",
    "Predictor",
    "Result",
    "RunConfig",
    "ScalingConfig",
    "get_checkpoint",
    "get_dataset_shard",
    "get_experiment_name",
    "get_local_rank",
    "get_local_world_size",
    "get_node_rank",
    "get_trial_dir",
    "get_trial_id",
    "get_trial_name",
    "get_trial_resources",
    "get_world_rank",
    "get_world_size",
    "lightgbm",
    "report",
    "sklearn",
    "torch",
    "xgboost",
]

if TYPE_CHECKING:
    from air.checkpoint import Checkpoint
    from air.config import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from air.result import Result
    from air.train import lightgbm, sklearn, torch, xgboost
    from air.train.backend import Backend, BackendConfig
    from air.train.base_trainer import BaseTrainer
    from air.train.batch_predictor import BatchPredictor
    from air.train.data_parallel_trainer import DataParallelTrainer
    from air.train.predictor import Predictor
    from air.train.session import (
        get_checkpoint,
        get_dataset_shard,
        get_experiment_name,
        get_local_rank,
        get_local_world_size,
        get_node_rank,
        get_trial_dir,
        get_trial_id,
        get_trial_name,
        get_trial_resources,
        get_world_rank,
        get_world_size,
        report,
    )


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f"air.train.{name}")
    else:
        from air.executor.validation import nearest

        raise AttributeError(
            f"module 'air.train' has no attribute {name!r}.{nearest(name, __all__)}"
        )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
