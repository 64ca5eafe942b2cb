"""What only happens where trials have processes of their own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from air import Checkpoint, FailureConfig, RunConfig, train, tune
from air.errors import ActorDied, Unschedulable
from air.train import DataParallelTrainer
from air.tune import TuneConfig, Tuner, actor_runner

pytestmark = pytest.mark.usefixtures("air_cluster")


def test_trials_run_in_processes_that_are_used_again(run_config: RunConfig) -> None:
    def trainable(config: dict[str, Any]) -> dict[str, Any]:
        return {"pid": os.getpid()}

    grid = Tuner(trainable, tune_config=TuneConfig(num_samples=8), run_config=run_config).fit()
    pids = {result.metrics["pid"] for result in grid}
    assert grid.errors == []
    assert len(pids) <= 2
    assert os.getpid() not in pids


def test_a_trial_whose_process_dies_is_tried_again_from_its_checkpoint(
    run_config: RunConfig,
) -> None:
    def trainable(config: dict[str, Any]) -> None:
        checkpoint = train.get_checkpoint()
        for step in range(checkpoint.to_dict()["step"] if checkpoint else 0, 3):
            if config["n"] == 0 and step == 1 and not checkpoint:
                os._exit(1)
            tune.report({"step": step}, checkpoint=Checkpoint.from_dict({"step": step + 1}))

    grid = Tuner(
        trainable,
        param_space={"n": tune.grid_search([0, 1, 2])},
        run_config=dataclasses.replace(run_config, failure_config=FailureConfig(max_failures=1)),
    ).fit()
    assert grid.errors == []
    for result in grid:
        assert result.metrics_dataframe["step"].tolist() == [0, 1, 2]


def test_a_trial_whose_process_dies_fails_alone(run_config: RunConfig) -> None:
    def trainable(config: dict[str, Any]) -> None:
        tune.report({"n": config["n"]})
        if config["n"] == 1:
            os._exit(1)

    grid = Tuner(
        trainable, param_space={"n": tune.grid_search([0, 1, 2])}, run_config=run_config
    ).fit()
    assert (grid.num_terminated, grid.num_errors) == (2, 1)
    assert isinstance(grid[1].error, ActorDied)
    assert grid[1].metrics["n"] == 1  # what it had reported is not lost


def test_a_trial_that_is_silent_is_ended_at_the_end_of_the_time(
    run_config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor_runner, "STOP_GRACE_S", 0.1)

    def trainable(config: dict[str, Any]) -> None:
        tune.report({"step": 0})
        threading.Event().wait()

    grid = Tuner(
        trainable,
        tune_config=TuneConfig(num_samples=-1, time_budget_s=1),
        run_config=run_config,
    ).fit()
    assert grid.num_terminated == len(grid) == 2


def never_stop(config: dict[str, Any]) -> None:
    """Does not let the exception through that is to end it."""
    while True:
        with contextlib.suppress(BaseException):
            tune.report({"a": 1})


def test_a_trial_that_cannot_be_told_to_stop_is_ended(
    run_config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor_runner, "STOP_GRACE_S", 0.1)
    grid = Tuner(
        never_stop,
        tune_config=TuneConfig(num_samples=3),
        run_config=dataclasses.replace(run_config, stop={"training_iteration": 2}),
    ).fit()
    assert [result.metrics["training_iteration"] for result in grid] == [2, 2, 2]
    assert grid.num_terminated == 3


def test_a_trial_that_no_node_can_hold_fails_alone(run_config: RunConfig) -> None:
    def loop(config: dict[str, Any]) -> None:
        train.report({"size": train.get_world_size()})

    grid = Tuner(
        DataParallelTrainer(loop),
        param_space={"scaling_config": {"num_workers": tune.grid_search([99, 2])}},
        run_config=dataclasses.replace(run_config, failure_config=FailureConfig(max_failures=-1)),
    ).fit()
    assert isinstance(grid[0].error, Unschedulable)
    assert grid[1].metrics["size"] == 2


def write_without_end(config: dict[str, Any]) -> None:
    """Is always in the middle of a checkpoint."""
    while True:
        tune.report({"a": 1}, checkpoint=Checkpoint.from_dict({"weights": bytes(1 << 20)}))


def write_half(config: dict[str, Any]) -> None:
    """Dies in the middle of a checkpoint."""

    def die(*args: Any) -> None:
        os._exit(1)

    os.rename = die  # type: ignore[assignment]
    tune.report({"a": 1}, checkpoint=Checkpoint.from_dict({"a": 1}))


def test_a_trial_that_is_ended_leaves_nothing_half_written(
    run_config: RunConfig, tmp_path: Path
) -> None:
    results = iter(range(5))

    def interrupt(trial_id: str, result: dict[str, Any]) -> bool:
        if next(results, None) is None:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        Tuner(
            write_without_end,
            tune_config=TuneConfig(num_samples=2),
            run_config=dataclasses.replace(run_config, stop=interrupt),
        ).fit()
    grid = Tuner(write_half, run_config=run_config).fit()
    assert grid.num_errors == 1
    written = [path.name for path in tmp_path.rglob("*checkpoint_*")]
    assert "checkpoint_000000" in written
    assert not [name for name in written if name.endswith("unfinished")]


def test_resources_that_no_node_has_are_refused(run_config: RunConfig) -> None:
    with pytest.raises(Unschedulable, match="99"):
        Tuner(tune.with_resources(lambda config: None, {"cpu": 99}), run_config=run_config).fit()
