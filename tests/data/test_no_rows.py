"""Results without rows: columns and types are those that pandas would give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import data
from air.data import col
from air.data.execution.no_rows import schema_of_no_rows
from air.data.transforms import ColumnsTransform
from air.data.udf import batches

TABLE = pa.table(
    {
        "k": [1, 2, 3, 4],
        "x": [1.5, None, 2.5, 4.0],
        "s": ["a", "b", None, "ü"],
        "n": pa.array([1, None, 3, 4], pa.int16()),
    }
)
OTHER = pa.table({"k": [1, 2, 2], "z": ["p", "q", "r"]})

EMPTY = {
    "filter": lambda ds: ds.filter(lambda row: row["k"] > 9),
    "expression": lambda ds: ds.filter(col("k") > 9),
    "limit": lambda ds: ds.limit(0),
    "batches": lambda ds: ds.map_batches(lambda batch: batch[batch.k > 9], batch_format="pandas"),
    "materialized": lambda ds: ds.limit(0).map_batches(lambda batch: batch).materialize(),
}
"""Ways in which no rows are left."""


def other():
    return data.from_arrow(OTHER)


STEPS = {
    "default": (lambda ds: ds.map_batches(lambda b: {**b, "y": b["k"] * 2.5}), True),
    "pandas": (
        lambda ds: ds.map_batches(lambda b: b.assign(y=b.k * 2.5), batch_format="pandas"),
        True,
    ),
    "pyarrow": (
        lambda ds: ds.map_batches(
            lambda b: b.append_column("y", b["k"].cast("float64")), batch_format="pyarrow"
        ),
        True,
    ),
    "yields": (lambda ds: ds.map_batches(lambda b: iter([{**b, "y": b["k"] * 2.5}])), True),
    "add_column": (lambda ds: ds.add_column("y", lambda b: b["k"] * 2.5), True),
    "map_groups": (
        lambda ds: ds.groupby("k").map_groups(
            lambda b: b.assign(y=b.x * 2.5), batch_format="pandas"
        ),
        True,
    ),
    "sort": (lambda ds: ds.sort("k").with_column("y", col("x") * 2), True),
    "shuffle": (lambda ds: ds.random_shuffle(seed=1).with_column("y", col("x") * 2), True),
    "repartition": (lambda ds: ds.with_column("y", col("x") * 2).repartition(3), True),
}
"""Steps that add a column of floats."""


@pytest.mark.parametrize("way", EMPTY)
@pytest.mark.parametrize("step", STEPS)
def test_columns_and_types_are_known_without_rows(step, way):
    made = STEPS[step][0](EMPTY[way](data.from_arrow(TABLE).repartition(2)))
    expected = TABLE.schema.append(pa.field("y", pa.float64()))
    assert made.to_arrow() == expected.empty_table()
    assert made.schema() == expected
    assert made.columns() == expected.names
    frame = made.to_pandas()
    assert list(frame.dtypes.items()) == list(expected.empty_table().to_pandas().dtypes.items())


@pytest.mark.parametrize("way", EMPTY)
@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from(list(STEPS)), min_size=1, max_size=3, unique=True), st.data())
def test_steps_upon_steps(way, steps, draw):
    """A step after another: the new columns are there, keys keep types, in groups and joins too."""
    ds = EMPTY[way](data.from_arrow(TABLE).repartition(2))
    for number, step in enumerate(steps):
        ds = STEPS[step][0](ds).rename_columns({"y": f"y{number}"})
    names = [f"y{number}" for number in range(len(steps))]
    expected = pa.schema([*TABLE.schema, *((name, pa.float64()) for name in names)])
    end = draw.draw(st.sampled_from(["nothing", "groups", "join", "zip", "union"]))
    if end == "groups":
        ds = ds.groupby("k").mean(names)
        expected = pa.schema([("k", pa.int64()), *((f"mean({n})", pa.float64()) for n in names)])
    elif end == "join":
        ds = ds.join(other(), on="k")
        expected = expected.append(pa.field("z", pa.string()))
    elif end == "zip":
        ds = ds.zip(other().limit(0).select_columns(["z"]))
        expected = expected.append(pa.field("z", pa.string()))
    elif end == "union":
        ds = ds.union(ds)
    assert ds.to_arrow() == expected.empty_table()


@pytest.mark.parametrize("how", ["left", "right", "outer", "inner", "semi", "anti"])
def test_joins_with_what_a_function_made_of_nothing(how, placement):
    nothing = data.from_arrow(OTHER).filter(col("k") > 9)
    made = nothing.map_batches(lambda batch: {"k": batch["k"], "w": batch["k"] * 0.5})
    found = data.from_arrow(TABLE).select_columns(["k", "s"]).join(made, on="k", how=how)
    if how in ("semi", "anti"):
        assert found.to_pandas().columns.tolist() == ["k", "s"]
        return
    left, right = TABLE.select(["k", "s"]).to_pandas(), pd.DataFrame({"k": [], "w": []})
    expected = left.merge(right.astype({"k": "int64"}), on="k", how=how)
    pd.testing.assert_frame_equal(found.to_pandas(), expected)


def test_functions_that_fail_without_rows_are_no_error():
    def scaled(batch):
        return {"y": batch["k"] / batch["k"].max()}

    nothing = data.from_arrow(TABLE).filter(col("k") > 9)
    assert nothing.map_batches(scaled).to_arrow().num_rows == 0
    assert nothing.map_batches(scaled).schema() is None
    assert nothing.map_batches(scaled).filter(col("y") > 0).take_all() == []
    added = nothing.add_column("y", lambda batch: batch["k"] / np.max(batch["k"].to_numpy()))
    assert added.to_arrow().schema == TABLE.schema.append(pa.field("y", pa.null()))


def yields_and_fails(batch):
    yield from ()
    raise KeyError("of the user")


async def fails_later(batch):
    raise OSError("of the user")


@pytest.mark.parametrize("fails", [yields_and_fails, fails_later])
def test_functions_that_yield_or_wait_may_fail_without_rows(fails):
    nothing = data.from_arrow(TABLE).filter(col("k") > 9)
    assert nothing.map_batches(fails).schema() is None
    added = nothing.add_column("y", fails)
    assert added.to_arrow().schema == TABLE.schema.append(pa.field("y", pa.null()))


@dataclass(frozen=True)
class Broken(ColumnsTransform):
    """A step of ours with a mistake in it."""

    @property
    def name(self):
        return "broken"

    def apply(self, table):
        raise AssertionError("of ours")


def test_our_own_mistakes_are_not_taken_for_failures_of_functions(monkeypatch):
    nothing = data.from_arrow(TABLE).filter(col("k") > 9)
    made = nothing.map_batches(lambda batch: batch)
    with pytest.raises(AssertionError, match="of ours"):
        schema_of_no_rows(made.with_transform(Broken()).plan)

    def broken(*_):
        raise AssertionError("of ours")

    monkeypatch.setattr(batches, "block_from_batch", broken)
    with pytest.raises(AssertionError, match="of ours"):
        schema_of_no_rows(made.plan)


def test_steps_that_cannot_take_what_a_function_gives_for_no_rows():
    """What is not there, and what has another type than with rows, tells nothing."""
    nothing = data.from_arrow(TABLE).filter(col("k") > 9)
    made = nothing.map_batches(lambda batch: {"k": batch["k"]} if len(batch["k"]) else {})
    assert made.select_columns(["k"]).to_arrow().num_rows == 0
    assert made.select_columns(["k"]).schema() is None
    stamps = nothing.map_batches(lambda batch: {"k": batch["k"].astype("datetime64[us]")})
    assert stamps.filter(col("k") * 2 > 1).schema() is None


def test_the_schema_of_no_rows_behind_hundreds_of_steps():
    made = data.from_arrow(TABLE).filter(col("k") > 9).map_batches(lambda batch: batch)
    for _ in range(300):
        made = made.with_column("x", col("x") + 1).filter(col("x") > 0)
    assert made.schema() == TABLE.schema


@pytest.mark.parametrize("least", [0, 2, 9])
def test_what_is_said_of_no_values_is_told_to_no_operator(least, placement):
    """Arrays of no texts are floats in numpy, and columns of pandas stay what they were."""
    ds = data.from_arrow(TABLE).repartition(4).filter(col("k") > least)
    made = ds.map_batches(lambda batch: {"y": np.array([str(k) for k in batch["k"]])})
    assert made.filter(col("y") >= "3").take_all() == [{"y": str(k)} for k in (3, 4) if k > least]
    turned = ds.map_batches(lambda frame: frame.assign(k=frame.k.map(str)), batch_format="pandas")
    assert [row["k"] for row in turned.filter(col("k") >= "3").sort("k").take_all()] == [
        str(k) for k in (3, 4) if k > least
    ]


@pytest.mark.parametrize("least", [0, 2, 9])
def test_functions_are_called_without_rows_only_if_there_are_none(least):
    seen = []

    def noted(batch):
        seen.append(len(batch["k"]))
        return batch

    ds = data.from_arrow(TABLE).repartition(4).filter(col("k") > least).map_batches(noted)
    assert ds.to_arrow().num_rows == max(4 - least, 0)
    assert seen == ([0] if least == 9 else [1] * (4 - least))


def test_rows_that_a_function_gives_for_none_are_none():
    ds = data.from_arrow(TABLE).limit(0).map_batches(lambda batch: {"rows": [len(batch["k"])]})
    assert ds.to_arrow() == pa.table({"rows": pa.array([], pa.int64())})


def test_instances_of_classes_are_not_called_for_nothing(placement):
    class Doubled:
        def __call__(self, batch):
            assert len(batch["k"])
            return {"k": batch["k"] * 2}

    ds = data.from_arrow(TABLE).filter(col("k") > 9).map_batches(Doubled, concurrency=1)
    assert ds.schema() is None
    assert ds.to_arrow().num_rows == 0


@pytest.mark.parametrize("form", ["parquet", "arrow", "csv"])
def test_files_of_no_rows_have_the_columns(tmp_path, form):
    ds = data.from_arrow(TABLE).filter(col("k") > 9)
    made = ds.map_batches(lambda batch: {"k": batch["k"], "y": batch["k"] * 0.5})
    getattr(made, f"write_{form}")(tmp_path)
    found = getattr(data, f"read_{form}")(tmp_path)
    assert found.columns() == ["k", "y"]
    if form != "csv":
        assert found.schema() == pa.schema({"k": pa.int64(), "y": pa.float64()})
