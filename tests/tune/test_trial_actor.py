"""What runs a trial in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from air import tune
from air.tune.execution import Report, TrialSpec
from air.tune.trial_actor import Step, TrialActor


def spec(directory: Path, **config: Any) -> TrialSpec:
    return TrialSpec("t0", "trial", "exp", str(directory), config, [{"CPU": 1}])


def score(step: Step) -> Any:
    return None if step.report is None else step.report.metrics["score"]


def run_to_end(
    actor: TrialActor, trial: TrialSpec, decide: Callable[[Report], bool] = lambda _: False
) -> list[Any]:
    """The scores of all reports."""
    scores = []
    step = actor.begin(trial)
    while not step.ended:
        assert step.report is not None
        scores.append(score(step))
        step = actor.resume(decide(step.report))
    return scores


def count(config: dict[str, Any]) -> None:
    for number in range(config["to"]):
        tune.report({"score": number})


def test_all_reports_arrive_in_order_trial_after_trial(tmp_path: Path) -> None:
    actor = TrialActor(count)
    for to in (3, 0, 1):
        assert run_to_end(actor, spec(tmp_path, to=to)) == list(range(to))


def test_a_trial_never_runs_past_a_decision(tmp_path: Path) -> None:
    done = []

    def trainable(config: dict[str, Any]) -> None:
        for number in range(10):
            done.append(number)
            tune.report({"score": number})

    actor = TrialActor(trainable)
    scores = run_to_end(actor, spec(tmp_path), lambda report: report.metrics["score"] == 3)
    assert scores == done == [0, 1, 2, 3]


def test_a_returned_dict_comes_with_the_end(tmp_path: Path) -> None:
    def trainable(config: dict[str, Any]) -> dict[str, Any]:
        return {"score": config["n"]}

    actor = TrialActor(trainable)
    for n in range(3):
        step = actor.begin(spec(tmp_path, n=n))
        assert score(step) == n
        assert step.ended


def test_a_failure_comes_after_the_reports_before_it(tmp_path: Path) -> None:
    def trainable(config: dict[str, Any]) -> None:
        tune.report({"score": 0})
        raise KeyError("broken")

    actor = TrialActor(trainable)
    assert score(actor.begin(spec(tmp_path))) == 0
    with pytest.raises(KeyError, match="broken"):
        actor.resume(False)
    assert score(actor.begin(spec(tmp_path))) == 0


def test_a_trial_that_is_told_to_stop_may_add_to_its_last_report(tmp_path: Path) -> None:
    def trainable(config: dict[str, Any]) -> None:
        try:
            tune.report({"score": 0, "training_iteration": 1})
        finally:
            tune.report({"score": 0, "training_iteration": 1, "more": True})

    actor = TrialActor(trainable)
    assert score(actor.begin(spec(tmp_path))) == 0
    addition = actor.resume(True)
    assert addition.report is not None
    assert addition.report.amends
    assert actor.resume(True) == Step(None, ended=True)
