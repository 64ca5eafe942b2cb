"""Tables with different schemas become one, or the column that stands in the way is named."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from air.data.blocks import tensor
from air.data.blocks.schemas import concat_tables, conform, unify, without_columns
from air.data.errors import UnsupportedValue


def together(*columns):
    """The type and the values of several parts of a column brought together."""
    table = concat_tables([pa.table({"a": column}) for column in columns])
    table.validate(full=True)
    return table.schema.field("a").type, table["a"].to_pylist()


@pytest.mark.parametrize(
    ("parts", "kind", "values"),
    [
        ([[1], [2.5]], pa.float64(), [1.0, 2.5]),
        ([pa.nulls(1), ["x"]], pa.string(), [None, "x"]),
        ([pa.array([1], pa.int8()), pa.array([300], pa.int16())], pa.int16(), [1, 300]),
        ([["x"], pa.array(["y"], pa.large_string())], pa.large_string(), ["x", "y"]),
        ([pa.array(["x"]).dictionary_encode(), ["y"]], pa.string(), ["x", "y"]),
        ([[Decimal("0.5")], [1]], pa.decimal128(20, 1), [Decimal("0.5"), Decimal(1)]),
        (
            [pa.array([2**64 - 1], pa.uint64()), [Decimal("0.25")]],
            pa.decimal128(22, 2),
            [Decimal(2**64 - 1), Decimal("0.25")],
        ),
        ([[Decimal("0.5")], [1.5]], pa.float64(), [0.5, 1.5]),
        ([[[]], [[1]], [[2.5]]], pa.list_(pa.float64()), [[], [1.0], [2.5]]),
        (
            [[{"x": 1}], [{"y": "s"}]],
            pa.struct({"x": pa.int64(), "y": pa.string()}),
            [{"x": 1, "y": None}, {"x": None, "y": "s"}],
        ),
        (
            [tensor.from_numpy(np.array([[1, 2]])), tensor.from_numpy(np.array([[0.5, 1.5]]))],
            pa.fixed_shape_tensor(pa.float64(), [2]),
            [[1.0, 2.0], [0.5, 1.5]],
        ),
        (
            [tensor.from_numpy(np.ones((1, 2))), tensor.from_numpy(np.ones((1, 3)))],
            pa.list_(pa.float64()),
            [[1.0] * 2, [1.0] * 3],
        ),
        (
            [tensor.from_numpy(np.ones((1, 2))), pa.nulls(1)],
            pa.fixed_shape_tensor(pa.float64(), [2]),
            [[1.0] * 2, None],
        ),
    ],
)
def test_types_that_go_together(parts, kind, values):
    found_kind, found = together(*parts)
    assert str(found_kind) == str(kind)
    assert found == values


@pytest.mark.parametrize(
    ("parts", "types"),
    [
        ([[1], ["x"]], "int64, string"),
        ([[True], [1]], "bool, int64"),
        ([[dt.date(2020, 1, 1)], [dt.datetime(2020, 1, 1)]], "date32[day], timestamp[us]"),
        ([[None], [1], ["x"]], "int64, string"),
    ],
)
def test_types_that_do_not(parts, types):
    with pytest.raises(UnsupportedValue) as raised:
        together(*parts)
    assert f"column 'a' has the types {types} in different blocks" in str(raised.value)


def test_sources_are_named_where_they_are_known():
    schemas = [pa.schema({"a": pa.int64()}), pa.schema({"a": pa.string()})]
    with pytest.raises(UnsupportedValue, match=r"int64 in 1\.csv and string in 2\.csv, which"):
        unify(schemas, ["1.csv", "2.csv"])


def test_no_number_is_rounded_to_go_with_others():
    with pytest.raises(UnsupportedValue, match="column 'a' has the type int64 in some blocks"):
        together([2**53 + 1], [0.5])


def test_columns_come_in_the_order_of_their_first_appearance():
    tables = [pa.table({"b": [1], "a": [2]}), pa.table({"c": [3], "a": [4]})]
    assert concat_tables(tables).to_pylist() == [
        {"b": 1, "a": 2, "c": None},
        {"b": None, "a": 4, "c": 3},
    ]


def test_a_table_that_fits_is_not_touched():
    table = pa.table({"a": [1]})
    assert conform(table, pa.schema({"a": pa.int64()})) is table


def test_rows_without_columns_are_counted():
    assert concat_tables([without_columns(2), without_columns(3)]).num_rows == 5
    assert conform(pa.table({"a": [1, 2]}), pa.schema([])).num_rows == 2
