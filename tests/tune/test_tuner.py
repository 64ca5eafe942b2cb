"""Experiments from end to end, on a backend that runs one trial at a time."""

from __future__ import annotations

import bdb
import dataclasses
import functools
import os
import re
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from air import Checkpoint, FailureConfig, RunConfig, ScalingConfig, train, tune
from air.config import CheckpointConfig
from air.errors import InvalidOption, SerializationError, TaskError, Unschedulable
from air.executor.capabilities import Capability
from air.executor.current import get_executor
from air.train import DataParallelTrainer
from air.tune import TuneConfig, TuneError, Tuner
from air.tune.schedulers import TrialScheduler
from air.tune.search import BasicVariantGenerator, Searcher

pytestmark = pytest.mark.usefixtures("air_backend")


class UserError(Exception):
    """An exception of the user's own, which cannot be made again from its arguments."""

    def __init__(self, code: int, *, detail: str) -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code


def parabola(config: dict[str, Any]) -> None:
    for step in range(3):
        tune.report({"loss": (config["x"] - 1) ** 2 + 1 / (step + 1)})


def test_a_search_finds_the_best_config(run_config: RunConfig, tmp_path: Path) -> None:
    grid = Tuner(
        parabola,
        param_space={"x": tune.grid_search([0, 1, 2])},
        tune_config=TuneConfig(metric="loss", mode="min"),
        run_config=run_config,
    ).fit()
    best = grid.get_best_result()
    assert best.config == {"x": 1}
    assert best.metrics["loss"] == 1 / 3
    assert best.metrics["training_iteration"] == 3
    assert best.error is None
    assert len(grid) == grid.num_terminated == 3
    assert [result.config["x"] for result in grid] == [0, 1, 2]
    assert grid.experiment_path == str(tmp_path / "exp")
    # However many trials there are: one file, as long as none makes a checkpoint.
    assert os.listdir(grid.experiment_path) == ["experiment.journal"]


def test_results_have_the_rows_of_their_trials(run_config: RunConfig) -> None:
    (result,) = Tuner(parabola, param_space={"x": 1}, run_config=run_config).fit()
    frame = result.metrics_dataframe
    assert frame["loss"].tolist() == [1, 1 / 2, 1 / 3]
    assert frame["training_iteration"].tolist() == [1, 2, 3]
    assert frame["time_total_s"].is_monotonic_increasing
    assert frame["trial_id"].nunique() == 1


def test_a_trainable_may_return_its_metrics(run_config: RunConfig) -> None:
    grid = Tuner(
        lambda config: {"score": config["x"], "deep": {"er": np.float32(2)}},
        param_space={"x": tune.grid_search([3, 4])},
        run_config=run_config,
    ).fit()
    assert [result.metrics["score"] for result in grid] == [3, 4]
    assert grid.get_best_result("deep/er", "max").config == {"x": 3}
    assert type(grid[0].metrics["deep"]["er"]) is float


def test_a_seed_gives_the_same_configs_in_every_experiment(tmp_path: Path) -> None:
    def configs(seed: int) -> list[dict[str, Any]]:
        searcher = BasicVariantGenerator(random_state=seed)
        tuner = Tuner(
            lambda config: {"x": config["x"]},
            param_space={"x": tune.uniform(0, 1), "k": tune.choice("abc".split())},
            tune_config=TuneConfig(num_samples=5, search_alg=searcher),
            run_config=RunConfig(storage_path=tmp_path),
        )
        once = [result.config for result in tuner.fit()]
        assert [result.config for result in tuner.fit()] == once
        return once

    assert configs(1) == configs(1)
    assert configs(1) != configs(2)


def test_without_a_space_all_trials_get_an_empty_config(run_config: RunConfig) -> None:
    grid = Tuner(
        lambda config: {"n": len(config)},
        tune_config=TuneConfig(num_samples=3),
        run_config=run_config,
    ).fit()
    assert [result.metrics["n"] for result in grid] == [0, 0, 0]


def test_what_a_trial_does_to_its_config_stays_with_it(run_config: RunConfig) -> None:
    def trainable(config: dict[str, Any]) -> dict[str, Any]:
        config["layers"].append(3)
        return {"n": len(config["layers"])}

    grid = Tuner(
        trainable,
        param_space={"layers": tune.choice([[1, 2]])},
        tune_config=TuneConfig(num_samples=2),
        run_config=run_config,
    ).fit()
    assert [result.metrics["n"] for result in grid] == [3, 3]
    assert grid[0].config == {"layers": [1, 2]}


# --- failures -----------------------------------------------------------------------------------


def test_a_failed_trial_is_recorded_and_the_others_run(run_config: RunConfig) -> None:
    def trainable(config: dict[str, Any]) -> None:
        tune.report({"x": config["x"]})
        if config["x"] == 1:
            raise UserError(7, detail="no luck")

    grid = Tuner(
        trainable, param_space={"x": tune.grid_search([0, 1, 2])}, run_config=run_config
    ).fit()
    assert (grid.num_terminated, grid.num_errors) == (2, 1)
    (error,) = grid.errors
    assert isinstance(error, UserError)
    assert error.code == 7
    assert grid[1].error is error
    assert grid[1].metrics["x"] == 1


def test_a_failed_trial_is_tried_again_from_its_checkpoint(run_config: RunConfig) -> None:
    def trainable(config: dict[str, Any]) -> None:
        checkpoint = train.get_checkpoint()
        start = checkpoint.to_dict()["step"] if checkpoint else 0
        for step in range(start, 4):
            if step == start + 2:
                raise UserError(1, detail="again")
            tune.report({"step": step}, checkpoint=Checkpoint.from_dict({"step": step + 1}))

    (result,) = Tuner(
        trainable,
        run_config=dataclasses.replace(run_config, failure_config=FailureConfig(max_failures=1)),
    ).fit()
    assert result.error is None
    assert result.metrics_dataframe["step"].tolist() == [0, 1, 2, 3]
    assert result.metrics_dataframe["training_iteration"].tolist() == [1, 2, 3, 4]
    assert result.checkpoint is not None
    assert result.checkpoint.to_dict() == {"step": 4}


def test_what_cannot_be_put_right_by_trying_again_is_not_tried_again(
    run_config: RunConfig,
) -> None:
    def trainable(config: dict[str, Any]) -> None:
        tune.report({"x": config["x"]})
        if config["x"]:
            tune.report(loss=3)  # type: ignore[call-arg]

    grid = Tuner(
        trainable,
        param_space={"x": tune.grid_search([0, 1])},
        run_config=_with(run_config, failure_config=FailureConfig(max_failures=-1)),
    ).fit()
    (error,) = grid.errors
    assert isinstance(error, InvalidOption)
    assert 'report({"loss": 3})' in str(error)


def test_fail_fast_ends_the_experiment(run_config: RunConfig) -> None:
    def trainable(config: dict[str, Any]) -> None:
        raise UserError(1, detail="first")

    grid = Tuner(
        trainable,
        tune_config=TuneConfig(num_samples=5),
        run_config=dataclasses.replace(run_config, failure_config=FailureConfig(fail_fast=True)),
    ).fit()
    assert grid.num_errors == 1
    assert len(grid) <= 2


def test_sys_exit_in_a_trial_is_a_failure_of_that_trial(run_config: RunConfig) -> None:
    def trainable(config: dict[str, Any]) -> None:
        raise SystemExit(3)

    (error,) = Tuner(trainable, run_config=run_config).fit().errors
    assert isinstance(error, TaskError)
    assert "SystemExit(3)" in str(error)


def test_leaving_the_debugger_ends_the_experiment(run_config: RunConfig) -> None:
    if Capability.PARALLEL_TASKS in get_executor().capabilities:
        pytest.skip("a debugger is for backends that run everything in this thread")

    def trainable(config: dict[str, Any]) -> None:
        raise bdb.BdbQuit

    with pytest.raises(bdb.BdbQuit):
        Tuner(trainable, run_config=run_config).fit()


# --- ends ---------------------------------------------------------------------------------------


def endless(config: dict[str, Any]) -> None:
    step = 0
    while True:
        step += 1
        tune.report({"score": step * config.get("by", 1)})


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ({"training_iteration": 4}, 4),
        ({"training_iteration": 40, "score": 6}, 3),
        (lambda trial_id, result: result["score"] > 8, 5),
    ],
)
def test_a_stop_criterion_ends_trials_inside_their_report(
    run_config: RunConfig, stop: Any, expected: int
) -> None:
    (result,) = Tuner(
        endless, param_space={"by": 2}, run_config=dataclasses.replace(run_config, stop=stop)
    ).fit()
    assert result.metrics["training_iteration"] == expected
    assert len(result.metrics_dataframe) == expected


def test_a_stopped_trial_cleans_up_and_cannot_go_on(run_config: RunConfig, tmp_path: Path) -> None:
    marks = str(tmp_path / "marks")

    def trainable(config: dict[str, Any]) -> None:
        try:
            for step in range(10):
                try:
                    tune.report({"step": step})
                except Exception:
                    continue
        finally:
            with open(marks, "a") as file:
                file.write(f"{step}")

    Tuner(
        trainable, run_config=dataclasses.replace(run_config, stop={"training_iteration": 2})
    ).fit()
    assert Path(marks).read_text() == "1"


def test_a_stopper_may_end_the_whole_experiment(run_config: RunConfig) -> None:
    grid = Tuner(
        endless,
        tune_config=TuneConfig(num_samples=100, max_concurrent_trials=1),
        run_config=dataclasses.replace(run_config, stop=EndAll()),
    ).fit()
    assert [result.metrics["training_iteration"] for result in grid] == [2, 2, 1]


class EndAll(tune.Stopper):
    """Ends trials after two results, and everything after five."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        self.seen += 1
        return result["training_iteration"] == 2

    def stop_all(self) -> bool:
        return self.seen == 5


@pytest.mark.parametrize("budget", [0.05, timedelta(milliseconds=50)])
def test_the_time_budget_ends_running_trials(run_config: RunConfig, budget: Any) -> None:
    grid = Tuner(
        endless,
        tune_config=TuneConfig(num_samples=-1, time_budget_s=budget),
        run_config=run_config,
    ).fit()
    assert grid.num_terminated == len(grid) >= 1


# --- searchers and schedulers -------------------------------------------------------------------


class Bisect(Searcher):
    """Halves an interval by what it is told; brings its own space."""

    def __init__(self) -> None:
        super().__init__()
        self.lower, self.upper = 0.0, 16.0
        self.waits = False

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self.waits:
            return None
        if self.upper - self.lower <= 1:
            return self.FINISHED
        self.waits = True
        return {"net": {"x": (self.lower + self.upper) / 2}}

    def on_trial_complete(
        self, trial_id: str, result: Any | None = None, error: bool = False
    ) -> None:
        self.waits = False
        middle = (self.lower + self.upper) / 2
        assert result is not None
        if result["too_high"]:
            self.upper = middle
        else:
            self.lower = middle


def test_a_searcher_learns_from_results_and_its_configs_join_the_constants(
    run_config: RunConfig,
) -> None:
    grid = Tuner(
        lambda config: {"too_high": config["net"]["x"] > config["net"]["target"]},
        param_space={"net": {"target": 5}},
        tune_config=TuneConfig(num_samples=-1, search_alg=Bisect()),
        run_config=run_config,
    ).fit()
    assert [result.config["net"]["x"] for result in grid] == [8, 4, 6, 5]
    assert grid[0].config == {"net": {"x": 8, "target": 5}}


def test_a_space_of_its_own_excludes_domains_in_param_space(run_config: RunConfig) -> None:
    tuner = Tuner(
        parabola,
        param_space={"a": {"b": tune.uniform(0, 1)}},
        tune_config=TuneConfig(search_alg=Bisect()),
        run_config=run_config,
    )
    with pytest.raises(ValueError, match="brings its own space: 'a/b'"):
        tuner.fit()


def test_a_searcher_that_waits_for_nothing_is_reported(run_config: RunConfig) -> None:
    class Idle(Bisect):
        def suggest(self, trial_id: str) -> None:
            return None

    with pytest.raises(TuneError, match="Idle proposes no configuration, although no trial runs"):
        Tuner(parabola, tune_config=TuneConfig(search_alg=Idle()), run_config=run_config).fit()


class StopAtTwo(TrialScheduler):
    def on_trial_result(self, experiment: Any, trial: Any, result: Any) -> str:
        return self.STOP if result["training_iteration"] == 2 else self.CONTINUE


def test_a_scheduler_ends_trials(run_config: RunConfig) -> None:
    grid = Tuner(
        endless,
        tune_config=TuneConfig(num_samples=2, scheduler=StopAtTwo()),
        run_config=run_config,
    ).fit()
    assert [result.metrics["training_iteration"] for result in grid] == [2, 2]


# --- checkpoints and directories ----------------------------------------------------------------


def test_checkpoints_are_kept_as_the_config_says(run_config: RunConfig) -> None:
    def trainable(config: dict[str, Any]) -> None:
        for score in (3, 9, 5, 1):
            tune.report({"score": score}, checkpoint=Checkpoint.from_dict({"score": score}))

    config = CheckpointConfig(num_to_keep=2, checkpoint_score_attribute="score")
    (result,) = Tuner(
        trainable, run_config=dataclasses.replace(run_config, checkpoint_config=config)
    ).fit()
    assert [checkpoint.to_dict()["score"] for checkpoint, _ in result.best_checkpoints] == [9, 5, 1]
    assert result.checkpoint is not None
    assert result.checkpoint.to_dict() == {"score": 1}
    best = result.get_best_checkpoint("score", "max")
    assert best is not None
    assert best.to_dict() == {"score": 9}
    assert result.path is not None
    assert len(os.listdir(result.path)) == 3


def test_a_trial_knows_itself(run_config: RunConfig) -> None:
    def trainable(config: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": train.get_trial_id(),
            "name": train.get_trial_name(),
            "dir": train.get_trial_dir(),
            "experiment": train.get_experiment_name(),
            "resources": train.get_trial_resources(),
        }

    (result,) = Tuner(
        tune.with_resources(trainable, {"cpu": 2}),
        tune_config=TuneConfig(trial_name_creator=lambda trial: f"t-{trial.trial_id[-1]}"),
        run_config=run_config,
    ).fit()
    assert result.metrics["name"] == "t-0"
    assert result.metrics["dir"] == result.path
    assert result.metrics["experiment"] == "exp"
    assert result.metrics["resources"] == [{"CPU": 2}]
    assert result.metrics["id"] == result.metrics["trial_id"]


def test_trials_share_parameters(run_config: RunConfig) -> None:
    def trainable(config: dict[str, Any], data: Any, scale: int) -> dict[str, Any]:
        return {"sum": int(data.sum()) * scale * config["x"]}

    grid = Tuner(
        tune.with_resources(
            tune.with_parameters(trainable, data=np.arange(4), scale=10), {"cpu": 1}
        ),
        param_space={"x": tune.grid_search([1, 2])},
        run_config=run_config,
    ).fit()
    assert [result.metrics["sum"] for result in grid] == [60, 120]


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "minimum"}, 'TuneConfig.mode must be "min" or "max", got \'minimum\''),
        ({"num_samples": 0}, "TuneConfig.num_samples must be a whole number >= 1, or -1"),
        ({"num_samples": 1.5}, "got 1.5"),
        ({"num_sample": 1}, "TuneConfig has no option 'num_sample'. Did you mean 'num_samples'?"),
        ({"max_concurrent_trials": 0}, "max_concurrent_trials must be a whole number >= 1"),
        ({"time_budget_s": -1}, "time_budget_s must be a number >= 0"),
        ({"metric": 3}, "metric must be the name of a metric, got 3"),
        ({"search_alg": "random"}, "search_alg must be a Searcher, got 'random'"),
        ({"search_alg": BasicVariantGenerator}, "give an instance, BasicVariantGenerator()"),
        ({"scheduler": object()}, "scheduler must be a TrialScheduler"),
    ],
)
def test_bad_tune_configs_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=re.escape(message)):
        TuneConfig(**options)


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        (3, "A trainable is a function of a config"),
        (UserError, "got the class UserError"),
        (DataParallelTrainer, "got the class DataParallelTrainer: give an instance"),
        (lambda: None, "is called with one argument, its config"),
        (lambda config, data: None, "tune.with_parameters"),
    ],
)
def test_bad_trainables_are_refused(trainable: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        Tuner(trainable)


def test_a_generator_is_refused() -> None:
    def trainable(config: dict[str, Any]) -> Any:
        yield {"x": 1}

    with pytest.raises(TypeError, match=r"A trainable is a plain function.*is a generator"):
        Tuner(trainable)


def test_settings_of_the_wrong_class_are_refused() -> None:
    with pytest.raises(InvalidOption, match="run_config must be a RunConfig, got TuneConfig"):
        Tuner(parabola, run_config=TuneConfig())  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="checkpoint_frequency"):
        Tuner(
            parabola,
            run_config=RunConfig(checkpoint_config=CheckpointConfig(checkpoint_frequency=1)),
        )


def test_an_empty_space_is_refused() -> None:
    with pytest.raises(ValueError, match="param_space is empty"):
        Tuner(parabola, param_space={})


def test_a_trainable_that_cannot_be_sent_names_the_culprit(
    run_config: RunConfig, tmp_path: Path
) -> None:
    lock = threading.Lock()

    def trainable(config: dict[str, Any]) -> None:
        with lock:
            tune.report({"x": 1})

    with pytest.raises(
        SerializationError,
        match=r"the trainable: trainable.__closure__\['lock'\] is a _thread.lock",
    ):
        Tuner(trainable, run_config=run_config).fit()
    trainer = DataParallelTrainer(trainable)
    with pytest.raises(SerializationError, match=r"the trainable: .*train_loop.*\['lock'\]"):
        Tuner(trainer, run_config=run_config).fit()
    assert not os.path.exists(tmp_path / "exp")


def test_a_parameter_that_cannot_be_sent_names_the_culprit(
    run_config: RunConfig, tmp_path: Path
) -> None:
    space = {"x": tune.choice([threading.Lock()])}
    with pytest.raises(SerializationError, match=r"\['param_space'\]\['x'\]"):
        Tuner(parabola, param_space=space, run_config=run_config).fit()
    assert not os.path.exists(tmp_path / "exp")


def test_a_config_that_cannot_be_kept_names_the_culprit(run_config: RunConfig) -> None:
    space = {"a": {"b": tune.sample_from(lambda spec: threading.Lock())}}
    with pytest.raises(SerializationError, match=r"the config of trial.*\['a'\]\['b'\]"):
        Tuner(parabola, param_space=space, run_config=run_config).fit()
    assert not os.path.exists(run_config.storage_dir + "/exp")


@pytest.mark.parametrize(
    ("trainable", "settings", "error"),
    [
        (tune.with_resources(parabola, {"cpu": 99}), {}, Unschedulable),
        (tune.with_resources(parabola, {"gpu": 1, "tpu": 1}), {}, Unschedulable),
        (tune.with_resources(parabola, ScalingConfig(use_gpu=True)), {}, Unschedulable),
        (parabola, {"stop": {"los": 1}}, InvalidOption),
    ],
)
def test_an_experiment_that_cannot_be_begun_leaves_nothing(
    run_config: RunConfig, tmp_path: Path, trainable: Any, settings: Any, error: Any
) -> None:
    with pytest.raises(error):
        Tuner(trainable, param_space={"x": 1}, run_config=_with(run_config, **settings)).fit()
    assert not os.listdir(tmp_path)


def test_a_checkpoint_without_its_score_leaves_nothing(
    run_config: RunConfig, tmp_path: Path
) -> None:
    def trainable(config: dict[str, Any]) -> None:
        tune.report({"loss": 1}, checkpoint=Checkpoint.from_dict({}))

    config = CheckpointConfig(num_to_keep=1, checkpoint_score_attribute="los")
    with pytest.raises(InvalidOption, match="Did you mean 'loss'"):
        Tuner(trainable, run_config=_with(run_config, checkpoint_config=config)).fit()
    assert not os.listdir(tmp_path)


def test_a_metric_that_cannot_be_kept_fails_its_trial(run_config: RunConfig) -> None:
    def trainable(config: dict[str, Any]) -> None:
        tune.report({"ok": 1})
        tune.report({"model": threading.Lock()})

    (result,) = Tuner(trainable, run_config=run_config).fit()
    assert isinstance(result.error, SerializationError)
    assert "the metric 'model'" in str(result.error)
    assert result.metrics["ok"] == 1


def test_a_metric_that_nobody_reports_is_said_at_the_end_of_the_first_trial(
    run_config: RunConfig,
) -> None:
    tuner = Tuner(
        parabola,
        param_space={"x": 1},
        tune_config=TuneConfig(metric="los", mode="min", num_samples=50, max_concurrent_trials=1),
        run_config=run_config,
    )
    with pytest.raises(
        TuneError, match=r"'los' was never reported. Did you mean 'loss'\? Reported were 'loss'\."
    ):
        tuner.fit()
    grid = Tuner.restore(os.path.join(run_config.storage_dir, "exp"), parabola).get_results()
    assert grid.get_best_result("loss", "min").metrics["loss"] == 1 / 3


def test_a_stop_criterion_that_names_no_metric_is_said_at_the_first_report(
    run_config: RunConfig,
) -> None:
    with pytest.raises(InvalidOption, match=r"names the metric 'scor'.*Did you mean 'score'\?"):
        Tuner(endless, run_config=dataclasses.replace(run_config, stop={"scor": 1})).fit()


def test_a_second_experiment_of_one_name_gets_a_directory_of_its_own(
    run_config: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def score(config: dict[str, Any]) -> dict[str, Any]:
        return {"score": config["x"]}

    grids = [Tuner(score, param_space={"x": x}, run_config=run_config).fit() for x in (1, 2, 3)]
    names = [os.path.relpath(grid.experiment_path, tmp_path) for grid in grids]
    assert names == ["exp", "exp-2", "exp-3"]
    assert not caplog.records  # who runs a script in a loop need not be told every time
    for number, name in enumerate(names, 1):
        restored = Tuner.restore(tmp_path / name, score).get_results()
        assert [result.metrics["score"] for result in restored] == [number]


def test_beside_an_unfinished_experiment_a_new_one_says_how_to_go_on_with_it(
    run_config: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(trial_id: str, result: dict[str, Any]) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tuner(parabola, param_space={"x": 1}, run_config=_with(run_config, stop=stop)).fit()
    Tuner(parabola, param_space={"x": 1}, run_config=run_config).fit()
    (record,) = caplog.records
    assert f"{tmp_path / 'exp'} holds an experiment that is not finished" in record.message
    assert f"Tuner.restore({str(tmp_path / 'exp')!r}, trainable).fit()" in record.message


def _with(run_config: RunConfig, **changes: Any) -> RunConfig:
    return dataclasses.replace(run_config, **changes)


def test_decorators_may_supply_what_a_trainable_takes_besides(run_config: RunConfig) -> None:
    def with_seven(function: Any) -> Any:
        @functools.wraps(function)
        def call(config: dict[str, Any]) -> Any:
            return function(config, 7)

        return call

    @with_seven
    def trial(config: dict[str, Any], seven: int) -> dict[str, Any]:
        return {"x": config["x"] + seven}

    grid = Tuner(trial, param_space={"x": 1}, run_config=run_config).fit()
    assert grid[0].metrics is not None
    assert grid[0].metrics["x"] == 8


def test_a_trainable_that_returns_something_else_fails_its_trial(run_config: RunConfig) -> None:
    grid = Tuner(lambda config: 3, run_config=run_config).fit()
    (error,) = grid.errors
    assert isinstance(error, TypeError)
    assert "returns None or a dict of metrics, but this one returned 3" in str(error)


@pytest.mark.parametrize("name", ["same", "a/b", "", ".hidden"])
def test_trial_names_are_checked(run_config: RunConfig, name: str) -> None:
    tuner = Tuner(
        parabola,
        param_space={"x": 1},
        tune_config=TuneConfig(num_samples=2, trial_name_creator=lambda trial: name),
        run_config=run_config,
    )
    with pytest.raises(InvalidOption, match=r"TuneConfig\.trial_name_creator gave"):
        tuner.fit()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: tune.with_parameters(parabola, data=1),
            TypeError,
            "parabola(config: 'dict[str, Any]') -> 'None' cannot be called with a config and data",
        ),
        (
            lambda: tune.with_parameters(lambda config, data: None, dat=1),
            TypeError,
            "missing a required argument: 'data'. Did you mean 'data'?",
        ),
        (
            lambda: tune.with_parameters(lambda config, data: None, data=threading.Lock()),
            SerializationError,
            "the parameter 'data' of the trainable lambda",
        ),
        (lambda: tune.with_resources(parabola, {"cpu": -1}), InvalidOption, "cpu must be a number"),
        (lambda: tune.with_resources(parabola, {}), InvalidOption, "a trial must hold something"),
        (lambda: tune.with_resources(parabola, 3), InvalidOption, "or a ScalingConfig, got 3"),
    ],
)
def test_bad_wrappers_are_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


def test_an_error_of_a_users_stop_function_ends_the_experiment(run_config: RunConfig) -> None:
    def stop(trial_id: str, result: dict[str, Any]) -> bool:
        raise UserError(5, detail="in stop")

    with pytest.raises(UserError) as caught:
        Tuner(endless, run_config=dataclasses.replace(run_config, stop=stop)).fit()
    assert not isinstance(caught.value, TaskError)
    assert "Tuner.restore" in str(caught.value.__notes__)


@pytest.mark.parametrize(
    ("call", "nearest"),
    [
        (lambda: Tuner(len, params_space={}), "param_space"),
        (lambda: Tuner.restore("x", len, resume_error=True), "resume_errored"),
        (lambda: tune.uniform(lower=0, uper=1), "upper"),
        (lambda: tune.with_resources(len, resource={"cpu": 1}), "resources"),
        (lambda: tune.choice(category=[1]), "categories"),
        (lambda: BasicVariantGenerator(randomstate=1), "random_state"),
    ],
)
def test_misspelt_options_are_answered_with_the_nearest(call, nearest):
    with pytest.raises(InvalidOption, match=f"Did you mean '{nearest}'"):
        call()


def test_misspelt_options_of_results(run_config):
    results = Tuner(lambda config: {"score": 1}, run_config=run_config).fit()
    with pytest.raises(InvalidOption, match="Did you mean 'metric'"):
        results.get_best_result(metrics="score", mode="max")
    with pytest.raises(IndexError, match="there are 1 trials, and no result 3"):
        results[3]
