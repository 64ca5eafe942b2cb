"""Ctrl-C in what XGBoost calls back, where Python would swallow it."""

from __future__ import annotations

import signal
import sys

import pyarrow as pa
import pytest
import xgboost

import air
from air.executor.interrupts import is_lost_in
from air.train.columns import Columns
from air.train.xgboost import XGBoostTrainer
from air.train.xgboost.library import LIBRARY
from air.train.xgboost.matrix import build_matrix

TABLE = pa.table({"a": [1.0, 2.0, 3.0, 4.0], "y": [0, 1, 0, 1]})


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


def matrix_of(tables):
    columns = Columns.of(TABLE.schema, "y", {}, "train", library=LIBRARY)
    return build_matrix(tables, columns, params={}, settings={}, nthread=1, ref=None)


@pytest.mark.parametrize("number", range(8))
def test_while_a_table_is_read(number):
    """XGBoost reads the tables four times; it would go on with the others."""
    read = []

    def tables():
        for _ in range(2):
            if len(read) == number:
                press_ctrl_c()
            read.append(number)
            yield TABLE

    with pytest.raises(KeyboardInterrupt):
        matrix_of(tables)
    assert len(read) == number


def test_at_any_moment_while_a_matrix_is_made():
    """Interrupted at one call after another, in XGBoost's callbacks and around them."""
    before = signal.getsignal(signal.SIGINT)

    def calls_until(moment):
        """Calls that were made; Ctrl-C is pressed at that one."""
        made = 0

        def profile(frame, event, _argument):
            nonlocal made
            # Where Python looks for signals; that of a finalizer is another test's.
            if event in ("call", "c_return") and not is_lost_in(frame):
                made += 1
                if made == moment:
                    sys.setprofile(None)
                    press_ctrl_c()

        sys.setprofile(profile)
        try:
            matrix_of(lambda: iter([TABLE, TABLE]))
        finally:
            sys.setprofile(None)
        return made

    calls_until(None)  # what happens the first time only
    whole = calls_until(None)
    assert whole > 500
    for moment in range(1, whole - 5, whole // 100):  # the last ones end the profiling
        with pytest.raises(KeyboardInterrupt):
            calls_until(moment)
        assert signal.getsignal(signal.SIGINT) is before


def test_leaving_the_program_is_not_swallowed():
    def tables():
        yield TABLE
        sys.exit(3)

    with pytest.raises(SystemExit, match="3"):
        matrix_of(tables)


def test_errors_are_raised_as_they_are():
    def tables():
        yield TABLE
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        matrix_of(tables)


def test_what_xgboost_cannot_read_is_its_error():
    table = pa.table({"a": [1.0, float("inf")], "y": [0, 1]})
    with pytest.raises(xgboost.core.XGBoostError, match="inf"):
        matrix_of(lambda: iter([table]))


class Press:
    """A standard output on which Ctrl-C is pressed when XGBoost says something."""

    def __init__(self):
        self.lines = []

    def write(self, text):
        self.lines.append(text)
        if len(self.lines) == 1:
            press_ctrl_c()

    def flush(self):
        pass


@pytest.mark.usefixtures("air_local")
def test_in_a_message_of_xgboosts(monkeypatch, tmp_path):
    monkeypatch.setenv("AIR_RESULTS", str(tmp_path))
    trainer = XGBoostTrainer(
        datasets={"train": air.data.from_arrow(TABLE)},
        label_column="y",
        params={"verbosity": 3},
        num_boost_round=100_000,
    )
    out = Press()
    monkeypatch.setattr(sys, "stdout", out)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert out.lines
