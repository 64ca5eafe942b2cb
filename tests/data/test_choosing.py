"""Rows are chosen whatever the type of a column, and types stay what they are."""

from __future__ import annotations

import pyarrow as pa
import pytest

from air import data
from air.data.blocks.choosing import kept, taken, widely_taken

VIEWS = [pa.array(["b", "a", None, "b"], pa.string_view()), pa.array([b"b", b"a", None, b"b"])]
VIEWS[1] = VIEWS[1].cast(pa.binary_view())


@pytest.mark.parametrize("values", VIEWS, ids=lambda values: str(values.type))
def test_views_of_texts_and_bytes(values: pa.Array) -> None:
    table = pa.table({"k": values, "n": range(4)})
    found = taken(table, pa.array([3, 1, None]))
    assert found.schema == table.schema
    assert found.to_pydict() == {
        "k": [values[0].as_py(), values[1].as_py(), None],
        "n": [3, 1, None],
    }
    some = kept(table, pa.array([True, None, True, False]))
    assert some.schema == table.schema
    assert some["n"].to_pylist() == [0, 2]


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([pa.array(["a", "ü", None]), pa.array(["日本"])]),
        pa.chunked_array([pa.array([b"a", None])]),
        pa.chunked_array([pa.array([["a"], None, []]), pa.array([["b", None]])]),
        pa.chunked_array([VIEWS[0]]),
        pa.chunked_array([pa.array([1, None])]),
    ],
    ids=lambda column: str(column.type),
)
def test_the_way_by_wide_offsets_gives_the_same(column: pa.ChunkedArray) -> None:
    indices = pa.array([*range(len(column))][::-1] * 2 + [None])
    found = widely_taken(column, indices)
    assert found.type == column.type
    values = column.to_pylist()[::-1]
    assert found.to_pylist() == [*values, *values, None]
    assert widely_taken(column, pa.array([], pa.int64())).type == column.type


@pytest.mark.parametrize("values", VIEWS, ids=lambda values: str(values.type))
def test_views_go_through_what_moves_rows(values: pa.Array, placement: str) -> None:
    table = pa.table({"k": values, "n": range(4)})
    ds = data.from_arrow([table.slice(0, 1), table.slice(1)])
    made = [
        ds.sort("k"),
        ds.sort("n"),
        ds.random_shuffle(seed=1),
        ds.distinct("n"),
        ds.filter(lambda row: True),
        ds.filter(data.col("n") >= 0),
        ds.groupby("n").map_groups(lambda group: group, batch_format="pyarrow"),
        ds.join(data.from_arrow(pa.table({"n": range(4)})), "n", "right"),
    ]
    for one in made:
        assert one.schema() == table.schema
        assert [row["k"] for row in one.sort("n").take_all()] == values.to_pylist()
    large, small = values[0].as_py(), values[1].as_py()
    assert [row["k"] for row in ds.sort("k").take_all()] == [small, large, large, None]
    outer = ds.join(ds, "k", "outer").to_arrow()
    assert outer.schema.field("k").type == values.type
    assert outer["k"].to_pylist() == [small, *[large] * 4, None]
