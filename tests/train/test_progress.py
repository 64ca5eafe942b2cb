"""What a run shows of itself."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from air import RunConfig
from air.train import BaseTrainer
from air.train.progress import summary, told
from air.train.sklearn import SklearnTrainer
from air.train.xgboost import XGBoostTrainer

PROGRAM = """
import sys
import air
from air import RunConfig
from air.data import DataContext
from air.train import DataParallelTrainer, report

def train():
    for step in range(3):
        report({"loss": 1 / (step + 1), "nested": {"score": step}, "text": "[bold]"})
    if sys.argv[2] == "fails":
        raise ValueError("no more")

if __name__ == "__main__":
    air.init(backend=sys.argv[3], num_cpus=1)
    DataContext.get_current().enable_progress_bars = sys.argv[1] == "shown"
    try:
        DataParallelTrainer(train, run_config=RunConfig(stop={"training_iteration": 9})).fit()
    except ValueError:
        pass
"""


def on_a_terminal(storage, *arguments):
    """What the program writes to a terminal that is its standard error stream."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "AIR_RESULTS": str(storage), "TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return written.decode()


@pytest.mark.parametrize("ends", ["well", "fails"])
def test_a_terminal_shows_iterations_and_metrics(storage, ends):
    written = on_a_terminal(storage, "shown", ends, "cluster")
    assert "DataParallelTrainer" in written
    assert "3 of 9" in written
    assert "loss 0.33333  nested/score 2" in written
    left = [line for line in written.splitlines() if "3 iterations in" in line]
    assert len(left) == (1 if ends == "well" else 0)
    assert ends == "fails" or str(storage) in written.replace("\r\n", "")


def test_the_terminal_is_the_training_functions_where_that_runs_in_this_process(storage):
    written = on_a_terminal(storage, "shown", "well", "local")
    assert "3 of 9" not in written
    assert "3 iterations in" in written


def test_nothing_is_shown_where_it_is_not_wanted(storage):
    assert "DataParallelTrainer" not in on_a_terminal(storage, "silent", "well", "local")
    printed = subprocess.run(
        [sys.executable, "-c", PROGRAM, "shown", "well", "local"],
        env={**os.environ, "AIR_RESULTS": str(storage)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "iterations" not in printed.stderr + printed.stdout


def test_what_is_told():
    row = {"training_iteration": 1200, "loss": 0.123456789, "ok": True, "time_total_s": 3.0}
    assert told(row, None, 10.0) == "1,200  120/s  loss 0.12346"
    assert told({"training_iteration": 1}, 5, 0.0) == "1 of 5"
    assert summary("T", row, 2.0, "/x") == "T: 1,200 iterations in 2.0 s; loss 0.12346. Results: /x"
    assert (
        summary("T", {"training_iteration": 1}, 2.0, "/x") == "T: 1 iteration in 2.0 s. Results: /x"
    )
    assert summary("T", {}, 2.0, "/x") == "T: nothing was reported in 2.0 s. Results: /x"


class Loop(BaseTrainer):
    def training_loop(self):
        pass


def test_how_many_iterations_there_will_be(breast_cancer):
    data = {"train": breast_cancer[0]}
    stops = RunConfig(stop={"training_iteration": 3})
    assert Loop().planned_iterations() is None
    assert Loop(run_config=stops).planned_iterations() == 3
    assert Loop(run_config=RunConfig(stop=lambda *_: True)).planned_iterations() is None
    options = {"datasets": data, "label_column": "target", "params": {}}
    assert XGBoostTrainer(**options, num_boost_round=7).planned_iterations() == 7
    assert XGBoostTrainer(**options, run_config=stops).planned_iterations() == 3
    from sklearn.linear_model import LinearRegression

    fitted = SklearnTrainer(estimator=LinearRegression(), datasets=data, label_column="target")
    assert fitted.planned_iterations() == 1
