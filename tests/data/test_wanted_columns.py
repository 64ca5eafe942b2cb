"""Columns that nobody looks at are neither read nor kept, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from air import data
from air.data.datasources.parquet import ParquetDatasource
from air.data.errors import ColumnNotFound, UnsupportedValue
from air.data.optimizer import optimize
from air.data.plan import Map, Read
from air.data.summaries import Extremes, Quantiles, Total, summarize
from air.data.transforms import Summarize
from air.data.udf.batches import MapBatches
from air.data.udf.functions import TaskContext
from air.data.uniques import Uniques


def added(batch):
    return {**batch, "y": batch["a"] * 2}


def numbers(rows=40, blocks=4):
    table = pa.table({"a": list(range(rows)), "b": [float(n) for n in range(rows)]})
    return data.from_arrow(table).repartition(blocks)


def wanted(ds):
    (call,) = (n.transform for n in optimize(ds.plan).walk() if isinstance(n, Map) and _calls(n))
    return call.wanted


def _calls(node):
    return isinstance(node.transform, MapBatches)


def summed(ds, *names):
    return ds.over(lambda plan: Map(plan, Summarize(len, "sum", names=names)))


def test_functions_are_told_which_columns_are_wanted():
    mapped = numbers().map_batches(added)
    assert wanted(mapped) is None
    assert wanted(mapped.select_columns(["y", "a"])) == ("y", "a")
    assert wanted(summed(mapped, "y")) == ("y",)
    assert wanted(mapped.rename_columns({"y": "z"}).select_columns("z")) is None
    skipping = numbers().map_batches(added, on_error="skip").select_columns("y")
    assert wanted(skipping) is None
    plan = optimize(mapped.select_columns("y").plan)
    assert optimize(plan) is plan


def test_summaries_read_what_they_look_at(tmp_path):
    numbers().write_parquet(str(tmp_path))
    plan = optimize(summed(data.read_parquet(str(tmp_path)), "b").plan)
    (read,) = (node for node in plan.walk() if isinstance(node, Read))
    assert read.source.selected == ("b",)
    assert optimize(plan) is plan


def test_counting_reads_no_more_than_one_column_and_those_of_conditions(tmp_path, monkeypatch):
    numbers().add_column("c", lambda batch: batch["a"]).write_parquet(str(tmp_path))
    asked, read = [], ParquetDatasource.row_group

    def noted(source, file, index, columns):
        asked.append(columns)
        return read(source, file, index, columns)

    monkeypatch.setattr(ParquetDatasource, "row_group", noted)
    ds = data.read_parquet(str(tmp_path)).filter(data.col("b") >= 10)
    assert ds.count() == 30
    assert {name for names in asked for name in names} == {"a", "b"}


@pytest.mark.parametrize("batch_size", [None, 1, 7, 40])
@pytest.mark.parametrize("names", [["y"], ["b", "a"], ["s", "y"], ["m"], ["y", "s", "m", "b", "a"]])
def test_the_rest_of_what_functions_return_is_dropped(placement, batch_size, names):
    def made(batch):
        return {
            **added(batch),
            "s": [str(n) for n in batch["a"]],
            "m": np.ones((len(batch["a"]), 2)),
        }

    mapped = numbers().map_batches(made, batch_size=batch_size)
    expected = mapped.materialize().select_columns(names).to_arrow()
    assert mapped.select_columns(names).to_arrow().equals(expected)


@pytest.mark.parametrize("form", ["pandas", "pyarrow", "numpy"])
def test_every_kind_of_result_may_be_returned(form):
    def made(batch):
        frame = pd.DataFrame({"a": np.arange(5), "y": np.arange(5.0)})
        return {"pandas": frame, "pyarrow": pa.table(dict(frame)), "numpy": dict(frame)}[form]

    mapped = numbers(3, 1).map_batches(made)
    assert mapped.select_columns("y").take_all() == [{"y": float(n)} for n in range(5)]
    assert mapped.sum("y") == 10


def test_errors_are_the_same():
    mapped = numbers().map_batches(lambda batch: {**added(batch), "odd": [2**80] * len(batch["a"])})
    for run in (lambda: mapped.sum("y"), mapped.select_columns("y").take_all):
        with pytest.raises(UnsupportedValue, match="'odd' holds whole numbers that 64 bits cannot"):
            run()
    uneven = numbers().map_batches(lambda batch: {"y": batch["a"], "b": [1]})
    with pytest.raises(UnsupportedValue, match="must be equally long"):
        uneven.select_columns("y").take_all()
    with pytest.raises(ColumnNotFound, match=r"no column 'ya'.*'y'"):
        numbers().map_batches(added).select_columns("ya").take_all()
    with pytest.raises(ColumnNotFound, match=r"no column 'q'.*'a', 'b', 'y'"):
        numbers().map_batches(added).select_columns(["y", "q"]).take_all()


def test_one_summary_comes_out_for_each_piece_of_work(placement):
    mapped = numbers(50, 5).map_batches(added, batch_size=3)
    assert mapped.sum("y") == 2 * sum(range(50))
    assert (mapped.min("a"), mapped.max("b"), mapped.mean("y")) == (0, 49.0, 49.0)
    found = summarize(mapped, {"y": [Total, Extremes, Quantiles], "a": [Uniques]}, "look")
    assert found[Total, "y"].count == len(found[Uniques, "a"].values) == 50
    assert found[Quantiles, "y"].at([0.5]) == [49.0]


def test_values_of_one_piece_that_do_not_go_together_are_named(placement):
    def made(batch):
        return {"x": batch["a"] if batch["a"][0] else [str(n) for n in batch["a"]]}

    with pytest.raises(UnsupportedValue, match="max: column 'x' has values in different blocks"):
        numbers(20, 1).map_batches(made, batch_size=10).max("x")


def test_a_number_about_a_column_takes_one_run(placement):
    calls = []

    def noted(batch):
        calls.append(len(batch["a"]))
        return added(batch)

    assert numbers(12, 1).map_batches(noted).sum("y") == 132
    assert calls in ([12], [])  # in a task they are noted elsewhere
    for run in (
        lambda: numbers().map_batches(lambda batch: list(batch["a"])).sum("value"),
        lambda: data.range(3).unique("value"),
        lambda: data.range(3).map(str).max(["value"]),
    ):
        with pytest.raises(UnsupportedValue, match="rows are plain objects, which have no columns"):
            run()
    with pytest.raises(ColumnNotFound, match=r"sum: no column 'z'.*'a', 'b', 'y'"):
        numbers().map_batches(added).sum(["y", "z"])


def test_conditions_and_summaries_go_together(tmp_path):
    numbers(40).write_parquet(str(tmp_path))
    for ds in (numbers(40), data.read_parquet(str(tmp_path))):
        some = ds.filter(data.col("b") >= 30)
        assert some.sum("a") == sum(range(30, 40))
        assert some.map_batches(added).filter(data.col("y") < 70).sum("a") == sum(range(30, 35))


def test_no_rows_have_no_summary(placement):
    nothing = numbers(10, 2).filter(lambda row: False)
    assert nothing.sum("a") is None
    assert nothing.map_batches(added).max("y") is None


@pytest.mark.parametrize("merges", [True, False])
def test_what_is_told_of_a_piece_of_work_is_put_together_in_order(merges):
    tell = Summarize(
        lambda block: block or None, "tell", (lambda one, other: one + other) if merges else None
    )
    found = list(tell.open()(iter([[1], [], [2, 3], [4]]), TaskContext()))
    assert found == ([[[1, 2, 3, 4]]] if merges else [[[1]], [[2, 3]], [[4]]])
    assert list(tell.open()(iter([[], []]), TaskContext())) == []
