"""Training and prediction with PyTorch: ``pip install "airloom[torch]"``.

Nothing here imports torch before it is needed, so that the process that calls ``fit()`` can do
without it.
"""

from __future__ import annotations

from air.train.torch.checkpoint import TorchCheckpoint
from air.train.torch.config import TorchConfig
from air.train.torch.precision import accelerate, backward, prepare_optimizer
from air.train.torch.predictor import TorchPredictor
from air.train.torch.preparing import (
    enable_reproducibility,
    full_state_dict,
    get_device,
    prepare_data_loader,
    prepare_model,
)
from air.train.torch.trainer import TorchTrainer

__all__ = [
    "TorchCheckpoint",
    "TorchConfig",
    "TorchPredictor",
    "TorchTrainer",
    "accelerate",
    "backward",
    "enable_reproducibility",
    "full_state_dict",
    "get_device",
    "prepare_data_loader",
    "prepare_model",
    "prepare_optimizer",
]
