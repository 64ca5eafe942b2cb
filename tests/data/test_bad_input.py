"""Misuse is answered at the call, by name, and with what to do."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import air
from air import data
from air.data.datasource import Datasource
from air.data.errors import ReadError, UnsupportedValue
from air.errors import InvalidOption

records = data.from_items([{"alpha": 1, "beta": "x"}, {"alpha": 2, "beta": "y"}])
objects = data.range(10)


class Callable:
    def __call__(self, row):
        return row


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        # columns
        (
            lambda: records.select_columns(["alpa"]),
            data.ColumnNotFound,
            "select_columns: no column 'alpa'. Did you mean 'alpha'? Columns are: 'alpha', 'beta'",
        ),
        (
            lambda: records.drop_columns("gamma"),
            data.ColumnNotFound,
            "drop_columns: no column 'gamma'. Columns are:",
        ),
        (
            lambda: records.rename_columns({"betas": "b"}),
            data.ColumnNotFound,
            "rename_columns: no column 'betas'. Did you mean 'beta'",
        ),
        (
            lambda: records.rename_columns({"alpha": "beta"}),
            InvalidOption,
            "would name several columns 'beta'",
        ),
        (lambda: records.rename_columns(["alpha"]), InvalidOption, "takes a mapping"),
        (lambda: records.select_columns([]), InvalidOption, "takes a column's name or a list"),
        (lambda: records.select_columns([1]), InvalidOption, "names of columns as text, got 1"),
        (lambda: records.select_columns(["alpha", "alpha"]), InvalidOption, "column 'alpha' twice"),
        (lambda: records.add_column(3, len), InvalidOption, "col must be text, got 3"),
        (lambda: records.add_column("c", Callable), TypeError, "for a class use map_batches"),
        (lambda: objects.select_columns("a"), data.UnsupportedValue, "rows are plain objects"),
        (lambda: objects.add_column("a", len), data.UnsupportedValue, "rows are plain objects"),
        (lambda: records.sum("alpa"), data.ColumnNotFound, "sum: no column 'alpa'. Did you mean"),
        (
            lambda: records.mean("beta"),
            data.UnsupportedValue,
            "mean: column 'beta' has the type string, which does not have a mean",
        ),
        (
            lambda: records.sum("beta"),
            data.UnsupportedValue,
            "sum: column 'beta' has the type string",
        ),
        (lambda: records.sum([]), InvalidOption, "sum: on must be a column"),
        (lambda: records.std("alpha", ddof=-1), InvalidOption, "ddof must be a whole number >= 0"),
        (lambda: records.sum("alpha", ignore_nulls=1), InvalidOption, "ignore_nulls must be True"),
        (lambda: objects.sum("a"), data.UnsupportedValue, "plain objects, which have no columns"),
        (lambda: records.unique(), InvalidOption, "name a column"),
        # functions and where they run
        (lambda: records.map(3), TypeError, "map takes a function or a callable class, got 3"),
        (lambda: records.map_batches(None), TypeError, "map_batches takes a function"),
        (lambda: records.map(dict, fn_args=1), InvalidOption, "fn_args must be a list"),
        (lambda: records.map(dict, fn_kwargs=[1]), InvalidOption, "fn_kwargs must map names"),
        (lambda: records.map(len, fn_constructor_args=[1]), InvalidOption, "are for classes"),
        (
            lambda: records.map(len, num_cpu=1),
            InvalidOption,
            "map has no option 'num_cpu'. Did you mean 'num_cpus'?",
        ),
        (
            lambda: records.map_batches(len, batchsize=1),
            InvalidOption,
            "map_batches has no option 'batchsize'. Did you mean 'batch_size'?",
        ),
        (
            lambda: records.map_batches(len, batch_format="pands"),
            InvalidOption,
            "Did you mean 'pandas'?",
        ),
        (
            lambda: records.map_batches(len, batch_size=0),
            InvalidOption,
            "batch_size must be a whole number >= 1, got 0",
        ),
        (
            lambda: records.map_batches(len, batch_size="big"),
            InvalidOption,
            "None or 'default', got 'big'",
        ),
        (lambda: records.filter(len, num_cpus=-1), InvalidOption, "num_cpus must be a number >= 0"),
        (
            lambda: records.map(len, concurrency=0),
            InvalidOption,
            "concurrency must be a whole number >= 1",
        ),
        (
            lambda: records.map(Callable, concurrency=(3, 1)),
            InvalidOption,
            "min_size=3 is above max_size=1",
        ),
        (
            lambda: records.map(Callable, concurrency=(1, 2, 3)),
            InvalidOption,
            "(smallest, largest)",
        ),
        (lambda: data.ActorPoolStrategy(2), TypeError, "positional argument"),
        (lambda: records.map(len, compute="actors"), InvalidOption, "air.data.ActorPoolStrategy"),
        (
            lambda: records.map(Callable, compute=data.ActorPoolStrategy(), concurrency=1),
            InvalidOption,
            "not both",
        ),
        (lambda: data.ActorPoolStrategy(size=2, max_size=3), InvalidOption, "not both"),
        (lambda: data.ActorPoolStrategy(size=0), InvalidOption, "size must be a whole number >= 1"),
        # numbers
        (lambda: records.limit(-1), InvalidOption, "limit must be a whole number >= 0, got -1"),
        (lambda: records.take(2.5), InvalidOption, "take: limit must be a whole number >= 0, got"),
        (lambda: records.show(-1), InvalidOption, "show: limit must be a whole number >= 0, got"),
        (lambda: records.take_all(limit=1), InvalidOption, "more than limit=1 rows"),
        (lambda: records.to_pandas(limit=1), InvalidOption, "more than limit=1 rows"),
        (lambda: records.take_batch(0), InvalidOption, "batch_size must be"),
        (lambda: data.from_items([]).take_batch(), ValueError, "no rows"),
        (lambda: records.repartition(0), InvalidOption, "num_blocks must be"),
        (lambda: records.random_shuffle(seed=-1), InvalidOption, "seed must be"),
        (lambda: records.split(0), InvalidOption, "split: n must be a whole number >= 1, got 0"),
        (
            lambda: records.split(3, equal=True),
            InvalidOption,
            "2 rows cannot be divided equally among 3",
        ),
        (
            lambda: records.split(n=2, equals=True),
            InvalidOption,
            "split has no option 'equals'. Did you mean 'equal'?",
        ),
        (lambda: records.split_at_indices([]), InvalidOption, "takes a list of whole numbers"),
        (lambda: records.split_at_indices([2, 1]), InvalidOption, "ascending order, got [2, 1]"),
        (lambda: records.split_at_indices([-1]), InvalidOption, "got [-1]"),
        (lambda: records.split_proportionately([0.5, 0.5]), InvalidOption, "below 1 together"),
        (lambda: records.split_proportionately([0]), InvalidOption, "numbers above 0"),
        (lambda: records.split_proportionately(0.5), InvalidOption, "takes a list of numbers"),
        (
            lambda: records.train_test_split(1.5),
            InvalidOption,
            "a share between 0 and 1 or a number of rows above 0, got 1.5",
        ),
        (lambda: records.train_test_split(0), InvalidOption, "got 0"),
        (lambda: records.train_test_split(True), InvalidOption, "got True"),
        (lambda: records.train_test_split("a"), InvalidOption, "got 'a'"),
        (
            lambda: records.train_test_split(0.99),
            InvalidOption,
            "leaves 0 rows to train and 2 to test",
        ),
        (lambda: records.train_test_split(5), InvalidOption, "test_size=5 of 2 rows"),
        (lambda: records.train_test_split(0.5, seed=1), InvalidOption, "seed needs shuffle=True"),
        (
            lambda: records.train_test_split(0.5, shufle=True),
            InvalidOption,
            "Did you mean 'shuffle'?",
        ),
        (lambda: records.streaming_split(0), InvalidOption, "streaming_split: n must be"),
        (lambda: records.union(5), TypeError, "union takes datasets, got int"),
        # making
        (lambda: data.range(-1), InvalidOption, "range: n must be"),
        (lambda: data.range(3, parallelism=0), InvalidOption, "parallelism (-1 chooses) must be"),
        (
            lambda: data.range(3, paralelism=2),
            InvalidOption,
            "range has no option 'paralelism'. Did you mean 'parallelism'?",
        ),
        (lambda: data.range_tensor(3, shape=()), InvalidOption, "shape must be a tuple"),
        (lambda: data.range_tensor(3, shape=(0,)), InvalidOption, "sizes in shape must be"),
        (lambda: data.from_items("abc"), TypeError, "from_items takes a list of items, got str"),
        (lambda: data.from_items(5), TypeError, "got int"),
        (
            lambda: data.from_items([{"a": 1}, {"a": "x"}], parallelism=1),
            data.UnsupportedValue,
            "column 'a' mixes",
        ),
        (
            lambda: data.from_pandas([1]),
            TypeError,
            "from_pandas takes a DataFrame or a list of them, got int",
        ),
        (lambda: data.from_pandas([]), InvalidOption, "empty list"),
        (
            lambda: data.from_pandas(pd.DataFrame([[1, 2]], columns=["a", "a"])),
            data.UnsupportedValue,
            "several columns named 'a'",
        ),
        (lambda: data.from_arrow({}), TypeError, "from_arrow takes a pyarrow.Table"),
        (lambda: data.from_numpy([[1]]), TypeError, "from_numpy takes a numpy.ndarray"),
        (
            lambda: data.read_csv("/nowhere/at/all.csv"),
            FileNotFoundError,
            "'/nowhere/at/all.csv' does not exist",
        ),
        (lambda: data.read_csv("x", sep=";"), InvalidOption, "read_csv has no option 'sep'"),
        (lambda: data.read_parquet("x", columns="a"), FileNotFoundError, "does not exist"),
        (lambda: data.Datasource(), TypeError, "abstract"),
        (
            lambda: data.read_csvs,
            AttributeError,
            "has no attribute 'read_csvs'. Did you mean 'read_csv'?",
        ),
    ],
)
def test_misuse_is_answered_at_the_call(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_tables_of_different_kinds_cannot_be_one():
    with pytest.raises(data.UnsupportedValue) as raised:
        data.from_arrow([pa.table({"a": [1]}), pa.table({"a": ["x"]})])
    assert str(raised.value) == (
        "column 'a' has the types int64 in from_arrow, item 0 and string in from_arrow, item 1,"
        " which do not go together: make it one type"
    )


def test_misuse_starts_no_backend():
    assert not air.is_initialized()


def test_a_source_may_refuse():
    class Refusing(Datasource):
        def get_read_tasks(self, parallelism):
            raise PermissionError("no")

    with pytest.raises(PermissionError):
        data.read_datasource(Refusing()).count()


def test_settings_are_checked():
    context = data.DataContext.get_current()
    with pytest.raises(InvalidOption, match=r"no setting 'memory_bugdet'\. Did you mean 'memory_b"):
        context.memory_bugdet = 5
    with pytest.raises(InvalidOption, match=r"memory_budget .in bytes. must be a whole number"):
        context.memory_budget = 0
    context.memory_budget = None


# What was found by trying things out ----------------------------------------------------------


def test_csv_with_a_name_twice(air_local, tmp_path):
    path = tmp_path / "twice.csv"
    path.write_text("a,b,a\n1,2,3\n")
    with pytest.raises(ReadError, match=r"twice\.csv cannot .* it has several columns named 'a'"):
        data.read_csv(path).take()
    with pytest.raises(ReadError, match="several columns named 'a'"):
        data.read_csv(path).select_columns(["b"])


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("read_options", "ReadOptions"),
        ("parse_options", "ParseOptions"),
        ("convert_options", "ConvertOptions"),
    ],
)
def test_csv_options_of_the_wrong_kind(option, kind, tmp_path):
    (tmp_path / "t.csv").write_text("a\n1\n")
    with pytest.raises(InvalidOption, match=rf"{option} must be a pyarrow\.csv\.{kind}"):
        data.read_csv(tmp_path / "t.csv", **{option: {"delimiter": ";"}})


def test_an_empty_field_is_missing_in_columns_of_text_too(air_local, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("s,n\nNA,1\n,NA\nx,3\n")
    assert data.read_csv(path).take() == [
        {"s": "NA", "n": 1},
        {"s": None, "n": None},
        {"s": "x", "n": 3},
    ]
    data.read_csv(path).write_csv(tmp_path / "again")
    assert data.read_csv(tmp_path / "again").take() == data.read_csv(path).take()


@pytest.mark.parametrize("items", [[1, {"a": 1}], [{"a": 1}, 1], [{"a": 1}, {"a": "x"}]])
def test_items_that_do_not_go_together_whatever_the_blocks(items):
    for parallelism in (1, 2):
        with pytest.raises(UnsupportedValue):
            data.from_items(items, parallelism=parallelism)


def test_items_get_the_same_columns_whatever_the_blocks(air_local):
    items = [{"a": 1}, {"b": "x"}, {"a": 1.5}]
    for parallelism in (1, 3):
        ds = data.from_items(items, parallelism=parallelism)
        assert ds.take() == [
            {"a": 1.0, "b": None},
            {"a": None, "b": "x"},
            {"a": 1.5, "b": None},
        ]


def test_table_with_a_name_twice(air_local):
    table = pa.table([[1], [2]], names=["a", "a"])
    with pytest.raises(UnsupportedValue, match="a table has several columns named 'a'"):
        data.from_arrow(table)
    with pytest.raises(UnsupportedValue, match="several columns named 'a'"):
        data.range_table(1).map_batches(lambda batch: table).take()


def test_rows_without_columns_are_as_many(air_local):
    ds = data.range_table(10).drop_columns(["value"])
    assert ds.take(3) == [{}, {}, {}]
    assert len(ds.take_all()) == ds.count() == 10


def test_add_column_takes_a_text_for_all_rows(air_local):
    ds = data.range_table(3).add_column("s", lambda frame: "same")
    assert [row["s"] for row in ds.take()] == ["same"] * 3
    with pytest.raises(UnsupportedValue, match="the values of one column, got a DataFrame"):
        data.range_table(3).add_column("s", lambda frame: frame).take()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ds: ds.split(2, equal="yes"), "split: equal must be True or False, got 'yes'"),
        (lambda ds: ds.train_test_split(0.5, shuffle=1), "shuffle must be True or False, got 1"),
        (lambda ds: ds.map_batches(len, zero_copy_batch="no"), "zero_copy_batch must be True or"),
        (lambda ds: next(ds.iter_batches(drop_last="no")), "drop_last must be True or False"),
        (lambda ds: data.ActorPoolStrategy(sizes=2), "ActorPoolStrategy has no option 'sizes'"),
        (
            lambda ds: ds.write_parquet("x", compression="zzz"),
            r"\(compression='zzz'\)",
        ),
        (lambda ds: ds.write_csv("x", write_options=1), "must be a pyarrow.csv.WriteOptions"),
    ],
)
def test_options_of_wrong_kinds(air_local, tmp_path, monkeypatch, call, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidOption, match=message):
        call(data.range_table(4))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [None, 3, ""])
def test_paths_to_write_to(air_local, path):
    with pytest.raises(TypeError, match="path must be text"):
        data.range_table(1).write_csv(path)


def test_constructor_that_raises_says_where(air_local):
    class Broken:
        def __init__(self):
            raise KeyError("gone")

        def __call__(self, batch):
            return batch

    with pytest.raises(KeyError) as caught:
        data.range_table(1).map_batches(Broken).take()
    assert "in the constructor of Broken" in caught.value.__notes__


def test_numbers_of_numpy_are_numbers(air_local):
    parts = data.range(10).split_at_indices(np.array([2, 5]))
    assert [part.count() for part in parts] == [2, 3, 5]
    parts = data.range(10).split_proportionately(np.array([0.2, 0.5]))
    assert [part.count() for part in parts] == [2, 5, 3]
    ds = data.range(np.int64(4), parallelism=np.int32(2))
    assert ds.take(np.int64(2)) == [0, 1]
    assert ds.repartition(np.int64(3)).num_blocks() == 3
