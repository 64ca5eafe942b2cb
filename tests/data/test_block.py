from __future__ import annotations

import pickle
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from air.data.blocks.block import accessor, compact, concat, owned, split_large
from air.data.blocks.making import block_from_batch, block_from_rows
from air.data.errors import UnsupportedValue

BLOCKS = [pa.table({"a": [1, 2, 3, 4], "b": ["w", "x", "y", "z"]}), [10, 20, 30, 40]]


@pytest.mark.parametrize("block", BLOCKS, ids=["table", "objects"])
def test_rows_can_be_picked_in_every_way(block):
    access = accessor(block)
    rows = list(access.rows())
    assert access.num_rows() == 4
    assert list(accessor(access.slice(1, 3)).rows()) == rows[1:3]
    assert list(accessor(access.take(np.array([3, 0]))).rows()) == [rows[3], rows[0]]
    assert list(accessor(access.filter([True, False, False, True])).rows()) == [rows[0], rows[3]]
    assert len(access.slice(2, 2)) == len(access.slice(3, 1)) == 0


def test_many_rows_come_as_python_values():
    rows = [{"i": i} for i in range(10_000)]
    assert list(accessor(block_from_rows(rows)).rows()) == rows


def test_schemas_tell_tables_from_objects():
    assert accessor(BLOCKS[0]).schema() == pa.schema({"a": pa.int64(), "b": pa.string()})
    assert accessor(BLOCKS[1]).schema() is int
    assert accessor([]).schema() is None


def test_objects_as_batches():
    access = accessor([1, 2])
    assert access.to_batch("default") == [1, 2]
    np.testing.assert_array_equal(access.to_batch("numpy"), np.array([1, 2]))
    pd.testing.assert_frame_equal(access.to_batch("pandas"), pd.DataFrame({"value": [1, 2]}))
    assert access.to_batch("pyarrow").to_pydict() == {"value": [1, 2]}
    assert accessor([{1}, "x"]).to_batch("numpy").tolist() == [{1}, "x"]
    arrays = accessor([np.zeros(2), np.ones(2)]).to_batch("numpy")
    assert arrays.shape == (2, 2)


def test_what_functions_return_becomes_a_block():
    table = pa.table({"a": [1, 2]})
    assert block_from_batch(table) is table
    assert block_from_batch(table.to_batches()[0]).equals(table)
    assert block_from_batch({"a": np.array([1, 2])}).equals(table)
    assert block_from_batch(pd.DataFrame({"a": [1, 2]}, index=[7, 8])).equals(table)
    assert block_from_batch([{"a": 1}, {"a": 2}]).equals(table)
    assert block_from_batch(["x", 1]) == ["x", 1]
    assert block_from_batch(np.array([1, 2])) == [1, 2]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (None, "a batch must be .* got NoneType"),
        (np.zeros((2, 2)), "got ndarray of shape .2, 2.; for a column of arrays"),
        ([{"a": 1}, 2], "row 1 is int where the rows before it are dictionaries"),
        ([2, {"a": 1}], "row 1 is a dictionary where the rows before it are int"),
        ([{}], "at least one column"),
    ],
)
def test_what_is_no_batch_is_refused(batch, message):
    with pytest.raises(UnsupportedValue, match=message):
        block_from_batch(batch)


def test_concat_brings_types_together():
    blocks = [
        pa.table({"x": [1], "only": ["a"]}),
        pa.table({"x": [2.5]}),
        pa.table({"x": pa.nulls(1), "only": ["b"]}),
    ]
    assert concat(blocks).to_pydict() == {"x": [1.0, 2.5, None], "only": ["a", None, "b"]}


def test_concat_makes_arrays_of_different_shapes_lists():
    blocks = [block_from_rows([{"v": np.zeros(n)}]) for n in (2, 3)]
    assert concat(blocks)["v"].to_pylist() == [[0.0, 0.0], [0.0, 0.0, 0.0]]


def test_concat_forgets_blocks_that_know_nothing():
    table = pa.table({"a": [1]})
    assert concat([[], table, []]).equals(table)
    assert concat([[], []]) == []
    assert concat([]) == []
    empty = table.slice(0, 0)
    assert concat([empty, empty]).schema == table.schema
    assert concat([[1], [], [2]]) == [1, 2]


def test_concat_refuses_what_does_not_go_together():
    with pytest.raises(UnsupportedValue, match="column 'a' has the types int64, string"):
        concat([pa.table({"a": [1]}), pa.table({"a": ["x"]})])
    with pytest.raises(UnsupportedValue, match="some blocks hold records and others"):
        concat([pa.table({"a": [1]}), [1]])


def test_large_blocks_are_divided_evenly():
    table = pa.table({"a": np.arange(1000)})
    pieces = list(split_large(table, 3000))
    assert [len(piece) for piece in pieces] == [333, 333, 334]
    assert concat(pieces).equals(table)
    assert list(split_large(table, 8000)) == [table]
    assert len(list(split_large(table.slice(0, 1), 1))) == 1
    assert list(split_large([], 1)) == [[]]


def test_a_compact_slice_leaves_the_rest_behind():
    table = pa.table({"a": np.arange(100_000), "s": ["text"] * 100_000})
    piece = table.slice(500, 10)
    assert compact(piece).equals(piece)
    assert len(pickle.dumps(compact(piece))) < 5000 < len(pickle.dumps(piece))
    assert compact(table) is table


def test_a_half_of_a_table_leaves_the_other_half_behind():
    table = pa.table({"a": np.arange(100_000)})
    half = compact(table.slice(0, 50_000))
    assert half.equals(table.slice(0, 50_000))
    assert half.get_total_buffer_size() < table.nbytes * 0.6
    assert compact(table) is table


def test_objects_that_can_be_changed_are_copied():
    unchanging = [1, "a", None, (1, ("b", 2.5)), np.int8(3)]
    assert owned(unchanging) is unchanging
    changing = [[1], ([2],), np.arange(3)]
    copy = owned(changing)
    copy[0].append(9)
    copy[1][0].append(9)
    copy[2][0] = 9
    assert changing[:2] == [[1], ([2],)]
    assert changing[2][0] == 0
    what_cannot_be_copied = [threading.Lock()]
    assert owned(what_cannot_be_copied) is what_cannot_be_copied
