"""Experiments that were cut off go on where their journal ends."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from air import Checkpoint, FailureConfig, RunConfig, train, tune
from air.errors import InvalidOption
from air.train.xgboost import XGBoostCheckpoint
from air.tune import TuneConfig, Tuner, journal
from air.tune.journal import Journal, JournalBusy
from air.tune.search import BasicVariantGenerator, Searcher

pytestmark = pytest.mark.usefixtures("air_backend")

TRIALS = 4
STEPS = 3


def trainable(config: dict[str, Any]) -> None:
    """Reports three results, the second with a checkpoint; notes every step that it makes."""
    checkpoint = train.get_checkpoint()
    for step in range(checkpoint.to_dict()["step"] if checkpoint else 0, STEPS):
        with open(config["log"], "a") as file:
            file.write(f"{config['n']}.{step} ")
        made = Checkpoint.from_dict({"step": step + 1}) if step == 1 else None
        tune.report({"score": config["x"] * 10 + step}, checkpoint=made)


def space(log: Path) -> dict[str, Any]:
    return {
        "x": tune.uniform(0, 1),
        "n": tune.grid_search(list(range(TRIALS))),
        "log": str(log),
    }


def tuner(tmp_path: Path, **settings: Any) -> Tuner:
    return Tuner(
        trainable,
        param_space=space(tmp_path / "log"),
        tune_config=TuneConfig(
            metric="score",
            mode="max",
            search_alg=BasicVariantGenerator(random_state=1),
            # So that the journal has a fixed order, in which a test can cut it.
            max_concurrent_trials=1,
        ),
        run_config=RunConfig(name="exp", storage_path=tmp_path, **settings),
    )


def test_an_experiment_that_is_cut_off_after_any_event_goes_on_from_there(tmp_path: Path) -> None:
    whole = tuner(tmp_path).fit()
    expected = [(result.config, result.metrics["score"]) for result in whole]
    directory = tmp_path / "exp"
    content = (directory / journal.FILE_NAME).read_bytes()
    with (directory / journal.FILE_NAME).open("rb") as file:
        records = list(journal._records(file, "journal"))
    assert len(records) == 1 + TRIALS * (3 + STEPS)
    kept = tmp_path / "kept"
    directory.rename(kept)
    for cut, (_, end) in enumerate(records, 1):
        shutil.copytree(kept, directory)
        # The writer was killed in the middle of its next record.
        (directory / journal.FILE_NAME).write_bytes(content[: end + 3])
        over = {
            int(event.trial_id[-5:])
            for event, _ in records[:cut]
            if isinstance(event, journal.Ended)
        }
        (tmp_path / "log").write_text("")
        grid = Tuner.restore(directory, trainable).fit()
        assert [(result.config, result.metrics["score"]) for result in grid] == expected
        for result in grid:
            assert len(result.metrics_dataframe) == STEPS
            assert result.metrics_dataframe["training_iteration"].tolist() == [1, 2, 3]
            assert len(result.best_checkpoints) == 1
            assert os.listdir(result.path) == [os.path.basename(result.checkpoint.path)]
        ran = {int(step.split(".")[0]) for step in (tmp_path / "log").read_text().split()}
        assert ran == set(range(TRIALS)) - over
        shutil.rmtree(directory)


def test_results_of_a_cut_off_experiment_can_be_read(tmp_path: Path) -> None:
    tuner(tmp_path).fit()
    path = tmp_path / "exp" / journal.FILE_NAME
    with path.open("rb") as file:
        ends = [end for _, end in journal._records(file, "journal")]
    path.write_bytes(path.read_bytes()[: ends[9]])
    grid = Tuner.restore(tmp_path / "exp", trainable).get_results()
    assert len(grid) == 2
    assert (grid.num_terminated, grid.num_errors) == (1, 0)
    assert grid.get_best_result().metrics["training_iteration"] in (1, 3)
    assert len(grid[1].metrics_dataframe) == 1


def test_a_finished_experiment_has_nothing_left_to_do(tmp_path: Path) -> None:
    once = tuner(tmp_path).fit()
    (tmp_path / "log").write_text("")
    again = Tuner.restore(once.experiment_path, trainable).fit()
    assert [result.metrics for result in again] == [result.metrics for result in once]
    assert (tmp_path / "log").read_text() == ""


def test_an_experiment_may_be_moved(tmp_path: Path) -> None:
    grid = tuner(tmp_path).fit()
    moved = shutil.move(grid.experiment_path, tmp_path / "elsewhere")
    result = Tuner.restore(moved, trainable).get_results()[0]
    assert result.checkpoint is not None
    assert result.checkpoint.to_dict() == {"step": 2}


KILLED = """
import os, signal, sys
import air
from air import RunConfig, train, tune

def trainable(config):
    for step in range(3):
        tune.report({"score": config["n"] * 10 + step})
        if f"{config['n']}.{step}" == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)

air.init(backend="local")
tune.Tuner(
    trainable,
    param_space={"n": tune.grid_search([0, 1, 2, 3]), "x": 0, "log": sys.argv[1] + "/log"},
    run_config=RunConfig(name="exp", storage_path=sys.argv[1]),
).fit()
"""


@pytest.mark.parametrize("moment", ["0.0", "1.1", "3.2"])
def test_a_killed_program_loses_no_result_and_reruns_no_finished_trial(
    tmp_path: Path, moment: str
) -> None:
    program = [sys.executable, "-c", KILLED, str(tmp_path), moment]
    assert subprocess.run(program, timeout=60).returncode == -signal.SIGKILL
    trial, step = map(int, moment.split("."))
    before = Tuner.restore(tmp_path / "exp", trainable).get_results()
    assert [len(result.metrics_dataframe) for result in before] == [STEPS] * trial + [step + 1]
    after = Tuner.restore(tmp_path / "exp", trainable).fit()
    assert [len(result.metrics_dataframe) for result in after] == [STEPS] * TRIALS
    ran = {int(each.split(".")[0]) for each in (tmp_path / "log").read_text().split()}
    assert ran == set(range(trial, TRIALS))


def interrupt_at(number: int, flag: Path) -> Any:
    """A stop criterion in which the user interrupts once, at a result whose ``n`` is ``number``."""

    def stop(trial_id: str, result: dict[str, Any]) -> bool:
        if result["n"] == number and not flag.exists():
            flag.touch()
            raise KeyboardInterrupt
        return False

    return stop


def test_an_interrupted_experiment_says_how_to_go_on(tmp_path: Path) -> None:
    def one(config: dict[str, Any]) -> dict[str, Any]:
        return {"n": 1}

    experiment = Tuner(
        one,
        run_config=RunConfig(
            name="exp", storage_path=tmp_path, stop=interrupt_at(1, tmp_path / "flag")
        ),
    )
    with pytest.raises(KeyboardInterrupt) as caught:
        experiment.fit()
    assert "Tuner.restore" in caught.value.__notes__[-1]
    grid = Tuner.restore(tmp_path / "exp", one).fit()
    assert (len(grid), grid.num_terminated) == (1, 1)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, [None]),
        ({"resume_errored": True}, [[1, 2]]),
        ({"restart_errored": True}, [[0, 1, 2]]),
    ],
)
def test_failed_trials_are_left_resumed_or_restarted(
    tmp_path: Path, how: dict[str, bool], expected: list[Any]
) -> None:
    def fails_once(config: dict[str, Any]) -> None:
        checkpoint = train.get_checkpoint()
        assert checkpoint is None or type(checkpoint) is XGBoostCheckpoint
        first = checkpoint.to_dict()["step"] if checkpoint else 0
        for step in range(first, 3):
            if step == 1 and not os.path.exists(config["flag"]):
                open(config["flag"], "w").close()
                raise LookupError("the first time")
            tune.report(
                {"step": step, "first": first},
                checkpoint=XGBoostCheckpoint.from_dict({"step": step + 1}),
            )

    grid = Tuner(
        fails_once,
        param_space={"flag": str(tmp_path / "flag")},
        run_config=RunConfig(name="exp", storage_path=tmp_path),
    ).fit()
    assert grid.num_errors == 1
    again = Tuner.restore(grid.experiment_path, fails_once, **how).fit()
    if not how:
        (error,) = again.errors
        assert isinstance(error, LookupError)
        assert str(error) == "the first time"
    else:
        assert again.num_errors == 0
        assert again[0].metrics_dataframe["step"].tolist() == [0, 1, 2]
        assert again[0].metrics["first"] == (1 if "resume_errored" in how else 0)


def test_unfinished_trials_may_be_left_alone(tmp_path: Path) -> None:
    tuner(tmp_path).fit()
    path = tmp_path / "exp" / journal.FILE_NAME
    with path.open("rb") as file:
        ends = [end for _, end in journal._records(file, "journal")]
    path.write_bytes(path.read_bytes()[: ends[9]])
    (tmp_path / "log").write_text("")
    grid = Tuner.restore(tmp_path / "exp", trainable, resume_unfinished=False).fit()
    assert grid.num_terminated == TRIALS
    assert "1.0" not in (tmp_path / "log").read_text()
    assert grid[1].metrics["training_iteration"] == 1


class Listed(Searcher):
    """Keeps no state of its own: it has to be asked again."""

    def __init__(self) -> None:
        super().__init__()
        self.left = [1, 2, 3, 4]
        self.heard: list[int] = []

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        return {"n": self.left.pop(0), "heard": list(self.heard)} if self.left else self.FINISHED

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        self.heard.append(result["n"])


def test_a_searcher_without_state_is_asked_and_told_everything_again(tmp_path: Path) -> None:
    def echo(config: dict[str, Any]) -> dict[str, Any]:
        return {"n": config["n"]}

    experiment = Tuner(
        echo,
        tune_config=TuneConfig(num_samples=-1, search_alg=Listed(), max_concurrent_trials=1),
        run_config=RunConfig(
            name="exp", storage_path=tmp_path, stop=interrupt_at(3, tmp_path / "flag")
        ),
    )
    with pytest.raises(KeyboardInterrupt):
        experiment.fit()
    grid = Tuner.restore(tmp_path / "exp", echo).fit()
    assert [result.config["n"] for result in grid] == [1, 2, 3, 4]
    assert grid[3].config["heard"] == [1, 2, 3]


def test_random_search_without_a_seed_goes_on_in_its_own_sequence(tmp_path: Path) -> None:
    def draw(config: dict[str, Any]) -> dict[str, Any]:
        return {"x": config["x"]}

    grid = Tuner(
        draw,
        param_space={"x": tune.uniform(0, 1)},
        tune_config=TuneConfig(num_samples=6),
        run_config=RunConfig(name="exp", storage_path=tmp_path),
    ).fit()
    path = tmp_path / "exp" / journal.FILE_NAME
    with path.open("rb") as file:
        ends = [end for _, end in journal._records(file, "journal")]
    path.write_bytes(path.read_bytes()[: ends[4]])
    again = Tuner.restore(tmp_path / "exp", draw).fit()
    assert [result.config for result in again] == [result.config for result in grid]


# --- bad input ----------------------------------------------------------------------------------


def test_can_restore_says_whether_there_is_an_experiment(tmp_path: Path) -> None:
    assert not Tuner.can_restore(tmp_path / "exp")
    tuner(tmp_path).fit()
    assert Tuner.can_restore(tmp_path / "exp")
    assert not Tuner.can_restore(tmp_path)


def test_a_path_without_an_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such directory"):
        Tuner.restore(tmp_path / "nothing", trainable)
    with pytest.raises(FileNotFoundError, match=r"it has no experiment\.journal"):
        Tuner.restore(tmp_path, trainable)


def test_another_trainable_is_refused(tmp_path: Path) -> None:
    tuner(tmp_path).fit()
    with pytest.raises(ValueError, match="with the trainable 'trainable', and is to be restored"):
        Tuner.restore(tmp_path / "exp", lambda config: None)


def test_resuming_and_restarting_failed_trials_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="exclude each other"):
        Tuner.restore(tmp_path, trainable, resume_errored=True, restart_errored=True)


def test_an_experiment_that_runs_cannot_be_run_again(tmp_path: Path) -> None:
    tuner(tmp_path).fit()
    restored = Tuner.restore(tmp_path / "exp", trainable)
    book, _ = Journal.reopen(tmp_path / "exp")
    with book, pytest.raises(JournalBusy):
        restored.fit()


def test_a_tuner_that_did_not_run_has_no_results(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no results yet"):
        tuner(tmp_path).get_results()


def test_failures_count_anew_when_an_experiment_is_restored(tmp_path: Path) -> None:
    def fails_twice(config: dict[str, Any]) -> dict[str, Any]:
        with open(config["log"], "a") as file:
            file.write("x")
        if len(Path(config["log"]).read_text()) < 4:
            raise LookupError
        return {"ok": 1}

    run_config = RunConfig(
        name="exp", storage_path=tmp_path, failure_config=FailureConfig(max_failures=1)
    )
    grid = Tuner(
        fails_twice, param_space={"log": str(tmp_path / "log")}, run_config=run_config
    ).fit()
    assert grid.num_errors == 1
    again = Tuner.restore(grid.experiment_path, fails_twice, restart_errored=True).fit()
    assert again.num_errors == 0
    assert dataclasses.asdict(again[0])["metrics"]["ok"] == 1
