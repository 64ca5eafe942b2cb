"""Questions to the results of an experiment."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from air.errors import InvalidOption
from air.tune import TrialError, TuneError
from air.tune.events import Ended, Event, Failed, Opened, Reported, Started, Suggested
from air.tune.failures import capture
from air.tune.journal import Journal
from air.tune.machine import Experiment
from air.tune.result_grid import ResultGrid
from air.tune.trial import Limits

Rows = list[dict[str, Any]]


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("not this one")


def grid_of(
    directory: Path,
    trials: Mapping[str, Rows],
    failed: Mapping[str, Exception] | None = None,
    **objective: str,
) -> ResultGrid:
    """The results of trials that reported certain rows."""
    events: list[Event] = [Opened(1, "e", "exp", "trainable", 0.0, b"")]
    for number, (trial_id, rows) in enumerate(trials.items()):
        config = {"n": number, "deep": {"k": number}}
        events += [Suggested(trial_id, f"trial_{trial_id}", config), Started(trial_id)]
        events += [Reported(trial_id, row) for row in rows]
        error = (failed or {}).get(trial_id)
        events.append(Ended(trial_id) if error is None else Failed(trial_id, capture(error)))
    opened, *others = events
    assert isinstance(opened, Opened)
    with Journal.create(directory, opened) as book:
        for event in others:
            book.append(event)
    experiment = Experiment.replay(events, Limits(slots=9, total=None))
    return ResultGrid(experiment, str(directory), **objective)  # type: ignore[arg-type]


def series(*values: float) -> Rows:
    return [{"loss": value, "training_iteration": i + 1} for i, value in enumerate(values)]


def test_the_scope_says_which_results_count(tmp_path: Path) -> None:
    grid = grid_of(
        tmp_path,
        {
            "a": series(1, 9, 9, 9, 9, 9),
            "b": series(7, 7, 7, 7, 7, 5),
            "c": series(9, 6, 6, 6, 6, 6),
        },
        metric="loss",
        mode="min",
    )
    best = {
        scope: grid.get_best_result(scope=scope).config["n"]
        for scope in ("last", "all", "avg", "last-5-avg", "last-10-avg")
    }
    assert best == {"last": 1, "all": 0, "avg": 2, "last-5-avg": 2, "last-10-avg": 2}
    assert grid.get_best_result(mode="max").config["n"] == 0


def test_nan_and_infinity_do_not_win(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, {"a": series(math.nan), "b": series(-math.inf), "c": series(3)})
    assert grid.get_best_result("loss", "min").config["n"] == 2
    assert grid.get_best_result("loss", "max").config["n"] == 2
    best = grid.get_best_result("loss", "min", filter_nan_and_inf=False)
    assert best.config["n"] == 1


def test_no_finite_value_is_an_error(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, {"a": series(math.nan), "b": series(math.inf)})
    with pytest.raises(TuneError, match="No trial has a finite value of 'loss'"):
        grid.get_best_result("loss", "min")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "There is no metric to go by"),
        ({"metric": "loss"}, "whichever is good for 'loss'; it is not given"),
        ({"metric": "loss", "mode": "best"}, "got 'best'"),
        (
            {"metric": "los", "mode": "min"},
            "'los' was never reported. Did you mean 'loss'? Reported were 'loss', 'tag'.",
        ),
        ({"metric": "tag", "mode": "min"}, "The metric 'tag' is no number"),
        ({"metric": "loss", "mode": "min", "scope": "lats"}, "Did you mean 'last'?"),
    ],
)
def test_questions_that_have_no_answer_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    grid = grid_of(tmp_path, {"a": [{"loss": 1.0, "tag": "x", "training_iteration": 1}]})
    with pytest.raises(InvalidOption, match=re.escape(message)):
        grid.get_best_result(**options)


def test_the_mode_of_the_tune_config_is_that_of_its_own_metric(tmp_path: Path) -> None:
    rows = [{"loss": 1.0, "accuracy": 0.5}]
    grid = grid_of(tmp_path, {"a": rows}, metric="loss", mode="min")
    assert grid.get_best_result().metrics["loss"] == 1.0
    with pytest.raises(InvalidOption, match="mode must be"):
        grid.get_best_result("accuracy")
    (tmp_path / "other").mkdir()
    without_metric = grid_of(tmp_path / "other", {"a": rows}, mode="min")
    assert without_metric.get_best_result("accuracy").metrics["accuracy"] == 0.5


def test_a_metric_that_was_always_none_is_said_to_be(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, {"a": [{"loss": None}]})
    with pytest.raises(InvalidOption, match="'loss' was None whenever it was reported"):
        grid.get_best_result("loss", "min")


def test_without_any_result_there_is_no_best(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, {"a": []}, {"a": ValueError("x")})
    with pytest.raises(TuneError, match="None of the 1 trials has reported anything; 1 failed"):
        grid.get_best_result("loss", "min")
    assert len(grid.get_dataframe()) == 1


def test_a_metric_that_only_earlier_results_have_counts_where_they_do(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, {"a": [{"valid": 2.0}, {"loss": 1.0}], "b": [{"loss": 1.0}]})
    assert grid.get_best_result("valid", "min", scope="all").config["n"] == 0
    with pytest.raises(TuneError, match="finite value of 'valid'"):
        grid.get_best_result("valid", "min")


def test_the_dataframe_has_a_row_for_each_trial(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, {"a": series(3, 1, 2), "b": series(5, 4), "c": []})
    last = grid.get_dataframe()
    assert last["trial_id"].tolist() == ["a", "b", "c"]
    assert last["config/deep/k"].tolist() == [0, 1, 2]
    assert last["loss"].tolist()[:2] == [2, 4]
    best = grid.get_dataframe("loss", "min")
    assert best["loss"].tolist()[:2] == [1, 4]
    assert best["training_iteration"].tolist()[:2] == [2, 2]
    with pytest.raises(InvalidOption, match="never reported"):
        grid.get_dataframe("los", "min")
    with pytest.raises(InvalidOption, match="filter_mode goes with filter_metric"):
        grid.get_dataframe(filter_mode="min")


def test_it_is_a_sequence(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, {"a": series(1), "b": series(2), "c": series(3)})
    assert grid[-1] is grid[2]
    assert [result.config["n"] for result in grid[::2]] == [0, 2]
    assert [result.metrics["loss"] for result in grid] == [1, 2, 3]
    with pytest.raises(IndexError):
        grid[3]
    assert repr(grid) == f"ResultGrid(3 trials: 3 terminated, 0 failed; {str(tmp_path)!r})"


def test_errors_come_back_as_themselves_or_as_their_text(tmp_path: Path) -> None:
    grid = grid_of(
        tmp_path,
        {"a": series(1), "b": [], "c": series(1)},
        {"a": KeyError("x"), "b": Unpicklable("gone")},
    )
    first, second = grid.errors
    assert type(first) is KeyError
    assert isinstance(second, TrialError)
    assert second.kind == "Unpicklable"
    assert "Unpicklable: gone" in str(second)
    assert grid[2].error is None
    assert (grid.num_errors, grid.num_terminated) == (2, 1)


def test_without_any_result_the_first_failure_is_named(tmp_path: Path) -> None:
    grid = grid_of(tmp_path, {"a": [], "b": []}, failed={"b": LookupError("no luck\nat all")})
    with pytest.raises(TuneError, match="1 failed, the first with LookupError: no luck \\(see"):
        grid.get_best_result("loss", "min")


def test_results_can_be_pickled(tmp_path: Path) -> None:
    result = grid_of(tmp_path, {"a": series(3, 2)})[0]
    again = pickle.loads(pickle.dumps(result))
    assert again.metrics == result.metrics
    assert again.metrics_dataframe["loss"].tolist() == [3, 2]
