"""Trainers as trainables: what the space changes, and what comes of it."""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

import air
from air import Checkpoint, FailureConfig, RunConfig, ScalingConfig, train, tune
from air.config import CheckpointConfig
from air.data.preprocessors import BatchMapper, MinMaxScaler
from air.errors import InvalidOption
from air.train import DataParallelTrainer
from air.train.base_trainer import BaseTrainer
from air.tune import TuneConfig, Tuner

pytestmark = pytest.mark.usefixtures("air_backend")


class Counter(BaseTrainer):
    """Counts to ``params["to"]`` in steps of ``by``, on from its checkpoint."""

    def __init__(self, *, params: dict[str, Any], by: int = 1, **common: Any) -> None:
        self.params = params
        self.by = by
        super().__init__(**common)

    def training_loop(self) -> None:
        checkpoint = self.resume_from_checkpoint
        reached = checkpoint.to_dict()["reached"] if checkpoint else 0
        while reached < self.params["to"]:
            reached += self.by
            train.report(
                {"reached": reached, "label": self.params.get("label")},
                checkpoint=Checkpoint.from_dict({"reached": reached}),
            )
            if reached == self.params.get("fail_at") and not checkpoint:
                raise LookupError("counted wrong")


def test_the_space_changes_single_parameters(run_config: RunConfig) -> None:
    trainer = Counter(params={"to": 4, "label": "kept"}, by=1)
    grid = Tuner(
        trainer,
        param_space={"params": {"to": tune.grid_search([2, 6])}, "by": 2},
        run_config=run_config,
    ).fit()
    assert [result.metrics["reached"] for result in grid] == [2, 6]
    assert {result.metrics["label"] for result in grid} == {"kept"}
    assert [result.config for result in grid] == [
        {"params": {"to": 2}, "by": 2},
        {"params": {"to": 6}, "by": 2},
    ]
    assert trainer.params == {"to": 4, "label": "kept"}


def test_a_parameter_that_the_trainer_lacks_is_refused_at_once() -> None:
    with pytest.raises(
        InvalidOption,
        match=re.escape(
            "Counter has no parameter 'parms' to set for a trial. Did you mean 'params'?"
        ),
    ):
        Tuner(Counter(params={"to": 1}), param_space={"parms": {"to": 2}})


def test_a_config_that_the_trainer_refuses_fails_its_trial(run_config: RunConfig) -> None:
    grid = Tuner(
        Counter(params={"to": 1}),
        param_space={"scaling_config": {"num_workers": tune.grid_search([0, 1])}},
        run_config=run_config,
    ).fit()
    (error,) = grid.errors
    assert isinstance(error, InvalidOption)
    assert "num_workers" in str(error)
    assert grid[1].metrics["reached"] == 1


def test_the_run_config_of_the_trainer_is_used_unless_there_is_another(tmp_path: Path) -> None:
    own = RunConfig(name="own", storage_path=tmp_path, stop={"reached": 2})
    trainer = Counter(params={"to": 9}, run_config=own)
    grid = Tuner(trainer).fit()
    assert grid.experiment_path == str(tmp_path / "own")
    assert grid[0].metrics["reached"] == 2
    other = RunConfig(name="other", storage_path=tmp_path)
    grid = Tuner(trainer, run_config=other).fit()
    assert grid.experiment_path == str(tmp_path / "other")
    assert grid[0].metrics["reached"] == 9


def test_a_trainer_goes_on_from_its_checkpoint_after_a_failure(run_config: RunConfig) -> None:
    (result,) = Tuner(
        Counter(params={"to": 4, "fail_at": 2}),
        run_config=dataclasses.replace(
            run_config,
            failure_config=FailureConfig(max_failures=1),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
        ),
    ).fit()
    assert result.error is None
    assert result.metrics_dataframe["reached"].tolist() == [1, 2, 3, 4]
    assert len(result.best_checkpoints) == 1


def test_workers_of_a_data_parallel_trainer_report_to_the_trial(run_config: RunConfig) -> None:
    def loop(config: dict[str, Any]) -> None:
        rows = train.get_dataset_shard("train").count()
        train.report({"rows": rows * train.get_world_size(), "lr": config["lr"]})

    trainer = DataParallelTrainer(
        loop,
        scaling_config=ScalingConfig(num_workers=2),
        datasets={"train": air.data.range(8)},
    )
    grid = Tuner(
        trainer,
        param_space={"train_loop_config": {"lr": tune.grid_search([0.1, 0.2])}},
        run_config=run_config,
    ).fit()
    assert grid.errors == []
    assert [(result.metrics["rows"], result.metrics["lr"]) for result in grid] == [
        (8, 0.1),
        (8, 0.2),
    ]


class CountsFits(MinMaxScaler):
    """Leaves a mark each time that it is fitted."""

    def __init__(self, columns: list[str], directory: str) -> None:
        super().__init__(columns)
        self.directory = directory

    def _fit(self, ds: Any) -> None:
        tempfile.mkdtemp(dir=self.directory)
        super()._fit(ds)


def count_to(rows: int) -> Any:
    return air.data.from_items([{"x": x} for x in range(rows)])


def total(config: dict[str, Any]) -> None:
    rows = train.get_dataset_shard("train").iter_rows()
    train.report({"total": sum(row["x"] for row in rows)})


def test_datasets_are_preprocessed_once_for_all_trials_that_share_them(
    run_config: RunConfig, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    trainer = DataParallelTrainer(
        total,
        datasets={"train": count_to(3)},
        preprocessor=CountsFits(["x"], str(marks)),
    )
    grid = Tuner(
        trainer,
        param_space={"train_loop_config": {"lr": tune.grid_search([1, 2, 3])}},
        run_config=run_config,
    ).fit()
    assert [result.metrics["total"] for result in grid] == [1.5] * 3
    assert len(os.listdir(marks)) == 1
    others = {"train": tune.grid_search([count_to(3), count_to(5)])}
    grid = Tuner(trainer, param_space={"datasets": others}, run_config=run_config).fit()
    assert [result.metrics["total"] for result in grid] == [1.5, 2.5]
    assert len(os.listdir(marks)) == 4
    assert trainer.preprocessor.fit_status() is CountsFits.FitStatus.NOT_FITTED


def test_what_preprocessing_raises_ends_the_experiment_before_it_begins(
    run_config: RunConfig, tmp_path: Path
) -> None:
    def fails(frame: Any) -> Any:
        raise LookupError("in the preprocessor")

    trainer = DataParallelTrainer(
        total,
        datasets={"train": air.data.range(3)},
        preprocessor=BatchMapper(fails, batch_format="pandas"),
    )
    with pytest.raises(LookupError, match="in the preprocessor"):
        Tuner(trainer, run_config=run_config).fit()
    assert not os.listdir(tmp_path)


class Weights(Checkpoint):
    """A checkpoint of a class of its own."""


def test_a_checkpoint_comes_back_as_what_it_was(run_config: RunConfig) -> None:
    class Local(Checkpoint):
        pass

    def trainable(config: dict[str, Any]) -> None:
        for kind in (Checkpoint, Weights, Local):
            tune.report({"a": 1}, checkpoint=kind.from_dict({"kind": kind.__name__}))

    (result,) = Tuner(trainable, run_config=run_config).fit()
    restored = Tuner.restore(Path(result.path).parent, trainable).get_results()[0]
    for each in (result, restored):
        kept = [checkpoint for checkpoint, _ in each.best_checkpoints]
        assert [type(checkpoint) for checkpoint in kept] == [Checkpoint, Weights, Checkpoint]
        assert [c.to_dict()["kind"] for c in kept] == ["Checkpoint", "Weights", "Local"]


def test_a_trainer_as_a_trainable_is_the_trainer(run_config: RunConfig) -> None:
    trainable = Counter(params={"to": 2}, scaling_config=ScalingConfig(num_workers=2))
    grid = Tuner(
        trainable.as_trainable(), param_space={"params": {"to": 3}}, run_config=run_config
    ).fit()
    assert grid[0].metrics["reached"] == 3
    with pytest.raises(InvalidOption, match=r"no parameter 'run_config'.*Give it to the Tuner"):
        Tuner(trainable, param_space={"run_config": RunConfig(name="x")})


def test_the_number_of_workers_can_be_searched_over(run_config: RunConfig) -> None:
    def loop(config: dict[str, Any]) -> None:
        train.report({"bundles": len(train.get_trial_resources())})

    grid = Tuner(
        DataParallelTrainer(loop),
        param_space={"scaling_config": {"num_workers": tune.grid_search([1, 2])}},
        run_config=run_config,
    ).fit()
    assert [result.metrics["bundles"] for result in grid] == [2, 3]


def test_xgboost_is_tuned_and_its_best_model_predicts(run_config: RunConfig) -> None:
    pytest.importorskip("xgboost")
    from air.train.xgboost import XGBoostCheckpoint, XGBoostPredictor, XGBoostTrainer

    items = [{"x": float(i % 17), "y": float(i % 5), "target": int(i % 17 > 8)} for i in range(200)]
    training, valid = air.data.from_items(items).train_test_split(test_size=0.3)
    trainer = XGBoostTrainer(
        label_column="target",
        params={"objective": "binary:logistic", "eval_metric": ["logloss", "error"]},
        num_boost_round=4,
        datasets={"train": training, "valid": valid},
    )
    grid = Tuner(
        trainer,
        param_space={"params": {"max_depth": tune.grid_search([1, 3])}},
        tune_config=TuneConfig(metric="valid-logloss", mode="min"),
        run_config=run_config,
    ).fit()
    assert grid.errors == []
    best = grid.get_best_result()
    assert best.metrics["training_iteration"] == 4
    assert best.metrics["valid-error"] == 0
    assert len(best.metrics_dataframe) == 4
    assert best.checkpoint is not None
    # One that is stopped early ends with the model that it had then.
    stopped = Tuner(
        trainer, run_config=dataclasses.replace(run_config, stop={"training_iteration": 2})
    ).fit()[0]
    assert len(stopped.metrics_dataframe) == 2
    assert (
        XGBoostCheckpoint.from_checkpoint(stopped.checkpoint).get_model().num_boosted_rounds() == 2
    )
    predictor = XGBoostPredictor.from_checkpoint(best.checkpoint)
    frame = valid.to_pandas().drop(columns="target")
    assert len(predictor.predict(frame)) == len(frame)
