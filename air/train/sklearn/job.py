"""What the worker of a `SklearnTrainer` is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Job:
    """What to train, and how to judge it; see the trainer's arguments.

    Attributes:
        cpus: what the worker holds.
        checkpoint_at_end: whether the estimator is kept.
    """

    estimator: Any
    params: Mapping[str, Any]
    features: tuple[str, ...]
    label_column: str | None
    datasets: tuple[str, ...]
    scoring: Any
    cv: Any
    return_train_score_cv: bool
    parallelize_cv: bool | None
    set_estimator_cpus: bool
    fit_params: Mapping[str, Any]
    cpus: int
    checkpoint_at_end: bool
