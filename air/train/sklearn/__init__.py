"""Training and prediction with scikit-learn: ``pip install "airloom[sklearn]"``."""

from __future__ import annotations

from air.train.sklearn.checkpoint import SklearnCheckpoint
from air.train.sklearn.predictor import SklearnPredictor
from air.train.sklearn.trainer import SklearnTrainer

__all__ = ["SklearnCheckpoint", "SklearnPredictor", "SklearnTrainer"]
