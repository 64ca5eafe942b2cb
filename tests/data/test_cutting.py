"""Batches cut from blocks are what slices of these blocks would be, whatever is in the columns."""

from __future__ import annotations

import datetime
import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air.data.batching.cutting import cuts, cuts_at
from air.data.batching.regrouping import joined, rebatch
from air.data.batching.returned import Columns, Frame, returned
from air.data.blocks.block import accessor, concat
from air.data.blocks.convert import table_to_columns
from air.data.blocks.frames import table_to_pandas
from air.data.blocks.making import block_from_batch
from air.data.errors import UnsupportedValue

COLUMNS = {
    "whole": lambda n: pa.array(range(n), pa.int64()),
    "small": lambda n: pa.array([i % 7 for i in range(n)], pa.uint8()),
    "float": lambda n: pa.array([float(i) if i % 3 else float("nan") for i in range(n)]),
    "holes": lambda n: pa.array([i if i % 5 else None for i in range(n)], pa.int32()),
    "flags": lambda n: pa.array([i % 2 == 0 for i in range(n)], pa.bool_()),
    "text": lambda n: pa.array([f"é{i}" for i in range(n)], pa.string()),
    "lists": lambda n: pa.array([list(range(i % 3)) for i in range(n)], pa.list_(pa.int64())),
    "times": lambda n: pa.array([datetime.datetime(2024, 1, 1)] * n, pa.timestamp("us", "UTC")),
    "nothing": pa.nulls,
    "matrix": lambda n: (
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(n * 4.0).reshape(n, 2, 2))
        if n
        else pa.array([], pa.fixed_shape_tensor(pa.float64(), (2, 2)))
    ),
}


def table_of(rows: int, chunk: int) -> pa.Table:
    """*rows* rows of every kind of column, in chunks."""
    whole = pa.table({name: make(rows) for name, make in COLUMNS.items()})
    if not rows:
        return whole
    return pa.concat_tables([whole.slice(i, chunk) for i in range(0, rows, chunk)])


def same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype == object:
        return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(0, 11), max_size=5),
    chunk=st.integers(1, 5),
    size=st.none() | st.integers(1, 9),
    drop_last=st.booleans(),
    writable=st.booleans(),
)
def test_cuts_are_slices(lengths, chunk, size, drop_last, writable):
    blocks = [table_of(rows, chunk) for rows in lengths]
    expected = list(rebatch(blocks, size, drop_last=drop_last))
    made = list(cuts(blocks, size, drop_last=drop_last))
    assert [cut.num_rows for cut in made] == [len(block) for block in expected]
    for cut, block in zip(made, expected, strict=True):
        batch = cut.to_batch("numpy", writable=writable)
        columns = table_to_columns(block)
        assert list(batch) == list(columns)
        for name, values in batch.items():
            assert same(values, columns[name]), name
            assert not writable or values.flags.writeable
        whole = cut.to_batch("pyarrow")
        assert whole.schema == block.schema
        assert repr(whole.to_pylist()) == repr(block.to_pylist())  # NaN equals nothing


@given(lengths=st.lists(st.integers(0, 7), max_size=4), size=st.none() | st.integers(1, 5))
def test_objects_are_cut_likewise(lengths, size):
    blocks = [list(range(rows)) for rows in lengths]
    made = [cut.to_batch("default") for cut in cuts(blocks, size)]
    assert made == list(rebatch(blocks, size))


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from([8, 100, 1000])), max_size=6),
    st.integers(1, 40),
    st.sampled_from([1, 500, 5000]),
)
def test_wide_rows_are_cut_into_batches_of_so_many_bytes(blocks, size, most):
    names = itertools.count()
    tables = [pa.table({"t": [f"{next(names):0{width}}" for _ in range(n)]}) for n, width in blocks]
    made = [cut.rows() for cut in cuts(tables, size, most_bytes=most)]
    assert [text for rows in made for text in rows["t"].to_pylist()] == [
        text for table in tables for text in table["t"].to_pylist()
    ]
    assert all(0 < len(rows) <= size for rows in made)
    # What rows of the next block take is only known when some of these wait already.
    assert all(rows.nbytes <= 2 * most + 16 for rows in made if len(rows) > 1)


def test_narrow_rows_of_small_blocks_are_in_one_batch_whatever_they_may_take():
    tables = [pa.table({"n": range(10)})] * 10
    assert [cut.num_rows for cut in cuts(tables, 40, most_bytes=1000)] == [40, 40, 20]


def test_what_is_changed_in_a_batch_changes_no_other():
    block = table_of(10, 4)
    first, second, _ = (cut.to_batch("numpy") for cut in cuts([block], 4))
    first["whole"][:] = -1
    first["matrix"][:] = -1
    assert second["whole"].tolist() == [4, 5, 6, 7]
    assert block["whole"].to_pylist() == list(range(10))


FRAMES = {
    "numbers": ["whole", "small", "float"],
    "texts": ["text", "whole"],
    "times": ["times", "text", "float"],
    "whole numbers with nulls": ["holes", "text"],
    "objects": ["whole", "lists"],
    "tensors": ["matrix", "float"],
    "nothing": ["nothing", "flags"],
}


@pytest.mark.parametrize("columns", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("window", [1, 100, 1 << 20])
def test_frames_are_those_of_slices(columns, window, monkeypatch):
    monkeypatch.setattr("air.data.batching.cutting._WINDOW_BYTES", window)
    table = table_of(23, 5).select(columns)
    table = table.append_column("gaps", [pa.array([None, "a"] * 11 + [None])])
    for cut in cuts([table], 3):
        batch = cut.to_batch("pandas")
        expected = table_to_pandas(cut.rows())
        pd.testing.assert_frame_equal(batch, expected)
        assert isinstance(batch.index, pd.RangeIndex)


def test_what_is_changed_in_a_frame_changes_no_other():
    block = table_of(10, 4).select(["whole", "text", "float"])
    first, second, _ = (cut.to_batch("pandas") for cut in cuts([block], 4))
    first.loc[:, "whole"] = -1
    first["text"] = "changed"
    first.iloc[3, 2] = 0.5
    assert second["whole"].tolist() == [4, 5, 6, 7]
    assert second["text"].tolist() == ["é4", "é5", "é6", "é7"]
    assert block["whole"].to_pylist() == list(range(10))
    (again, *_) = (cut.to_batch("pandas") for cut in cuts([block], 4))
    assert again["text"].tolist() == ["é0", "é1", "é2", "é3"]


def test_rows_are_cut_where_they_begin():
    block = table_of(9, 4)
    made = list(cuts_at(block, [0, 1, 5]))
    assert [cut.to_batch("numpy")["whole"].tolist() for cut in made] == [
        [0],
        [1, 2, 3, 4],
        [5, 6, 7, 8],
    ]


def test_whole_numbers_are_floats_only_in_batches_with_nulls():
    block = pa.table({"n": [1, 2, None, 4]})
    kinds = [cut.to_batch("numpy")["n"].dtype.kind for cut in cuts([block], 2)]
    assert kinds == ["i", "f"]


RETURNED = [
    {"a": np.arange(3), "b": np.array([1.5, np.nan, 2])},
    {"a": [1, None, 3], "b": ["x", "y", None]},
    {"a": np.zeros((3, 2)), "b": [[1], [], [2, 3]]},
    {"a": np.array([True, False, True]), "b": np.arange(3).astype(">i4")},
    {"a": pa.array([1, 2]), "b": pa.chunked_array([["x"], ["y"]])},
    {"a": np.ma.masked_array([1, 2], mask=[True, False]), "b": np.arange(2, dtype="m8[s]")},
    {"a": np.arange(2, dtype=np.int8), "b": np.array(["x", "y"], dtype=object)},
]


@given(st.lists(st.sampled_from(RETURNED), min_size=1, max_size=6), st.integers(1, 200))
def test_returned_columns_are_one_table_as_if_each_were_one(batches, target):
    kept = [Columns(batch) for batch in batches]
    tables = [block_from_batch(batch) for batch in batches]
    assert [part.num_rows for part in kept] == [len(table) for table in tables]
    blocks = list(joined(kept, target))
    if len(batches) > 1 and len(blocks) == 1:
        assert all(column.num_chunks == 1 for column in blocks[0].columns)
    rows = [row for block in blocks for row in accessor(block).rows()]
    expected = [row for table in tables for row in accessor(table).rows()]
    assert repr(rows) == repr(expected)
    if len({table.schema for table in tables}) == 1:
        assert concat(blocks).schema == tables[0].schema


FRAMES_RETURNED = [
    lambda: pd.DataFrame({"a": np.arange(3), "b": [1.5, None, 2]}),
    lambda: pd.DataFrame({"a": np.arange(2), "b": [0.5, 1]}, index=[7, 8]),
    lambda: pd.DataFrame({"a": np.arange(2, dtype="i2"), "b": [0.5, 1]}),
    lambda: pd.DataFrame({"a": ["x", None], "b": pd.to_datetime(["2024-01-01", None])}),
    lambda: pd.DataFrame({"a": ["é"], "b": pd.to_datetime(["2024-01-01"])}),
    lambda: pd.DataFrame({"a": [[1], [2, 3]], "b": [True, False]}),
    lambda: pd.DataFrame({"a": pd.Categorical(["x", "y"]), "b": pd.array([1, None])}),
    lambda: pd.DataFrame({"a": [], "b": []}),
    lambda: pd.DataFrame({0: [1, 2]}),
    lambda: pd.DataFrame(index=range(3)),
]


@settings(max_examples=40)
@given(st.lists(st.sampled_from(FRAMES_RETURNED), min_size=1, max_size=6), st.integers(1, 200))
def test_returned_frames_are_one_table_as_if_each_were_one(makers, target):
    tables = [block_from_batch(make()) for make in makers]
    blocks = list(joined([returned(make()) for make in makers], target))
    rows = [row for block in blocks for row in accessor(block).rows()]
    assert repr(rows) == repr([row for table in tables for row in accessor(table).rows()])
    if len({table.schema for table in tables}) == 1:
        assert {block.schema for block in blocks} == {tables[0].schema}


def test_small_frames_are_put_together_before_they_are_tables():
    frames = [pd.DataFrame({"a": [i], "b": [f"x{i}"]}) for i in range(100)]
    kept = [returned(frame) for frame in frames]
    assert all(isinstance(part, Frame) and len(part) == 1 for part in kept)
    (block,) = joined(kept, at_once=False)
    assert block == pa.table({"a": range(100), "b": [f"x{i}" for i in range(100)]})


def test_results_without_rows_keep_their_columns():
    (block,) = joined([Columns({"a": np.zeros(0), "b": []})])
    assert block.schema == pa.schema([("a", pa.float64()), ("b", pa.null())])
    assert list(joined([Columns({})])) == [pa.table({})]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"a": [1], "b": [1, 2]}, "equally long"),
        ({"a": 3}, "'a' must be an array or a list"),
        ({1: [3]}, "named by text, got 1"),
        ({"\ud800": [3]}, "no valid text"),
        ({"a": [1, "x"]}, "'a' mixes values"),
    ],
)
def test_what_is_no_batch_is_refused_at_once(batch, message):
    with pytest.raises(UnsupportedValue, match=message):
        Columns(batch)
