"""Stratified splits, windows, epochs, and the files that rows come from."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from air import data
from air.data.errors import UnsuitableData
from air.data.stratify import rows_to_test, shares
from air.errors import InvalidOption

# Stratified splits -----------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(2, 40), min_size=1, max_size=5),
    st.integers(1, 99),
    st.integers(0, 2**16),
)
def test_shares_are_those_of_scikit_learn(counts, percent, seed):
    classes = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(seed).shuffle(classes)
    _, first = np.unique(classes, return_index=True)
    renumbered = np.argsort(np.argsort(first))[classes]
    test_rows = -(-len(classes) * percent // 100)
    try:
        _, expected = train_test_split(classes, test_size=test_rows, stratify=classes)
    except ValueError:
        with pytest.raises(UnsuitableData):
            rows_to_test(renumbered, test_rows)
        return
    chosen = rows_to_test(renumbered, test_rows)
    assert chosen.sum() == test_rows
    # Of equal remainders scikit-learn draws one, so that a class may have one row more or less.
    found = np.bincount(classes[chosen], minlength=len(counts))
    assert np.abs(found - np.bincount(expected, minlength=len(counts))).max() <= 2
    for number in range(len(counts)):
        mine = chosen[classes == number]
        assert list(mine) == sorted(mine)


def test_what_is_left_goes_to_the_largest_remainders():
    assert list(shares(np.array([5, 3, 2]), 5)) == [3, 1, 1]
    assert list(shares(np.array([3, 3, 3]), 4)) == [2, 1, 1]
    assert list(shares(np.array([50, 50, 50]), 30)) == [10, 10, 10]


def test_both_parts_have_their_share_of_each_class(placement):
    iris = data.read_parquet("example://iris.parquet").repartition(4)
    for options in ({}, {"shuffle": True, "seed": 5}):
        train, test = iris.train_test_split(0.2, stratify="variety", **options)
        for part, rows in ((train, 40), (test, 10)):
            names, counts = np.unique(part.to_pandas()["variety"], return_counts=True)
            assert list(names) == ["Setosa", "Versicolor", "Virginica"]
            assert list(counts) == [rows] * 3
        again = iris.train_test_split(0.2, stratify="variety", **options)
        assert [part.take_all() for part in again] == [train.take_all(), test.take_all()]


def test_missing_values_are_a_class():
    table = pa.table({"c": [None, "a", None, "a", None, "a"], "n": range(6)})
    train, test = data.from_arrow(table).train_test_split(2, stratify="c")
    assert [row["n"] for row in test.take_all()] == [4, 5]
    assert [row["n"] for row in train.take_all()] == [0, 1, 2, 3]


def test_what_cannot_be_stratified():
    ds = data.from_arrow(pa.table({"c": ["a", "a", "b", "a"]}))
    with pytest.raises(UnsuitableData, match="a class has one row only"):
        ds.train_test_split(2, stratify="c")
    with pytest.raises(UnsuitableData, match="1 rows to test on, and 2 classes"):
        ds.train_test_split(1, stratify="c")
    with pytest.raises(data.ColumnNotFound, match="train_test_split: no column 'd'"):
        ds.train_test_split(1, stratify="d")


# Windows and epochs ----------------------------------------------------------------------------


@pytest.fixture
def counted():
    calls = []

    def f(row):
        calls.append(row)
        return row

    return data.range(40, parallelism=8).map(f), calls


def test_windows_have_so_many_blocks(placement):
    windows = data.range(40, parallelism=8).map(abs).window(blocks_per_window=3)
    found = [window.take_all() for window in windows.iter_datasets()]
    assert found == [list(range(15)), list(range(15, 30)), list(range(30, 40))]
    assert list(windows.iter_rows()) == list(range(40))
    assert [len(b) for b in windows.iter_batches(batch_size=10)] == [10, 5, 10, 5, 10]
    assert windows.count() == 40


def test_windows_have_so_many_bytes():
    table = data.range_table(100, parallelism=10)  # blocks of 80 bytes
    windows = table.window(bytes_per_window=200).iter_datasets()
    assert [window.num_blocks() for window in windows] == [2] * 5
    windows = table.window(bytes_per_window=1).iter_datasets()
    assert [window.num_blocks() for window in windows] == [1] * 10


def test_one_window_is_made_at_a_time(counted):
    ds, calls = counted
    windows = ds.window(blocks_per_window=2).iter_datasets()
    assert next(windows).count() == 10
    assert len(calls) == 15  # and the block that shows that the window is over
    windows.close()
    assert ds.window(blocks_per_window=2).take(3) == [0, 1, 2]


def test_epochs(counted):
    ds, calls = counted
    epochs = [list(epoch.iter_rows()) for epoch in ds.repeat(3).iter_epochs()]
    assert epochs == [list(range(40))] * 3
    assert len(calls) == 120
    assert len(list(ds.repeat(3).iter_epochs(2))) == 2
    assert ds.repeat(2).repeat(2).count() == 160
    endless = ds.repeat()
    assert endless.take(100) == [*range(40), *range(40), *range(20)]
    assert len(list(itertools.islice(endless.iter_epochs(), 5))) == 5
    assert [len(list(one.iter_rows())) for one in ds.iterator().iter_epochs(2)] == [40, 40]
    assert len(list(itertools.islice(ds.iterator().iter_epochs(), 5))) == 5


def test_windows_are_transformed_and_shuffled_anew_each_time(placement):
    pipeline = data.range(40, parallelism=4).window(blocks_per_window=2)
    pipeline = pipeline.foreach_window(lambda window: window.map(lambda v: v + 1))
    pipeline = pipeline.random_shuffle_each_window(seed=7).repeat(2)
    windows = [window.take_all() for window in pipeline.iter_datasets()]
    assert [sorted(window) for window in windows] == [
        list(range(1, 21)),
        list(range(21, 41)),
    ] * 2
    assert windows[0] != windows[2]
    assert [window.take_all() for window in pipeline.iter_datasets()] == windows
    epochs = [list(epoch.iter_rows()) for epoch in pipeline.iter_epochs()]
    assert epochs == [windows[0] + windows[1], windows[2] + windows[3]]


def test_arguments_of_windows_and_epochs_are_checked():
    ds = data.range(3)
    for wrong in (
        lambda: ds.repeat(0),
        lambda: ds.window(blocks_per_window=0),
        lambda: ds.window(bytes_per_window=0),
        lambda: ds.window(blocks_per_window=1, bytes_per_window=1),
        lambda: ds.repeat().repeat(2),
        lambda: ds.repeat().count(),
        lambda: list(ds.repeat(2).iter_epochs(-2)),
        lambda: ds.iterator().iter_epochs(1.5),
        lambda: ds.window(block_per_window=1),
    ):
        with pytest.raises((InvalidOption, TypeError)):
            wrong()
    with pytest.raises(TypeError, match="foreach_window takes a function of a dataset"):
        ds.repeat(1).foreach_window(3)


# Files -----------------------------------------------------------------------------------------


def test_files_that_rows_come_from(tmp_path):
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).write_text("x\n1\n")
    both = data.read_csv([tmp_path / "b.csv", tmp_path / "a.csv"])
    one = data.read_csv(tmp_path / "a.csv").map(dict)
    names = [str(tmp_path / "b.csv"), str(tmp_path / "a.csv")]
    assert both.union(one).random_shuffle(seed=1).input_files() == names
    assert both.streaming_split(2)[0]._dataset.input_files() == names
    assert data.range(5).input_files() == []
    assert both.materialize().input_files() == []
