"""Training and prediction with XGBoost: ``pip install "airloom[xgboost]"``."""

from __future__ import annotations

from air.train.xgboost.checkpoint import XGBoostCheckpoint
from air.train.xgboost.predictor import XGBoostPredictor
from air.train.xgboost.trainer import XGBoostTrainer

__all__ = ["XGBoostCheckpoint", "XGBoostPredictor", "XGBoostTrainer"]
