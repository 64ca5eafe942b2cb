"""Datasets and Polars: frames become blocks, and datasets frames, with their types."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings

from air import data
from air.data import UnsupportedValue
from air.data.blocks import tensor
from air.errors import InvalidOption


@pytest.fixture(scope="session", autouse=True)
def _polars_is_warm() -> None:
    """Polars keeps what it waits for events with from its first query on; that is no leak."""
    pl.DataFrame({"a": [1]}).filter(pl.col("a") > 0)


BOX = pl.Array(pl.Int32, (2, 2))
FRAME = pl.DataFrame(
    {
        "i": [1, None, 2**62],
        "small": pl.Series([1, 2, None], dtype=pl.UInt8),
        "x": [0.5, float("nan"), None],
        "s": ["ü", None, ""],
        "b": [b"\xff", None, b""],
        "flag": [True, None, False],
        "c": pl.Series(["a", "b", None], dtype=pl.Categorical),
        "l": [[1], [], None],
        "box": pl.Series(
            [[[1, 2], [3, 4]], None, [[5, 6], [7, 8]]], dtype=pl.Array(pl.Int32, (2, 2))
        ),
        "st": [{"a": 1, "b": "x"}, {"a": None, "b": None}, None],
        "t": pl.Series([0, None, 10**15], dtype=pl.Datetime("us", "Europe/Rome")),
        "d": pl.Series(
            [decimal.Decimal("1.50"), None, decimal.Decimal(-2)], dtype=pl.Decimal(9, 2)
        ),
        "day": [datetime.date(2026, 1, 1), None, datetime.date(1, 1, 1)],
        "span": [datetime.timedelta(1), None, datetime.timedelta(0)],
        "n": [None, None, None],
    }
)


def test_there_and_back(placement: str) -> None:
    ds = data.from_polars(FRAME)
    assert (ds.count(), ds.columns()) == (3, FRAME.columns)
    assert ds.to_polars().equals(FRAME)
    assert ds.to_polars().schema == FRAME.schema
    through = ds.map_batches(lambda table: table, batch_format="pyarrow").to_polars()
    assert through.equals(FRAME)


def test_rows() -> None:
    rows = data.from_polars(FRAME).select_columns(["i", "s", "c", "l", "st"]).take_all()
    assert rows == FRAME.select(["i", "s", "c", "l", "st"]).to_dicts()


def test_several_frames_are_blocks_in_turn(placement: str) -> None:
    ds = data.from_polars([FRAME[:1], FRAME[:0], FRAME[1:]])
    assert ds.num_blocks() == 3
    assert ds.to_polars().equals(FRAME)
    whole, half = pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [0.5]})
    assert data.from_polars([whole, half]).to_polars()["a"].to_list() == [1.0, 0.5]


def test_numbers_are_not_copied() -> None:
    frame = pl.DataFrame({"a": np.arange(1000)})
    (handle,) = data.from_polars(frame).run()
    theirs = frame.to_arrow()["a"].chunk(0).buffers()[1]
    assert handle.get()["a"].chunk(0).buffers()[1].address == theirs.address


def test_columns_of_arrays(placement: str) -> None:
    array = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    frame = data.from_numpy(array).map(dict).to_polars()
    assert frame.schema == {"data": pl.Array(pl.Float32, (3, 2))}
    assert np.array_equal(frame["data"].to_numpy(), array)
    assert np.array_equal(data.from_polars(frame).take_batch()["data"], array)
    sliced = data.from_arrow(pa.table({"data": tensor.from_numpy(array)}).slice(1))
    assert np.array_equal(sliced.to_polars()["data"].to_numpy(), array[1:])


def test_missing_arrays_stay_missing() -> None:
    values = pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2))
    column = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.int64(), (2,)), values)
    frame = data.from_arrow(pa.table({"x": column})).to_polars()
    assert frame["x"].to_list() == [[1, 2], None, [3, 4]]


@pytest.mark.parametrize("names", [["", "b"], ["a", ""], ["", "column_0"]])
def test_a_column_without_a_name_keeps_it(names: list[str]) -> None:
    table = pa.table([[1], [2]], names=names)
    ds = data.from_arrow(table)
    assert ds.to_polars().columns == names
    assert ds.map_batches(lambda frame: frame, batch_format="polars").to_arrow() == table


def test_plain_objects_and_no_rows() -> None:
    assert data.range(3).to_polars().to_dict(as_series=False) == {"value": [0, 1, 2]}
    empty = data.from_polars(FRAME[:0])
    assert (empty.take_all(), empty.to_polars().schema) == ([], FRAME.schema)
    assert data.range_table(3).filter(data.col("value") > 9).to_polars().height == 0


def of_type(value: object, kind: Any) -> pl.DataFrame:
    return pl.DataFrame({"o": pl.Series([value], dtype=kind)})


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (FRAME.lazy(), TypeError, r"from_polars takes a polars.DataFrame .* got LazyFrame"),
        ([FRAME, 3], TypeError, "got int"),
        ([], InvalidOption, "empty list"),
        (
            pl.DataFrame({"o": pl.Series([{1}], dtype=pl.Object)}),
            UnsupportedValue,
            "'o' is of the type Object",
        ),
        (
            pl.DataFrame({"o": pl.Series([1], dtype=pl.Int128)}),
            UnsupportedValue,
            "'o' is of the type Int128",
        ),
    ],
)
def test_what_from_polars_refuses(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        data.from_polars(given)


def test_decimals_that_polars_lacks_are_refused() -> None:
    column = pa.array([decimal.Decimal(1)], pa.decimal256(40, 2))
    with pytest.raises(UnsupportedValue, match="to_polars: the column 'd' holds decimal256"):
        data.from_arrow(pa.table({"d": column})).to_polars()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.none() | st.integers(-(2**63), 2**63 - 1),
                st.none() | st.text(max_size=3).filter(str.isprintable),
                st.none() | st.lists(st.none() | st.integers(-3, 3), max_size=3),
            ),
            max_size=4,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_rows_in_any_blocks(blocks: list[list[Any]]) -> None:
    schema = {"i": pl.Int64, "s": pl.String, "l": pl.List(pl.Int64)}
    frames = [pl.DataFrame(rows, schema=schema, orient="row") for rows in blocks]
    ds = data.from_polars(frames)
    assert ds.to_polars().equals(pl.concat(frames))
    assert ds.take_all() == pl.concat(frames).to_dicts()
