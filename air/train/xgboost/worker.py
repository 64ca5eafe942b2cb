"""What every worker of an `XGBoostTrainer` runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import xgboost
from xgboost import collective as xgboost_collective

from air.train.boosting.job import Job
from air.train.boosting.rounds import RoundReports
from air.train.columns import Columns, in_order_of
from air.train.labels import check_labels
from air.train.session import get_checkpoint, get_dataset_shard
from air.train.xgboost.arguments import checked_metric
from air.train.xgboost.backend import COLLECTIVE_KEY, collective, is_broken_collective
from air.train.xgboost.checkpoint import XGBoostCheckpoint
from air.train.xgboost.library import listen_in_this_thread
from air.train.xgboost.matrix import build_matrix
from air.train.xgboost.params import check_params, reason_of

EvalsLog = xgboost.callback.TrainingCallback.EvalsLog


def train(config: dict[str, Any]) -> None:
    """Train one model together with the other workers; ``config["job"]`` is a `Job`."""
    job: Job = config["job"]
    listen_in_this_thread()
    params = job.all_params
    check_params(params, job.columns["train"].features)
    model, rounds_done = _starting_model(job)
    if model is not None and model.feature_names is not None:
        job = replace(job, columns=in_order_of(model.feature_names, job.columns))
    # Some params, as verbosity, are settings of the whole process, which may be the user's.
    with xgboost.config_context(), collective(config[COLLECTIVE_KEY]), _readable_errors(job):
        matrices = _matrices(job, params)
        reports = RoundReports(job, XGBoostCheckpoint.from_model)
        booster = xgboost.train(
            params,
            matrices["train"],
            num_boost_round=job.num_boost_round - rounds_done,
            evals=[(matrix, name) for name, matrix in matrices.items()],
            xgb_model=model,
            verbose_eval=False,
            callbacks=[_Rounds(reports, rounds_done, _callbacks(job))],
            obj=job.train_kwargs.get("obj"),
            custom_metric=checked_metric(job.train_kwargs.get("custom_metric")),
        )
        reports.finish(booster)


@contextmanager
def _readable_errors(job: Job) -> Iterator[None]:
    """Leave what XGBoost's errors say, without its stack of addresses."""
    try:
        yield
    except xgboost.core.XGBoostError as error:
        if is_broken_collective(error):  # it is known by its text
            raise
        message = f"XGBoost cannot train on this data: {reason_of(error)}"
        label = job.columns["train"].label
        raise xgboost.core.XGBoostError(f"{message} (label_column is {label!r})") from None


def _starting_model(job: Job) -> tuple[xgboost.Booster | None, int]:
    checkpoint = get_checkpoint()
    if checkpoint is None:
        return None, 0
    model = XGBoostCheckpoint.from_checkpoint(checkpoint).get_model()
    rounds_done: int = model.num_boosted_rounds()
    job.check_rounds_left(rounds_done)
    return model, rounds_done


def _matrices(job: Job, params: Mapping[str, Any]) -> dict[str, xgboost.DMatrix]:
    """The matrices of this worker's shards, that to train on first."""
    matrices: dict[str, xgboost.DMatrix] = {}
    for name, columns in job.columns.items():
        matrices[name] = build_matrix(
            _tables(name, columns),
            columns,
            params=params,
            settings=job.dmatrix_params.get(name, {}),
            nthread=job.threads,
            ref=matrices.get("train"),
        )
    return matrices


def _tables(dataset: str, columns: Columns) -> Callable[[], Iterator[pa.Table]]:
    shard = get_dataset_shard(dataset)

    def tables() -> Iterator[pa.Table]:
        is_empty = True
        for table in shard.iter_batches(batch_size=None, batch_format="pyarrow"):
            is_empty = False
            check_labels(table, columns.label, dataset)
            yield table
        if is_empty:
            # With fewer rows than workers. Every worker takes part in every evaluation.
            yield pa.table({name: pa.array([], pa.float64()) for name in columns.names})

    return tables


def _callbacks(job: Job) -> list[xgboost.callback.TrainingCallback]:
    callbacks = list(job.train_kwargs.get("callbacks") or ())
    rounds = job.train_kwargs.get("early_stopping_rounds")
    if rounds is not None:
        maximize = job.train_kwargs.get("maximize")
        callbacks.append(xgboost.callback.EarlyStopping(rounds=rounds, maximize=maximize))
    return callbacks


@dataclass(eq=False)
class _Rounds(xgboost.callback.TrainingCallback):
    """Reports every round, and makes sure that all workers end after the same one.

    It calls the other callbacks itself: only so is it known whether a round is the last, whose
    report waits for the finished model.
    """

    reports: RoundReports
    rounds_done: int
    callbacks: list[xgboost.callback.TrainingCallback]

    def before_training(self, model: xgboost.Booster) -> xgboost.Booster:
        for callback in self.callbacks:
            model = callback.before_training(model)
        return model

    def after_training(self, model: xgboost.Booster) -> xgboost.Booster:
        for callback in self.callbacks:
            model = callback.after_training(model)
        return model

    def before_iteration(self, model: xgboost.Booster, epoch: int, evals_log: EvalsLog) -> bool:
        votes = [c.before_iteration(model, epoch, evals_log) for c in self.callbacks]
        ends = any(votes)
        if votes and xgboost_collective.is_distributed():
            ends = _any_worker(ends)
        return ends

    def after_iteration(self, model: xgboost.Booster, epoch: int, evals_log: EvalsLog) -> bool:
        votes = [c.after_iteration(model, epoch, evals_log) for c in self.callbacks]
        ends = any(votes)
        reports = self.reports
        reports.ended(self.rounds_done + epoch + 1, _metrics(evals_log), model, is_last=ends)
        if xgboost_collective.is_distributed():
            reports.stopped = _any_worker(ends or reports.stopped)
        return ends or reports.stopped


def _metrics(evals_log: EvalsLog) -> dict[str, Any]:
    """The last values, as ``"dataset-metric"``."""
    return {
        f"{dataset}-{metric}": float(values[-1])  # type: ignore[arg-type]  # pairs are for cv()
        for dataset, log in evals_log.items()
        for metric, values in log.items()
    }


def _any_worker(value: bool) -> bool:
    import numpy as np

    flags = np.array([value], dtype=np.int32)
    return bool(xgboost_collective.allreduce(flags, xgboost_collective.Op.MAX)[0])
