"""Results that are kept: a program that was killed does not make again what was finished."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from textwrap import dedent

import pyarrow as pa
import pytest
from pyarrow import fs

from air import data
from air.data.errors import ReadError
from air.errors import InvalidOption

PRELUDE = """
    import os, signal, sys
    import numpy as np
    import air
    from air import data

    HERE = sys.argv[1]
    with open(f"{HERE}/program", "w") as file:  # a global would be a part of the functions
        file.write(f"{os.getpid()} {sys.argv[2]}")

    def called(what, first):
        with open(f"{HERE}/calls", "a") as file:
            file.write(f"{what} {first}\\n")
        with open(f"{HERE}/program") as file:
            program, killed_at = map(int, file.read().split())
        with open(f"{HERE}/calls") as file:
            if len(file.readlines()) == killed_at:
                os.kill(program, signal.SIGKILL)
                signal.pause()

    def double(batch):
        called("double", batch["value"][0])
        return {"value": batch["value"], "x": batch["value"] * 2}

    class Add:
        def __call__(self, batch):
            called("add", batch["value"][0])
            return {**batch, "y": batch["x"] + 1}

    rows = data.range_table(1200, parallelism=12)
    on_tasks = rows.map_batches(double, batch_size=None, num_cpus=1)
"""

JOBS = {
    "one stage": ("on_tasks.checkpointed(HERE + '/kept')", ["double"]),
    "functions and a pool of actors": (
        "on_tasks.map_batches(Add, batch_size=100, concurrency=2).checkpointed(HERE + '/kept')",
        ["double", "add"],
    ),
    "a sort between functions": (
        "on_tasks.sort('x', descending=True).map_batches(Add).checkpointed(HERE + '/kept')",
        ["double", "add"],
    ),
}


@pytest.fixture
def start(tmp_path, request):
    """Run a program with some more lines; what it called, what it printed, how it ended."""
    backend = request.config.getoption("--backend")

    def run(lines, killed_at=0):
        program = tmp_path / "program.py"
        program.write_text(dedent(PRELUDE) + lines)
        (tmp_path / "calls").write_text("")
        done = subprocess.run(
            [sys.executable, program, tmp_path, str(killed_at)],
            env={**os.environ, "AIR_BACKEND": backend, "AIR_NUM_CPUS": "2"},
            capture_output=True,
            text=True,
        )
        calls = (tmp_path / "calls").read_text().splitlines()
        return calls, done

    return run


def kept_calls(tmp_path, what):
    """Of which calls the results were in files, by the rows that these say they hold."""
    found = set()
    for name in os.listdir(tmp_path / "kept"):
        key, _, _ = name.removesuffix(".blocks").partition(".")
        if name.endswith(".blocks") and key.startswith("pieces-"):
            found.add(f"{what} {int(key.split('-')[1]) * 100}")
    return found


@pytest.mark.parametrize("job", JOBS)
def test_a_killed_program_goes_on_where_it_was(job, start, tmp_path):
    expression, functions = JOBS[job]
    lines = f"ds = {expression}\nprint(ds.to_arrow().to_pydict())\n"
    before, killed = start(lines, killed_at=9 * len(functions))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    kept = {call for what in functions for call in kept_calls(tmp_path, what)}
    after, done = start(lines)
    assert done.returncode == 0, done.stderr
    assert not kept & set(after)
    again = Counter(before + after)
    # What was under way is done again: a piece or two for each process, and nothing else.
    assert sum(again.values()) - len(again) <= 8
    assert len({call for call in again if call.startswith(functions[0])}) == 12
    values = list(range(1200))
    if "sort" in job:
        values.reverse()
    expected = {"value": values, "x": [2 * v for v in values]}
    if "add" in functions:
        expected["y"] = [2 * v + 1 for v in values]
    assert eval(done.stdout) == expected
    calls, done = start(lines)
    assert (calls, eval(done.stdout)) == ([], expected)


def test_what_was_done_before_a_sort_is_not_done_again(start, tmp_path):
    lines = f"ds = {JOBS['a sort between functions'][0]}\nds.materialize()\n"
    before, _ = start(lines, killed_at=14)  # in the functions that come after the sort
    assert len(before) >= 14
    after, done = start(lines)
    assert done.returncode == 0, done.stderr
    assert not [call for call in after if call.startswith("double")]
    assert sorted(os.listdir(tmp_path / "kept")) == sorted(
        [
            name
            for name in os.listdir(tmp_path / "kept")
            if name.startswith("rows-") or name in ("made-from.json", "complete.json")
        ]
    )


def test_what_a_killed_program_left_out_is_not_lost(start, tmp_path):
    lines = dedent(
        """
        def checked(row):
            if row["value"] % 100 == 0:
                called("map", row["value"])
            if row["value"] % 150 == 0:
                raise ValueError(f"no {object()}")
            return row

        ds = rows.map(checked, num_cpus=1, on_error="skip", dead_letter=HERE + "/dead")
        ds = ds.checkpointed(HERE + "/kept")
        print([row["value"] for row in ds.iter_rows()])
        """
    )
    _, killed = start(lines, killed_at=8)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    after, done = start(lines)
    assert done.returncode == 0, done.stderr
    assert len(after) < 12
    assert eval(done.stdout) == [value for value in range(1200) if value % 150]
    letters = data.read_parquet(str(tmp_path / "dead")).take_all()
    assert [row["value"] for row in letters] == list(range(0, 1200, 150))


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "kept"


def test_rows_order_and_objects_are_as_without(placement, kept):
    def table(ds):
        return ds.map(lambda row: {"a": row, "b": str(row)}).filter(lambda row: row["a"] % 3 == 0)

    rows = data.range(100)
    expected = table(rows).take_all()
    for _ in range(2):
        assert table(rows).checkpointed(kept).take_all() == expected
    objects = data.from_items([{1}, "a", None, 3.5])
    for _ in range(2):
        assert objects.checkpointed(kept / "objects").take_all() == objects.take_all()


def test_blocks_are_the_same_again(placement, kept):
    ds = data.range_table(1000).map_batches(lambda b: b, batch_size=None).checkpointed(kept)
    sizes = [handle.num_rows for handle in ds.materialize().plan.handles]
    assert [handle.num_rows for handle in ds.materialize().plan.handles] == sizes


def test_an_error_keeps_what_was_finished_before(kept):
    broken = [True]
    calls = []

    def f(row):
        calls.append(row)
        if row == 70 and broken:
            raise ValueError("not yet")
        return row

    ds = data.range(100, parallelism=10).map(f).checkpointed(kept)
    with pytest.raises(ValueError, match="not yet"):
        ds.take_all()
    assert calls == list(range(71))
    broken.clear()
    calls.clear()
    assert ds.take_all() == list(range(100))
    assert calls == list(range(70, 100))


def test_a_limit_finishes_the_pieces_that_it_begins(kept):
    ds = data.range(100, parallelism=10).map(abs).checkpointed(kept)
    assert ds.take(3) == [0, 1, 2]
    assert ds.take_all() == list(range(100))
    assert ds.take(3) == [0, 1, 2]
    assert ds.count() == 100


def test_nothing_at_all(placement, kept):
    nothing = data.from_items([{"a": 1}]).filter(lambda row: False).checkpointed(kept)
    for _ in range(2):
        assert nothing.take_all() == []
        assert nothing.materialize().schema() == pa.schema({"a": pa.int64()})


def test_steps_above_and_below(placement, kept):
    below = data.range(60).map(lambda v: v + 1).checkpointed(kept / "below")
    above = below.map(lambda v: {"v": v}).random_shuffle(seed=3).limit(20).checkpointed(kept / "a")
    expected = data.range(60).map(lambda v: {"v": v + 1}).random_shuffle(seed=3).limit(20)
    for _ in range(2):
        assert above.take_all() == expected.take_all()
        assert above.sort("v").take(2) == expected.sort("v").take(2)


def test_another_function_is_refused_by_name(kept):
    data.range(10).map(abs).checkpointed(kept).take_all()
    with pytest.raises(
        data.StaleCheckpoint, match=r"the steps were ReadRange\(10\) -> map\(abs\), and"
    ):
        data.range(10).map(int).checkpointed(kept)

    def by(factor):
        return lambda row: row * factor

    data.range(10).map(by(2)).checkpointed(kept / "by").take_all()
    with pytest.raises(data.StaleCheckpoint, match=r"map\(<lambda>\) is another: its code"):
        data.range(10).map(by(3)).checkpointed(kept / "by").take_all()


def test_a_changed_file_is_refused_by_name(tmp_path, kept):
    file = tmp_path / "rows.csv"
    file.write_text("a\n1\n")
    data.read_csv(file).checkpointed(kept).take_all()
    assert data.read_csv(file).checkpointed(kept).take_all() == [{"a": 1}]
    file.write_text("a\n1\n2\n")
    with pytest.raises(data.StaleCheckpoint, match=r"rows.csv was changed: 4 bytes of .* 6 bytes"):
        data.read_csv(file).checkpointed(kept).take_all()


def test_directories_that_cannot_be_used(tmp_path, kept):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidOption, match="is a file; give a directory"):
        data.range(3).checkpointed(tmp_path / "file")
    with pytest.raises(InvalidOption, match=r"holds other files \(file\)"):
        data.range(3).checkpointed(tmp_path)
    with pytest.raises(TypeError, match="path must be text"):
        data.range(3).checkpointed(None)
    data.range(3).checkpointed(kept).take_all()
    (kept / "made-from.json").write_text("{}")
    with pytest.raises(data.StaleCheckpoint, match="does not say what the results"):
        data.range(3).checkpointed(kept).take_all()


def test_a_file_that_somebody_has_harmed(kept):
    ds = data.range(3).map(abs).checkpointed(kept)
    ds.take_all()
    harmed = next(name for name in kept.iterdir() if name.name.endswith(".blocks"))
    harmed.write_bytes(harmed.read_bytes()[:-3])
    with pytest.raises(ReadError, match="is not as it was written: it was cut short"):
        ds.take_all()


def test_what_killed_programs_were_writing_is_removed(kept):
    kept.mkdir()
    (kept / ".unfinished-1234").write_text("half of a file")
    data.range(3).checkpointed(kept).take_all()
    assert not [name for name in kept.iterdir() if name.name.startswith(".unfinished")]


def test_any_file_system(placement, tmp_path):
    inside = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    for _ in range(2):
        ds = data.range(30).map(lambda v: v * 2).checkpointed("in/side", filesystem=inside)
        assert ds.take_all() == list(range(0, 60, 2))
    assert (tmp_path / "in/side/complete.json").exists()


def test_in_memory_of_fsspec():
    fsspec = pytest.importorskip("fsspec")
    ds = data.range(30).map(lambda v: v * 2).checkpointed("memory://kept")
    try:
        assert ds.take_all() == ds.take_all() == list(range(0, 60, 2))
        assert len(fsspec.filesystem("memory").find("/kept")) > 2
    finally:
        fsspec.filesystem("memory").rm("/kept", recursive=True)
