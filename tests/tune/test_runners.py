"""Experiments that run in actors give what they give in this thread."""

from __future__ import annotations

import dataclasses
import traceback
from typing import Any

import pytest

import air
from air import Checkpoint, FailureConfig, RunConfig, ScalingConfig, train, tune
from air.errors import TaskError
from air.tune import TuneConfig, Tuner, tuner
from air.tune.actor_runner import _room
from air.tune.search import BasicVariantGenerator

pytestmark = pytest.mark.usefixtures("air_backend")


@pytest.fixture(params=["inline", "actors"])
def runner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both runners, also on a backend for which the other one is right."""

    monkeypatch.setattr(tuner, "_runs_in_parallel", lambda: request.param == "actors")
    return str(request.param)


SPACE = {"n": tune.grid_search([0, 1, 2]), "x": tune.uniform(0, 1)}


def trainable(config: dict[str, Any]) -> None:
    checkpoint = train.get_checkpoint()
    for step in range(checkpoint.to_dict()["step"] if checkpoint else 0, 5):
        if step == 3 and config["n"] == 1 and not checkpoint:
            raise LookupError("on the way")
        if config["n"] == 2:
            raise LookupError("always")
        tune.report(
            {"score": config["x"] + step}, checkpoint=Checkpoint.from_dict({"step": step + 1})
        )


def test_both_give_the_same_results(runner: str, run_config: RunConfig) -> None:
    grid = Tuner(
        trainable,
        param_space=SPACE,
        tune_config=TuneConfig(num_samples=2, search_alg=BasicVariantGenerator(random_state=0)),
        run_config=dataclasses.replace(
            run_config,
            stop={"training_iteration": 4},
            failure_config=FailureConfig(max_failures=1),
        ),
    ).fit()
    assert (grid.num_terminated, grid.num_errors) == (4, 2)
    for result in grid:
        if result.config["n"] == 2:
            assert isinstance(result.error, LookupError)
            continue
        assert result.metrics["training_iteration"] == 4
        assert result.metrics_dataframe["training_iteration"].tolist() == [1, 2, 3, 4]
        assert result.metrics["score"] == result.config["x"] + 3
        assert result.checkpoint is not None
        assert result.checkpoint.to_dict() == {"step": 4}
    searcher = BasicVariantGenerator(random_state=0)
    searcher.set_search_properties(None, None, SPACE, num_samples=2)
    assert [result.config for result in grid] == [searcher.suggest(str(i)) for i in range(6)]


def test_a_failure_of_the_trainable_is_its_own_exception(
    runner: str, run_config: RunConfig
) -> None:
    def fails(config: dict[str, Any]) -> None:
        tune.report({"score": 1})
        raise LookupError("mine")  # the last frame

    (result,) = Tuner(fails, run_config=run_config).fit()
    assert isinstance(result.error, LookupError)
    assert isinstance(result.error, TaskError)
    frames = traceback.extract_tb(result.error.__traceback__)
    assert frames[-1].line is not None
    assert frames[-1].line.endswith("# the last frame")
    assert result.metrics["score"] == 1


def test_a_fresh_actor_for_each_trial_if_asked(runner: str, run_config: RunConfig) -> None:
    made = []

    def trainable(config: dict[str, Any]) -> dict[str, Any]:
        made.append(1)
        return {"n": len(made)}

    def numbers(reuse: bool) -> list[int]:
        tuner = Tuner(
            trainable,
            tune_config=TuneConfig(num_samples=3, max_concurrent_trials=1, reuse_actors=reuse),
            run_config=dataclasses.replace(run_config, name=f"exp-{reuse}"),
        )
        return [result.metrics["n"] for result in tuner.fit()]

    assert numbers(True) == [1, 2, 3]
    if runner == "actors":
        assert numbers(False) == [1, 1, 1]


def test_trials_with_workers_of_their_own_run_in_a_placement_group(
    monkeypatch: pytest.MonkeyPatch, run_config: RunConfig
) -> None:
    monkeypatch.setattr(tuner, "_runs_in_parallel", lambda: True)

    def trainable(config: dict[str, Any]) -> dict[str, Any]:
        group = air.util.get_current_placement_group()
        return {"bundles": group.bundle_specs, "mine": train.get_trial_resources()}

    scaling = ScalingConfig(num_workers=2)
    grid = Tuner(
        tune.with_resources(trainable, scaling),
        tune_config=TuneConfig(num_samples=2),
        run_config=run_config,
    ).fit()
    assert grid.errors == []
    for result in grid:
        assert result.metrics["bundles"] == [{"CPU": 1}, {"CPU": 1}]
        assert result.metrics["mine"] == [{}, {"CPU": 1}, {"CPU": 1}]


@pytest.mark.parametrize(
    ("bundles", "room"),
    [
        ([{"CPU": 1}], 4),
        ([{"CPU": 1.5}], 2),
        ([{"CPU": 0.1}], 40),
        ([{"CPU": 99}], 1),
        ([{}, {"CPU": 1}, {"CPU": 1}], 2),
        ([{"CPU": 1}, {"CPU": 1}, {"CPU": 1}], 1),
    ],
)
def test_room_is_reckoned_from_what_the_nodes_have(bundles: list[dict], room: int) -> None:
    if air.cluster_resources()["CPU"] != 4:
        pytest.skip("the numbers are for 4 CPUs")
    assert _room(bundles) == room
