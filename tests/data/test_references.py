"""Blocks behind references: handed out, and taken in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import air
from air import data
from air.data import ColumnNotFound, UnsupportedValue
from air.errors import InvalidOption

pytestmark = pytest.mark.usefixtures("backend")


def records(rows: int = 7, parallelism: int = 3) -> data.Dataset:
    return data.from_items([{"a": i, "b": str(i)} for i in range(rows)], parallelism=parallelism)


def test_tables(placement: str) -> None:
    refs = records().map(lambda row: {**row, "c": row["a"] * 2}).to_arrow_refs()
    tables = air.get(refs)
    assert [table.num_rows for table in tables] == [2, 2, 3]
    assert pa.concat_tables(tables)["c"].to_pylist() == [i * 2 for i in range(7)]


def test_tables_of_plain_objects(placement: str) -> None:
    tables = air.get(data.range(5, parallelism=2).map(lambda x: x + 1).to_arrow_refs())
    assert [table.to_pydict() for table in tables] == [{"value": [1, 2]}, {"value": [3, 4, 5]}]


def test_parts_of_blocks_are_only_these_parts(placement: str) -> None:
    first, second = records(10, 2).map(dict).split_at_indices([3])
    assert [len(table) for table in air.get(first.to_arrow_refs())] == [3]
    assert [len(frame) for frame in air.get(second.to_pandas_refs())] == [2, 5]


def test_stored_tables_are_not_copied(placement: str) -> None:
    ds = records().map(dict).materialize()
    if placement == "tasks":
        assert ds.to_arrow_refs() == ds.to_arrow_refs()
    assert len(ds.to_arrow_refs()) == 3


def test_frames_and_arrays(placement: str) -> None:
    ds = records(4, 2).map(dict)
    frames = air.get(ds.to_pandas_refs())
    assert pd.concat(frames, ignore_index=True).equals(ds.to_pandas())
    arrays = air.get(ds.to_numpy_refs())
    assert [sorted(one) for one in arrays] == [["a", "b"], ["a", "b"]]
    assert np.concatenate(air.get(ds.to_numpy_refs(column="a"))).tolist() == [0, 1, 2, 3]
    with pytest.raises(ColumnNotFound, match="c"):
        air.get(ds.to_numpy_refs(column="c"))


def test_tables_are_taken_in_where_they_are() -> None:
    tables = [pa.table({"x": [1, 2]}), pa.table({"x": [3]})]
    ds = data.from_arrow_refs([air.put(table) for table in tables])
    assert (ds.num_blocks(), ds.count()) == (2, 3)
    assert ds.take_all() == [{"x": 1}, {"x": 2}, {"x": 3}]
    assert air.get(ds.to_arrow_refs()) == tables
    assert data.from_arrow_refs(air.put(tables[1])).take_all() == [{"x": 3}]


def test_results_of_tasks_are_taken_in() -> None:
    @air.remote
    def part(number: int) -> Any:
        return pd.DataFrame({"n": [number] * number})

    ds = data.from_pandas_refs([part.remote(number) for number in (1, 2)])
    assert ds.take_all() == [{"n": 1}, {"n": 2}, {"n": 2}]


def test_arrays_are_taken_in() -> None:
    arrays = [np.arange(4).reshape(2, 2), np.arange(2).reshape(1, 2)]
    ds = data.from_numpy_refs([air.put(array) for array in arrays])
    assert [row["data"].tolist() for row in ds.take_all()] == [[0, 1], [2, 3], [0, 1]]


def test_types_are_brought_together() -> None:
    whole, fractions = pa.table({"x": [1]}), pa.table({"x": [0.5]})
    ds = data.from_arrow_refs([air.put(whole), air.put(fractions)])
    assert ds.take_all() == [{"x": 1.0}, {"x": 0.5}]
    with pytest.raises(UnsupportedValue, match="x"):
        data.from_arrow_refs([air.put(whole), air.put(pa.table({"x": ["a"]}))])


def test_what_is_no_reference_or_refers_to_something_else() -> None:
    with pytest.raises(TypeError, match="from_arrow_refs takes references"):
        data.from_arrow_refs([pa.table({"x": [1]})])
    with pytest.raises(TypeError, match="a Table was expected, got int"):
        data.from_arrow_refs(air.put(1))
    with pytest.raises(TypeError, match="a DataFrame was expected, got Table"):
        data.from_pandas_refs(air.put(pa.table({"x": [1]})))
    with pytest.raises(InvalidOption, match="empty list"):
        data.from_numpy_refs([])
