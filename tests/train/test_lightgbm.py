"""The trainer, checkpoint and predictor for LightGBM."""

from __future__ import annotations

import asyncio
import os

import lightgbm  # before a backend starts: it opens files that stay open
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.metrics import log_loss, mean_squared_error

import air.data
from air import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
from air.data.preprocessors import StandardScaler
from air.errors import InvalidOption
from air.testing.executor_suite.harness import eventually
from air.train import BatchPredictor, get_checkpoint, get_world_rank, get_world_size
from air.train.lightgbm import LightGBMCheckpoint, LightGBMPredictor, LightGBMTrainer
from air.train.lightgbm.agreement import Agreement, Opinion, agreed
from air.train.lightgbm.backend import free_ports
from air.train.lightgbm.dataset import sizes_of_groups
from air.train.lightgbm.library import canonical, check_params
from air.tune import Tuner, grid_search
from air.util.state import list_actors

PARAMS = {"objective": "binary", "metric": ["binary_logloss", "binary_error"], "num_leaves": 7}
TWO = ScalingConfig(num_workers=2)


@pytest.fixture
def new_trainer(breast_cancer):
    training, validation = breast_cancer

    def new(**options):
        arguments = {
            "datasets": {"train": training, "valid": validation},
            "label_column": "target",
            "params": PARAMS,
            "num_boost_round": 5,
        }
        return LightGBMTrainer(**arguments | options)

    return new


def parts(dataset):
    frame = dataset.to_pandas()
    return frame.drop(columns="target"), frame["target"]


def native(training, validation, rounds, **params):
    """What LightGBM itself makes of all rows in one process, and what it says of each round."""
    found = {}
    settings = {**PARAMS, "verbosity": -1, "num_threads": 1, **params}
    train = lightgbm.Dataset(*parts(training), params=settings)
    valid = lightgbm.Dataset(*parts(validation), reference=train, params=settings)
    booster = lightgbm.train(
        settings,
        train,
        rounds,
        valid_sets=[train, valid],
        valid_names=["train", "valid"],
        callbacks=[lightgbm.record_evaluation(found)],
    )
    return booster, {
        f"{name}-{metric}": values for name, log in found.items() for metric, values in log.items()
    }


def trees(booster):
    return booster.model_to_string(num_iteration=-1).partition("parameters:")[0]


def test_one_worker_trains_what_lightgbm_trains(new_trainer, breast_cancer):
    result = new_trainer(num_boost_round=8).fit()
    alone, expected = native(*breast_cancer, rounds=8)
    frame = result.metrics_dataframe
    assert frame["training_iteration"].tolist() == list(range(1, 9))
    for name, values in expected.items():
        assert frame[name].tolist() == pytest.approx(values, abs=1e-12), name
    assert isinstance(result.checkpoint, LightGBMCheckpoint)
    assert trees(result.checkpoint.get_model()) == trees(alone)


def test_metrics_of_two_workers_are_of_all_rows(new_trainer, breast_cancer):
    def with_weight(batch):
        return {**batch, "weight": 1 + np.arange(len(batch["target"])) % 3}

    weighted = [data.map_batches(with_weight) for data in breast_cancer]
    trainer = new_trainer(
        datasets={"train": weighted[0], "valid": weighted[1]},
        dmatrix_params={"train": {"weight": "weight"}, "valid": {"weight": "weight"}},
        params={**PARAMS, "metric": ["binary_logloss", "rmse"]},
        scaling_config=TWO,
    )
    result = trainer.fit()
    model = result.checkpoint.get_model()
    assert result.checkpoint.get_feature_columns() == list(parts(breast_cancer[0])[0])
    for name, data in zip(("train", "valid"), weighted, strict=True):
        frame = data.to_pandas()
        scores = model.predict(frame.drop(columns=["target", "weight"]))
        of = frame["target"], scores
        loss = log_loss(*of, sample_weight=frame["weight"])
        assert result.metrics[f"{name}-binary_logloss"] == pytest.approx(loss, abs=1e-6)
        error = mean_squared_error(*of, sample_weight=frame["weight"]) ** 0.5
        assert result.metrics[f"{name}-rmse"] == pytest.approx(error, abs=1e-6)


def test_a_dataset_of_fewer_rows_than_workers_is_evaluated(new_trainer, breast_cancer):
    training, validation = breast_cancer
    data = {"train": training, "valid": validation.limit(1)}
    result = new_trainer(datasets=data, scaling_config=TWO).fit()
    row, label = parts(data["valid"])
    [score] = result.checkpoint.get_model().predict(row)
    loss = -np.log(score if label[0] else 1 - score)
    assert result.metrics["valid-binary_logloss"] == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
def test_checkpoints_are_made_when_due_and_training_goes_on_from_one(new_trainer, workers):
    scaling = ScalingConfig(num_workers=workers)
    every = RunConfig(checkpoint_config=CheckpointConfig(checkpoint_frequency=2))
    result = new_trainer(run_config=every, scaling_config=scaling).fit()
    rounds = [kept.get_model().current_iteration() for kept, _ in result.best_checkpoints]
    assert rounds == [2, 4, 5]
    more = new_trainer(
        num_boost_round=8, resume_from_checkpoint=result.checkpoint, scaling_config=scaling
    ).fit()
    assert more.metrics_dataframe["training_iteration"].tolist() == [6, 7, 8]
    assert more.checkpoint.get_model().current_iteration() == 8
    assert more.metrics["train-binary_logloss"] < result.metrics["train-binary_logloss"]
    with pytest.raises(InvalidOption, match="has 5 rounds"):
        new_trainer(resume_from_checkpoint=result.checkpoint).fit()


@pytest.mark.parametrize("workers", [1, 2])
def test_training_ends_early(new_trainer, workers):
    scaling = ScalingConfig(num_workers=workers)
    stop = RunConfig(stop={"training_iteration": 3})
    result = new_trainer(run_config=stop, scaling_config=scaling).fit()
    assert result.checkpoint.get_model().current_iteration() == 3
    assert len(result.metrics_dataframe) == 3
    patient = new_trainer(
        num_boost_round=300,
        early_stopping_rounds=5,
        scaling_config=scaling,
        params={**PARAMS, "metric": "binary_logloss"},
    )
    losses = patient.fit().metrics_dataframe["valid-binary_logloss"]
    assert 10 < len(losses) < 300
    assert losses.idxmin() == len(losses) - 1 - 5


def test_callbacks_and_metrics_of_ones_own(new_trainer):
    def checks(env):
        assert len(env.evaluation_result_list) == 6  # three metrics of two datasets

    def ones(scores, dataset):
        return "ones", float((scores > 0.5).mean()), True

    result = new_trainer(callbacks=[checks], feval=ones, num_boost_round=3).fit()
    assert 0 < result.metrics["valid-ones"] < 1


class Broken(Exception):
    pass


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_callback_is_raised_as_it_is(new_trainer, air_backend, workers):
    def fails(env):
        if env.iteration == 1 and get_world_rank() == get_world_size() - 1:
            raise Broken("no more")

    with pytest.raises(Broken, match="no more"):
        new_trainer(callbacks=[fails], scaling_config=ScalingConfig(num_workers=workers)).fit()
    if air_backend == "cluster":  # nobody is left waiting for the others' opinion
        assert eventually(lambda: all(actor.state == "DEAD" for actor in list_actors()))


def test_a_worker_that_dies_is_replaced(new_trainer, air_backend):
    if air_backend == "local":
        pytest.skip("there are no workers to die")

    def dies(env):
        if env.iteration == 3 and get_world_rank() == 1 and get_checkpoint() is None:
            os.abort()

    config = RunConfig(
        failure_config=FailureConfig(max_failures=1),
        checkpoint_config=CheckpointConfig(checkpoint_frequency=2),
    )
    result = new_trainer(callbacks=[dies], run_config=config, scaling_config=TWO).fit()
    assert result.metrics_dataframe["training_iteration"].tolist() == [1, 2, 3, 4, 5]
    assert result.checkpoint.get_model().current_iteration() == 5


def test_rows_are_ranked_in_their_groups(air_backend):
    random = np.random.default_rng(0)
    sizes = random.integers(5, 15, 60)
    query = np.repeat(np.arange(60), sizes)
    x = random.standard_normal(len(query))
    frame = pd.DataFrame({"q": query, "x": x, "y": (x > 0.5).astype(int) + (x > 1.2)})
    result = LightGBMTrainer(
        datasets={"train": air.data.from_pandas(frame)},
        label_column="y",
        params={"objective": "lambdarank", "metric": "ndcg", "eval_at": [3], "min_data_in_leaf": 2},
        dmatrix_params={"train": {"qid": "q"}},
        num_boost_round=5,
        scaling_config=TWO,
    ).fit()
    assert result.metrics["train-ndcg@3"] > 0.95


def test_whole_numbers_can_be_categories(air_backend):
    frame = pd.DataFrame({"kind": np.arange(400) % 8, "y": (np.arange(400) % 8) % 2})
    params = {
        "objective": "binary",
        "metric": "binary_error",
        "categorical_feature": ["kind"],
        "min_data_per_group": 1,
        "cat_smooth": 0,
        "num_leaves": 2,
        "learning_rate": 1,
    }
    data = air.data.from_pandas(frame)
    made = LightGBMTrainer(
        datasets={"train": data}, label_column="y", params=params, num_boost_round=1
    ).fit()
    assert made.metrics["train-binary_error"] == 0  # one split tells odd kinds from even ones


def test_a_tuner_changes_the_params(new_trainer):
    grid = Tuner(new_trainer(), param_space={"params": {"num_leaves": grid_search([2, 15])}}).fit()
    few, many = (result.metrics["train-binary_logloss"] for result in grid)
    assert many < few


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_column": "targt"}, "'targt'.*'target'"),
        ({"num_boost_rounds": 3}, "no option 'num_boost_rounds'.*'num_boost_round'"),
        ({"valid_sets": []}, "further datasets"),
        ({"params": {"num_iterations": 3}}, "argument of the trainer"),
        ({"early_stopping_rounds": 0}, "early_stopping_rounds"),
        ({"callbacks": [3]}, "callbacks must be a list of functions"),
        ({"feval": "auc"}, "feval must be a function"),
        ({"dmatrix_params": {"train": {"weigth": "w"}}}, "'weigth'.*'weight'"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(new_trainer, options, message):
    with pytest.raises(InvalidOption, match=message):
        new_trainer(**options)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"num_leafs": 3}, "no parameter 'num_leafs'.*'num_leaf'"),
        ({"objective": "binry"}, "refuses the params: Unknown objective"),
        ({"num_leaves": 1}, r"refuses the params: Check failed: \(num_leaves\) > \(1\)(\n|$)"),
        ({"machines": "10.0.0.1:1"}, "the trainer sees to that"),
        ({"port": 1234}, "'port', by which LightGBM finds other workers"),
        ({"early_stopping_round": 3}, r"LightGBMTrainer\(..., early_stopping_rounds=3\)"),
        ({"n_iter": 3}, r"LightGBMTrainer\(..., num_boost_round=3\)"),
        ({"app": "binary"}, "'objective' under another name as well"),
        ({"categorical_feature": ["mean radios"]}, "'mean radios'.*'mean radius'"),
        ({"categorical_feature": "auto"}, "must be a list of columns"),
    ],
)
def test_params_are_judged_by_lightgbm(new_trainer, params, message):
    with pytest.raises(InvalidOption, match=message):
        new_trainer(params={**PARAMS, **params}).fit()


def test_other_names_of_parameters_are_taken_for_their_own():
    assert canonical({"verbose": 1, "n_jobs": 2, "cat_feature": ["a"]}) == {
        "verbosity": 1,
        "num_threads": 2,
        "categorical_feature": ["a"],
    }


def test_early_stopping_looks_at_what_the_params_say(new_trainer):
    losses = (
        new_trainer(
            num_boost_round=100,
            early_stopping_rounds=5,
            params={**PARAMS, "first_metric_only": True, "early_stopping_min_delta": 0.02},
            scaling_config=TWO,
        )
        .fit()
        .metrics_dataframe["valid-binary_logloss"]
    )
    best, best_at = float("inf"), 0
    for at, loss in enumerate(losses):
        if loss < best - 0.02:
            best, best_at = loss, at
    assert best_at < losses.idxmin()  # smaller steps do not count
    assert len(losses) == best_at + 1 + 5


@pytest.mark.parametrize(
    "objective", ["regression", "gamma", "poisson", "cross_entropy", "rank_xendcg", "multiclass"]
)
def test_every_objective_is_taken(objective):
    classes = {"num_class": 3} if objective == "multiclass" else {}
    check_params({"objective": objective, **classes}, features=2)


def test_an_objective_may_be_a_function(new_trainer):
    def squares(scores, data):
        return scores - data.get_label(), np.ones_like(scores)

    result = new_trainer(params={"objective": squares, "metric": "l2"}, num_boost_round=20).fit()
    assert result.metrics["train-l2"] < 0.1


def test_names_that_lightgbm_cannot_have_are_told(air_backend):
    data = air.data.from_items([{"a[0]": 1.0, "y": 0}, {"a[0]": 2.0, "y": 1}])
    with pytest.raises(InvalidOption, match="LightGBM takes no feature with"):
        LightGBMTrainer(datasets={"train": data}, label_column="y", params=PARAMS).fit()


# -- Workers


def test_what_workers_agree_on():
    names = ("l2", "rmse")
    one = Opinion((1.0, 3.0), (1.0, 1.0), names, stops=False)
    other = Opinion((4.0, 4.0), (2.0, 3.0), names, stops=True)
    metrics, stops = agreed([one, other])
    assert metrics == pytest.approx([3.0, ((9 + 3 * 16) / 4) ** 0.5])
    assert stops
    assert agreed([Opinion((), (), (), stops=False)] * 2) == ([], False)
    nothing = Opinion((float("nan"), 0.0), (0.0, 0.0), names, stops=False)
    assert agreed([one, nothing])[0] == pytest.approx([1.0, 3.0])


def test_workers_wait_for_one_another():
    async def meet():
        actor = Agreement(2)
        found = []
        for value in (1.0, 2.0):
            mine = Opinion((value,), (1.0,), ("l2",), stops=False)
            theirs = Opinion((value + 2,), (1.0,), ("l2",), stops=False)
            first = asyncio.ensure_future(actor.reach(1, theirs))
            await asyncio.sleep(0)
            assert not first.done()
            found += [await actor.reach(0, mine), await first]
        return found

    assert asyncio.run(meet()) == [([2.0], False)] * 2 + [([3.0], False)] * 2


def test_groups_and_ports():
    assert sizes_of_groups(np.array([3, 3, 5, 7, 7, 7])).tolist() == [2, 1, 3]
    assert sizes_of_groups(np.array([], dtype=int)).tolist() == []
    assert len(set(free_ports(5))) == 5


# -- Prediction


@pytest.fixture(scope="module")
def model():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a b": random.standard_normal(200), "c": random.standard_normal(200)})
    data = lightgbm.Dataset(frame, frame["a b"] - frame["c"])
    return lightgbm.train({"verbosity": -1, "num_threads": 1}, data, 5)


def test_predictions_are_of_the_kind_of_the_data(model):
    predictor = LightGBMPredictor(model, feature_columns=["a b", "c"])
    frame = pd.DataFrame({"o": ["x", "y"], "c": [1.0, -2.0], "a b": [0.5, 0.6]}, index=[7, 8])
    rows = frame[["a b", "c"]].to_numpy()
    expected = model.predict(rows).tolist()
    found = predictor.predict(frame)
    assert found.index.tolist() == [7, 8]
    assert found["predictions"].tolist() == expected
    table = pa.Table.from_pandas(frame, preserve_index=False)
    assert predictor.predict(table)["predictions"].to_pylist() == expected
    assert predictor.predict(pl.from_arrow(table))["predictions"].to_list() == expected
    assert predictor.predict(rows).tolist() == expected
    assert predictor.predict(rows, num_iteration=1).tolist() == (
        model.predict(rows, num_iteration=1).tolist()
    )
    contributions = predictor.predict(frame, pred_contrib=True)["predictions"]
    assert np.stack(contributions).shape == (2, 3)


def test_what_cannot_be_predicted_from_is_refused(model):
    predictor = LightGBMPredictor(model, feature_columns=["a b", "c"])
    with pytest.raises(InvalidOption, match="lacks the features 'c'"):
        predictor.predict(pd.DataFrame({"a b": [1.0]}))
    with pytest.raises(InvalidOption, match="predicts from numbers"):
        predictor.predict(pd.DataFrame({"a b": ["x"], "c": [1.0]}))
    with pytest.raises(InvalidOption, match=r"shape \(rows, 2\)"):
        predictor.predict(np.zeros((3, 4)))
    with pytest.raises(InvalidOption, match=r"no option 'raw_scores'.*'raw_score'"):
        predictor.predict(np.zeros((3, 2)), raw_scores=True)
    with pytest.raises(InvalidOption, match=r"use LightGBMPredictor\.from_checkpoint"):
        LightGBMPredictor(LightGBMCheckpoint.from_model(model))
    with pytest.raises(InvalidOption, match="holds no LightGBM model"):
        LightGBMPredictor.from_checkpoint(air.Checkpoint.from_dict({"x": 1}))
    with pytest.raises(InvalidOption, match=r"takes a lightgbm\.Booster"):
        LightGBMPredictor("model")


def test_whole_datasets_are_predicted_with_the_preprocessor(new_trainer, breast_cancer):
    columns = list(parts(breast_cancer[0])[0])
    result = new_trainer(preprocessor=StandardScaler(columns)).fit()
    predictor = BatchPredictor.from_checkpoint(result.checkpoint, LightGBMPredictor)
    frame = predictor.predict(breast_cancer[1], keep_columns=["target"]).to_pandas()
    error = ((frame["predictions"] > 0.5) != frame["target"]).mean()
    assert error == pytest.approx(result.metrics["valid-binary_error"])
