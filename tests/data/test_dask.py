"""Datasets and Dask: frames of Dask's read in partitions, and datasets as such frames."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dask
import dask.dataframe as dd
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings

from air import data
from air.data import UnsupportedValue
from air.data.dask.dtypes import Facts, dtypes_of, facts_of
from air.errors import InvalidOption

FRAME = pd.DataFrame(
    {
        "a": range(20),
        "x": [i / 2 if i % 3 else None for i in range(20)],
        "s": [f"ü{i}" if i % 4 else None for i in range(20)],
        "t": pd.date_range("2026-01-01", periods=20, tz="Europe/Rome"),
        "c": pd.Categorical(["ab"[i % 2] for i in range(20)]),
    }
)


@pytest.fixture(autouse=True)
def _pool() -> Iterator[None]:
    """Dask keeps the threads that it starts by itself."""
    with ThreadPoolExecutor(2) as pool, dask.config.set(pool=pool):
        yield


def same(one: pd.DataFrame, other: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(one, other)


def test_partitions_become_blocks_in_order(placement: str) -> None:
    ds = data.from_dask(dd.from_pandas(FRAME, npartitions=4))
    assert (ds.num_blocks(), ds.columns(fetch_if_missing=False)) == (4, list(FRAME.columns))
    same(ds.to_pandas(), FRAME)


def test_partitions_are_worked_out_when_they_are_read(placement: str, tmp_path: Any) -> None:
    FRAME[["a"]].to_csv(tmp_path / "1.csv", index=False)
    ds = data.from_dask(dd.read_csv(tmp_path / "*.csv").query("a > 3").assign(b=lambda df: -df.a))
    FRAME[["a"]].iloc[:6].to_csv(tmp_path / "1.csv", index=False)
    assert ds.take_all() == [{"a": 4, "b": -4}, {"a": 5, "b": -5}]


def test_errors_name_the_row_of_the_partition(placement: str) -> None:
    frame = dd.from_pandas(FRAME, npartitions=4)
    ds = data.from_dask(frame).map(lambda row: {"x": 1 // (row["a"] - 7)})
    with pytest.raises(ZeroDivisionError) as caught:
        ds.take_all()
    assert "row 2 of partition 1 of Dask" in str(caught.value.__notes__)


def test_a_read_task_holds_its_own_partition_only() -> None:
    frame = pd.DataFrame({"a": np.arange(100_000)})
    source = data.from_dask(dd.from_pandas(frame, npartitions=10)).plan.source
    sizes = [len(pickle.dumps(task)) for task in source.get_read_tasks(1)]
    assert max(sizes) < 100_000 * 8 / 10 + 5_000


def test_partitions_that_depend_on_all_others() -> None:
    sums = dd.from_pandas(FRAME, npartitions=3).groupby("c", observed=True).a.sum().reset_index()
    assert data.from_dask(sums).take_all() == [{"c": "a", "a": 90}, {"c": "b", "a": 100}]
    shuffled = dd.from_pandas(FRAME, npartitions=3).shuffle("a")
    assert sorted(row["a"] for row in data.from_dask(shuffled).take_all()) == list(range(20))


def test_what_from_dask_refuses() -> None:
    frame = dd.from_pandas(FRAME, npartitions=1)
    with pytest.raises(TypeError, match=r"from_dask takes a dask.dataframe.DataFrame, got Series"):
        data.from_dask(frame.a)
    with pytest.raises(TypeError, match="got DataFrame"):
        data.from_dask(FRAME)
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(UnsupportedValue, match="'a'"):
        data.from_dask(dd.from_pandas(twice, npartitions=1))


def test_blocks_become_partitions(placement: str) -> None:
    ds = data.from_pandas(FRAME).repartition(4).map_batches(lambda df: df, batch_format="pandas")
    frame = ds.to_dask()
    assert frame.npartitions == 4
    assert frame.divisions == (0, 5, 10, 15, 19)
    same(frame.compute(), ds.to_pandas())
    assert frame.a.sum().compute() == 190
    assert frame[frame.a > 17].s.compute().tolist() == FRAME.s[18:].tolist()


def test_types_are_those_of_all_blocks_together(placement: str) -> None:
    blocks = [
        pa.table({"i": [1], "b": [True], "big": [2**60 + 1], "c": pa.array(["x"])}),
        pa.table({"i": [None], "b": [None], "big": [None], "c": pa.array(["y"])}),
    ]
    typed = [
        pa.table(
            {
                "i": table["i"].cast(pa.int64()),
                "b": table["b"].cast(pa.bool_()),
                "big": table["big"].cast(pa.int64()),
                "c": table["c"].dictionary_encode(),
                "l": pa.array([[1, 2]]),
            }
        )
        for table in blocks
    ]
    ds = data.from_arrow(typed)
    frame, whole = ds.to_dask(), ds.to_pandas()
    assert frame.dtypes.to_dict() == whole.dtypes.to_dict()
    same(frame.compute(), whole)
    assert list(frame.partitions[1].i.compute()) != [1]


def test_plain_objects_and_no_rows() -> None:
    assert data.range(5, parallelism=2).to_dask().compute().value.tolist() == [0, 1, 2, 3, 4]
    empty = data.range_table(3).filter(lambda row: False).to_dask()
    assert len(empty.compute()) == 0
    nothing = data.from_pandas(FRAME).filter(data.col("a") > 99)
    same(nothing.to_dask().compute(), nothing.to_pandas())


def test_a_meta_that_is_given_is_held_to() -> None:
    ds = data.from_items([{"a": 1, "s": "x"}])
    assert ds.to_dask(meta={"a": "int64", "s": "str"}).compute().a.tolist() == [1]
    frame = ds.to_dask(meta=pd.DataFrame({"s": ["x"], "a": [0.5]}).iloc[:0])
    assert frame.compute().to_dict("list") == {"s": ["x"], "a": [1.0]}
    with pytest.raises(ValueError, match="x"):
        ds.to_dask(meta={"a": "int64", "s": "float64"}).compute()
    with pytest.raises(
        InvalidOption, match="meta has the columns 'a', but the dataset has 'a', 's'"
    ):
        ds.to_dask(meta={"a": "int64"})


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_dasks_own_schedulers_fetch_blocks(placement: str, scheduler: str) -> None:
    frame = data.range_table(100, parallelism=7).map(lambda row: {"v": -row["value"]}).to_dask()
    with dask.config.set(scheduler=scheduler):
        assert frame.v.sum().compute() == -4950


def test_frames_of_one_dataset_are_different_frames() -> None:
    ds = data.range_table(10, parallelism=2)
    assert ds.to_dask()._name != ds.filter(data.col("value") > 3).to_dask()._name


def test_there_and_back(placement: str) -> None:
    ds = data.from_pandas(FRAME).repartition(3)
    assert data.from_dask(ds.to_dask()).take_all() == ds.take_all()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(
                st.none() | st.integers(-3, 3) | st.just(2**53 + 1),
                st.none() | st.booleans(),
                st.none() | st.sampled_from("abc"),
            ),
            min_size=1,
            max_size=4,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_types_are_what_pandas_has_for_all_rows(blocks: list[list[Any]]) -> None:
    kinds = [pa.int64(), pa.bool_(), pa.string()]
    tables = [
        pa.table(
            {
                name: pa.array([row[place] for row in rows], kind)
                for place, (name, kind) in enumerate(zip("ibs", kinds, strict=True))
            }
        )
        for rows in blocks
    ]
    tables = [t.append_column("c", t["s"].dictionary_encode()) for t in tables]
    ds = data.from_arrow(tables)
    found = dtypes_of(tables[0].schema, [facts_of(table) for table in tables])
    assert found == ds.to_pandas().dtypes.to_dict()
    same(ds.to_dask().compute(scheduler="synchronous"), ds.to_pandas())


def test_facts_of_several_blocks() -> None:
    one, other = Facts(True, False, ("b", "a")), Facts(False, True, ("a", "c"))
    assert one.and_(other) == Facts(True, True, ("b", "a", "c"))
