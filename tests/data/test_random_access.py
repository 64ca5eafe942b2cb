"""Rows by their key: what a dictionary that pandas makes of the rows has."""

from __future__ import annotations

import datetime
import math
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import air
from air import data
from air.data.blocks.handle import BlockHandle
from air.data.random_access.keys import keys_as, searchable
from air.data.random_access.search import first_at_least, found_at
from air.data.random_access.shard import Shard
from air.errors import InvalidOption
from air.executor.capabilities import Capability
from air.executor.current import get_executor

NEAR_LIMITS = st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 2**70])
WHOLE = st.integers(-5, 5) | NEAR_LIMITS
FLOATS = st.sampled_from([0.0, -0.0, 0.5, 0.1, 1.0, 1e300, float(2**53), float(2**63), math.inf])
DECIMALS = st.decimals(-3, 3, places=1) | st.sampled_from([Decimal("0.125"), Decimal(2**53 + 1)])
NUMBERS = WHOLE | FLOATS | DECIMALS
TEXT = st.text(st.sampled_from("aä\U0001f600\0"), max_size=2)
WHEN = st.datetimes(datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, 0, 0, 2))
FAR = st.sampled_from([datetime.datetime.min, datetime.datetime.max])
DATES = st.dates(datetime.date(2020, 1, 1), datetime.date(2020, 1, 5))
TIMES = st.sampled_from([datetime.time(1), datetime.time(1, 0, 0, 1), datetime.time(2)])
SPANS = st.timedeltas(datetime.timedelta(0), datetime.timedelta(microseconds=5))

KINDS = {
    "int64": (pa.int64(), st.integers(-5, 5) | st.sampled_from([2**53 + 1, 2**63 - 1]), NUMBERS),
    "int8": (pa.int8(), st.integers(-5, 5), NUMBERS),
    "uint64": (pa.uint64(), st.integers(0, 5) | st.sampled_from([2**63, 2**64 - 1]), NUMBERS),
    "double": (pa.float64(), FLOATS, NUMBERS),
    "float": (pa.float32(), st.sampled_from([0.5, 1.0, 2.0**24]), NUMBERS),
    "decimal": (pa.decimal128(4, 1), st.decimals(-3, 3, places=1), NUMBERS),
    "bool": (pa.bool_(), st.booleans(), st.booleans()),
    "text": (pa.string(), TEXT, TEXT),
    "category": (pa.dictionary(pa.int32(), pa.string()), TEXT, TEXT),
    "bytes": (pa.binary(), st.binary(max_size=2), st.binary(max_size=2)),
    "fixed": (pa.binary(1), st.binary(min_size=1, max_size=1), st.binary(max_size=2)),
    "timestamp": (pa.timestamp("us"), WHEN | FAR, WHEN | FAR),
    "seconds": (pa.timestamp("s"), WHEN.map(lambda t: t.replace(microsecond=0)), WHEN),
    "zoned": (
        pa.timestamp("ns", "Europe/Zurich"),
        WHEN.map(lambda t: t.replace(tzinfo=datetime.UTC)),
        WHEN.map(lambda t: t.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=1)))),
    ),
    "date": (pa.date32(), DATES, DATES),
    "date64": (pa.date64(), DATES, DATES),
    "time": (pa.time64("us"), TIMES, TIMES),
    "duration": (pa.duration("us"), SPANS, SPANS),
}


def first_of(values):
    found = {}
    for place, value in enumerate(values):
        found.setdefault(value, place)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_found_as_a_dictionary_finds_them(kind):
    arrow, values, asked = KINDS[kind]

    @settings(max_examples=25, deadline=None)
    @given(st.lists(values, min_size=1, max_size=9).map(sorted), st.lists(st.none() | asked))
    def check(values, asked):
        column = searchable(pa.chunked_array([pa.array(values, arrow)])).combine_chunks()
        keys = keys_as(asked, column.type, "k", "get")
        assert keys.type == column.type
        known = first_of(values)
        assert found_at(column, keys).to_pylist() == [known.get(key) for key in asked]

    check()


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXT).map(sorted), st.lists(TEXT) | st.lists(TEXT, min_size=9))
def test_texts_are_searched_one_by_one_or_together(values, keys):
    places = first_at_least(pa.array(values, pa.string()), pa.array(keys, pa.string()))
    assert places.tolist() == [sum(value < key for value in values) for key in keys]


@pytest.mark.parametrize(
    ("column", "keys"),
    [
        (pa.array([1, 2]), [np.int8(2), np.float32(2.0), np.uint64(2)]),
        (pa.array(["a", "b"]), [np.str_("b")]),
        (pa.array([1.5, 2.5]), [np.float64(2.5)]),
        (
            pa.array([0, 1], pa.timestamp("ns")),
            [pd.Timestamp(1, unit="ns"), np.datetime64(1, "ns")],
        ),
        (pa.array([0, 3_600], pa.timestamp("s")), [np.datetime64("1970-01-01T01")]),
        (pa.array([0, 1], pa.duration("ns")), [pd.Timedelta(1, unit="ns")]),
        (pa.array([0, 60], pa.duration("s")), [np.timedelta64(1, "m")]),
    ],
)
def test_objects_of_numpy_and_pandas_are_keys(column, keys):
    values = searchable(pa.chunked_array([column])).combine_chunks()
    for key in keys:
        assert found_at(values, keys_as([key], values.type, "k", "get")).to_pylist() == [1]


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        (pa.array([-0.0, 0.5]), [0.0, -0.0, 0.5, 0.25, 2.0]),
        (pa.array(["", "a", "ä"]), ["", "a", "b", "ä", "z"]),
        (pa.array([1, 2], pa.timestamp("ns")), [pd.Timestamp(1), pd.Timestamp(3)]),
        (pa.array([Decimal("1.5")]), [Decimal("1.50"), 1.5, 1]),
    ],
)
def test_one_key_is_found_as_several_are(values, asked):
    table = pa.table({"k": values, "row": range(len(values))})
    shard = Shard([BlockHandle.of_block(part) for part in (table[:1], table[1:])], "k")
    keys = keys_as(asked, shard.last_key().type, "k", "get")
    is_found, rows = shard.multiget(keys)
    each = [shard.get(keys.slice(place, 1)) for place in range(len(keys))]
    assert [row is not None for row in each] == is_found.to_pylist()
    assert [row["row"] for row in each if row is not None] == rows["row"].to_pylist()
    assert (shard.stats().asked, shard.stats().found) == (2 * len(keys), 2 * len(rows))


def test_what_is_missing_is_no_key():
    missing = [None, math.nan, pd.NaT, pd.NA, np.datetime64("NaT")]
    for kind in (pa.int64(), pa.float64(), pa.large_string(), pa.timestamp("us", "UTC")):
        assert keys_as(missing, kind, "k", "get").null_count == len(missing)


@pytest.mark.parametrize(
    ("kind", "key", "wants"),
    [
        (pa.int64(), "1", "a number"),
        (pa.int64(), True, "a number"),
        (pa.float64(), 1j, "a number"),
        (pa.int64(), np.timedelta64(1, "s"), "a number"),
        (pa.large_string(), 1, "text"),
        (pa.large_string(), b"a", "text"),
        (pa.large_binary(), "a", "bytes"),
        (pa.bool_(), 1, "a bool"),
        (pa.date32(), datetime.datetime(2020, 1, 1), "a date"),
        (pa.timestamp("us"), datetime.date(2020, 1, 1), "a datetime"),
        (pa.timestamp("us"), "2020-01-01", "a datetime"),
    ],
)
def test_keys_of_another_type_are_refused_by_name(kind, key, wants):
    message = (
        f"get: keys are in the column 'k' of the type {kind}, got {key!r} of the type"
        f" {type(key).__name__}; give {wants}"
    )
    with pytest.raises(data.UnsupportedValue, match=re.escape(message)):
        keys_as([None, key], kind, "k", "get")


@pytest.mark.parametrize(
    ("kind", "key", "message"),
    [
        (pa.timestamp("us"), datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), "have no zone"),
        (pa.timestamp("us", "UTC"), datetime.datetime(2020, 1, 1), "have the zone UTC"),
        (pa.timestamp("us", "UTC"), np.datetime64("2020-01-01"), "have the zone UTC"),
    ],
)
def test_times_with_and_without_a_zone_do_not_go_together(kind, key, message):
    with pytest.raises(data.UnsupportedValue, match=f"times in the column 'k'.*{message}"):
        keys_as([key], kind, "k", "get")


def by_key(frame, key):
    """What pandas makes of the rows: the first one of each key, save for missing ones."""
    known = frame.dropna(subset=[key]).drop_duplicates(key)
    return known.set_index(key, drop=False).to_dict("index")


@pytest.mark.parametrize("key", ["n", "x", "t", "when"])
def test_rows_are_those_of_pandas(backend, key):
    random = np.random.default_rng(3)
    numbers = random.integers(0, 60, 300)
    frame = pd.DataFrame(
        {
            "n": numbers,
            "x": np.where(numbers % 7 == 0, np.nan, numbers / 4),
            "t": [None if n % 5 == 0 else f"ü{n}" for n in numbers],
            "when": pd.Timestamp("2024-02-28") + pd.to_timedelta(numbers, "h"),
            "row": np.arange(300),
        }
    )
    known = by_key(frame, key)
    asked = [*known, *list(known)[:3], None]
    ds = data.from_pandas([frame[:100], frame[100:100], frame[100:]]).repartition(7)
    with ds.to_random_access_dataset(key, num_workers=3) as rows:
        found = rows.multiget(asked)
        assert found[-1] is None
        assert [row["row"] for row in found[:-1]] == [known[key]["row"] for key in asked[:-1]]
        assert air.get(rows.get_async(asked[1])) == found[1]
        assert air.get(rows.get_async(None)) is None
        assert rows.multiget([]) == []
        told = rows.stats().splitlines()
        assert f" rows by {key!r} in 3 workers, which took" in told[0]
        assert told[-1].startswith(f"  {len(asked)} keys asked for, {len(asked)} found, ")


def test_keys_may_be_an_array_or_a_column(backend):
    ds = data.from_items([{"k": value, "v": [value]} for value in (3, 1, 2)])
    with ds.to_random_access_dataset("k") as rows:
        expected = [{"k": 1, "v": [1]}, None]
        for keys in (np.array([1, 9]), pd.Series([1, 9]), pa.array([1, 9]), {1: 0, 9: 0}):
            assert rows.multiget(keys) == expected
        with pytest.raises(TypeError, match="multiget takes a list of keys, got 'abc'"):
            rows.multiget("abc")
        with pytest.raises(data.UnsupportedValue, match="get_async: keys are in the column 'k'"):
            rows.get_async("1")


def test_there_are_no_more_workers_than_rows(backend):
    with data.from_items([{"k": 1}]).to_random_access_dataset("k", 5) as rows:
        assert repr(rows) == "RandomAccessDataset(key='k', in 1 worker)"
        assert rows.multiget([0, 1, 2]) == [None, {"k": 1}, None]


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"k": pa.array([], pa.int64())}),
        pa.table({"k": pa.array([None, None], pa.int64())}),
    ],
)
def test_without_rows_nothing_is_found_and_types_count(backend, table):
    with data.from_arrow(table).to_random_access_dataset("k") as rows:
        assert rows.multiget([1, None]) == [None, None]
        assert air.get(rows.get_async(1)) is None
        assert rows.stats().startswith("RandomAccessDataset: 0 rows by 'k' in 0 workers")
        with pytest.raises(data.UnsupportedValue, match="of the type int64, got 'a'"):
            rows.multiget(["a"])


def test_columns_without_a_type_have_no_keys(backend):
    for ds in (data.from_items([]), data.from_items([{"k": None}])):
        with ds.to_random_access_dataset("k") as rows:
            assert rows.multiget(["a", 1]) == [None, None]


def test_a_closed_one_says_so(backend):
    rows = data.from_items([{"k": 1}]).to_random_access_dataset("k")
    rows.close()
    rows.close()
    assert repr(rows) == "RandomAccessDataset(key='k', closed)"
    for use in (lambda: rows.get_async(1), lambda: rows.multiget([1]), rows.stats):
        with pytest.raises(RuntimeError, match="is closed; make another"):
            use()


def test_bad_arguments(backend):
    ds = data.from_items([{"k": 1, "v": [1]}])
    with pytest.raises(data.ColumnNotFound, match="to_random_access_dataset: no column 'K'"):
        ds.to_random_access_dataset("K")
    with pytest.raises(data.ColumnNotFound, match="to_random_access_dataset: no column 'K'"):
        ds.map(lambda row: row).to_random_access_dataset("K")
    with pytest.raises(data.UnsupportedValue, match="to_random_access_dataset: column 'v' has"):
        ds.to_random_access_dataset("v")
    with pytest.raises(data.UnsupportedValue, match=r"to_random_access_dataset.* plain objects"):
        data.range(3).to_random_access_dataset("v")
    with pytest.raises(InvalidOption, match="num_workers"):
        ds.to_random_access_dataset("k", num_workers=0)


@air.remote
def looked_up(rows, key):
    return rows.multiget([key])[0]


def test_tasks_may_look_up(backend):
    ds = data.range(20).map(lambda i: {"k": i, "v": -i})
    with ds.to_random_access_dataset("k", num_workers=2) as rows:
        found = air.get([looked_up.remote(rows, key) for key in (3, 19, 20)])
    assert found == [{"k": 3, "v": -3}, {"k": 19, "v": -19}, None]


def test_a_worker_that_died_is_made_anew(backend):
    if Capability.ACTOR_RESTARTS not in get_executor().capabilities:
        pytest.skip("the backend does not restart actors")
    ds = data.range(100).map(lambda i: {"k": i})
    with ds.to_random_access_dataset("k", num_workers=2) as rows:
        before = rows.multiget(range(100))
        air.kill(rows._shards[0], no_restart=False)
        assert rows.multiget(range(100)) == before
