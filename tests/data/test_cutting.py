"""Batches cut from blocks are what slices of these blocks would be, whatever is in the columns."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air.data.batching import joined, rebatch
from air.data.block import accessor, block_from_batch, concat
from air.data.convert import table_to_columns
from air.data.cutting import cuts
from air.data.errors import UnsupportedValue
from air.data.returned import Columns

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


def test_what_is_changed_in_a_batch_changes_no_other():
    block = table_of(10, 4)
    first, second, _ = (cut.to_batch("numpy") for cut in cuts([block], 4))
    first["whole"][:] = -1
    first["matrix"][:] = -1
    assert second["whole"].tolist() == [4, 5, 6, 7]
    assert block["whole"].to_pylist() == list(range(10))


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
