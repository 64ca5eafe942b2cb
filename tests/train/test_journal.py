from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest

from air.checkpoint import Checkpoint
from air.config import CheckpointConfig
from air.errors import InvalidOption
from air.result import Result
from air.train.journal import ResultJournal
from air.train.stopping import should_stop
from air.train.storage import check_storage, new_run_directory, run_before


@pytest.fixture
def new_journal(tmp_path):
    journals = []

    def new(**config):
        ticks = itertools.count(1000.0, 0.5)
        journal = ResultJournal(
            new_run_directory(str(tmp_path), "run"),
            config={"lr": 0.1},
            checkpoint_config=CheckpointConfig(**config),
            trial_id="1a",
            clock=lambda: next(ticks),
        )
        journals.append(journal)
        return journal

    yield new
    for journal in journals:
        journal.close()


def _lines(journal):
    with Path(journal.path, "result.json").open() as file:
        return [json.loads(line) for line in file]


def _state(step):
    return Checkpoint.from_dict({"step": step})


def _on_disk(journal):
    return sorted(p.name for p in Path(journal.path).glob("checkpoint_*"))


def test_every_report_is_a_line_with_its_number_and_time(new_journal):
    journal = new_journal()
    journal.record({"loss": 1.0}, None)
    journal.record({"loss": np.float32(0.5), "parts": np.array([1, 2])}, None)
    first, second = _lines(journal)
    assert first == {
        "training_iteration": 1,
        "loss": 1.0,
        "trial_id": "1a",
        "timestamp": 1000,
        "time_this_iter_s": 0.5,
        "time_total_s": 0.5,
    }
    assert (second["loss"], second["parts"]) == (0.5, [1, 2])
    assert (second["training_iteration"], second["time_total_s"]) == (2, 1.0)
    assert journal.metrics["loss"] == 0.5


def test_a_report_may_give_its_own_number_and_the_count_goes_on_from_there(new_journal):
    journal = new_journal()
    journal.record({"training_iteration": 10}, None)
    assert journal.record({}, None)["training_iteration"] == 11


def test_a_report_for_the_same_iteration_adds_to_its_row(new_journal):
    journal = new_journal()
    journal.record({"training_iteration": 1, "loss": 1.0}, None)
    journal.record({"training_iteration": 2, "loss": 0.5}, None)
    journal.record({"training_iteration": 2, "loss": 0.5}, _state(2))
    rows = _lines(journal)
    assert [row["training_iteration"] for row in rows] == [1, 2]
    assert rows[1]["checkpoint_dir_name"] == "checkpoint_000000"
    assert journal.latest_checkpoint.to_dict() == {"step": 2}


def test_all_checkpoints_stay_unless_told(new_journal):
    journal = new_journal()
    for step in range(3):
        journal.record({"loss": step}, _state(step))
    assert _on_disk(journal) == ["checkpoint_000000", "checkpoint_000001", "checkpoint_000002"]


def test_the_newest_checkpoints_stay_without_a_score(new_journal):
    journal = new_journal(num_to_keep=2)
    for step in range(4):
        journal.record({}, _state(step))
    assert _on_disk(journal) == ["checkpoint_000002", "checkpoint_000003"]


@pytest.mark.parametrize(
    ("order", "kept"), [("min", [1, 3, 4]), ("max", [0, 2, 4])], ids=["min", "max"]
)
def test_the_best_checkpoints_stay_and_the_last_one_besides(new_journal, order, kept):
    journal = new_journal(
        num_to_keep=2, checkpoint_score_attribute="loss", checkpoint_score_order=order
    )
    for step, loss in enumerate([5.0, 1.0, 4.0, 2.0, float("nan")]):
        journal.record({"loss": loss}, _state(step))
    assert _on_disk(journal) == [f"checkpoint_{step:06d}" for step in kept]
    assert [each.checkpoint.to_dict()["step"] for each in journal.kept] == kept
    assert journal.latest_checkpoint.to_dict() == {"step": 4}


def test_a_score_that_is_not_reported_is_an_error_before_anything_is_written(new_journal):
    journal = new_journal(checkpoint_score_attribute="los")
    with pytest.raises(InvalidOption, match=r"'los'.*Did you mean 'loss'"):
        journal.record({"loss": 1.0}, _state(0))
    assert _on_disk(journal) == []
    assert _lines(journal) == []


def test_after_a_failure_the_rows_end_with_the_checkpoint(new_journal):
    journal = new_journal()
    for step in range(5):
        journal.record({"step": step}, _state(step) if step == 2 else None)
    journal.rewind()
    journal.record({"step": 30}, None)
    assert [(row["training_iteration"], row["step"]) for row in _lines(journal)] == [
        (1, 0),
        (2, 1),
        (3, 2),
        (4, 30),
    ]


def test_after_a_failure_before_the_first_checkpoint_nothing_is_left(new_journal):
    journal = new_journal()
    journal.record({"step": 0}, None)
    journal.rewind()
    assert _lines(journal) == []


def test_a_result_can_be_read_back(new_journal):
    journal = new_journal()
    for step in range(3):
        journal.record({"loss": 3.0 - step, "eval": {"auc": step}}, _state(step))
    with Path(journal.path, "result.json").open("a") as file:
        file.write('{"loss": 0.')  # the program was killed while it wrote
    result = Result.from_path(journal.path)
    assert result.metrics == journal.metrics
    assert result.config == {"lr": 0.1}
    assert result.error is None
    assert result.path == journal.path
    assert result.checkpoint.to_dict() == {"step": 2}
    assert [c.to_dict()["step"] for c, _ in result.best_checkpoints] == [0, 1, 2]
    assert result.get_best_checkpoint("loss", "max").to_dict() == {"step": 0}
    assert result.get_best_checkpoint("loss", "min").to_dict() == {"step": 2}
    frame = result.metrics_dataframe
    assert frame["loss"].tolist() == [3.0, 2.0, 1.0]
    assert frame["eval/auc"].tolist() == [0, 1, 2]
    with pytest.raises(InvalidOption, match=r"Did you mean 'loss'"):
        result.get_best_checkpoint("los", "min")
    with pytest.raises(InvalidOption, match="'max' or 'min'"):
        result.get_best_checkpoint("loss", "best")


def test_rows_are_those_of_the_directory(new_journal, tmp_path):
    journal = new_journal()
    assert len(Result.from_path(journal.path).metrics_dataframe) == 0
    journal.record({"loss": 1.0}, None)
    result = Result.from_path(journal.path)
    os.rename(journal.path, tmp_path / "moved")
    with pytest.raises(FileNotFoundError, match=r"was deleted or moved. Result\.from_path reads"):
        result.metrics_dataframe  # noqa: B018
    assert Result.from_path(tmp_path / "moved").metrics_dataframe["loss"].tolist() == [1.0]
    assert Result({"loss": 2.0}).metrics_dataframe["loss"].tolist() == [2.0]
    assert result.log_dir == Path(journal.path)


class Model(Checkpoint):
    """As a library has one for its models."""


def test_checkpoints_come_back_as_what_they_were(new_journal, monkeypatch):
    journal = new_journal()
    for step, kind in enumerate([Model, Checkpoint, Model]):
        journal.record({"step": step}, kind.from_dict({"step": step}))
    journal.record({"training_iteration": 3, "more": 1}, None)  # writes the file anew
    result = Result.from_path(journal.path)
    assert [type(each) for each, _ in result.best_checkpoints] == [Model, Checkpoint, Model]
    assert type(result.checkpoint) is Model
    assert result.metrics == journal.metrics
    assert set(result.metrics_dataframe) == set(journal.metrics)
    monkeypatch.delattr(f"{__name__}.Model")
    assert type(Result.from_path(journal.path).checkpoint) is Checkpoint


def test_a_directory_without_a_run_says_what_there_is(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no params\.json"):
        Result.from_path(tmp_path)
    (tmp_path / "experiment.journal").touch()
    with pytest.raises(FileNotFoundError, match=rf"an experiment .*restore\('{tmp_path}', "):
        Result.from_path(tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"a trial of .*restore\('{tmp_path}', train"):
        Result.from_path(tmp_path / "trial_0")


class MyError(Exception):
    pass


def test_the_error_is_kept_as_itself_or_as_text(new_journal):
    journal = new_journal()
    journal.record_error(MyError("broken"))
    assert isinstance(Result.from_path(journal.path).error, MyError)

    class Unpicklable(Exception):
        def __reduce__(self):
            raise TypeError("no")

    other = new_journal()
    other.record_error(Unpicklable("odd"))
    error = Result.from_path(other.path).error
    assert isinstance(error, RuntimeError)
    assert "Unpicklable: odd" in str(error)


def test_a_name_that_is_taken_is_numbered(tmp_path):
    paths = [new_run_directory(str(tmp_path / "new"), "run") for _ in range(3)]
    assert [Path(path).name for path in paths] == ["run", "run-2", "run-3"]


def test_storage_that_cannot_be_used_says_what_it_is_for(tmp_path):
    file = tmp_path / "file"
    file.touch()
    ways_out = r"RunConfig\(storage_path=\.\.\.\), or with AIR_RESULTS"
    for path in (file, file / "below"):
        with pytest.raises(OSError, match=rf"\((File exists|Not a directory)\).*{ways_out}"):
            new_run_directory(str(path), "run")
        with pytest.raises(NotADirectoryError, match=rf"{file} is no directory.*{ways_out}"):
            check_storage(str(path))
    with pytest.raises(OSError, match=rf"File name too long.*{ways_out}"):
        new_run_directory(str(tmp_path), "x" * 300)


def test_storage_is_checked_without_making_anything(tmp_path, monkeypatch):
    storage = tmp_path / "new" / "results"
    check_storage(str(storage))
    assert not list(tmp_path.iterdir())
    asked = []
    monkeypatch.setattr(os, "access", lambda path, mode: asked.append((path, mode)))
    with pytest.raises(PermissionError, match=rf"{tmp_path} cannot be written to.*{storage}"):
        check_storage(str(storage))
    assert asked == [(str(tmp_path), os.W_OK | os.X_OK)]


def test_the_run_before_is_known_by_its_number(tmp_path):
    paths = [new_run_directory(str(tmp_path), "run") for _ in range(3)]
    assert [run_before(path, "run") for path in paths] == [None, *paths[:2]]


def test_a_run_that_never_was_leaves_nothing_but_what_others_put_there(new_journal):
    journal = new_journal()
    journal.discard()
    assert not Path(journal.path).exists()
    journal = new_journal()
    Path(journal.path, "mine").touch()
    journal.discard()
    assert [path.name for path in Path(journal.path).iterdir()] == ["mine"]


def test_any_config_can_be_written_down(tmp_path):
    path = new_run_directory(str(tmp_path), "run")
    config = {("a", 1): {2: object}, "small": np.arange(2), "large": np.zeros(10_000)}
    journal = ResultJournal(
        path, config=config, checkpoint_config=CheckpointConfig(), trial_id="1a"
    )
    journal.close()
    written = json.loads(Path(path, "params.json").read_text())
    assert written["('a', 1)"] == {"2": "<class 'object'>"}
    assert written["small"] == [0, 1]
    assert written["large"].startswith("array([0.")


def test_scores_may_be_nested(new_journal):
    journal = new_journal(num_to_keep=1, checkpoint_score_attribute="eval/acc")
    for step, accuracy in enumerate((0.5, 0.9, 0.7)):
        journal.record({"eval": {"acc": accuracy}}, _state(step))
    assert _on_disk(journal) == ["checkpoint_000001", "checkpoint_000002"]
    result = Result.from_path(journal.path)
    assert result.get_best_checkpoint("eval/acc", "max").to_dict() == {"step": 1}
    with pytest.raises(InvalidOption, match="Did you mean 'eval/acc'"):
        result.get_best_checkpoint("eval/ac", "max")
    with pytest.raises(InvalidOption, match=r"'eval/ac'.*Did you mean 'eval/acc'"):
        new_journal(checkpoint_score_attribute="eval/ac").record({"eval": {"acc": 1}}, _state(0))


def test_a_row_of_another_run_may_be_passed_on(new_journal):
    journal = new_journal()
    journal.record({"a": 1, "checkpoint_dir_name": "checkpoint_000000"}, None)
    assert "checkpoint_dir_name" not in journal.metrics


def test_a_path_without_a_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no params\.json"):
        Result.from_path(tmp_path)


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        (None, False),
        ({"training_iteration": 3}, True),
        ({"training_iteration": 4}, False),
        ({"training_iteration": 4, "accuracy": 0.9}, True),
        (lambda trial_id, metrics: trial_id == "1a" and metrics["accuracy"] > 0.9, True),
    ],
)
def test_a_run_stops_when_a_metric_reaches_its_value(criterion, expected):
    assert should_stop(criterion, "1a", {"training_iteration": 3, "accuracy": 0.95}) is expected


def test_a_stop_criterion_on_a_metric_that_is_not_reported_is_an_error():
    with pytest.raises(InvalidOption, match=r"'acuracy'.*Did you mean 'accuracy'"):
        should_stop({"acuracy": 0.9}, "1a", {"accuracy": 0.95})


def test_a_stop_criterion_may_name_nested_metrics_but_only_numbers():
    assert should_stop({"eval/acc": 0.9}, "1a", {"eval": {"acc": 0.95}})
    assert not should_stop({"loss": 0}, "1a", {"loss": float("nan")})
    with pytest.raises(InvalidOption, match=r"'loss' with 1, and it is no number.*'low'"):
        should_stop({"loss": 1}, "1a", {"loss": "low"})
