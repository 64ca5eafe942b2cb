"""Misuse is answered at the call, by name, and with what to do."""

from __future__ import annotations

import re

import pandas as pd
import pyarrow as pa
import pytest

import air
from air import data
from air.data.datasource import Datasource
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
        (
            lambda: records.map(len, compute=data.ActorPoolStrategy(size=2)),
            InvalidOption,
            "use concurrency=2",
        ),
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
        (lambda: records.take(2.5), InvalidOption, "got 2.5"),
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
    both = data.from_arrow([pa.table({"a": [1]}), pa.table({"a": ["x"]})])
    with pytest.raises(data.UnsupportedValue, match="column 'a' has the types int64, string"):
        both.to_pandas()


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
