"""What the worker of a `SklearnTrainer` runs."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.model_selection import cross_validate

from air.train.session import get_dataset_shard, report
from air.train.sklearn.checkpoint import SklearnCheckpoint
from air.train.sklearn.estimators import cpu_parameters, with_cpus
from air.train.sklearn.job import Job
from air.train.sklearn.tables import features, labels
from air.util.joblib import register_air


def train(config: dict[str, Any]) -> None:
    """Cross-validate, fit on all rows of "train", and score the other datasets."""
    job: Job = config["job"]
    estimator = clone(job.estimator).set_params(**job.params)
    rows, target = _data(job, "train")
    metrics: dict[str, Any] = {}
    if job.cv is not None:
        metrics["cv"] = _cross_validated(job, estimator, rows, target)
    if job.set_estimator_cpus:
        with_cpus(estimator, job.cpus)
    begin = time.perf_counter()
    with warnings.catch_warnings():
        if job.set_estimator_cpus:  # some have n_jobs, and no use for it any more
            warnings.filterwarnings("ignore", "'n_jobs' has no effect", FutureWarning)
        estimator.fit(*_given(rows, target), **job.fit_params)
    metrics["fit_time"] = time.perf_counter() - begin
    for name in job.datasets:
        if name != "train":
            metrics[name] = _scored(job, estimator, name)
    kept = None
    if job.checkpoint_at_end:
        kept = SklearnCheckpoint.from_estimator(estimator, feature_columns=job.features)
    report(metrics, checkpoint=kept)


def _data(job: Job, name: str) -> tuple[Any, Any]:
    table = get_dataset_shard(name).to_arrow()
    return features(table, job.features), labels(table, job.label_column, name)


def _given(rows: Any, target: Any) -> tuple[Any, ...]:
    """What ``fit`` and scorers are given: estimators without a label take none."""
    return (rows,) if target is None else (rows, target)


def _cross_validated(job: Job, estimator: Any, rows: Any, target: Any) -> dict[str, Any]:
    """For each measure its values, one for each fold, their mean and their standard deviation."""
    estimator = clone(estimator)
    in_parallel = job.parallelize_cv
    if in_parallel is None:
        in_parallel = not cpu_parameters(estimator)
    if job.set_estimator_cpus:
        with_cpus(estimator, 1 if in_parallel else job.cpus)
    register_air()
    with joblib.parallel_config(backend="air" if in_parallel else "sequential"):
        found = cross_validate(
            estimator,
            rows,
            target,
            scoring=job.scoring,
            cv=job.cv,
            n_jobs=-1 if in_parallel else None,
            params=dict(job.fit_params),
            return_train_score=job.return_train_score_cv,
            error_score="raise",
        )
    metrics: dict[str, Any] = {}
    for name, values in found.items():
        metrics[name] = values.tolist()
        metrics[f"{name}_mean"] = float(np.mean(values))
        metrics[f"{name}_std"] = float(np.std(values))
    return metrics


def _scored(job: Job, estimator: Any, dataset: str) -> dict[str, Any]:
    """How well the estimator does on a dataset, and how long that took to find out."""
    rows, target = _data(job, dataset)
    scorer = check_scoring(estimator, scoring=job.scoring)
    begin = time.perf_counter()
    scores = scorer(estimator, *_given(rows, target))
    seconds = time.perf_counter() - begin
    if isinstance(scores, Mapping):
        named = {f"test_{name}": float(score) for name, score in scores.items()}
    else:
        named = {"test_score": float(scores)}
    return {**named, "score_time": seconds}
