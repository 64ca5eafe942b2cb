"""XGBoost on two processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import xgboost

import air.data
from air import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, train, tune
from air.data.preprocessors import StandardScaler
from air.errors import ActorDied
from air.train.xgboost import XGBoostTrainer
from air.tune import TuneConfig, Tuner

pytestmark = pytest.mark.usefixtures("air_cluster")

TWO = ScalingConfig(num_workers=2)


@pytest.fixture
def tables(breast_cancer_csv):
    return air.data.read_csv(breast_cancer_csv).train_test_split(test_size=0.3)


def new_trainer(tables, **options):
    arguments = {
        "datasets": dict(zip(("train", "valid"), tables, strict=True)),
        "label_column": "target",
        "params": {"objective": "binary:logistic", "eval_metric": ["logloss", "error"]},
        "num_boost_round": 20,
        "scaling_config": TWO,
        "preprocessor": StandardScaler(["mean radius", "mean texture"]),
    }
    return XGBoostTrainer(**arguments | options)


def test_two_workers_grow_the_same_trees_as_one(tables):
    two = new_trainer(tables).fit()
    one = new_trainer(tables, scaling_config=ScalingConfig(num_workers=1)).fit()
    for name in ("train-logloss", "train-error", "valid-logloss", "valid-error"):
        expected = one.metrics_dataframe[name].tolist()
        assert two.metrics_dataframe[name].tolist() == pytest.approx(expected, abs=1e-6), name
    assert _shape(two.checkpoint.get_model()) == _shape(one.checkpoint.get_model())


def _shape(booster):
    frame = booster.trees_to_dataframe()
    return frame[["Tree", "Node", "Feature"]].to_numpy().tolist()


class KillSecondWorker(xgboost.callback.TrainingCallback):
    """Kills the second worker in round 4, unless it went on from a checkpoint."""

    def after_iteration(self, model, epoch, evals_log):
        if epoch == 3 and train.get_world_rank() == 1 and train.get_checkpoint() is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return False


def test_the_death_of_a_worker_is_what_is_raised_and_not_the_broken_connection(tables):
    with pytest.raises(ActorDied) as caught:
        new_trainer(tables, callbacks=[KillSecondWorker()]).fit()
    assert "(raised in training worker 1 of 2)" in caught.value.__notes__


def test_xgboost_goes_on_after_a_worker_was_killed(tables):
    result = new_trainer(
        tables,
        num_boost_round=6,
        callbacks=[KillSecondWorker()],
        run_config=RunConfig(
            failure_config=FailureConfig(max_failures=1),
            checkpoint_config=CheckpointConfig(checkpoint_frequency=2),
        ),
    ).fit()
    assert result.metrics_dataframe["training_iteration"].tolist() == [1, 2, 3, 4, 5, 6]
    expected = new_trainer(tables, num_boost_round=6).fit().metrics["valid-logloss"]
    assert result.metrics["valid-logloss"] == pytest.approx(expected, abs=1e-6)


def test_a_stopped_xgboost_run_ends_in_both_workers_with_a_checkpoint(tables):
    result = new_trainer(tables, run_config=RunConfig(stop={"training_iteration": 3})).fit()
    assert result.metrics_dataframe["training_iteration"].tolist() == [1, 2, 3]
    assert result.checkpoint.get_model().num_boosted_rounds() == 3


def test_trials_train_in_their_own_placement_groups(tables):
    grid = Tuner(
        new_trainer(tables, num_boost_round=4),
        param_space={"params": {"max_depth": tune.grid_search([1, 3])}},
        tune_config=TuneConfig(metric="train-logloss", mode="min"),
    ).fit()
    best = grid.get_best_result()
    assert best.config["params"]["max_depth"] == 3
    assert best.metrics["training_iteration"] == 4
    assert best.checkpoint.get_preprocessor() is not None


class SecondWorkerEnds(xgboost.callback.TrainingCallback):
    """Ends training before or after round 3, as far as the second worker goes."""

    def __init__(self, when):
        self.when = when

    def before_iteration(self, model, epoch, evals_log):
        return self.when == "before" and self._is_due(epoch)

    def after_iteration(self, model, epoch, evals_log):
        return self.when == "after" and self._is_due(epoch)

    def _is_due(self, epoch):
        return epoch == 2 and train.get_world_rank() == 1


@pytest.mark.parametrize(("when", "rounds"), [("before", 2), ("after", 3)])
def test_a_callback_in_one_worker_ends_all_of_them_together(tables, when, rounds):
    result = new_trainer(tables, callbacks=[SecondWorkerEnds(when)]).fit()
    assert result.metrics_dataframe["training_iteration"].tolist() == list(range(1, rounds + 1))
    assert result.checkpoint.get_model().num_boosted_rounds() == rounds


NOISE = """
import xgboost
import air, air.data
from air import ScalingConfig
from air.train.xgboost import XGBoostTrainer

class Fails(xgboost.callback.TrainingCallback):
    def after_iteration(self, model, epoch, evals_log):
        raise LookupError("enough")

def fit(**options):
    rows = air.data.from_items([{"x": float(i), "target": i % 2} for i in range(20)])
    XGBoostTrainer(
        datasets={"train": rows, "valid": rows.limit(1)},
        label_column="target",
        params={"objective": "binary:logistic"},
        num_boost_round=2,
        scaling_config=ScalingConfig(num_workers=2),
        **options,
    ).fit()

air.init(backend="cluster", num_cpus=2)
fit()
try:
    fit(callbacks=[Fails()])
except LookupError:
    print("failed")
air.shutdown()
"""


def test_neither_a_small_dataset_nor_an_error_makes_noise(tmp_path):
    """Fewer rows to validate with than workers; a worker that leaves the collective early."""
    ended = subprocess.run(
        [sys.executable, "-c", NOISE],
        env={**os.environ, "AIR_RESULTS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.stderr, ended.stdout) == ("", "failed\n")
