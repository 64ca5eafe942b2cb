"""Groups of rows and numbers about them: what pandas gives, however rows lie in blocks."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import data
from air.data import ColumnNotFound, UnsupportedValue
from air.data.aggregate import (
    AbsMax,
    AggregateFn,
    Count,
    Max,
    Mean,
    Min,
    Quantile,
    Std,
    Sum,
    Unique,
)
from air.data.execution.physical import keyed
from air.errors import InvalidOption

METHODS = ("sum", "min", "max", "mean", "std")


def in_blocks(frame: pd.DataFrame, cuts: list[int]) -> data.Dataset:
    """The rows of a frame in blocks that are cut at some rows; there may be empty ones."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    edges = [0, *sorted(cut % (len(frame) + 1) for cut in cuts), len(frame)]
    pairs = itertools.pairwise(edges)
    return data.from_arrow([table.slice(first, last - first) for first, last in pairs])


def by_pandas(frame: pd.DataFrame, keys: list[str], methods: tuple[str, ...], on: str) -> Any:
    grouped = frame.groupby(keys, dropna=False, sort=True)[on]
    found = pd.DataFrame({f"{name}({on})": getattr(grouped, name)() for name in methods})
    return found.reset_index()


def same(found: data.Dataset, expected: pd.DataFrame) -> None:
    got = found.to_pandas()
    assert list(got.columns) == list(expected.columns)
    assert len(got) == len(expected)
    for name in got.columns:
        mine, theirs = got[name].tolist(), expected[name].tolist()
        for one, other in zip(mine, theirs, strict=True):
            if pd.isna(other):
                assert pd.isna(one), (name, one, other)
            elif isinstance(other, float):
                assert one == pytest.approx(other, rel=1e-9, abs=1e-9), name
            else:
                assert one == other, name


KEYS = st.sampled_from(["", "a", "b", "ü", "a b", None])
NUMBERS = st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(float("nan")))
ROWS = st.lists(st.tuples(KEYS, st.integers(-3, 3), NUMBERS), max_size=40)


@settings(max_examples=25, deadline=None)
@given(rows=ROWS, cuts=st.lists(st.integers(0, 40), max_size=4), two=st.booleans())
def test_numbers_of_groups_are_those_of_pandas(rows: list[Any], cuts: list[int], two: bool) -> None:
    frame = pd.DataFrame(rows, columns=["k", "n", "x"]).astype({"x": "float64", "n": "int64"})
    keys = ["k", "n"] if two else ["k"]
    grouped = in_blocks(frame, cuts).groupby(keys)
    if not len(frame):
        assert grouped.count().take_all() == []
        return
    aggs = [Sum("x"), Min("x"), Max("x"), Mean("x"), Std("x")]
    same(grouped.aggregate(*aggs), by_pandas(frame, keys, METHODS, "x"))
    sizes = frame.groupby(keys, dropna=False).size().reset_index(name="count()")
    same(grouped.count(), sizes)


@settings(max_examples=25, deadline=None)
@given(
    numbers=st.lists(st.tuples(st.integers(0, 2), st.integers(-(2**62), 2**62)), min_size=1),
    cuts=st.lists(st.integers(0, 40), max_size=3),
)
def test_sums_of_whole_numbers_are_exact(numbers: list[tuple[int, int]], cuts: list[int]) -> None:
    expected: dict[int, int] = {}
    for key, number in numbers:
        expected[key] = expected.get(key, 0) + number
    frame = pd.DataFrame(numbers, columns=["k", "x"])
    summed = in_blocks(frame, cuts).groupby("k").sum("x")
    if any(not -(2**63) <= total < 2**63 for total in expected.values()):
        with pytest.raises(UnsupportedValue, match="more than 64 bits"):
            summed.take_all()
    else:
        assert {row["k"]: row["sum(x)"] for row in summed.take_all()} == expected


@settings(max_examples=25, deadline=None)
@given(
    rows=ROWS,
    cuts=st.lists(st.integers(0, 40), max_size=4),
    q=st.sampled_from([0.0, 0.1, 0.5, 1 / 3, 1.0]),
)
def test_quantiles_and_values_of_groups_are_those_of_pandas(
    rows: list[Any], cuts: list[int], q: float
) -> None:
    frame = pd.DataFrame(rows, columns=["k", "n", "x"]).astype({"x": "float64", "n": "int64"})
    if not len(frame):
        return
    grouped = frame.groupby("k", dropna=False, sort=True)
    expected = pd.DataFrame(
        {"quantile(x)": grouped["x"].quantile(q), "quantile(n)": grouped["n"].quantile(q)}
    ).reset_index()
    ds = in_blocks(frame, cuts)
    same(ds.groupby("k").quantile(["x", "n"], q), expected)
    found = ds.groupby("k").unique(["n", "x"]).take_all()
    assert [row["unique(n)"] for row in found] == [list(v) for v in grouped["n"].unique()]
    values = [[None if x != x else x for x in v] for v in grouped["x"].unique()]
    mine = [[None if x is None or x != x else x for x in row["unique(x)"]] for row in found]
    assert mine == values
    present = [row["u"] for row in ds.groupby("k").aggregate(Unique("x", True, "u")).take_all()]
    assert present == [[x for x in v if x is not None] for v in values]


def test_quantiles_of_all_rows_and_of_infinite_ones() -> None:
    ds = data.from_items([{"x": x} for x in (1, 4, None, 2, 3)], parallelism=2)
    assert ds.aggregate(Quantile("x")) == {"quantile(x)": 2.5}
    assert ds.aggregate(Quantile("x", ignore_nulls=False)) == {"quantile(x)": None}
    far = data.from_items([{"x": float("inf")}, {"x": float("inf")}, {"x": 1.0}])
    assert far.aggregate(Quantile("x", 0.75)) == {"quantile(x)": float("inf")}
    assert data.range_table(0).aggregate(Quantile("value")) == {"quantile(value)": None}


def test_values_of_texts_and_of_blocks_with_other_types(placement: str) -> None:
    ds = data.from_items([{"k": 1, "s": s} for s in ["ü", None, "a", "ü", None]], parallelism=3)
    assert ds.groupby("k").unique().take_all() == [{"k": 1, "unique(s)": ["ü", None, "a"]}]
    mixed = data.range(4, parallelism=2).map(lambda n: {"x": n % 2 if n < 2 else n / 2 - 1})
    assert mixed.aggregate(Unique("x")) == {"unique(x)": [0, 1, 0.5]}
    category = pd.DataFrame({"k": [1, 2, 1], "c": pd.Categorical(["b", "a", "b"])})
    assert in_blocks(category, [1]).groupby("k").unique("c").take_all() == [
        {"k": 1, "unique(c)": ["b"]},
        {"k": 2, "unique(c)": ["a"]},
    ]


def longest() -> AggregateFn:
    """An aggregation of one's own: the key, and the longest of the texts, the first of several."""
    return AggregateFn(
        init=lambda key: (key, ""),
        accumulate_row=lambda state, row: max(state, (state[0], row["s"]), key=lambda s: len(s[1])),
        merge=lambda one, other: max(one, other, key=lambda s: len(s[1])),
        finalize=lambda state: {"key": state[0], "text": state[1]},
        name="longest",
    )


@pytest.mark.parametrize("together", [keyed._TOGETHER_BYTES, 0])
def test_aggregations_of_ones_own(
    placement: str, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(keyed, "_TOGETHER_BYTES", together)
    rows = [{"k": i % 3, "s": "x" * (i * 7 % 11) + str(i), "other": i} for i in range(60)]
    ds = data.from_items(rows, parallelism=5)
    expected = []
    for key in range(3):
        texts = [row["s"] for row in rows if row["k"] == key]
        expected.append({"k": key, "longest": {"key": key, "text": max(texts, key=len)}})
    assert ds.groupby("k").aggregate(longest()).take_all() == expected
    blocks = AggregateFn(
        init=lambda key: key[0],
        accumulate_block=lambda total, block: total + sum(block["other"].to_pylist()),
        merge=lambda one, other: one + other,
    )
    # A state of several keys begins with the first, in each block anew.
    found = ds.groupby(["k", "other"]).aggregate(blocks).take_all()
    assert [row["<lambda>()"] for row in found] == [row["k"] + row["other"] for row in found]


def test_aggregations_of_ones_own_of_plain_objects(placement: str) -> None:
    product = AggregateFn(
        lambda key: 1, lambda a, b: a * b, accumulate_row=lambda a, n: a * n, name="product"
    )
    ds = data.range(6, parallelism=3).map(lambda n: n + 1)
    assert ds.aggregate(product) == {"product": 720}
    lists = AggregateFn(lambda key: 0, lambda a, b: a + b, accumulate_block=lambda a, b: a + len(b))
    assert ds.groupby(None).aggregate(lists).take_all() == [{"<lambda>()": 6}]
    with pytest.raises(UnsupportedValue, match="plain"):
        ds.aggregate(product, Count())


def test_errors_in_aggregations_of_ones_own_name_them() -> None:
    ds = data.from_items([{"k": 1}, {"k": 2}])
    bad = AggregateFn(lambda key: 0, lambda a, b: a, accumulate_row=lambda a, row: row["z"])
    with pytest.raises(KeyError) as caught:
        ds.aggregate(bad)
    assert any("in the aggregation '<lambda>()'" in note for note in caught.value.__notes__)
    locked = AggregateFn(lambda key: iter([]), lambda a, b: a, lambda a, row: (x for x in "a"))
    with pytest.raises(UnsupportedValue, match="cannot be pickled"):
        ds.aggregate(locked)


@pytest.mark.parametrize("kind", ["uint8", "uint64", "int8", "int64", "bool", "float64"])
def test_sums_have_the_types_that_pandas_gives(kind: str) -> None:
    values = np.array([0, 1, 1], kind)
    if kind == "uint64":
        values = np.array([2**63, 2**62, 1], kind)
    frame = pd.DataFrame({"k": [1, 1, 2], "x": values})
    found = in_blocks(frame, [1]).groupby("k").sum("x").to_pandas()["sum(x)"]
    expected = frame.groupby("k")["x"].sum()
    # What fits fewer bits comes as fewer bits from pandas, so that types depend on values there.
    assert (found.dtype.kind, found.dtype.itemsize) == (expected.dtype.kind, 8)
    assert found.tolist() == expected.tolist()


def test_sums_of_numbers_with_and_without_a_sign() -> None:
    kinds = [np.uint8, np.int64, np.uint64]
    ds = data.range(3, parallelism=3).map_batches(lambda b: {"x": np.array(b, kinds[b[0]])})
    assert ds.aggregate(Sum("x")) == {"sum(x)": 3}
    most = data.from_arrow(pa.table({"x": pa.array([2**64 - 1, 1], pa.uint64())}))
    with pytest.raises(UnsupportedValue, match="more than 64 bits"):
        most.aggregate(Sum("x"))


@pytest.mark.parametrize("together", [keyed._TOGETHER_BYTES, 0])
def test_few_groups_and_many(
    placement: str, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(keyed, "_TOGETHER_BYTES", together)
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "k": random.integers(0, 500, 3000).astype(float),
            "s": random.choice(["x", "y", None], 3000),
            "x": random.normal(size=3000),
        }
    )
    frame.loc[::17, "k"] = np.nan
    ds = in_blocks(frame, [1, 500, 501, 1700]).map_batches(lambda batch: batch)
    for keys in (["k"], ["s", "k"]):
        expected = by_pandas(frame, keys, METHODS, "x")
        aggs = [Sum("x"), Min("x"), Max("x"), Mean("x"), Std("x")]
        same(ds.groupby(keys).aggregate(*aggs), expected)


def test_a_group_that_most_rows_are_in(placement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "_TOGETHER_BYTES", 0)
    frame = pd.DataFrame({"k": [1] * 990 + list(range(10)), "x": 1})
    counted = in_blocks(frame, [100, 200, 995]).groupby("k").count().to_pandas()
    assert counted["count()"].tolist() == [1, 991, *[1] * 8]
    assert counted["k"].tolist() == list(range(10))


def test_all_columns_but_the_keys(placement: str) -> None:
    ds = data.from_items([{"k": i % 2, "a": i, "b": i / 2} for i in range(6)], parallelism=2)
    assert ds.groupby("k").mean().take_all() == [
        {"k": 0, "mean(a)": 2.0, "mean(b)": 1.0},
        {"k": 1, "mean(a)": 3.0, "mean(b)": 1.5},
    ]
    assert ds.groupby("k").max(["b"]).columns() == ["k", "max(b)"]


def test_missing_values_on_request() -> None:
    ds = data.from_items([{"k": 1, "x": 1.0}, {"k": 1, "x": None}, {"k": 2, "x": 3.0}])
    grouped = ds.groupby("k")
    assert [row["sum(x)"] for row in grouped.sum("x").take_all()] == [1.0, 3.0]
    assert [row["sum(x)"] for row in grouped.sum("x", ignore_nulls=False).take_all()] == [None, 3.0]
    assert [row["max(x)"] for row in grouped.max("x", ignore_nulls=False).take_all()] == [None, 3.0]


def test_kinds_of_values(placement: str) -> None:
    day = pd.Timestamp("2026-11-27", tz="UTC")
    frame = pd.DataFrame(
        {
            "k": pd.Categorical(["b", "a", "b"]),
            "flag": [True, True, False],
            "money": [decimal.Decimal("1.10"), decimal.Decimal("2.20"), decimal.Decimal("3.30")],
            "when": [day, day + pd.Timedelta(days=1), day + pd.Timedelta(days=2)],
            "none": [None, None, None],
            "byte": np.array([-128, 5, 100], np.int8),
        }
    )
    found = (
        in_blocks(frame, [1])
        .groupby("k")
        .aggregate(
            Sum("flag"),
            Sum("money"),
            Max("when"),
            Sum("none"),
            Mean("none"),
            AbsMax("byte", alias_name="largest"),
        )
        .take_all()
    )
    assert found == [
        {
            "k": "a",
            "sum(flag)": 1,
            "sum(money)": decimal.Decimal("2.20"),
            "max(when)": day + pd.Timedelta(days=1),
            "sum(none)": 0,
            "mean(none)": None,
            "largest": 5,
        },
        {
            "k": "b",
            "sum(flag)": 1,
            "sum(money)": decimal.Decimal("4.40"),
            "max(when)": day + pd.Timedelta(days=2),
            "sum(none)": 0,
            "mean(none)": None,
            "largest": 128,
        },
    ]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([True, False]),
        pa.array(["b", "a"], pa.large_string()),
        pa.array(["b", "a"], pa.string_view()),
        pa.array([b"b", b"a"], pa.binary_view()),
        pa.array([b"b", b"a"], pa.binary(1)),
        pa.array([dt.date(2026, 1, 2), dt.date(2026, 1, 1)]),
        pa.array([dt.time(2), dt.time(1)]),
        pa.array([dt.timedelta(2), dt.timedelta(1)]),
        pa.array(np.array([2, 1], np.float16)),
        pa.array([2**63, 1], pa.uint64()),
        pa.array([decimal.Decimal("2.5"), decimal.Decimal("1.5")]),
    ],
    ids=lambda values: str(values.type),
)
def test_types_have_an_order_and_are_keys(values: pa.Array) -> None:
    large, small = values.to_pylist()
    ds = data.from_arrow(pa.table({"k": [1, 1], "x": values}))
    assert ds.aggregate(Min("x"), Max("x")) == {"min(x)": small, "max(x)": large}
    assert [row["x"] for row in ds.groupby("x").count().take_all()] == [small, large]


def test_large_whole_numbers_have_means() -> None:
    ds = data.from_arrow(pa.table({"x": pa.array([2**62 + 1, 2**62 - 1])}))
    assert ds.aggregate(Mean("x"), AbsMax("x")) == {"mean(x)": 2.0**62, "abs_max(x)": 2**62 + 1}


def test_blocks_may_differ_in_their_types(placement: str) -> None:
    ds = data.range(6, parallelism=3).map(
        lambda x: {"k": x % 2, "x": x if x < 2 else x / 2 if x < 4 else None}
    )
    assert ds.groupby("k").aggregate(Sum("x"), Mean("x"), Max("x")).take_all() == [
        {"k": 0, "sum(x)": 1.0, "mean(x)": 0.5, "max(x)": 1.0},
        {"k": 1, "sum(x)": 2.5, "mean(x)": 1.25, "max(x)": 1.5},
    ]


def test_sums_of_whole_numbers_decimals_and_floats_in_different_blocks() -> None:
    kinds = [5, decimal.Decimal("0.5"), 0.25]
    ds = data.range(3, parallelism=3).map(lambda x: {"x": kinds[x]})
    assert ds.aggregate(Sum("x"), Mean("x")) == {
        "sum(x)": 5.75,
        "mean(x)": pytest.approx(5.75 / 3),
    }
    whole = data.range(2, parallelism=2).map(lambda x: {"x": kinds[x]})
    assert whole.aggregate(Sum("x")) == {"sum(x)": 5.5}


def test_all_rows_together(placement: str) -> None:
    ds = data.range_table(10, parallelism=3)
    assert ds.aggregate(Count(), Sum("value"), Std("value", ddof=0)) == {
        "count()": 10,
        "sum(value)": 45,
        "std(value)": pytest.approx(np.arange(10).std()),
    }
    assert ds.groupby(None).sum("value").take_all() == [{"sum(value)": 45}]
    empty = data.range_table(0)
    assert empty.aggregate(Count(), Sum("value"), Max("value", alias_name="m")) == {
        "count()": 0,
        "sum(value)": 0,
        "m": None,
    }


def test_only_the_columns_that_are_wanted_are_read(tmp_path: Any) -> None:
    data.from_items([{"k": 1, "x": 2, "y": "z"}]).write_parquet(str(tmp_path))
    assert data.read_parquet(str(tmp_path)).groupby("k").sum("x").take_all() == [
        {"k": 1, "sum(x)": 2}
    ]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda ds: ds.groupby("kk"), ColumnNotFound, "groupby"),
        (lambda ds: ds.groupby([]), InvalidOption, "groupby: key must be"),
        (lambda ds: ds.groupby(3), InvalidOption, "groupby: key must be"),
        (lambda ds: ds.groupby(["k", "k"]), InvalidOption, "named twice"),
        (lambda ds: ds.groupby("k").sum("z"), ColumnNotFound, "z"),
        (lambda ds: ds.groupby("k").sum([]), InvalidOption, "sum: on must be"),
        (lambda ds: ds.groupby("k").aggregate(), InvalidOption, "at least one aggregation"),
        (lambda ds: ds.groupby("k").aggregate("sum"), TypeError, "takes aggregations"),
        (lambda ds: ds.groupby("k").aggregate(Sum()), InvalidOption, "needs the name of a column"),
        (lambda ds: ds.groupby("k").aggregate(Sum("x"), Sum("x")), InvalidOption, "two columns"),
        (lambda ds: ds.groupby("k").aggregate(Sum("x", alias_name="k")), InvalidOption, "both"),
        (lambda ds: ds.groupby("k").std("x", ddof=-1), InvalidOption, "ddof"),
        (lambda ds: ds.groupby("k").quantile("x", 2), InvalidOption, "Quantile: q"),
        (lambda ds: ds.groupby("k").quantile("s").take_all(), UnsupportedValue, "column 's'"),
        (lambda ds: ds.groupby("k").unique("t").take_all(), UnsupportedValue, "column 't' has"),
        (lambda ds: AggregateFn(int, max), InvalidOption, "either accumulate_row or"),
        (lambda ds: AggregateFn(int, max, 3), TypeError, "accumulate must be a function"),
        (lambda ds: ds.groupby("k").mean("s").take_all(), UnsupportedValue, "column 's' has the"),
        (lambda ds: ds.groupby("t").count().take_all(), UnsupportedValue, "column 't' has the"),
        (lambda ds: data.range(3).groupby("k"), UnsupportedValue, "plain objects"),
        (lambda ds: data.range(3).groupby(None).count().take_all(), UnsupportedValue, "plain"),
    ],
)
def test_what_cannot_be_grouped_says_why(call: Any, error: type[Exception], message: str) -> None:
    ds = data.from_items([{"k": 1, "x": 2, "s": "a", "t": [1]}])
    with pytest.raises(error, match=message):
        call(ds)


def test_hundreds_of_columns():
    frame = pd.DataFrame({f"c{n}": [n, n + 2.5, -n] for n in range(300)}).assign(k=[1, 0, 1])
    found = data.from_pandas([frame[:1], frame[1:]]).groupby("k").mean().to_pandas()
    expected = frame.groupby("k", as_index=False).mean()
    assert found.columns.tolist() == ["k", *(f"mean(c{n})" for n in range(300))]
    assert (found.to_numpy() == expected.to_numpy()).all()
