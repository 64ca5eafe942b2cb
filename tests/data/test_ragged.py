"""Columns as the arrays that tensors are made of, and back."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from air.data.blocks.ragged import Layout, arrays_of, column_of, layout_of, values_of
from air.data.blocks.tensor import from_numpy
from air.data.errors import UnsupportedValue

INT, FLOAT, TEXT = np.dtype("int64"), np.dtype("float32"), np.dtype(object)


@pytest.mark.parametrize(
    ("kind", "layout", "ragged_rank"),
    [
        (pa.int64(), Layout(INT), 0),
        (pa.bool_(), Layout(np.dtype(bool)), 0),
        (pa.float16(), Layout(np.dtype("float16")), 0),
        (pa.large_string(), Layout(TEXT), 0),
        (pa.binary(3), Layout(TEXT), 0),
        (pa.dictionary(pa.int8(), pa.string()), Layout(TEXT), 0),
        (pa.fixed_shape_tensor(pa.float32(), (2, 3)), Layout(FLOAT, (2, 3)), 0),
        (pa.list_(pa.list_(pa.string(), 3), 2), Layout(TEXT, (2, 3)), 0),
        (pa.list_(pa.int64()), Layout(INT, (None,)), 1),
        (pa.large_list(pa.list_(pa.int64())), Layout(INT, (None, None)), 2),
        (pa.list_(pa.list_(pa.float32(), 4)), Layout(FLOAT, (None, 4)), 1),
        (pa.list_(pa.list_(pa.float32()), 4), Layout(FLOAT, (None, None)), 2),
    ],
)
def test_layouts(kind: pa.DataType, layout: Layout, ragged_rank: int) -> None:
    assert layout_of(kind) == layout
    assert layout.ragged_rank == ragged_rank


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("us"),
        pa.date32(),
        pa.decimal128(5, 2),
        pa.struct([("a", pa.int8())]),
        pa.list_(pa.duration("s")),
        pa.null(),
        pa.map_(pa.string(), pa.int8()),
        pa.fixed_shape_tensor(pa.int8(), (2, 3), permutation=[1, 0]),
    ],
)
def test_what_has_no_layout(kind: pa.DataType) -> None:
    assert layout_of(kind) is None


def values(column: pa.Array | pa.ChunkedArray) -> tuple[list[Any], list[list[int]]]:
    if isinstance(column, pa.Array):
        column = pa.chunked_array([column])
    found = values_of("to_tf", "x", column)
    return found.flat.tolist(), [splits.tolist() for splits in found.splits]


def test_numbers_and_text() -> None:
    assert values(pa.array([1, 2])) == ([1, 2], [])
    assert values(pa.array([True, False])) == ([True, False], [])
    assert values(pa.array(["a", "ü"])) == ([b"a", "ü".encode()], [])
    assert values(pa.array([b"\xff"])) == ([b"\xff"], [])
    assert values(pa.array(["b", "a", "b"]).dictionary_encode()) == ([b"b", b"a", b"b"], [])
    assert values(pa.chunked_array([[1], [2, 3]])) == ([1, 2, 3], [])
    assert values(pa.chunked_array([], pa.int8())) == ([], [])


def test_arrays_of_one_shape() -> None:
    array = np.arange(12).reshape(2, 2, 3)
    assert values(from_numpy(array)) == (array.tolist(), [])
    assert values(from_numpy(array).slice(1)) == (array[1:].tolist(), [])
    assert values(from_numpy(array > 3)) == ((array > 3).tolist(), [])


def test_lists() -> None:
    column = pa.array([[9], [1, 2], [], [3]])
    assert values(column) == ([9, 1, 2, 3], [[0, 1, 3, 3, 4]])
    assert values(column.slice(1, 3)) == ([1, 2, 3], [[0, 2, 2, 3]])
    nested = pa.array([[["a"], []], [], [["b", "c"]]])
    assert values(nested) == ([b"a", b"b", b"c"], [[0, 2, 2, 3], [0, 1, 1, 3]])
    pairs = pa.array([[[1, 2]], [], [[3, 4], [5, 6]]], pa.list_(pa.list_(pa.int64(), 2)))
    assert values(pairs.slice(1)) == ([[3, 4], [5, 6]], [[0, 0, 2]])
    two_lists = pa.array([[[1], []], [[2, 3], [4]]], pa.list_(pa.list_(pa.int64()), 2))
    assert values(two_lists) == ([1, 2, 3, 4], [[0, 2, 4], [0, 1, 1, 3, 4]])


def test_missing_numbers_are_nan() -> None:
    (one, nan), _ = values(pa.array([1, None]))
    assert one == 1
    assert np.isnan(nan)
    assert np.isnan(values(pa.array([[0.5, None]]))[0][1])
    with pytest.raises(UnsupportedValue, match="holds missing values"):
        values_of("to_tf", "x", pa.chunked_array([[1, None]]), keeps_type=True)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", None]),
        pa.array([True, None]),
        pa.array([[1], None]),
        pa.array([[1, None]]),
        pa.array([["a", None]]),
        pa.array([[1, 2], None], pa.list_(pa.int64(), 2)),
        pa.array(["a", None]).dictionary_encode(),
        pa.array([2**53 + 1, None]),
    ],
)
def test_other_missing_values_are_refused(column: pa.Array) -> None:
    with pytest.raises(UnsupportedValue, match=r"to_tf: the column 'x' holds missing values"):
        values(column)


def test_what_no_tensors_are_made_of_is_named_with_what_to_do() -> None:
    with pytest.raises(UnsupportedValue, match=r"col\(\"x\"\).cast\(\"int64\"\)"):
        values(pa.array([datetime.datetime(2026, 1, 1)]))
    with pytest.raises(UnsupportedValue, match=r"col\(\"x\"\).cast\(\"float64\"\)"):
        values(pa.array([decimal.Decimal("1.5")]))
    with pytest.raises(UnsupportedValue, match=r"holds struct<a: int64>.*drop_columns"):
        values(pa.array([{"a": 1}]))


NUMBERS = st.integers(-5, 5)
TEXTS = st.text(max_size=3).map(str.encode)


@settings(max_examples=25, deadline=None)
@given(
    st.one_of(
        st.lists(NUMBERS, min_size=1),
        st.lists(st.lists(TEXTS), min_size=1),
        st.lists(st.lists(st.lists(NUMBERS)), min_size=1),
    ),
    st.integers(0, 3),
)
def test_there_and_back(rows: list[Any], skipped: int) -> None:
    depth = 0
    kind = pa.array(rows).type
    while pa.types.is_list(kind):
        kind, depth = kind.value_type, depth + 1
    kind = pa.binary() if pa.types.is_null(kind) else kind
    for _ in range(depth):
        kind = pa.list_(kind)
    column = pa.array(rows, kind).slice(skipped)
    found = values_of("to_tf", "x", pa.chunked_array([column]))
    assert column_of("x", found.flat, found.splits).to_pylist() == rows[skipped:]


def test_arrays_inside_of_lists_come_back_as_lists() -> None:
    column = column_of("x", np.arange(6).reshape(3, 2), [np.array([0, 1, 1, 3])])
    assert column.to_pylist() == [[[0, 1]], [], [[2, 3], [4, 5]]]


def test_rows_as_arrays_of_their_own_shape() -> None:
    images = [np.arange(6).reshape(2, 3, 1), np.zeros((0, 4, 1)), np.arange(2).reshape(1, 2, 1)]
    lists = pa.list_(pa.list_(pa.list_(pa.int16())))
    for kind in (lists, pa.list_(pa.list_(pa.list_(pa.int16(), 1)))):
        column = pa.array([image.tolist() for image in images], kind)
        found = arrays_of("t", "x", values_of("t", "x", pa.chunked_array([column])))
        assert [array.tolist() for array in found] == [image.tolist() for image in images]
        assert {array.dtype for array in found} == {np.dtype("int16")}
        assert found[0].shape == (2, 3, 1)
    uneven = values_of("t", "x", pa.chunked_array([pa.array([[[1]], [[1], [2, 3]]])]))
    with pytest.raises(UnsupportedValue, match=r"'x' holds lists of different lengths.*row 1"):
        arrays_of("t", "x", uneven)
