"""Rows without those that are there already: ``drop_duplicates`` of pandas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from air import data
from air.data import ColumnNotFound, UnsupportedValue
from air.errors import InvalidOption

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def in_blocks(table: pa.Table, cuts: list[int]) -> data.Dataset:
    edges = [0, *sorted(cut % (len(table) + 1) for cut in cuts), len(table)]
    return data.from_arrow([table.slice(a, b - a) for a, b in itertools.pairwise(edges)])


VALUES = st.one_of(st.none(), st.just(float("nan")), st.sampled_from([0.0, -0.0, 1.0, 2.5]))
ROWS = st.lists(st.tuples(VALUES, st.sampled_from(["", "ü", "日本", None])), max_size=40)


@FEW
@given(rows=ROWS, cuts=st.lists(st.integers(0, 40), max_size=4), some=st.booleans())
def test_the_rows_that_pandas_keeps(waiting, rows, cuts, some):
    table = pa.table(
        {
            "k": pa.array([k for k, _ in rows], pa.float64()),
            "t": pa.array([t for _, t in rows], pa.string()),
            "none": pa.nulls(len(rows)),
            "row": pa.array(range(len(rows)), pa.int64()),
        }
    )
    names = ["t"] if some else ["none", "k", "t"]
    expected = table.to_pandas().drop_duplicates(names)["row"].tolist()
    found = in_blocks(table, cuts).distinct(names)
    assert [row["row"] for row in found.take_all()] == expected
    assert found.columns() == table.column_names
    whole = in_blocks(table.select(names), cuts).distinct().to_arrow()
    assert whole["t"].to_pylist() == table.take(pa.array(expected, pa.int64()))["t"].to_pylist()


def test_many_rows_of_which_most_are_alike(waiting):
    random = np.random.default_rng(1)
    table = pa.table({"k": random.zipf(1.3, 20_000) % 3000, "row": np.arange(20_000)})
    ds = in_blocks(table, [5000, 5100, 5100, 16_000]).map_batches(dict)
    expected = table.to_pandas().drop_duplicates("k")
    assert ds.distinct("k").to_arrow().to_pydict() == expected.to_dict("list")
    assert ds.distinct().count() == 20_000
    assert [row["k"] for row in ds.distinct("k").limit(3).take_all()] == expected["k"][:3].tolist()


def test_plain_objects(waiting):
    items = [3, "a", (1, 2), math.nan, None, 3, math.nan, "a", (1, 2), 4]
    found = data.from_items(items, parallelism=3).distinct().take_all()
    assert [str(item) for item in found] == ["3", "a", "(1, 2)", "nan", "None", "4"]
    with pytest.raises(UnsupportedValue, match="hash"):
        data.from_items([[1], [1]]).distinct().take_all()


def test_blocks_of_other_types_and_columns(waiting):
    ds = data.range(6, parallelism=3).map(lambda n: {"a": n % 2} if n < 4 else {"a": 1.0, "b": "x"})
    expected = pd.DataFrame({"a": [0.0, 1.0, 1.0], "b": [None, None, "x"]})
    pd.testing.assert_frame_equal(ds.distinct().to_pandas(), expected, check_dtype=False)


def test_nothing_and_one_row(waiting):
    assert data.from_items([]).distinct().take_all() == []
    none = data.from_arrow(pa.table({"a": pa.array([], pa.int64())})).distinct()
    assert none.take_all() == []
    assert none.columns() == ["a"]
    assert data.from_items([{"a": None}]).distinct().take_all() == [{"a": None}]


def test_what_cannot_be_compared_says_why():
    ds = data.from_items([{"a": [1], "b": 1}])
    with pytest.raises(UnsupportedValue, match=r"distinct\(\): column 'a' has the type list"):
        ds.distinct().take_all()
    assert ds.distinct("b").count() == 1
    with pytest.raises(ColumnNotFound, match="distinct"):
        ds.distinct("c")
    with pytest.raises(InvalidOption, match="distinct"):
        ds.distinct(3)
    with pytest.raises(UnsupportedValue, match="plain"):
        data.range(3).distinct("a")
