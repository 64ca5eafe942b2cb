"""Files of rows that wait, and the directories that they are in."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from air.data.blocks.block import Block, accessor, concat
from air.data.blocks.handle import BlockHandle
from air.data.execution.exchange import sections
from air.data.execution.exchange.directory import OwnDirectory, remove_left_behind
from air.data.execution.exchange.sections import SpillDirectory

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def parent(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def read(pieces) -> Block:
    return concat([block for piece in pieces for block in piece.read()])


@pytest.fixture
def table(monkeypatch) -> pa.Table:
    """A thousand rows of several types, in chunks, which are written in batches of about 100."""
    monkeypatch.setattr(sections, "_BATCH_BYTES", (4096, 4096))
    half = pa.table(
        {
            "n": pa.array([None if n % 7 == 0 else n for n in range(500)]),
            "t": [f"é{n}" * (n % 5) for n in range(500)],
            "d": pa.array([f"k{n % 3}" for n in range(500)]).dictionary_encode(),
            "l": [list(range(n % 4)) for n in range(500)],
        }
    )
    other = half.set_column(2, "d", pa.array(["z", "k1"] * 250).dictionary_encode())
    return pa.concat_tables([half, other])


def test_exchanges_that_run_together_share_the_memory_for_blocks_that_wait():
    beside: list[SpillDirectory] = []
    first, second = (SpillDirectory(beside=beside) for _ in range(2))
    assert (first.room(100), second.room(100)) == (100, 100)
    first.held_bytes = 60
    assert (first.room(100), second.room(100)) == (100, 40)
    first.held_bytes = 90
    assert second.room(100) == 25  # whoever comes last has a share all the same
    first.close()
    first.close()
    assert second.room(100) == 100
    second.close()


def test_rows_that_are_read_whole_are_in_one_piece(parent, table):
    files = SpillDirectory()
    (section,) = files.write_block(BlockHandle.of_block(table))
    (block,) = section.read()
    assert block.column("n").num_chunks == 1
    assert block.equals(table.unify_dictionaries())
    files.close()


@FEW
@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_any_rows_of_a_written_block_can_be_read(parent, table, first, length, cut):
    files = SpillDirectory()
    (section,) = files.write_block(BlockHandle.of_block(table))
    assert section.index is not None
    stop = min(first + length, 1000)
    start = min(first, stop)
    part = section.slice(start, stop)
    assert read([part]).to_pylist() == table.slice(start, stop - start).to_pylist()
    half = min(cut, stop - start)
    assert read([part.slice(half, stop - start)]).to_pylist() == (
        table.slice(start + half, stop - start - half).to_pylist()
    )
    files.close()
    assert os.listdir(parent) == []


def test_few_rows_of_many_are_few_bytes_to_read(parent):
    files = SpillDirectory()
    table = pa.table({"a": np.arange(1 << 20), "b": np.zeros(1 << 20)})
    (section,) = files.write_block(BlockHandle.of_block(table))
    begin, end = section.slice(500_000, 500_100).batches
    assert end - begin < 100_000
    files.close()


def test_objects_are_read_a_few_at_a_time(parent):
    files = SpillDirectory()
    objects = [("text" * 1000, n) for n in range(1000)]
    pieces = files.write_block(BlockHandle.of_block(objects))
    assert len(pieces) > 4
    assert read(pieces) == objects
    assert read([pieces[1].slice(3, 5)]) == objects[pieces[0].num_rows :][3:5]
    assert accessor(read([pieces[0].slice(0, 0)])).num_rows() == 0
    files.close()


def test_a_directory_goes_with_whoever_made_it(parent):
    one, other = OwnDirectory(), OwnDirectory()
    for directory in (one, other):
        with open(directory.file(1), "w") as file:
            file.write("rows")
    assert len(os.listdir(parent)) == 2
    remove_left_behind(parent)
    assert len(os.listdir(parent)) == 2  # they are in use
    one.remove()
    one.remove()
    assert os.path.exists(other.file(1))
    other.remove()
    assert os.listdir(parent) == []


@pytest.mark.parametrize("made", ["open(directory.file(1), 'w').close()\n", ""])
def test_what_a_killed_program_left_is_removed_by_the_next(parent, made):
    program = (
        "import os, signal, sys, tempfile\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "from air.data.execution.exchange.directory import OwnDirectory\n"
        "directory = OwnDirectory()\n"
        f"{made}"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(parent)], check=False)
    assert killed.returncode < 0
    (left,) = os.listdir(parent)
    directory = OwnDirectory()
    assert left not in os.listdir(parent)
    directory.remove()
    assert os.listdir(parent) == []


def test_one_that_is_removed_before_it_has_its_lock_is_made_again(parent, monkeypatch):
    lock = fcntl.flock
    removed = []

    def late(descriptor, operation):
        if not removed:
            removed.extend(os.listdir(parent))
            monkeypatch.setattr(fcntl, "flock", lock)
            remove_left_behind(parent)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    directory = OwnDirectory()
    (there,) = os.listdir(parent)
    assert [there] != removed
    open(directory.file(1), "w").close()
    remove_left_behind(parent)
    assert os.path.exists(directory.file(1))
    directory.remove()


def test_nothing_but_what_we_left_is_removed(parent):
    mine = parent / "air-data-of-mine"
    mine.mkdir()
    (mine / "rows.csv").write_text("a\n1\n")
    (parent / "air-data-file").write_text("")
    (parent / "air-data-link").symlink_to(mine)
    (parent / "air-data-empty").mkdir()
    (parent / "elsewhere").mkdir()
    (parent / "elsewhere" / "1.sections").write_text("")
    remove_left_behind(parent)
    names = ["air-data-empty", "air-data-file", "air-data-link", "air-data-of-mine", "elsewhere"]
    assert sorted(os.listdir(parent)) == names
    assert (mine / "rows.csv").exists()
    assert (parent / "elsewhere" / "1.sections").exists()
