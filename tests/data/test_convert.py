from __future__ import annotations

import datetime as dt
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from air.data.blocks import tensor
from air.data.blocks.block import accessor
from air.data.blocks.convert import table_from_columns, table_from_rows, table_to_columns
from air.data.blocks.making import block_from_batch
from air.data.errors import UnsupportedValue

EVERY_TYPE = pa.table(
    {
        "int": pa.array([1, 2, 3]),
        "small": pa.array([1, 2, 3], pa.uint8()),
        "float": [0.5, float("inf"), -1.0],
        "single": pa.array([0.5, 1.5, 2.5], pa.float32()),
        "flag": [True, False, True],
        "text": ["a", "ü", ""],
        "bytes": [b"a", b"", b"\x00"],
        "day": pa.array([dt.date(2020, 1, 1)] * 3),
        "time": pa.array([dt.datetime(2020, 1, 1, 12)] * 3, pa.timestamp("us")),
        "zone": pa.array([dt.datetime(2020, 1, 1)] * 3, pa.timestamp("us", "Europe/Berlin")),
        "span": pa.array([dt.timedelta(seconds=5)] * 3, pa.duration("us")),
        "money": [decimal.Decimal("1.20"), decimal.Decimal("0.01"), decimal.Decimal("-3.00")],
        "list": [[1, 2], [], [3]],
        "struct": [{"x": 1, "y": "a"}, {"x": 2, "y": None}, {"x": None, "y": "b"}],
        "tensor": tensor.from_numpy(np.arange(12.0).reshape(3, 2, 2)),
        "mask": tensor.from_numpy(np.array([[True, False]] * 3)),
        "vector": tensor.from_numpy(np.arange(6).reshape(3, 2)),
    }
)


@pytest.mark.parametrize("batch_format", ["pandas", "pyarrow"])
def test_types_survive_the_way_through_a_batch_format(batch_format):
    back = block_from_batch(accessor(EVERY_TYPE).to_batch(batch_format))
    assert back.schema == EVERY_TYPE.schema
    assert back.equals(EVERY_TYPE)


def test_types_survive_the_way_through_numpy():
    back = block_from_batch(accessor(EVERY_TYPE).to_batch("numpy"))
    assert back.equals(EVERY_TYPE)


@pytest.mark.parametrize("batch_format", ["numpy", "pandas"])
@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64()])
def test_whole_numbers_that_floats_would_round_keep_their_type(batch_format, kind):
    table = pa.table({"id": pa.array([2**53 + 1, None, 2**63 - 1], kind)})
    back = block_from_batch(accessor(table).to_batch(batch_format))
    assert back["id"].to_pylist() == [2**53 + 1, None, 2**63 - 1]


def test_nulls_survive_the_way_through_pandas():
    table = pa.table({"x": [1.5, None], "s": ["a", None], "l": [[1], None], "z": [None, None]})
    assert block_from_batch(accessor(table).to_batch("pandas")).equals(table)


def test_categories_survive_the_way_through_pandas():
    frame = pd.DataFrame({"c": pd.Categorical(["b", "a", "b"])})
    back = accessor(block_from_batch(frame)).to_batch("pandas")
    pd.testing.assert_frame_equal(back, frame)


def test_whole_numbers_with_nulls_are_floats_in_numpy_as_in_pandas():
    columns = table_to_columns(pa.table({"x": [1, None, 3]}))
    np.testing.assert_array_equal(columns["x"], [1.0, np.nan, 3.0])


def test_arrays_for_functions_may_be_changed_and_the_block_stays():
    table = pa.table({"x": [1, 2, 3], "y": [0.5, 1.5, 2.5]})
    arrays = accessor(table).to_batch("numpy")
    arrays["x"] += 1
    frame = accessor(table).to_batch("pandas")
    frame["x"] += 1
    frame.loc[:, "y"] = 0.0
    assert table["x"].to_pylist() == [1, 2, 3]
    assert table["y"].to_pylist() == [0.5, 1.5, 2.5]
    shared = accessor(table).to_batch("numpy", writable=False)
    assert not shared["x"].flags.writeable


@pytest.mark.parametrize("batch_format", ["numpy", "pandas"])
def test_arrays_inside_columns_may_be_changed_too(batch_format):
    table = pa.table({"l": [[1, 2], [3]], "t": tensor.from_numpy(np.zeros((2, 2)))})
    batch = accessor(table).to_batch(batch_format)
    batch["l"][0][0] = 9
    batch["t"][0][0] = 9
    (row, _) = accessor(table).rows()
    row["t"][0] = 9
    assert table["l"].to_pylist() == [[1, 2], [3]]
    assert table["t"].to_pylist() == [[0, 0], [0, 0]]


def test_frames_without_columns_keep_their_rows():
    frame = accessor(pa.table({"a": [1, 2]}).select([])).to_batch("pandas")
    assert frame.shape == (2, 0)
    assert block_from_batch(frame).num_rows == 2


def test_names_of_columns_in_frames_become_text():
    frame = pd.DataFrame([["a", 1]], columns=[0, ("x", "y")])
    assert block_from_batch(frame).to_pylist() == [{"0": "a", "('x', 'y')": 1}]
    with pytest.raises(UnsupportedValue, match="several columns named '1'"):
        block_from_batch(pd.DataFrame([[1, 2]], columns=[1, "1"]))


@given(
    st.sampled_from([np.int64, np.float32, np.bool_, np.uint8]),
    st.lists(st.integers(0, 3), min_size=1, max_size=3),
    st.integers(0, 4),
)
def test_arrays_of_any_shape_come_back(dtype, shape, rows):
    size = rows * int(np.prod(shape))
    array = (np.arange(size) % 2).astype(dtype).reshape(rows, *shape)
    column = tensor.from_numpy(array)
    assert len(column) == rows
    back = tensor.to_numpy(pa.chunked_array([column]))
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, array)
    twice = tensor.to_numpy(pa.chunked_array([column, column]))
    np.testing.assert_array_equal(twice, np.concatenate([array, array]))


def test_a_slice_of_a_tensor_column_has_its_own_rows():
    array = np.arange(24).reshape(4, 3, 2)
    sliced = pa.table({"t": tensor.from_numpy(array)}).slice(1, 2)
    np.testing.assert_array_equal(tensor.to_numpy(sliced["t"]), array[1:3])


def test_tensors_with_nulls_become_objects():
    column = pa.chunked_array([pa.array([[1.0, 2.0], None], pa.list_(pa.float64(), 2))])
    first, second = tensor.to_numpy(column)
    np.testing.assert_array_equal(first, [1.0, 2.0])
    assert second is None


def test_rows_with_arrays_of_one_shape_make_tensors_and_others_lists():
    same = table_from_rows([{"v": np.zeros(2)}, {"v": np.ones(2)}])
    assert tensor.is_tensor(same.schema.field("v").type)
    ragged = table_from_rows([{"v": np.zeros(2)}, {"v": np.ones(3)}, {"v": None}])
    assert ragged["v"].to_pylist() == [[0.0, 0.0], [1.0, 1.0, 1.0], None]


def test_lists_that_went_through_pandas_are_lists_again():
    table = pa.table({"l": [[1, 2], [3, 4]]})
    assert block_from_batch(accessor(table).to_batch("pandas")).schema == table.schema


def test_keys_that_rows_lack_are_null():
    table = table_from_rows([{"a": 1}, {"b": "x"}, {"a": 2, "b": "y"}])
    assert table.to_pylist() == [
        {"a": 1, "b": None},
        {"a": None, "b": "x"},
        {"a": 2, "b": "y"},
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1, "x"]}, "column 'a' mixes values of the types int (first in row 0), str"),
        ({"a": [object()]}, "column 'a' holds object values that Arrow has no type for"),
        ({"a": 1}, "column 'a' must be an array or a list with one value a row, got int"),
        ({"a": "text"}, "column 'a' must be an array or a list with one value a row, got str"),
        ({"a": [1], "b": [1, 2]}, "equally long, got {'a': 1, 'b': 2}"),
        ({1: [1]}, "columns must be named by text, got 1"),
        ({"a": np.zeros((2, 2), dtype=complex)}, "column 'a'"),
    ],
)
def test_what_no_column_can_hold_is_named(columns, message):
    with pytest.raises(UnsupportedValue) as raised:
        table_from_columns(columns)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns named 'a'"),
        (pd.DataFrame({"a": [1, "x"]}), "column 'a' mixes values of the types int"),
    ],
)
def test_frames_without_equivalent_are_refused(frame, message):
    with pytest.raises(UnsupportedValue, match=message):
        block_from_batch(frame)


def test_columns_may_come_as_series_and_lists():
    table = table_from_columns({"s": pd.Series([1.0, None]), "l": [1, None], "t": ("a", "b")})
    assert table.to_pydict() == {"s": [1.0, None], "l": [1, None], "t": ["a", "b"]}
