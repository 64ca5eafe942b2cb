"""How datasets look, what they say they will do, and what a run took."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from html.parser import HTMLParser
from textwrap import dedent

import numpy as np
import pyarrow as pa
import pytest

from air import data
from air.data.context import DataContext, set_progress_bars
from air.data.execution import explain, progress
from air.data.execution.cost import Cost, Meter
from air.data.execution.progress import Line, is_watched, lines_of
from air.data.execution.stats import ExecutionStats, StageStats
from air.errors import InvalidOption

IRIS = "example://iris.parquet"


# What a run took -------------------------------------------------------------------------------


def test_what_was_measured_is_summed_and_told():
    stage = StageStats("map(f)")
    stage.add(1000, 2048, Cost(0.5, 0.25, 3 << 20))
    stage.add(500, 1024, Cost(0.25, 0.25, 2 << 20))
    stage.began, stage.ended = 10.0, 12.0
    assert str(stage) == (
        "map(f): 1,500 rows in 2 blocks, 3.0 KiB; took 2.000 s (work 0.750 s, CPU 0.500 s), peak"
        " memory 3.0 MiB; in the calling process"
    )
    stage.tasks = 2
    assert str(stage).endswith("; 2 tasks")


def test_stages_are_told_in_the_order_in_which_they_began():
    stats = ExecutionStats()
    (last,) = stats.begin(["last"])
    (first,) = stats.begin(["first"], 3)
    stats.begin(["never"])
    first.began, first.ended = 1.0, 4.0
    last.began, last.ended = 3.0, 6.0
    stats.spilled(1 << 20)
    stats.spilled(1 << 20)
    lines = stats.describe().splitlines()
    assert [line.partition(":")[0] for line in lines[:3]] == ["1. first", "2. last", "3. never"]
    assert lines[3] == "all together took 5.000 s"
    assert lines[4].startswith("2.0 MiB waited in 2 files")
    assert first.units == 3


def test_memory_and_time_are_those_of_the_work():
    meter = Meter()
    kept = np.ones(8 << 20)
    cost = meter.read()
    assert cost.peak_bytes > kept.nbytes
    assert cost.seconds > 0
    assert cost.cpu_seconds > 0


def test_stats_of_a_sort(placement):
    ds = data.range_table(1000).map(dict).sort("value", descending=True)
    made = ds.materialize()
    told = made.stats()
    assert re.search(r"\d\. map\(dict\) -> sort\('value' descending\): 1,000 rows", told), told
    assert re.search(r"\d\. sort\('value'.*peak memory \d", told)
    assert ds.stats() == told
    made.take(2)
    made.to_pandas()
    assert made.stats() == told
    assert repr(told) == told


def test_stats_of_what_takes_a_few_rows_or_writes(placement, tmp_path):
    ds = data.range(100).map(lambda v: {"v": v})
    ds.take(3)
    assert "map(<lambda>)" in ds.stats()
    ds.write_parquet(tmp_path)
    assert "write_parquet" in ds.stats()


def test_what_waits_in_files_is_told(waiting):
    ds = data.range_table(20_000).random_shuffle(seed=1).materialize()
    found = re.search(r"KiB waited in \d+ files?", ds.stats())
    assert bool(found) == (waiting == "files"), ds.stats()


# What will be done -----------------------------------------------------------------------------


def test_explain_tells_the_plan_what_is_pushed_and_the_stages():
    ds = data.read_parquet(IRIS).filter(data.col("petal.length") > 1.5)
    ds = ds.select_columns(["variety", "petal.length"]).map(dict).sort("variety")
    told = ds.explain()
    written, optimized, runs = told.split("\n\n")[:3]
    assert written.startswith("As it was written:\n+- sort('variety')\n   +- map(dict)\n")
    assert "[" not in written
    assert "[only columns petal.length, variety; only row groups that may have" in optimized
    lines = runs.splitlines()
    assert lines[0] == "It runs as:"
    assert re.match(
        r"1\. filter.* -> map\(dict\): in the calling process.*, 1 piece, about", lines[1]
    )
    assert lines[2].startswith("2. sort('variety'): begins when all rows of the steps before")
    assert ds.stats() == "not run yet"


def test_explain_tells_pools_resources_and_what_is_there(monkeypatch):
    monkeypatch.setattr(explain, "_may_run_in_parallel", lambda: True)

    class Model:
        def __call__(self, batch):
            return batch

    ds = data.range(10).map(abs, num_cpus=2).map_batches(Model, concurrency=(1, 3))
    told = ds.map_batches(Model, concurrency=2).limit(3).explain()
    assert "read: on tasks, 10 pieces" in told
    assert "map(abs): on tasks with num_cpus=2" in told
    assert "map_batches(Model): on 1 to 3 actors" in told
    assert "map_batches(Model #2): on 2 actors" in told
    assert "limit(3): nothing is made once there are enough rows" in told
    assert "rows are there" in data.range(10).materialize().explain()


def test_functions_of_one_name_are_told_apart(placement):
    def of(failing):
        def check(row):
            if row["value"] == failing:
                raise ValueError(failing)
            return row

        return check

    def checked(ds, failing):
        return ds.map(of(failing), on_error="skip")

    one = checked(checked(data.range_table(10), 3), 5)
    ds = checked(one.union(checked(data.range_table(10), 7)).sort("value"), 8)
    assert ds.count() == 15
    told = ds.stats()
    assert "1 rows skipped by map(check) (first ValueError: 3" in told
    assert "1 rows skipped by map(check #2) (first ValueError: 5" in told
    assert "1 rows skipped by map(check #3) (first ValueError: 7" in told
    assert "2 rows skipped by map(check #4) (first ValueError: 8" in told
    for number in (2, 3, 4):
        assert f"map(check #{number})" in ds.explain()
    assert "#" not in data.range(3).map(abs).filter(abs).explain()
    broken = data.range(3).map(abs).map(lambda row: row).map(lambda row: 1 // row)
    with pytest.raises(ZeroDivisionError) as caught:
        broken.take_all()
    assert any("map(<lambda> #2)" in note for note in caught.value.__notes__)


def test_every_step_has_a_way_to_be_told():
    from air.data.execution.explain import _WAYS
    from air.data.execution.physical import OPERATORS
    from air.data.plan import InputBlocks

    assert OPERATORS.keys() - {InputBlocks} == _WAYS.keys()


# At a prompt and in a notebook -----------------------------------------------------------------


class Tags(HTMLParser):
    """Sees that all tags are closed, in order; keeps the texts and the names of tags."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)


def test_rows_that_are_there_are_shown():
    ds = data.from_items([{"name": f"n{i}", "size": i * 1000} for i in range(7)]).materialize()
    assert repr(ds) == (
        "Dataset(num_blocks=7, num_rows=7, schema={name: string, size: int64})\n"
        "   name  size\n"
        "   n0    0\n"
        "   n1    1000\n"
        "   n2    2000\n"
        "   n3    3000\n"
        "   n4    4000\n"
        "   ... and 2 more rows"
    )
    page = Tags(ds._repr_html_())
    assert {"First rows", "name", "n4", "4000", "... and 2 more rows", "int64"} <= {*page.texts}
    assert "7 rows · 7 blocks" in "".join(page.texts)


def test_a_plan_is_shown_without_running_it():
    def never(row):
        raise AssertionError("it ran")

    ds = data.read_parquet(IRIS).map(never).sort("variety")
    page = Tags(ds._repr_html_())
    assert "Plan, which has not run" in page.texts
    assert any("+- sort('variety')\n   +- map(never)" in text for text in page.texts)
    assert "rows not counted yet" in page.texts
    assert "Columns are known when the plan has run" in page.texts
    assert ds.stats() == "not run yet"


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "a & b", "\"'<", "</td></table></div>", "line\nline"]
)
def test_what_users_write_is_text(text):
    ds = data.from_arrow(pa.table({text: [text]}))
    for each in (ds, data.from_items([text]), ds.map(lambda row: row).rename_columns({text: text})):
        page = Tags(each._repr_html_())
        assert "script" not in page.seen
    assert " ".join(text.split()) in Tags(ds._repr_html_()).texts


def test_odd_rows_are_shown_too():
    class Odd:
        def __str__(self):
            raise ValueError("no text")

    assert "<Odd whose text raise..." in repr(data.from_items([Odd()]).materialize())
    wide = data.from_arrow(pa.table({f"c{i}": ["x" * 100] for i in range(30)}))
    assert "... and 20 more columns" in repr(wide)
    assert max(map(len, repr(wide).splitlines()[1:])) < 10 * 27
    nothing = data.from_items([]).materialize()
    assert repr(nothing) == "Dataset(num_blocks=1, num_rows=0, schema=unknown)"
    Tags(nothing._repr_html_())
    assert Tags(data.range(3)._repr_html_()).texts.count("builtins.int") == 1


def test_rows_on_tasks_are_shown(placement):
    made = data.range_table(30).map(dict).materialize()
    assert "   ... and 25 more rows" in repr(made)


# Eager -----------------------------------------------------------------------------------------


@pytest.fixture
def eager(monkeypatch):
    monkeypatch.setattr(DataContext.get_current(), "eager", True)


def test_each_transformation_runs_at_the_call(placement, eager):
    calls = []

    def f(row):
        calls.append(row)
        return row + 1

    ds = data.range(10).map(f)
    if placement == "here":
        assert calls == list(range(10))
    assert ds.is_materialized
    assert ds.filter(lambda row: row % 2).is_materialized
    assert ds.take_all() == list(range(1, 11))
    for each in (ds.random_shuffle(seed=1), ds.repartition(2), ds.union(ds), ds.limit(3)):
        assert each.is_materialized
    if placement == "here":
        assert calls == list(range(10))
    with pytest.raises(ZeroDivisionError):
        ds.map(lambda row: 1 // 0)


def test_reading_waits_for_the_first_transformation(eager, tmp_path):
    assert not data.range(10).is_materialized


# How far it is ---------------------------------------------------------------------------------


def test_lines_tell_what_is_done():
    known = StageStats("read", units=4, done=2, rows=2000, began=1.0, ended=3.0)
    finished = StageStats("map(f)", units=2, done=2, rows=1, began=1.0, ended=2.0)
    unknown = StageStats("m" * 50, rows=7)
    assert lines_of([known, finished, unknown], 5.0) == [
        Line("read", 0.5, "2 of 4 pieces, 2,000 rows", 4.0),
        Line("map(f)", 1.0, "2 of 2 pieces, 1 row", 1.0),
        Line("m" * 39 + "…", None, "7 rows", 0.0),
    ]
    assert [line.name for line in lines_of([StageStats(str(n)) for n in range(20)], 0.0)] == [
        str(n) for n in range(12, 20)
    ]


def test_it_is_shown_while_somebody_waits():
    assert is_watched(ExecutionStats(waits=True, asked=0.0), 100.0)
    assert is_watched(ExecutionStats(waits=False, asked=99.5), 100.0)
    assert not is_watched(ExecutionStats(waits=False, asked=90.0), 100.0)


def test_nothing_is_done_off_a_terminal_or_when_it_is_switched_off(monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("a thread was made")

    monkeypatch.setattr(progress.threading, "Thread", never)
    for stream in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        assert data.range(5).map(abs).take_all() == [0, 1, 2, 3, 4]
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(AssertionError, match="a thread was made"):
        data.range(5).map(abs).take_all()
    assert set_progress_bars(False) is True
    try:
        assert data.range(5).map(abs).take_all() == [0, 1, 2, 3, 4]
    finally:
        assert set_progress_bars(True) is False


def test_the_switch_is_checked():
    with pytest.raises(InvalidOption, match="set_progress_bars: enabled must be True or False"):
        set_progress_bars(1)
    with pytest.raises(InvalidOption, match=r"DataContext\.eager must be True or False"):
        DataContext.get_current().eager = None


PROGRAM = """
    import sys, threading, time
    from air import data
    from air.data.execution import explain, progress

    progress.QUIET_SECONDS = float(sys.argv[1])
    seen = threading.Event()
    draw = progress._table

    def table(lines):
        if any(line.share for line in lines):
            seen.set()
        return draw(lines)

    progress._table = table

    def f(row):
        if row == 5 and sys.argv[1] == "0":
            assert seen.wait(60)
        return row

    print(sum(data.range(8, parallelism=8).map(f).take_all()))
"""


@pytest.mark.parametrize(("quiet", "shown"), [("0", True), ("60", False)])
def test_a_terminal_shows_it(tmp_path, quiet, shown):
    program = tmp_path / "program.py"
    program.write_text(dedent(PROGRAM))
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(
            [sys.executable, program, quiet],
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            env={**os.environ, "AIR_BACKEND": "local", "TERM": "xterm", "COLUMNS": "120"},
        )
        os.set_blocking(ours, False)
        written = terminal.read(1 << 20) or b""
    os.close(theirs)
    assert done.stdout == "28\n", written
    assert (b"map(f)" in written and b"of 8 pieces" in written) == shown
    assert shown or written == b""


def test_what_goes_through_a_dataset_shows_its_first_line_only():
    ds = data.from_items([{"a": 1}, {"a": 2}])
    first = "Dataset(num_blocks=2, num_rows=2, schema={a: int64})"
    assert repr(ds.iterator()) == f"DataIterator({first})"
    assert repr(ds.groupby("a")) == f"GroupedData({first}, key=['a'])"
    assert repr(ds.repeat(2)) == f"DatasetPipeline(2 epochs of {first})"
