"""What an experiment prints."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import pytest

from air import RunConfig, tune
from air.tune import TuneConfig, Tuner, progress

pytestmark = pytest.mark.usefixtures("air_backend")


def run(run_config: RunConfig, trials: int = 3) -> None:
    def trainable(config: dict[str, Any]) -> None:
        tune.report({"loss": config["n"] * 0.25, "note": "[bold]"})
        if config["n"] == 1:
            raise LookupError("bad")

    Tuner(
        trainable,
        param_space={"n": tune.grid_search(list(range(trials))), "opt": {"kind": "[sgd]"}},
        tune_config=TuneConfig(metric="loss", mode="min"),
        run_config=run_config,
    ).fit()


def test_off_a_terminal_there_is_one_line_at_the_end(
    run_config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    run(run_config)
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    expected = r"3 trials in [\d.]+ s \(2 finished, 1 failed\), best loss 0 \(trainable_.*exp"
    assert re.fullmatch(expected, line)


def test_on_a_terminal_there_are_tables(
    run_config: RunConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "INTERVAL_S", 0)
    monkeypatch.setattr(progress, "MAX_ROWS", 3)
    monkeypatch.setenv("COLUMNS", "200")
    run(run_config, trials=5)
    err = capsys.readouterr().err
    assert err.count("opt/kind") > 5
    last = err[err.rindex("opt/kind") :]
    assert "[sgd]" in last
    assert last.count("finished") == 2 + 1
    assert last.count("failed") == 1 + 1
    assert "and 2 more trials" in last


def test_an_experiment_does_not_need_a_stream_to_print_to(
    run_config: RunConfig, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stderr", stream)
        run(run_config)
    assert capsys.readouterr().out == ""  # it does not go elsewhere instead


@pytest.mark.parametrize("is_terminal", [False, True])
def test_an_experiment_does_not_fail_with_its_stream(
    run_config: RunConfig, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    class Full(io.StringIO):
        written = 0

        def isatty(self) -> bool:
            return is_terminal

        def write(self, text: str) -> int:
            Full.written += 1
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(progress, "INTERVAL_S", 0)
    run(run_config)
    assert Full.written
