"""Datasets, run with calls in this process and again with tasks and actors."""

from __future__ import annotations

import datetime as dt
import math
import threading
import time
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import air
from air import data
from air.data.context import DataContext
from air.data.datasource import Datasource, ReadTask
from air.errors import TaskError, Unschedulable

pytestmark = pytest.mark.usefixtures("placement")


def test_plain_objects_stay_what_they_are():
    ds = data.range(10_000)
    assert ds.take(5) == [0, 1, 2, 3, 4]
    assert ds.schema() is int
    assert ds.columns() is None
    assert data.from_items(["a", "b"]).map(str.upper).take_all() == ["A", "B"]
    assert data.range(5).map_batches(lambda batch: [2 * i for i in batch]).sum() == 20
    assert data.range(3).map_batches(lambda a: a + 1, batch_format="numpy").take_all() == [1, 2, 3]


def test_records_have_a_schema():
    ds = data.from_items([{"a": 1, "b": "x"}, {"a": 2, "b": None}])
    assert ds.schema() == pa.schema({"a": pa.int64(), "b": pa.string()})
    assert ds.columns() == ["a", "b"]
    assert ds.take_all() == [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


def test_every_way_to_make_one():
    frame = pd.DataFrame({"a": [1, 2]})
    assert data.from_pandas(frame).to_pandas().equals(frame)
    assert data.from_pandas([frame, frame]).count() == 4
    assert data.from_arrow(pa.table({"a": [1]})).take_all() == [{"a": 1}]
    array = np.arange(6).reshape(3, 2)
    np.testing.assert_array_equal(data.from_numpy(array).take_batch()["data"], array)
    assert data.from_numpy([np.arange(2), np.arange(3)]).count() == 5
    assert data.range_table(3).take_all() == [{"value": 0}, {"value": 1}, {"value": 2}]
    np.testing.assert_array_equal(
        data.range_tensor(3, shape=(2, 2)).take(3)[2]["data"], [[2, 2]] * 2
    )
    assert data.range(0).take_all() == []


def test_what_datasets_are_made_from_may_change_afterwards():
    array, frame = np.zeros(2), pd.DataFrame({"a": [0.0, 0.0]})
    from_array, from_frame = data.from_numpy(array), data.from_pandas(frame)
    array[:] = 1
    frame.loc[:, "a"] = 1.0
    assert from_array.sum("data") == from_frame.sum("a") == 0


def test_rows_in_rows_out():
    ds = data.range(100, parallelism=7)
    assert ds.map(lambda i: {"i": i}).take_all() == [{"i": i} for i in range(100)]
    assert ds.filter(lambda i: i % 10 == 0).take_all() == list(range(0, 100, 10))
    assert ds.flat_map(lambda i: [i] * (i % 3)).count() == sum(i % 3 for i in range(100))
    assert ds.map(pow, fn_args=[2]).sum() == sum(i**2 for i in range(100))
    assert ds.map(int.__add__, fn_args=(1,)).take(2) == [1, 2]


def test_batches_in_every_format():
    ds = data.from_items([{"x": i} for i in range(50)], parallelism=3)

    def double_frame(batch: pd.DataFrame) -> pd.DataFrame:
        return batch * 2

    def double_table(batch: pa.Table):
        assert isinstance(batch, pa.Table)
        return {"x": [2 * x.as_py() for x in batch["x"]]}

    def double_arrays(batch):
        batch["x"] *= 2
        return batch

    def double_parts(batch):
        yield {"x": batch["x"][:1] * 2}
        yield {"x": batch["x"][1:] * 2}

    for fn in (double_frame, double_table, double_arrays, double_parts):
        assert ds.map_batches(fn, batch_size=8).sum("x") == 2 * sum(range(50))
    sizes = ds.map_batches(lambda batch: {"n": [len(batch["x"])]}, batch_size=8).take_all()
    assert max(row["n"] for row in sizes) == 8
    whole = ds.map_batches(lambda batch: {"n": [len(batch["x"])]}, batch_size=None).take_all()
    assert [row["n"] for row in whole] == [16, 17, 17]


def test_small_blocks_are_put_together_for_a_batch_size():
    ds = data.range(100, parallelism=20)
    sizes = ds.map_batches(lambda batch: [len(batch)], batch_size=10).take_all()
    assert sizes == [10] * 10
    later = ds.filter(lambda i: i < 50).map_batches(len_of, batch_size=25, concurrency=1)
    assert later.take_all() == [25, 25]


def len_of(batch):
    return [len(batch)]


class AddAndCount:
    made = 0

    def __init__(self, summand, *, factor=1):
        self.summand, self.factor, self.seen = summand, factor, 0

    def __call__(self, row):
        self.seen += 1
        return {"y": row * self.factor + self.summand, "seen": self.seen}


def test_callable_classes_are_made_once_for_each_worker():
    ds = data.range(12, parallelism=4).map(
        AddAndCount,
        fn_constructor_args=[100],
        fn_constructor_kwargs={"factor": 2},
        concurrency=1,
    )
    rows = ds.take_all()
    assert [row["y"] for row in rows] == [100 + 2 * i for i in range(12)]
    assert [row["seen"] for row in rows] == list(range(1, 13))


def test_pools_keep_the_order():
    pool = data.ActorPoolStrategy(min_size=1, max_size=3)
    ds = data.range(40, parallelism=10).map(AddAndCount, fn_constructor_args=[0], compute=pool)
    assert [row["y"] for row in ds.take_all()] == list(range(40))
    stages = (
        ds.map(lambda row: row["y"])
        .filter(lambda y: y % 2)
        .map(AddAndCount, fn_constructor_args=[1], concurrency=(1, 2))
    )
    assert [row["y"] for row in stages.take_all()] == list(range(2, 41, 2))


def test_functions_may_run_on_a_pool_too():
    pool = data.ActorPoolStrategy(size=2, max_tasks_in_flight_per_actor=1)
    ds = data.range_table(20, parallelism=5)
    doubled = ds.map_batches(lambda batch: {"value": batch["value"] * 2}, compute=pool)
    assert doubled.take_all() == [{"value": 2 * i} for i in range(20)]
    summed = doubled.add_column("more", lambda frame: frame["value"] + 1, compute=pool)
    assert summed.take(2) == [{"value": 0, "more": 1}, {"value": 2, "more": 3}]


def test_more_resources_than_there_are_is_an_error_wherever_the_rows_are_made():
    ds = data.range(10, parallelism=5)
    for options in ({"num_gpus": 1}, {"num_cpus": 64}, {"resources": {"robot": 1}}):
        with pytest.raises(Unschedulable, match=r"map\(abs\)"):
            ds.map(abs, **options).take_all()
    assert ds.map(abs, num_cpus=1, num_gpus=None).take_all() == list(range(10))


def test_rows_without_columns_are_still_rows():
    ds = data.from_items([{"a": i} for i in range(10)], parallelism=3).drop_columns("a")
    assert ds.take_all() == [{}] * 10
    assert ds.random_shuffle(seed=1).count() == 10
    assert len(ds.random_shuffle(seed=1).take_all()) == 10
    assert ds.filter(lambda row: row == {}).count() == 10
    assert ds.repartition(4).add_column("b", lambda frame: 1).sum("b") == 10
    assert len(ds.materialize().limit(7).take_all()) == 7


def test_columns_can_be_picked_and_named():
    ds = data.from_items([{"a": i, "b": str(i), "c": i / 2} for i in range(5)], parallelism=2)
    assert ds.select_columns(["c", "a"]).columns() == ["c", "a"]
    assert ds.select_columns("b").take(1) == [{"b": "0"}]
    assert ds.drop_columns(["a", "c"]).columns() == ["b"]
    assert ds.rename_columns({"a": "x", "b": "a"}).take(1) == [{"x": 0, "a": "0", "c": 0.0}]
    added = ds.add_column("d", lambda frame: frame["a"] * 10)
    assert added.columns() == ["a", "b", "c", "d"]
    assert added.sum("d") == 100
    replaced = ds.add_column("b", lambda batch: batch["a"] + 1, batch_format="numpy")
    assert replaced.take(2)[1] == {"a": 1, "b": 2, "c": 0.5}
    assert ds.add_column("k", lambda frame: 7).unique("k") == [7]


def test_limits_take_the_first_rows():
    ds = data.range(30, parallelism=5)
    assert ds.limit(8).take_all() == list(range(8))
    assert ds.limit(0).take_all() == []
    assert ds.limit(99).count() == 30
    assert ds.filter(lambda i: i > 9).limit(4).map(str).take_all() == ["10", "11", "12", "13"]
    assert ds.limit(8).filter(lambda i: i % 2).limit(2).take_all() == [1, 3]
    assert ds.flat_map(lambda i: [i, i]).limit(3).take_all() == [0, 0, 1]


def test_a_limit_stops_reading():
    read = []

    class Endless(Datasource):
        def get_read_tasks(self, parallelism):
            return [ReadTask(lambda i=i: self.blocks(i)) for i in range(1000)]

        def blocks(self, i):
            read.append(i)
            yield [i]

    assert data.read_datasource(Endless()).map(str).take(3) == ["0", "1", "2"]
    assert len(read) < 30


def test_union_keeps_the_order_and_brings_types_together():
    one = data.from_items([{"a": 1}, {"a": 2}])
    two = data.from_items([{"a": 2.5, "b": "x"}])
    both = one.union(two, one.map(lambda row: {"a": -row["a"]}))
    assert both.to_pandas()["a"].tolist() == [1, 2, 2.5, -1, -2]
    assert both.count() == 5
    assert data.range(2).union(data.range(3)).limit(4).take_all() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    "other",
    [
        lambda ds: ds.rename_columns({"b": "c"}),
        lambda ds: ds.filter(data.col("a") > 0).rename_columns({"b": "c"}),
        lambda ds: ds.filter(lambda row: True).drop_columns("b").limit(5),
        lambda ds: ds.select_columns("a").random_shuffle(seed=1).sort("a"),
    ],
)
def test_columns_that_only_one_part_has_are_missing_values_of_the_others(placement, other):
    ds = data.from_items([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])
    more = other(ds)
    both = ds.union(more)
    expected = pd.concat([ds.to_pandas(), more.to_pandas()], ignore_index=True)
    expected = expected.astype(object).where(expected.notna(), None)
    assert both.columns() == list(expected.columns)
    assert both.take_all() == expected.to_dict("records")
    for name in expected.columns:
        assert both.select_columns(name).take_all() == expected[[name]].to_dict("records")
    assert both.sort("b").select_columns("b").to_pandas()["b"].tolist()[:2] == ["x", "y"]
    assert both.count() == 4


def test_columns_and_types_that_are_picked_are_known_without_a_run():
    ds = data.from_items([{"a": 1, "b": "x"}]).filter(lambda row: 1 // 0)
    assert ds.schema() == pa.schema({"a": pa.int64(), "b": pa.string()})
    picked = ds.rename_columns({"a": "c"}).select_columns(["c"])
    assert picked.schema() == pa.schema({"c": pa.int64()})
    assert ds.drop_columns("a").schema() == pa.schema({"b": pa.string()})
    assert ds.select_columns(["a"]).filter(data.col("a") > 0).schema().names == ["a"]


def test_rows_from_several_places_have_one_schema():
    schema = pa.schema({"a": pa.float64(), "b": pa.string()})
    rows = [{"a": 1.0, "b": None}, {"a": 0.5, "b": "x"}, {"a": None, "b": "y"}]
    tables = [pa.table({"a": [1]}), pa.table({"a": [0.5], "b": ["x"]}), pa.table({"b": ["y"]})]
    several = data.from_arrow(tables)
    one, *others = (data.from_arrow(table) for table in tables)
    for ds in (several, data.from_pandas([t.to_pandas() for t in tables]), one.union(*others)):
        assert ds.schema() == schema
        assert ds.columns() == ["a", "b"]
        assert ds.take_all() == rows
        assert ds.select_columns("b").take(1) == [{"b": None}]
        assert [len(batch) for batch in ds.iter_batches(batch_size=2, batch_format="pandas")] == [
            *(2, 1)
        ]
    empty = data.from_pandas([pd.DataFrame({"a": []}), pd.DataFrame({"a": ["x"]})])
    assert empty.take_all() == [{"a": "x"}]


def test_rows_that_are_known_not_to_go_together_are_refused_at_the_call():
    numbers, texts = data.from_items([{"a": 1}]), data.from_items([{"a": "x"}])
    with pytest.raises(data.UnsupportedValue, match="column 'a' has the types int64 in from_items"):
        numbers.union(texts)
    with pytest.raises(data.UnsupportedValue, match="some blocks hold records and others plain"):
        numbers.union(data.range(3))


def test_tables_are_no_items():
    with pytest.raises(TypeError, match="use from_pandas"):
        data.from_items(pd.DataFrame({"a": [1]}))
    with pytest.raises(TypeError, match="use from_arrow"):
        data.from_items(pa.table({"a": [1]}))


def test_records_of_pandas_are_items():
    frame = pd.DataFrame({"t": pd.to_datetime(["2020-01-01", None]), "s": ["x", None]})
    assert data.from_items(frame.to_dict("records")).take_all() == [
        {"t": dt.datetime(2020, 1, 1), "s": "x"},
        {"t": None, "s": None},
    ]


def test_repartition_keeps_the_order():
    ds = data.range(10, parallelism=4)
    for blocks in (1, 3, 10, 15):
        divided = ds.repartition(blocks).materialize()
        assert divided.num_blocks() == blocks
        assert divided.take_all() == list(range(10))
    assert ds.map(str).repartition(2).map(int).take_all() == list(range(10))
    assert data.from_items([]).repartition(2).count() == 0


def test_a_seed_gives_one_order_however_the_rows_are_divided():
    orders = [
        data.range(50, parallelism=blocks).random_shuffle(seed=3).take_all() for blocks in (1, 4, 9)
    ]
    assert orders[0] == orders[1] == orders[2]
    assert orders[0] != list(range(50))
    assert sorted(orders[0]) == list(range(50))
    assert data.range(50).random_shuffle(seed=4).take_all() != orders[0]


def test_the_number_of_blocks_of_a_shuffle_can_be_chosen():
    ds = data.range(50, parallelism=4)
    order = ds.random_shuffle(seed=3).take_all()
    for blocks in (1, 3, 60):
        shuffled = ds.random_shuffle(seed=3, num_blocks=blocks)
        assert shuffled.num_blocks() == blocks
        materialized = shuffled.materialize()
        assert materialized.num_blocks() == blocks
        assert materialized.take_all() == order
    dealt = ds.repartition(5, shuffle=True).materialize()
    assert dealt.num_blocks() == 5
    assert sorted(dealt.take_all()) == list(range(50)) != dealt.take_all()


def test_a_shuffle_without_a_seed_has_one_order_too():
    shuffled = data.range(50).random_shuffle()
    assert shuffled.take_all() == shuffled.take_all()
    assert shuffled.take_all() != data.range(50).random_shuffle().take_all()
    assert data.from_items([]).random_shuffle().take_all() == []


def test_shuffled_tables_keep_rows_whole():
    ds = data.from_items([{"a": i, "b": str(i)} for i in range(30)], parallelism=4)
    rows = ds.random_shuffle(seed=0).take_all()
    assert all(row["b"] == str(row["a"]) for row in rows)


def test_splits_are_contiguous_and_even():
    ds = data.range(10, parallelism=3)
    assert [part.take_all() for part in ds.split(3)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]
    assert [part.count() for part in ds.split(3, equal=True)] == [3, 3, 3]
    assert [part.count() for part in ds.split(20)].count(0) == 10
    assert [part.take_all() for part in ds.split_at_indices([2, 2, 99])] == [
        [0, 1],
        [],
        list(range(2, 10)),
        [],
    ]
    assert [part.count() for part in ds.split_proportionately([0.2, 0.5])] == [2, 5, 3]
    train, test = ds.train_test_split(0.3)
    assert (train.take_all(), test.take_all()) == (list(range(7)), [7, 8, 9])
    train, test = ds.train_test_split(4, shuffle=True, seed=1)
    assert len(test.take_all()) == 4
    assert sorted(train.take_all() + test.take_all()) == list(range(10))


def test_shares_of_rows_are_not_lost_to_binary_fractions():
    ds = data.range(10)
    for tenths in range(1, 10):
        train, test = ds.train_test_split(tenths / 10)
        assert test.count() == tenths
        assert train.count() == 10 - tenths


def test_parts_can_be_sent_to_actors():
    parts = data.from_items([{"a": i} for i in range(150)], parallelism=10).split(4, equal=True)

    @air.remote
    class Counter:
        def count(self, part):
            return part.count(), part.map(lambda row: {"a": row["a"] + 1}).min("a")

    counters = [Counter.remote() for _ in parts]
    found = air.get([c.count.remote(part) for c, part in zip(counters, parts, strict=True)])
    assert found == [(37, 1), (37, 38), (37, 75), (37, 112)]


def test_iterators_over_shares_can_be_sent():
    ds = data.range(100, parallelism=8).map(lambda i: i + 1)

    @air.remote(num_cpus=0)  # all of them at the same time
    def total(iterator):
        return sum(iterator.iter_rows()), sum(iterator.iter_rows())

    for shares in (
        ds.streaming_split(3),
        ds.streaming_split(9),
        ds.materialize().streaming_split(3),
        ds.limit(100).streaming_split(2, equal=True),
    ):
        found = air.get([total.remote(share) for share in shares])
        assert sum(first for first, _ in found) == 5050
        assert all(first == second for first, second in found)
    assert [len(list(s.iter_rows())) for s in ds.materialize().streaming_split(3)] == [33, 33, 34]


def test_materialized_rows_are_not_made_again():
    calls = []

    def slow(row):
        calls.append(row)
        return row

    ds = data.range(4).map(slow).materialize()
    before = len(calls)
    assert ds.take_all() == [0, 1, 2, 3]
    assert ds.count() == 4
    assert len(calls) == before
    assert ds.materialize() is ds
    assert ds.is_materialized


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([3, None, 3, 1, None, 2, 1]), [3, None, 1, 2]),
        (pa.array([1.5, None, 2.5, 1.5, 0.0, 2.5]), [1.5, None, 2.5, 0.0]),
        (pa.array([0.0, 1.5, -0.0, math.nan, None, math.nan]), [0.0, 1.5, math.nan, None]),
        (pa.array(np.array([1, 0, 1, 2], np.float16)), [1.0, 0.0, 2.0]),
        (pa.array(["b", None, "a", "b"], pa.string_view()), ["b", None, "a"]),
        (pa.array([True, None, False, True]), [True, None, False]),
        (pa.array(["b", "a", "b", None]).dictionary_encode(), ["b", "a", None]),
        (pa.array([dt.date(2024, 1, 1), None] * 2), [dt.date(2024, 1, 1), None]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_different_values_across_blocks(values, expected):
    pieces = [pa.table({"a": values.slice(at, 2)}) for at in range(0, len(values), 2)]
    assert list(map(str, data.from_arrow(pieces).unique("a"))) == list(map(str, expected))


def test_numbers_about_columns():
    frame = pd.DataFrame({"a": [3, 1, 2, 2], "b": [0.5, None, 1.5, 2.5]})
    ds = data.from_pandas(frame).repartition(3)
    assert ds.sum("a") == 8
    assert ds.min() == {"min(a)": 1, "min(b)": 0.5}
    assert ds.max(["b"]) == {"max(b)": 2.5}
    assert ds.mean("b") == 1.5
    assert ds.std("b") == pytest.approx(frame["b"].std())
    assert ds.std("a", ddof=0) == pytest.approx(frame["a"].std(ddof=0))
    assert ds.sum("b", ignore_nulls=False) is None
    assert ds.unique("a") == [3, 1, 2]
    assert ds.unique("b") == [0.5, None, 1.5, 2.5]
    assert data.range(5).mean() == 2
    assert data.range(5).unique() == [0, 1, 2, 3, 4]
    assert data.from_items([{"s": "b"}, {"s": "a"}]).min("s") == "a"
    assert ds.filter(lambda row: False).sum("a") is None


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([True] * 3 + [False] * 3 + [True] * 11 + [False] * 11, 0.5),
        ([1] * 10 + [2] * 20 + [None], 5 / 3),
        ([Decimal("0.1"), Decimal("-0.1")] * 7, 0.0),
        ([2**63 - 1] * 5, float(2**63 - 1)),
    ],
)
def test_means_do_not_depend_on_how_the_rows_are_divided(values, mean):
    rows = [{"a": value} for value in values]
    assert {data.from_items(rows, parallelism=n).mean("a") for n in (1, 2, 4, 7)} == {mean}


def test_decimals_in_one_block_and_floats_in_another_have_a_mean():
    rows = data.range(2, parallelism=2).map(lambda n: {"a": Decimal("0.5") if n else 1.5})
    assert rows.mean("a") == 1.0


def test_sums_of_whole_numbers_are_exact():
    for blocks in (1, 2):
        signed = data.from_items([{"a": 2**63 - 1}] * 3 + [{"a": -5}, {"a": None}])
        assert signed.repartition(blocks).sum("a") == 3 * (2**63 - 1) - 5
        unsigned = data.from_items([{"a": 2**64 - 1}, {"a": 2**64 - 1}])
        assert unsigned.repartition(blocks).sum("a") == 2 * (2**64 - 1)
        small = data.from_arrow(pa.table({"a": pa.array([127, 127], pa.int8())}))
        assert small.repartition(blocks).sum("a") == 254


def test_numbers_about_columns_of_other_types():
    halves = data.from_numpy(np.array([1.5, 2.0], dtype="f2"))
    assert (halves.sum("data"), halves.min("data"), halves.mean("data")) == (3.5, 1.5, 1.75)
    spans = data.from_items([{"a": dt.timedelta(seconds=s)} for s in (2, 1)])
    assert (spans.min("a"), spans.max("a")) == (
        dt.timedelta(seconds=1),
        dt.timedelta(seconds=2),
    )
    assert data.from_items([{"a": 0.0}, {"a": -0.0}]).unique("a") == [0.0]
    mixed = data.range_table(2, parallelism=2).map(
        lambda row: {"a": 1} if row["value"] else {"a": "x"}
    )
    with pytest.raises(data.UnsupportedValue, match="min: column 'a' has values in different"):
        mixed.min("a")


def test_taking_rows():
    ds = data.range(30)
    assert len(ds.take()) == 20
    assert ds.take_all(limit=30) == list(range(30))
    assert ds.take_batch(3) == [0, 1, 2]
    assert data.from_items([{"a": 1}]).take_batch(batch_format="pandas")["a"].tolist() == [1]
    assert ds.to_arrow().to_pydict() == {"value": list(range(30))}
    assert len(ds.to_pandas(limit=30)) == 30


def test_show_prints_rows(capsys):
    data.from_items([{"a": 1}, {"a": 2}]).show(1)
    assert capsys.readouterr().out == "{'a': 1}\n"


def test_size_and_blocks():
    ds = data.from_arrow(pa.table({"a": np.arange(100)})).repartition(4)
    assert ds.num_blocks() == 4
    assert ds.size_bytes() == 800
    assert ds.materialize().size_bytes() == 800


def test_default_batches_are_dictionaries_or_lists():
    assert data.range(3).default_batch_format() is list
    assert data.range_table(3).default_batch_format() is dict
    ds = data.range(3).map(lambda i: {"a": i})
    assert ds.default_batch_format() is type(ds.take_batch()) is dict
    with pytest.raises(ValueError, match="default_batch_format: there are no rows"):
        data.from_items([]).default_batch_format()


def test_settings_are_those_of_the_process():
    assert data.range(3).context is data.DataContext.get_current()


def test_a_copy_has_stats_of_its_own():
    ds = data.range(3).map(lambda i: i + 1)
    copy = data.Dataset.copy(ds)
    assert type(copy) is data.Dataset
    assert copy.take_all() == [1, 2, 3]
    assert "3 rows" in copy.stats()
    assert repr(ds.stats()) == "not run yet"
    whole = ds.materialize()
    assert whole.copy().is_materialized
    assert whole.copy().stats() == whole.stats()


def test_stats_tell_what_each_stage_did():
    ds = data.range(10, parallelism=2).map(lambda i: i)
    assert ds.stats() == "not run yet"
    ds.take_all()
    assert "map(<lambda>): 10 rows in 2 blocks" in ds.stats()
    assert "map(<lambda>): 10 rows in 2 blocks" in ds.materialize().stats()


def test_small_batches_do_not_make_small_blocks():
    ds = data.range_table(100_000, parallelism=1).map_batches(lambda batch: batch, batch_size=100)
    blocks = ds.materialize()
    assert blocks.num_blocks() < 20
    assert [row["value"] for row in blocks.take_all()] == list(range(100_000))


def test_large_blocks_are_divided(monkeypatch):
    monkeypatch.setattr(DataContext.get_current(), "target_max_block_size", 800)
    ds = data.from_arrow(pa.table({"a": np.arange(1000)})).map_batches(lambda b: b, batch_size=None)
    materialized = ds.materialize()
    assert materialized.num_blocks() == 10
    assert materialized.sum("a") == 499500
    assert materialized.repartition(1).materialize().num_blocks() == 1


def test_a_small_memory_budget_changes_nothing_but_the_pace(monkeypatch):
    monkeypatch.setattr(DataContext.get_current(), "memory_budget", 1)
    ds = data.range(100, parallelism=20).map(lambda i: {"i": i}).map(AddTen, concurrency=2)
    assert [row["i"] for row in ds.take_all()] == list(range(10, 110))


class AddTen:
    def __call__(self, row):
        return {"i": row["i"] + 10}


def test_an_error_keeps_its_class_its_line_and_learns_where_it_was():
    class Odd(Exception):
        pass

    def refuse(row):
        if row == 7:
            raise Odd("seven")
        return row

    with pytest.raises(Odd, match="seven") as raised:
        data.range(20, parallelism=2).map(refuse).take_all()
    assert raised.traceback[-1].name == "refuse"
    assert raised.value.__notes__ == [
        "in map(refuse), at row 7 of its input from range 0-9 (int objects)"
    ]


def test_an_error_in_a_batch_tells_rows_columns_and_source():
    def refuse(batch):
        raise KeyError("nope")

    ds = data.from_items([{"a": 1, "b": "x"}] * 10, parallelism=1)
    with pytest.raises(KeyError) as raised:
        ds.map_batches(refuse, batch_size=4).take_all()
    assert raised.traceback[-1].name == "refuse"
    (note,) = raised.value.__notes__
    assert note == (
        "in map_batches(refuse), at rows 0-3 of its input from from_items, items 0-9"
        " (columns a: int64, b: string)"
    )


def test_what_a_function_returns_is_blamed_on_it():
    with pytest.raises(data.UnsupportedValue, match=r"what map_batches\(<lambda>\) returned"):
        data.range(3).map_batches(lambda batch: 5).take_all()
    with pytest.raises(data.UnsupportedValue, match=r"what map\(<lambda>\) returned.*'a' mixes"):
        data.from_items([1, "x"], parallelism=1).map(lambda x: {"a": x}).take_all()
    with pytest.raises(data.UnsupportedValue, match=r"flat_map\(<lambda>\) must return a list"):
        data.range(3).flat_map(lambda i: i).take_all()
    wrong = data.from_items([{"a": 1}]).add_column("b", lambda frame: [1, 2])
    with pytest.raises(data.UnsupportedValue, match="must return one value for each of the 1"):
        wrong.take_all()


def test_a_column_that_is_missing_when_the_plan_runs_is_named():
    ds = data.from_items([{"abc": 1}]).map(lambda row: row)
    with pytest.raises(data.ColumnNotFound, match=r"no column 'abd'\. Did you mean 'abc'"):
        ds.select_columns("abd").take_all()
    with pytest.raises(data.UnsupportedValue, match="rows are plain int objects"):
        data.range(2).map(lambda i: i).drop_columns("a").take_all()


@pytest.mark.parametrize(
    "step",
    [
        lambda ds: ds.sort("b"),
        lambda ds: ds.groupby("b").count(),
        lambda ds: ds.distinct("b"),
        lambda ds: ds.select_columns("b"),
        lambda ds: ds.with_column("c", data.col("b") + 1),
    ],
)
def test_columns_that_only_other_blocks_have_are_told_with_what_to_do(step):
    parts = [data.range(2).map(lambda i, name=name: {name: i}) for name in "ab"]
    ds = parts[0].union(parts[1])
    with pytest.raises(data.ColumnNotFound, match="no column 'b'") as raised:
        step(ds).take_all()
    assert any("materialize() before this step" in note for note in raised.value.__notes__)
    assert len(step(ds.materialize()).take_all()) >= 3


def test_a_dataset_says_what_it_is_without_running():
    def never(row):
        pytest.fail("ran")

    ds = data.from_items([{"a": 1}]).map(never).limit(3)
    assert repr(ds) == (
        "Dataset(num_rows=1, schema=unknown)\n+- limit(3)\n   +- map(never)\n      +- from_items"
    )
    made = data.from_items([{"a": 1}])
    assert repr(made) == "Dataset(num_blocks=1, num_rows=1, schema={a: int64})\n   a\n   1"
    assert "num_rows=5, schema=<class 'int'>" in repr(data.range(5))


def test_a_debugger_can_stop_in_user_code(placement, backend):
    if placement == "tasks" and backend != "local":
        pytest.skip("tasks run in other processes")
    threads = data.range(8).map(lambda i: threading.get_ident()).unique()
    assert threads == [threading.get_ident()]


def test_a_slow_job_moves_to_tasks_midway(monkeypatch, placement):
    if placement == "tasks":
        pytest.skip("begins on tasks")
    from air.data.execution import run

    clock = iter(range(10_000))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(run, "can_run_in_parallel", lambda: True)
    ds = data.range(40, parallelism=8).map(lambda i: i + 1)
    assert ds.take_all() == list(range(1, 41))
    assert "40 rows in 8 blocks" in ds.stats()
    assert "7 tasks" in ds.stats()


def test_task_errors_are_task_errors(placement):
    def refuse(row):
        raise ValueError(row)

    with pytest.raises(ValueError, match="0") as raised:
        data.range(3).map(refuse).take_all()
    assert isinstance(raised.value, TaskError) == (placement == "tasks")


def keyed(number):
    """Rows with other keys from one to the next."""
    given = [{"x": number}, {"x": number, "y": -number}, {"z": None, "x": number}]
    return given[number % 3]


@pytest.mark.parametrize("blocks", [1, 2, 5, 7])
def test_all_rows_have_the_keys_of_all(blocks):
    made = [keyed(number) for number in range(7)]
    every = [{"x": None, "y": None, "z": None} | row for row in made]
    ds = data.range(7).repartition(blocks).map(keyed)
    for found in (ds, ds.map(dict), ds.flat_map(lambda row: [row]), ds.materialize()):
        assert found.take_all() == found.take_all(7) == every
        assert [list(row) for row in found.take_all()] == [["x", "y", "z"]] * 7
        assert found.to_pandas().columns.tolist() == ["x", "y", "z"]
    assert ds.repartition(3).take_all() == ds.sort("x").take_all() == every
    assert ds.random_shuffle(seed=1).sort("x").take_all() == every
    for row, own in zip(ds.iter_rows(), made, strict=True):
        assert row == dict.fromkeys(row) | own


def test_keys_of_rows_that_are_no_records_are_left_alone():
    assert data.range(3).repartition(3).map(lambda n: (n, {"a": n})).take_all() == [
        (0, {"a": 0}),
        (1, {"a": 1}),
        (2, {"a": 2}),
    ]
