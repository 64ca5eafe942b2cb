"""Rows that are dealt out to several consumers while they are made."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import air
from air import data
from air.data.blocks.block import accessor
from air.data.blocks.handle import BlockHandle
from air.data.dealing import coordinator
from air.data.dealing.coordinator import Coordinator
from air.data.dealing.deal import WAITING_BLOCKS, Deal, End, Pull, Take, Wait
from air.executor.capabilities import Capability
from air.executor.current import get_executor


def blocks(sizes):
    start = 0
    for size in sizes:
        yield BlockHandle.of_block(list(range(start, start + size)))
        start += size


def dealt(sizes, consumers, equal, order, epochs=1):
    """What each consumer gets in each epoch, where *order* says who asks next."""
    deal = Deal(consumers, equal)
    found = [[[] for _ in range(epochs)] for _ in range(consumers)]
    at = [0] * consumers
    made = {}
    while any(epoch < epochs for epoch in at):
        stuck = True
        for consumer in [*order.draw(), *range(consumers)]:
            if at[consumer] >= epochs:
                continue
            answer = deal.ask(consumer, at[consumer])
            if isinstance(answer, Take):
                found[consumer][at[consumer]] += answer.handle.get()
            elif isinstance(answer, End):
                at[consumer] += 1
            elif isinstance(answer, Pull):
                source = made.setdefault(answer.epoch, blocks(sizes))
                handle = next(source, None)
                if handle is None:
                    deal.end(answer.epoch)
                else:
                    deal.feed(answer.epoch, handle)
            stuck = stuck and isinstance(answer, Wait)
        assert not stuck
    return found


class Order:
    def __init__(self, turns):
        self.turns = iter(turns)

    def draw(self):
        return next(self.turns, [])


TURNS = st.lists(st.lists(st.integers(0, 1), max_size=12), max_size=12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 7), max_size=40), TURNS, st.booleans())
def test_everybody_gets_the_same_whoever_is_faster(sizes, turns, equal):
    found = dealt(sizes, 2, equal, Order(turns), epochs=2)
    assert found == dealt(sizes, 2, equal, Order([]), epochs=2)
    assert all(first == second for first, second in found)
    rows = sorted(row for first, _ in found for row in first)
    total = sum(sizes)
    if equal:
        assert [len(first) for first, _ in found] == [total // 2] * 2
        assert rows == list(range(total - total % 2))
    else:
        assert rows == list(range(total))
    assert all(first == sorted(first) for first, _ in found)


def test_who_is_too_far_ahead_waits_for_the_others_by_name():
    deal = Deal(3)
    assert deal.ask(0, 0) == Wait((1, 2), True)
    assert deal.ask(1, 0) == Wait((2,), True)
    assert deal.ask(2, 0) == Pull(0)
    source = blocks([1] * 100)
    for number in range(3 * WAITING_BLOCKS):
        deal.feed(0, next(source))
        if number % 3 == 0:
            assert isinstance(deal.ask(0, 0), Take)
    assert deal.ask(0, 0) == Wait((1, 2), False)
    assert isinstance(deal.ask(1, 0), Take)
    assert deal.ask(0, 0) == Wait((2,), False)
    assert isinstance(deal.ask(2, 0), Take)
    assert deal.ask(0, 0) == Pull(0)


def test_who_leaves_an_epoch_gets_nothing_more_of_it():
    deal = Deal(2)
    deal.ask(0, 0)
    assert deal.ask(1, 0) == Pull(0)
    for block in blocks([1] * (4 * WAITING_BLOCKS)):
        deal.feed(0, block)
        deal.ask(0, 0)
        assert deal.ask(1, 1) == Wait((0,), True)
    assert deal.ask(0, 0) == Pull(0)
    deal.end(0)
    assert deal.ask(0, 0) == End()
    assert deal.ask(0, 1) == Pull(1)
    assert deal.ask(1, 0) == End()
    deal.feed(0, next(blocks([5])))  # of the epoch before
    assert deal.ask(1, 1) == Pull(1)


@pytest.mark.parametrize("equal", [False, True])
def test_nobody_waits_for_who_has_stopped_before_the_end(equal):
    deal = Deal(2, equal)
    deal.ask(0, 0)
    assert deal.ask(1, 0) == Pull(0)
    source = blocks([2] * (8 * WAITING_BLOCKS))
    for _ in range(2 * WAITING_BLOCKS):
        deal.feed(0, next(source))
    deal.leave(0, 0)
    while isinstance(deal.ask(1, 0), Take):
        pass
    for block in source:
        assert deal.ask(1, 0) == Pull(0)
        deal.feed(0, block)
        while isinstance(deal.ask(1, 0), Take):
            pass
    assert deal.ask(0, 0) == End()
    deal.end(0)
    assert deal.ask(1, 1) == Wait((0,), True)  # it may come again
    assert deal.ask(0, 1) == Pull(1)
    deal.feed(1, next(blocks([4])))
    assert isinstance(deal.ask(0, 1), Take) or isinstance(deal.ask(1, 1), Take)


def rows_of(one, consumer, epoch):
    found = []
    while True:
        answer = one.next(consumer, epoch)
        if answer is None:
            return found
        if not isinstance(answer, str):
            found += accessor(answer.get()).rows()


def test_consumers_in_threads_run_the_plan_once_an_epoch():
    calls = []

    def f(row):
        calls.append(row)
        return row

    one = Coordinator(data.range(100, parallelism=10).map(f), 3, False, 30.0)
    found = [[], [], []]

    def consume(number):
        found[number] = [rows_of(one, number, epoch) for epoch in range(2)]

    threads = [threading.Thread(target=consume, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [first == second for first, second in found] == [True] * 3
    assert sorted(row for first, _ in found for row in first) == list(range(100))
    assert sorted(calls) == sorted(2 * list(range(100)))


def test_to_know_the_columns_takes_no_run_of_its_own():
    calls = []
    ds = data.range(20, parallelism=4).map(lambda i: calls.append(i) or {"a": i})
    one = Coordinator(ds, 1, False, 30.0)
    assert one.schema() == pa.schema({"a": pa.int64()})
    assert sorted(calls) == list(range(5))
    for epoch in range(2):
        assert rows_of(one, 0, epoch) == [{"a": i} for i in range(20)]
    assert one.schema() == pa.schema({"a": pa.int64()})
    assert sorted(calls) == sorted(2 * list(range(20)))


@pytest.mark.parametrize(
    ("ds", "schema"),
    [
        (data.range(4), int),
        (data.range(4).map(lambda i: i), int),
        (data.range(4).filter(lambda i: False), None),
    ],
)
def test_what_is_known_of_plain_objects_and_of_no_rows(ds, schema):
    one = Coordinator(ds, 1, False, 30.0)
    assert one.schema() is schema
    assert rows_of(one, 0, 0) == ds.take_all()
    assert one.schema() is schema


def test_an_error_while_the_columns_are_looked_for_comes_again_with_the_rows():
    one = Coordinator(data.range(4, parallelism=4).map(lambda i: 1 // i), 1, False, 30.0)
    with pytest.raises(ZeroDivisionError):
        one.schema()
    with pytest.raises(ZeroDivisionError):
        rows_of(one, 0, 0)


def test_who_waits_is_told_for_whom():
    one = Coordinator(data.range(100, parallelism=100), 2, False, 0.01)
    assert one.next(0, 0).startswith(
        "streaming_split: consumer 0 waits for consumer 1 to begin epoch 0. All consumers must"
    )
    told = one.next(1, 0)
    while not isinstance(told, str):
        told = one.next(1, 0)
    assert "consumer 1 waits for consumer 0 to take rows that are there for it" in told


def test_an_error_reaches_every_consumer():
    one = Coordinator(data.range(4, parallelism=4).map(lambda v: 1 // (v - 3)), 2, False, 30.0)
    one._deal.ask(0, 0)
    for consumer in (1, 0):
        with pytest.raises(ZeroDivisionError):
            rows_of(one, consumer, 0)


class Consumer:
    def __init__(self, iterator):
        self._iterator = iterator

    def columns(self, names):
        """Those of its batches, as for features and labels, how many rows, and what is told."""
        picked = self._iterator._of_columns(names)
        batches = list(picked.iter_batches(batch_size=7))
        told = self._iterator.stats()
        rows = [len(batch[names[0]]) for batch in batches]
        return {tuple(batch) for batch in batches}, sum(rows), picked.num_rows(), told

    def rows(self, epochs):
        return [list(self._iterator.iter_rows()) for _ in range(epochs)]


@pytest.fixture
def parallel(backend):
    if Capability.PARALLEL_TASKS not in get_executor().capabilities:
        pytest.skip("the backend does one thing at a time")


@pytest.mark.parametrize("equal", [False, True])
def test_consumers_in_other_processes(parallel, equal):
    ds = data.range(103, parallelism=7).random_shuffle(seed=3).map(lambda v: v)
    kind = air.remote(Consumer).options(num_cpus=0)
    consumers = [kind.remote(share) for share in ds.streaming_split(4, equal=equal)]
    found = air.get([consumer.rows.remote(3) for consumer in consumers])
    assert all(epochs[0] == epochs[1] == epochs[2] for epochs in found)
    rows = [row for epochs in found for row in epochs[0]]
    assert len(rows) == len(set(rows)) == (100 if equal else 103)
    if equal:
        assert [len(epochs[0]) for epochs in found] == [25] * 4


@pytest.mark.parametrize("equal", [False, True])
def test_a_consumer_that_stops_early_holds_nobody_up(parallel, equal):
    ds = data.range(100, parallelism=50).random_shuffle(seed=3)
    one, other = ds.streaming_split(2, equal=equal)
    consumer = air.remote(Consumer).options(num_cpus=0).remote(other)
    epochs = consumer.rows.remote(2)
    for _ in range(2):
        rows = one.iter_rows()
        next(rows)
        rows.close()
    first, second = air.get(epochs)
    assert len(first) == 50
    assert first == second


def test_a_consumer_that_died_is_told_by_name(parallel, monkeypatch):
    monkeypatch.setattr(coordinator, "PATIENCE_SECONDS", 0.2)
    ds = data.range(100, parallelism=10).random_shuffle(seed=3)
    one, other = ds.streaming_split(2)
    dead = air.remote(Consumer).options(num_cpus=0).remote(other)
    air.kill(dead)
    rows = one.iter_rows()
    with pytest.raises(RuntimeWarning, match="consumer 0 waits for consumer 1 to begin epoch 0"):
        next(rows)  # warnings are errors here


@pytest.mark.parametrize("equal", [False, True])
def test_consumers_may_want_some_columns_and_are_told_of_the_run(parallel, equal):
    ds = data.range_table(20, parallelism=4).add_column("b", lambda frame: 1)
    shares = (
        ds.map(lambda row: {**row, "c": 2}).random_shuffle(seed=1).streaming_split(2, equal=equal)
    )
    assert repr(shares[0].stats()) == "not run yet"
    kind = air.remote(Consumer).options(num_cpus=0)
    consumers = [kind.remote(share) for share in shares]
    wanted = [["value"], ["c", "value"]]
    calls = [c.columns.remote(names) for c, names in zip(consumers, wanted, strict=True)]
    found = air.get(calls)
    assert [columns for columns, *_ in found] == [{("value",)}, {("c", "value")}]
    assert sum(rows for _, rows, *_ in found) == 20
    assert [known for _, _, known, _ in found] == ([10, 10] if equal else [None, None])
    assert all("random_shuffle(seed=1): 20 rows" in told for *_, told in found)
    assert "random_shuffle(seed=1): 20 rows" in shares[0].stats()
    assert shares[0].schema().names == ["value", "b", "c"]
