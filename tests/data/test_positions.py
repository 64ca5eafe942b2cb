"""Errors in users' functions say at which rows of which file, and in which column they were."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from pyarrow import parquet

from air import data
from air.data.blocks.handle import BlockHandle
from air.data.blocks.metadata import BlockMetadata
from air.data.blocks.origins import Origin, Origins, cut_runs
from air.data.datasource import Datasource, ReadTask

ANY = (KeyError, TypeError, ValueError)


def note_of(ds):
    with pytest.raises(ANY) as raised:
        ds.materialize()
    return raised.value.__notes__[0]


# Origins --------------------------------------------------------------------------------------


def test_neighbours_in_a_file_are_one_run():
    origins = Origins()
    origins.note(3, Origin("a", 10))
    origins.note(0, Origin("nothing", 5))
    origins.note(2, Origin("a", 13))
    origins.note(4, Origin("b", 0))
    assert origins.num_rows == 9
    assert origins.runs(1, 4) == ((4, Origin("a", 11)),)
    assert origins.runs(4, 5) == ((1, Origin("a", 14)), (1, Origin("b", 0)))
    assert origins.runs(9, 9) == ()
    assert origins.describe(4, 4) == "row 14 of a"
    assert origins.describe(0, 4) == "rows 10-14 of a"
    assert origins.describe(4, 8) == "rows from row 14 of a to row 3 of b"
    assert origins.describe(8, 9) is None


def test_rows_of_unknown_places_are_not_made_up():
    origins = Origins()
    origins.note(2, Origin("a"))
    origins.note(2, Origin("b", 7))
    assert origins.at(1) == Origin("a")
    assert origins.runs(0, 1) == ()
    assert origins.runs(1, 2) == ((1, Origin("a")), (1, Origin("b", 7)))
    assert origins.describe(1, 2) is None
    assert origins.describe(2, 3) == "rows 7-8 of b"


def test_each_row_is_where_it_was_noted():
    random.seed(3)
    origins, expected = Origins(), []
    for _ in range(50):
        rows, origin = random.randrange(4), Origin(random.choice("ab"), random.randrange(100))
        origins.note(rows, origin)
        expected += [(origin.source, (origin.first_row or 0) + number) for number in range(rows)]
    found = [origins.at(row) for row in range(origins.num_rows)]
    assert [(one.source, one.first_row) for one in found] == expected
    runs = origins.runs(0, origins.num_rows - 1)
    for first in range(0, origins.num_rows, 7):
        for last in range(first, origins.num_rows, 5):
            assert cut_runs(runs, first, last + 1) == origins.runs(first, last)


def test_a_part_of_a_block_knows_its_first_row():
    handle = BlockHandle(BlockMetadata(10, 80, source="a", first_row=5), block=list(range(10)))
    assert handle.slice(3, 6).metadata.first_row == 8
    several = BlockMetadata(10, runs=((4, Origin("a", 0)), (6, Origin("b", 2))))
    handle = BlockHandle(several, block=list(range(10)))
    assert handle.slice(3, 6).metadata.runs == ((1, Origin("a", 3)), (2, Origin("b", 2)))
    assert BlockHandle.of_block([1, 2, 3]).slice(1, 2).metadata.first_row is None


# Files ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Two Parquet files of 30 rows in row groups of ten: ``n`` counts on from file to file."""
    for number in range(2):
        table = pa.table({"n": range(30 * number, 30 * number + 30), "text": ["x"] * 30})
        parquet.write_table(table, tmp_path / f"p{number}.parquet", row_group_size=10)
    return tmp_path


def failing_at(number):
    def fail(row):
        if row["n"] == number:
            raise ValueError("no")
        return row

    return fail


def identity(row):
    return row


class Identity:
    def __call__(self, row):
        return row


@pytest.mark.parametrize("parallelism", [1, 2, 6])
@pytest.mark.parametrize(
    "before",
    [
        lambda ds: ds,
        lambda ds: ds.map(identity),
        lambda ds: ds.map(Identity, concurrency=1),
        lambda ds: ds.materialize(),
        lambda ds: ds.filter(data.col("n") >= 40),
    ],
    ids=["read", "map", "pool", "materialized", "filter"],
)
def test_rows_are_those_of_the_file(placement, folder, parallelism, before):
    ds = before(data.read_parquet(str(folder), parallelism=parallelism))
    note = note_of(ds.map(failing_at(53)))
    if ds.plan.name.startswith("filter"):
        assert "of its input" in note  # rows were left out before
    else:
        assert note == (
            f"in map(fail), at row 23 of {folder}/p1.parquet (columns n: int64, text: string)"
        )


def test_row_groups_that_are_not_read_count(placement, folder):
    ds = data.read_parquet(str(folder)).filter(data.col("n") >= 0)
    source = data.read_parquet(str(folder)).plan.source.with_filter(data.col("n") >= 45)
    assert "at row 25 of" in note_of(data.read_datasource(source).map(failing_at(55)))
    assert ds.count() == 60


def test_batches_name_the_range(placement, folder):
    def refuse(batch):
        if batch["n"][-1] >= 35:
            raise ValueError("no")
        return batch

    one = data.read_parquet(str(folder / "p1.parquet"), parallelism=1)
    assert f"at rows 4-7 of {folder}/p1.parquet " in note_of(one.map_batches(refuse, batch_size=4))
    both = data.read_parquet(str(folder), parallelism=1)
    assert (
        f"at rows from row 20 of {folder}/p0.parquet to row 9 of {folder}/p1.parquet ("
        in note_of(both.map_batches(refuse, batch_size=20))
    )


def test_csv_and_text(placement, tmp_path):
    (tmp_path / "a.csv").write_text("n\n1\n2\n3\n")
    (tmp_path / "b.txt").write_text("one\n\nthree\n")
    assert f"at row 2 of {tmp_path}/a.csv (" in note_of(
        data.read_csv(str(tmp_path / "a.csv")).map(failing_at(3))
    )

    def refuse(row):
        raise ValueError(row)

    lines = data.read_text(str(tmp_path / "b.txt"), drop_empty_lines=False)
    assert f"at row 0 of {tmp_path}/b.txt" in note_of(lines.map(refuse))
    # Which line it was is not known where some are left out.
    lines = data.read_text(str(tmp_path / "b.txt"))
    assert "at row 0 of its input from" in note_of(lines.map(refuse))


class Numbered(Datasource):
    def get_read_tasks(self, parallelism):
        known = BlockMetadata(source="mine", first_row=100)
        return [ReadTask(lambda: [[0, 1], [2, 3]], known)]


def test_a_source_of_ones_own_says_which_rows_it_gives(placement):
    def refuse(item):
        if item == 3:
            raise ValueError("no")

    assert note_of(data.read_datasource(Numbered()).map(refuse)) == (
        "in map(refuse), at row 103 of mine (int objects)"
    )


# Columns --------------------------------------------------------------------------------------


def of_text(row):
    return {"v": row["text"] + 1}


def of_two(row):
    return {"v": row["text"] + row["n"]}


def of_a_name(row):
    text = row["text"]
    return {"v": text + 1}


def helped(row):
    return of_text(row)


def misspelt(row):
    return {"v": row["txt"]}


def of_batches(batch):
    return {"v": batch["text"].astype(int)}


@pytest.mark.parametrize(
    ("operator", "fn", "words"),
    [
        ("map", of_text, ", in column 'text' (string) ("),
        ("map", of_two, ", in columns 'text' (string), 'n' (int64) ("),
        ("map", of_a_name, "range 0-0 ("),
        ("map", helped, ", in column 'text' (string) ("),
        ("map", misspelt, ", where there is no column 'txt': Did you mean 'text'? ("),
        ("map_batches", of_batches, ", in column 'text' (string) ("),
    ],
)
def test_columns_are_named_where_they_can_be_known(placement, operator, fn, words):
    ds = data.range_table(1).map(lambda row: {"n": row["value"], "text": "x"})
    note = note_of(getattr(ds, operator)(fn))
    assert words in note
    assert note.endswith("(columns n: int64, text: string)")
