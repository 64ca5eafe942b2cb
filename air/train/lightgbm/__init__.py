"""Training and prediction with LightGBM: ``pip install "airloom[lightgbm]"``."""

from __future__ import annotations

from air.train.lightgbm.checkpoint import LightGBMCheckpoint
from air.train.lightgbm.predictor import LightGBMPredictor
from air.train.lightgbm.trainer import LightGBMTrainer

__all__ = ["LightGBMCheckpoint", "LightGBMPredictor", "LightGBMTrainer"]
