"""What every worker of a `LightGBMTrainer` runs."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm
import numpy as np
import pyarrow as pa
from lightgbm.basic import EvalResult
from lightgbm.callback import CallbackEnv, EarlyStopException

from air.core.api import get
from air.train.boosting.job import Job
from air.train.boosting.rounds import RoundReports
from air.train.columns import in_order_of
from air.train.labels import check_labels
from air.train.lightgbm.agreement import Opinion
from air.train.lightgbm.backend import NETWORK_KEY, Network
from air.train.lightgbm.checkpoint import LightGBMCheckpoint
from air.train.lightgbm.dataset import build_dataset
from air.train.lightgbm.library import CATEGORIES, canonical, categories_of, check_params
from air.train.session import get_checkpoint, get_dataset_shard, get_world_rank

Callback = Callable[[CallbackEnv], None]


def train(config: dict[str, Any]) -> None:
    """Train one model together with the other workers; ``config["job"]`` is a `Job`."""
    job: Job = config["job"]
    job = replace(job, params=canonical(job.params))
    network: Network | None = config[NETWORK_KEY]
    check_params(job.params, len(job.columns["train"].features))
    model, features, rounds_done = _starting_model(job)
    if features is not None:
        job = replace(job, columns=in_order_of(features, job.columns))
    categories = categories_of(job.params, job.columns["train"].features)
    params = {"verbosity": -1, **job.all_params}
    params.pop(CATEGORIES, None)
    if network is not None:
        # This process is the worker's own; LightGBM tells of each connection otherwise.
        lightgbm.register_logger(logging.getLogger("lightgbm"))
        params = {"tree_learner": "data", **params, **network.params(get_world_rank())}
    data = _datasets(job, params, categories)
    columns = job.columns["train"].features
    keep = functools.partial(LightGBMCheckpoint.from_model, feature_columns=columns)
    reports = RoundReports(job, keep)
    rounds = _Rounds(reports, rounds_done, _callbacks(job), network, data)
    booster = lightgbm.train(
        params,
        data["train"],
        num_boost_round=job.num_boost_round - rounds_done,
        valid_sets=list(data.values()),
        valid_names=list(data),
        feval=job.train_kwargs.get("feval"),
        init_model=model,
        keep_training_booster=True,
        callbacks=[rounds],
    )
    reports.finish(booster)


def _starting_model(job: Job) -> tuple[lightgbm.Booster | None, Sequence[str] | None, int]:
    """The model to go on from, the columns it was trained on, and how many rounds it has."""
    checkpoint = get_checkpoint()
    if checkpoint is None:
        return None, None, 0
    kept = LightGBMCheckpoint.from_checkpoint(checkpoint)
    model = kept.get_model()
    rounds_done = model.current_iteration()
    job.check_rounds_left(rounds_done)
    return model, kept.get_feature_columns(), rounds_done


def _datasets(
    job: Job, params: dict[str, Any], categories: list[str]
) -> dict[str, lightgbm.Dataset]:
    """The datasets of this worker's shards, that to train on first."""
    data: dict[str, lightgbm.Dataset] = {}
    for name, columns in job.columns.items():
        data[name] = build_dataset(
            _tables(name, job), columns, params, categories, data.get("train")
        )
    return data


def _tables(dataset: str, job: Job) -> Iterator[pa.Table]:
    shard = get_dataset_shard(dataset)
    for table in shard.iter_batches(batch_size=None, batch_format="pyarrow"):
        check_labels(table, job.columns[dataset].label, dataset)
        yield table


def _weight_of(dataset: lightgbm.Dataset) -> float:
    """What the metrics of a dataset here weigh among those of all workers."""
    weights, group = dataset.get_weight(), dataset.get_group()
    if group is not None:
        return float(len(group))
    return float(dataset.num_data() if weights is None else np.asarray(weights).sum())


def _callbacks(job: Job) -> list[Callback]:
    callbacks: list[Callback] = list(job.train_kwargs.get("callbacks") or ())
    rounds = job.train_kwargs.get("early_stopping_rounds")
    if rounds is not None:
        callbacks.append(
            lightgbm.early_stopping(
                rounds,
                first_metric_only=job.params.get("first_metric_only", False),
                min_delta=job.params.get("early_stopping_min_delta", 0.0),
                verbose=False,
            )
        )
    return callbacks


@dataclass(eq=False)
class _Rounds:
    """Reports every round, with the metrics of all rows, and ends all workers after the same one.

    It calls the other callbacks itself, in their order: with these metrics.
    """

    reports: RoundReports
    rounds_done: int
    callbacks: list[Callback]
    network: Network | None
    data: dict[str, lightgbm.Dataset]
    order = 30
    before_iteration = False

    def __post_init__(self) -> None:
        self.callbacks.sort(key=lambda each: getattr(each, "order", 0))

    def __call__(self, env: CallbackEnv) -> None:
        found: list[Any] = list(env.evaluation_result_list or ())
        values, _ = self._agreed(found, stops=False)
        found = [
            EvalResult(each.dataset_name, each.metric_name, value, each.maximize, None)
            for each, value in zip(found, values, strict=True)
        ]
        ended = self._called(dataclasses.replace(env, evaluation_result_list=found))
        metrics = {f"{each[0]}-{each[1]}": float(each[2]) for each in found}
        number = self.rounds_done + env.iteration - env.begin_iteration + 1
        self.reports.ended(number, metrics, env.model, is_last=ended is not None)
        _, stops = self._agreed([], stops=ended is not None or self.reports.stopped)
        if stops:
            raise ended or EarlyStopException(env.iteration, found)

    def _agreed(self, found: list[Any], *, stops: bool) -> tuple[Sequence[float], bool]:
        """The metrics of all rows, and whether any worker stops."""
        values = tuple(float(each[2]) for each in found)
        if self.network is None:
            return values, stops
        weights = tuple(self._weights[each[0]] for each in found)
        opinion = Opinion(values, weights, tuple(each[1] for each in found), stops)
        answer: tuple[list[float], bool]
        answer = get(self.network.agreement.reach.remote(get_world_rank(), opinion))
        return answer

    @functools.cached_property
    def _weights(self) -> dict[str, float]:
        # Not before training: bins are found when LightGBM has joined the workers.
        return {name: _weight_of(dataset) for name, dataset in self.data.items()}

    def _called(self, env: CallbackEnv) -> EarlyStopException | None:
        """Call the other callbacks; what the first that ends training raises."""
        ended: EarlyStopException | None = None
        for callback in self.callbacks:
            try:
                callback(env)
            except EarlyStopException as raised:
                ended = ended or raised
        return ended
