from __future__ import annotations

import multiprocessing
import os
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import air
from air import data
from air.data.batching.cutting import is_sliced
from air.data.batching.prefetch import prefetched
from air.data.blocks.handle import BlockHandle
from air.data.plan import InputBlocks
from air.errors import InvalidOption


def numbers(rows=100, blocks=7):
    return data.range_table(rows, parallelism=blocks)


@pytest.mark.parametrize("batch_size", [1, 10, 33, 100, 1000])
def test_batches_have_one_size(placement, batch_size):
    batches = list(numbers().iter_batches(batch_size=batch_size))
    assert [len(batch["value"]) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert np.concatenate([batch["value"] for batch in batches]).tolist() == list(range(100))


def test_batch_formats():
    ds = numbers(5)
    (batch,) = ds.iter_batches(batch_format="pandas")
    assert isinstance(batch, pd.DataFrame)
    (batch,) = ds.iter_batches(batch_format="pyarrow")
    assert isinstance(batch, pa.Table)
    (batch,) = ds.iter_batches()
    batch["value"] += 1
    assert list(data.range(3).iter_batches()) == [[0, 1, 2]]


def test_blocks_as_they_come_and_what_is_left_over():
    sizes = [len(batch["value"]) for batch in numbers(10, 4).iter_batches(batch_size=None)]
    assert sizes == [2, 3, 2, 3]
    assert len(list(numbers(10).iter_batches(batch_size=4, drop_last=True))) == 2


def test_a_local_shuffle_mixes_by_its_seed(placement):
    def order(seed):
        batches = numbers().iter_batches(
            batch_size=10, local_shuffle_buffer_size=40, local_shuffle_seed=seed
        )
        return np.concatenate([batch["value"] for batch in batches]).tolist()

    assert sorted(order(1)) == list(range(100))
    assert order(1) == order(1) != order(2)


def test_an_iterator_goes_through_again_and_again(placement):
    iterator = numbers(6).map(lambda row: row["value"]).iterator()
    assert list(iterator.iter_rows()) == list(iterator.iter_rows()) == list(range(6))
    assert list(iterator.iter_batches(batch_size=4)) == [[0, 1, 2, 3], [4, 5]]
    assert iterator.schema() is int
    assert "map(<lambda>): 6 rows" in iterator.stats()


def test_iteration_makes_no_more_than_is_asked_for():
    made = []

    def note(row):
        made.append(row)
        return row

    rows = data.range(100, parallelism=10).map(note).iter_rows()
    assert [next(rows), next(rows)] == [0, 1]
    assert len(made) == 10
    rows.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"prefetch_batches": -1},
        {"batch_format": "panda"},
        {"local_shuffle_seed": 1},
        {"local_shuffle_buffer_size": 0},
        {"local_shuffle_buffer_size": 10, "batch_size": None},
        {"batchsize": 3},
    ],
)
def test_wrong_options_are_refused_at_the_call(wrong):
    with pytest.raises(InvalidOption):
        numbers().iter_batches(**wrong)


# Ahead of use ---------------------------------------------------------------------------------


def thread_count():
    return sum(thread.name == "air-data-prefetch" for thread in threading.enumerate())


def test_batches_from_elsewhere_are_made_in_a_thread(backend):
    table = pa.table({"a": list(range(10))})
    handle = BlockHandle.of_block(table)
    stored = BlockHandle.of_ref(air.put(table), handle.metadata)
    for handles, threads in (((stored, stored), 1), ((handle, handle), 0)):
        ds = data.Dataset(InputBlocks(handles))
        batches = ds.iter_batches(batch_size=4)
        first = next(batches)
        assert first["a"].tolist() == [0, 1, 2, 3]
        assert thread_count() == threads
        assert sum(len(batch["a"]) for batch in batches) == 16
        assert thread_count() == 0


def test_items_come_in_order_and_the_thread_ends():
    assert list(prefetched(lambda: iter(range(50)), 3)) == list(range(50))
    assert thread_count() == 0


def test_what_waits_is_bounded_by_what_items_weigh():
    made, fifth = [], threading.Event()

    def items():
        for number in range(100):
            made.append(number)
            if number == 4:
                fifth.set()
            yield "four"

    ahead = prefetched(items, 10, len)
    assert next(ahead) == "four"
    assert fifth.wait(60)  # three wait, which is more than 10, and the thread has one more
    ahead.close()
    assert len(made) == 5


@pytest.mark.parametrize(
    ("kinds", "batch_format", "slices"),
    [
        ([pa.int8(), pa.uint64(), pa.float16()], "default", True),
        ([pa.int64()], "numpy", True),
        ([pa.int64()], "pandas", False),
        ([pa.int64()], "polars", False),
        ([pa.int64(), pa.string()], "default", False),
        ([pa.int64(), pa.string()], "pyarrow", True),
        ([pa.bool_()], "default", False),
    ],
)
def test_which_batches_are_slices(kinds, batch_format, slices):
    schema = pa.schema([(str(number), kind) for number, kind in enumerate(kinds)])
    assert is_sliced(schema, batch_format) is slices
    assert not is_sliced(int, batch_format)
    assert not is_sliced(None, batch_format)


@pytest.mark.parametrize("options", [{}, {"batch_format": "pandas"}, {"prefetch_batches": 3}])
def test_an_error_in_a_task_ends_batches_and_their_thread(backend, options):
    def refuse(row):
        if row["value"] == 70:
            raise ValueError("seventy")
        return row

    rows = data.range_table(100, parallelism=10).map(refuse, concurrency=2)
    batches = rows.iter_batches(batch_size=7, **options)
    seen = [next(batches)["value"] for _ in range(10)]
    assert np.concatenate(seen).tolist() == list(range(70))
    with pytest.raises(ValueError, match="seventy"):
        next(batches)
    assert thread_count() == 0


def test_an_error_comes_where_its_item_would():
    def items():
        yield 1
        raise KeyError("two")

    taken = prefetched(items, 5)
    assert next(taken) == 1
    with pytest.raises(KeyError, match="two"):
        next(taken)
    assert thread_count() == 0


@pytest.mark.parametrize("taken", [1, 2, 5])
def test_stopping_early_closes_what_is_being_made(taken):
    closed = threading.Event()

    def items():
        try:
            yield from range(1000)
        finally:
            closed.set()

    ahead = prefetched(items, 2)
    for _ in range(taken):
        next(ahead)
    ahead.close()
    assert closed.is_set()
    assert thread_count() == 0


def test_an_error_at_the_end_of_what_was_left_early_does_not_keep_the_thread():
    def items():
        try:
            yield from range(1000)
        finally:
            raise OSError("cannot be closed")

    ahead = prefetched(items, 1)
    next(ahead)
    ahead.close()
    assert thread_count() == 0


def test_closing_in_the_thread_that_makes_items():
    """Garbage collection may do that."""
    taken, made = threading.Event(), threading.Event()

    def items():
        yield 1
        assert taken.wait(60)
        ahead.close()
        made.set()
        yield 2

    ahead = prefetched(items, 1)
    assert next(ahead) == 1
    taken.set()
    assert made.wait(60)
    assert list(ahead) == []


def test_a_last_batch_is_dropped_only_where_batches_have_a_size():
    with pytest.raises(InvalidOption, match="drop_last needs a batch_size"):
        numbers(10).iter_batches(batch_size=None, drop_last=True)


def test_a_forked_process_works_alone(backend):
    """As workers of a DataLoader do, which cannot use the connection to a cluster."""
    iterator = data.range_table(100, parallelism=4).sort("value", descending=True).iterator()

    def check():
        rows = [row["value"] for row in iterator.staying().iter_rows()]
        os._exit(0 if rows == list(range(99, -1, -1)) else 1)

    process = multiprocessing.get_context("fork").Process(target=check)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_what_some_columns_took_is_told_by_the_dataset():
    ds = numbers().add_column("b", lambda frame: 1)
    picked = ds.iterator()._of_columns(["b"])  # as for features and labels
    assert [list(batch) for batch in picked.iter_batches(batch_size=None)][:1] == [["b"]]
    assert "100 rows" in ds.stats()
    assert ds.iterator().stats() == ds.stats() == picked.stats()
