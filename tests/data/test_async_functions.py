"""Functions may be async: some calls at a time, results in order, cancelled if not wanted."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from air import data
from air.data.udf.async_calls import AsyncCalls, outcomes
from air.errors import InvalidOption


async def doubled(row):
    await asyncio.sleep(0)
    return {"v": row["value"] * 2}


class Doubled:
    """Its instances keep what belongs to the loop that they are called in."""

    def __init__(self, factor=2):
        self.factor = factor
        self.loop = None

    async def __call__(self, row):
        self.loop = self.loop or asyncio.get_running_loop()
        assert self.loop is asyncio.get_running_loop()
        await asyncio.sleep(0)
        return {"v": row["value"] * self.factor}


async def doubled_rows(row):
    for _ in range(2):
        await asyncio.sleep(0)
        yield await doubled(row)


async def doubled_batch(batch):
    await asyncio.sleep(0)
    return {"v": batch["value"] * 2}


async def doubled_batches(batch):
    yield await doubled_batch(batch)
    yield {"v": np.array([-1])}


def table(rows=20, blocks=4):
    return data.range_table(rows, parallelism=blocks)


def values(ds):
    return [row["v"] for row in ds.take_all()]


def async_threads():
    gc.collect()
    return [thread for thread in threading.enumerate() if thread.name == "async functions"]


# Kinds of functions ---------------------------------------------------------------------------


def test_rows(placement):
    for fn in (doubled, Doubled, Doubled(), functools.partial(doubled)):
        assert values(table().map(fn)) == list(range(0, 40, 2))
    assert values(table().flat_map(doubled_rows)) == [i for i in range(0, 40, 2) for _ in "ab"]
    pool = table().map(Doubled, fn_constructor_args=[3], concurrency=2)
    assert values(pool) == list(range(0, 60, 3))


def test_lists_and_conditions(placement):
    async def twice(row):
        return [await doubled(row)] * 2

    async def large(row):
        await asyncio.sleep(0)
        return row["value"] > 16

    assert values(table(2, 1).flat_map(twice)) == [0, 0, 2, 2]
    assert [row["value"] for row in table().filter(large).take_all()] == [17, 18, 19]


def test_batches(placement):
    assert values(table().map_batches(doubled_batch, batch_size=3)) == list(range(0, 40, 2))
    assert values(table(4, 1).map_batches(doubled_batches, batch_size=2)) == [0, 2, -1, 4, 6, -1]

    async def added(frame: pd.DataFrame):
        await asyncio.sleep(0)
        return frame["value"] + 1

    assert values(table(4, 2).add_column("v", added)) == [1, 2, 3, 4]

    async def of_arrow(batch: pa.Table):
        return batch.append_column("v", batch["value"])

    assert values(table(4, 2).map_batches(of_arrow)) == [0, 1, 2, 3]


class Meeting:
    """Nobody leaves before all are there."""

    def __init__(self, size):
        self._size = size
        self._there = 0
        self._complete = asyncio.Event()

    async def __call__(self, row):
        self._there += 1
        if self._there == self._size:
            self._complete.set()
        await asyncio.wait_for(self._complete.wait(), 60)
        return row


@pytest.mark.parametrize("source", [data.range(12, parallelism=12), table(12, 12), table(12, 1)])
def test_calls_for_rows_of_different_blocks_are_under_way_together(placement, source):
    assert source.map(Meeting, fn_constructor_args=[12]).take_all() == source.take_all()
    pool = source.map(Meeting, fn_constructor_args=[6], max_concurrency=6, concurrency=2)
    assert pool.take_all() == source.take_all()


def test_rows_that_fail_are_skipped(placement, tmp_path):
    async def refuse(row):
        await asyncio.sleep(0)
        if row["value"] in (3, 4, 11):
            raise ValueError("no")
        return await doubled(row)

    async def refuse_batch(batch):
        return {"v": np.array([(await refuse({"value": i}))["v"] for i in batch["value"]])}

    expected = [2 * i for i in range(20) if i not in (3, 4, 11)]
    skip = {"on_error": "skip", "dead_letter": tmp_path / "dead"}
    assert values(table().map(refuse, **skip)) == expected
    assert data.read_parquet(str(tmp_path / "dead")).count() == 3
    assert values(table().map_batches(refuse_batch, batch_size=4, on_error="skip")) == expected


def test_errors_are_told_where_they_were(placement):
    async def refuse(row):
        await asyncio.sleep(0)
        if row["value"] >= 7:
            raise ValueError(row["value"])
        return row

    with pytest.raises(ValueError, match="7") as raised:
        table().map(refuse, max_concurrency=3).take_all()
    assert raised.value.__notes__[0].startswith("in map(refuse), at row 2 of its input from range")
    del raised  # it holds what was running
    assert async_threads() == []

    async def stop(row):
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        table().map(stop).take_all()


def test_an_async_generator_is_no_row(placement):
    for operator in ("map", "filter"):
        with pytest.raises(TypeError, match="yields; for several rows of one use flat_map"):
            getattr(table(), operator)(doubled_rows)
    with pytest.raises(TypeError, match="map_groups takes plain functions"):
        table().groupby("value").map_groups(doubled_batch)


@pytest.mark.parametrize("value", [0, -1, 1.5, "many"])
def test_the_concurrency_is_a_number(value):
    with pytest.raises(InvalidOption, match="map: max_concurrency"):
        table().map(doubled, max_concurrency=value)
    with pytest.raises(InvalidOption, match="is for async functions"):
        table().map(dict, max_concurrency=2)


# How they are called --------------------------------------------------------------------------


class Gate:
    """A function that waits until all calls of a group have begun."""

    def __init__(self, together):
        self.together = together
        self.begun = []
        self.event = None

    async def __call__(self, item):
        if len(self.begun) % self.together == 0:
            self.event = asyncio.Event()
        self.begun.append(item)
        event = self.event
        if len(self.begun) % self.together == 0:
            event.set()
        await event.wait()
        return item * 10


def test_calls_wait_for_one_another_only_within_the_window():
    gate = Gate(4)
    calls = AsyncCalls(gate, 4)
    found = [(key, outcome()) for key, outcome in calls.ahead(enumerate(range(4)))]
    assert found == [(i, i * 10) for i in range(4)]
    assert gate.begun == [0, 1, 2, 3]


def test_no_more_are_taken_than_may_be_under_way():
    taken = []

    async def same(item):
        return item

    def items():
        for i in range(10):
            taken.append(i)
            yield i, i

    calls = AsyncCalls(same, 3)
    for number, (key, outcome) in enumerate(calls.ahead(items())):
        assert key == outcome() == number
        assert len(taken) <= number + 4
    assert taken == list(range(10))


def test_results_keep_the_order_whatever_ends_first():
    events = {}

    async def backwards(item):
        events.setdefault(item, asyncio.Event())
        if item == 4:
            events[4].set()
        for other in range(item + 1, 5):
            await events.setdefault(other, asyncio.Event()).wait()
        events[item].set()
        return item

    calls = AsyncCalls(backwards, 5)
    assert [outcome() for _, outcome in calls.ahead((i, i) for i in range(5))] == list(range(5))


def test_what_nobody_wants_is_cancelled():
    cancelled, begun = [], threading.Event()

    async def endless(item):
        if item == 0:
            return 0
        try:
            if item == 3:
                begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    calls = AsyncCalls(endless, 4)
    results = calls.ahead((i, i) for i in range(9))
    assert next(results)[1]() == 0
    assert begun.wait(60)
    results.close()
    (thread,) = async_threads()
    del calls, results
    assert async_threads() == []
    assert not thread.is_alive()
    assert sorted(cancelled) == [1, 2, 3]


def test_plain_functions_are_called_when_their_turn_comes():
    called = []
    results = outcomes(called.append, ((i, i) for i in range(3)))
    _, outcome = next(results)
    assert called == []
    outcome()
    assert called == [0]


def test_a_dataset_that_is_left_early_ends_its_loop(placement):
    rows = table(40, 4).map(doubled).iter_rows()
    assert next(rows) == {"v": 0}
    rows.close()
    del rows
    assert async_threads() == []
