"""Sums, means, deviations and quantiles of points in time, durations and decimals, as in pandas."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from air import data
from air.data import UnsupportedValue
from air.data.aggregate import Max, Mean, Min, Quantile, Std, Sum
from air.data.execution.physical import keyed
from air.data.grouping import columns

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
UNITS = st.sampled_from(["s", "ms", "us", "ns"])
NUMBERS = st.one_of(st.none(), st.integers(-(2**40), 2**40), st.integers(-9, 9))
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", "ü", None]), NUMBERS), min_size=1, max_size=30)


def of_types(*blocks: pa.Array) -> data.Dataset:
    """A dataset with a column ``t`` whose blocks have different types."""
    ds = data.range(len(blocks), parallelism=len(blocks))
    return ds.map_batches(lambda batch: pa.table({"t": blocks[int(batch[0])]}))


def in_blocks(table: pa.Table, cuts: list[int]) -> data.Dataset:
    edges = [0, *sorted(cut % (len(table) + 1) for cut in cuts), len(table)]
    return data.from_arrow([table.slice(a, b - a) for a, b in itertools.pairwise(edges)])


def whole(values: Any) -> list[int | None]:
    """Times as numbers of their unit."""
    series = pd.Series(values)
    return [
        None if pd.isna(v) else int(n) for v, n in zip(series, series.astype("int64"), strict=True)
    ]


@FEW
@given(
    rows=ROWS,
    cuts=st.lists(st.integers(0, 30), max_size=3),
    unit=UNITS,
    zone=st.sampled_from([None, "UTC", "America/New_York"]),
    q=st.sampled_from([0.0, 0.25, 0.5, 1 / 3, 1.0]),
)
def test_points_in_time_are_those_of_pandas(waiting, rows, cuts, unit, zone, q):
    kind = pa.timestamp(unit, zone)
    table = pa.table({"k": [k for k, _ in rows], "t": pa.array([t for _, t in rows], kind)})
    ds = in_blocks(table, cuts)
    aggs = [Mean("t"), Std("t"), Min("t"), Max("t"), Quantile("t", q)]
    found = ds.groupby("k").aggregate(*aggs)
    arrow = found.to_arrow()
    assert [arrow.schema.field(n).type for n in ("mean(t)", "quantile(t)")] == [kind, kind]
    assert arrow.schema.field("std(t)").type == pa.duration(unit)
    grouped = table.to_pandas().groupby("k", dropna=False)["t"]
    for name in ("mean", "std", "min", "max"):
        expected = getattr(grouped, name)()
        assert arrow[f"{name}(t)"].to_pandas().dtype == expected.dtype
        ours = pd.Series(arrow[f"{name}(t)"].to_pandas().array).astype("int64")
        near = np.abs(ours.to_numpy() - expected.astype("int64").to_numpy())
        assert (near <= 1).all(), name  # pandas has floats in between
    # Interpolated by hand: pandas loses digits of nanoseconds.
    for got, (_, group) in zip(arrow["quantile(t)"], grouped, strict=True):
        numbers = sorted(group.dropna().astype("int64"))
        if not numbers:
            assert not got.is_valid
            continue
        place = q * (len(numbers) - 1)
        low, high = numbers[int(place)], numbers[min(int(place) + 1, len(numbers) - 1)]
        assert abs(got.value - (low + (high - low) * (place - int(place)))) < 1


@FEW
@given(rows=ROWS, cuts=st.lists(st.integers(0, 30), max_size=3), unit=UNITS)
def test_durations_are_those_of_pandas(rows, cuts, unit):
    kind = pa.duration(unit)
    table = pa.table({"k": [k for k, _ in rows], "t": pa.array([t for _, t in rows], kind)})
    found = in_blocks(table, cuts).groupby("k").aggregate(Sum("t"), Mean("t")).to_arrow()
    assert found.schema.types[1:] == [kind, kind]
    grouped = table.to_pandas().groupby("k", dropna=False)["t"]
    assert whole(found["sum(t)"].to_pandas()) == whole(grouped.sum())
    exact = [
        None if not len(n) else int(sum(map(int, n)) / len(n))
        for n in (group.dropna().astype("int64") for _, group in grouped)
    ]
    assert whole(found["mean(t)"].to_pandas()) == exact


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_columns_as_a_whole(unit):
    numbers = [5, None, -3, 1_700_000_000]
    for kind in (pa.timestamp(unit, "Asia/Tokyo"), pa.duration(unit)):
        table = pa.table({"t": pa.array(numbers, kind)})
        ds, series = in_blocks(table, [1, 2]), table["t"].to_pandas()
        assert ds.mean("t") == series.mean()
        assert abs(ds.std("t") - series.std()) <= pd.Timedelta(1, unit)
        assert ds.mean("t", ignore_nulls=False) is None
        assert ds.aggregate(Mean("t"), Quantile("t")) == {
            "mean(t)": series.mean(),
            "quantile(t)": series.quantile(),
        }
    assert ds.sum("t") == series.sum()
    assert ds.aggregate(Sum("t")) == {"sum(t)": series.sum()}
    none = data.from_arrow(pa.table({"t": pa.array([None], pa.timestamp("us"))}))
    assert (none.mean("t"), none.std("t")) == (None, None)
    assert none.aggregate(Mean("t"), Quantile("t")) == {"mean(t)": None, "quantile(t)": None}


def test_blocks_without_values_and_with_other_units(placement):
    times = pa.table({"k": [1, 2], "t": pa.array([1, 2], pa.timestamp("ms"))})
    nothing = pa.table({"k": [1, 3], "t": pa.nulls(2)})
    aggs = [Mean("t"), Std("t", ddof=0), Quantile("t")]
    ds = data.from_arrow([nothing, times]).map_batches(lambda t: t, batch_format="pyarrow")
    rows = ds.groupby("k").aggregate(*aggs).take_all()
    at = [dt.datetime(1970, 1, 1, microsecond=1000 * n) for n in (1, 2)]
    zero = dt.timedelta(0)
    assert [tuple(row.values()) for row in rows] == [
        (1, at[0], zero, at[0]),
        (2, at[1], zero, at[1]),
        (3, None, None, None),
    ]
    void = data.from_arrow(nothing).groupby("k").aggregate(Sum("t"), *aggs)
    assert [tuple(row.values())[1:] for row in void.take_all()] == [(0, None, None, None)] * 2
    for other in (pa.timestamp("us"), pa.int64()):
        mixed = of_types(times["t"], pa.array([3], other))
        with pytest.raises(UnsupportedValue, match=r"mean\(t\): blocks .* hold .*times in ms"):
            mixed.aggregate(Mean("t"))
        with pytest.raises(UnsupportedValue, match=r"do not go together .*timestamp\[ms\]"):
            mixed.mean("t")


def test_whole_numbers_stay_whole_beside_blocks_without_values():
    ds = of_types(pa.array([2**60 + 1]), pa.nulls(1), pa.array([2], pa.uint8()))
    assert ds.aggregate(Sum("t"), Mean("t")) == {"sum(t)": 2**60 + 3, "mean(t)": 2.0**59 + 1.5}


@pytest.mark.parametrize("kind", ["date", "time", "text"])
def test_what_has_no_mean_in_pandas_has_none(kind):
    value = {"date": dt.date(2026, 1, 1), "time": dt.time(1), "text": "a"}[kind]
    ds = data.from_arrow(pa.table({"k": [1], "x": [value]}))
    for method in ("sum", "mean", "std", "quantile"):
        with pytest.raises(UnsupportedValue, match=rf"{method}\(x\): column 'x' has the type"):
            getattr(ds.groupby("k"), method)("x").take_all()
    with pytest.raises(UnsupportedValue, match="sum"):
        data.from_arrow(pa.table({"x": pa.array([1], pa.timestamp("s"))})).aggregate(Sum("x"))


@FEW
@given(
    st.lists(st.tuples(st.integers(-(2**95), 2**95), st.integers(1, 2**40)), min_size=1, max_size=9)
)
def test_quotients_are_exact(pairs):
    pairs = [(n % (2**63 * c) * (1 if n >= 0 else -1), c) for n, c in pairs]  # that fit 64 bits
    high, low = (
        np.array([f(n) for n, _ in pairs]) for f in (lambda n: n >> 32, lambda n: n % 2**32)
    )
    found = columns.quotients(high, low, np.array([count for _, count in pairs]))
    assert found.tolist() == [(abs(n) // c) * (1 if n >= 0 else -1) for n, c in pairs]


# -- Decimals and infinite numbers


def test_decimals_of_all_widths(placement, monkeypatch):
    monkeypatch.setattr(keyed, "_TOGETHER_BYTES", 0)
    for kind in (
        pa.decimal32(9, 2),
        pa.decimal64(18, 2),
        pa.decimal128(38, 2),
        pa.decimal256(50, 2),
    ):
        values = pa.array(
            [Decimal("1234567.89"), None, Decimal("-0.01"), Decimal("1234567.89")], kind
        )
        ds = in_blocks(pa.table({"k": values, "x": values}), [2])
        rows = ds.groupby("k").aggregate(Sum("x"), Mean("x"), Min("x")).take_all()
        assert rows == [
            {
                "k": d,
                "sum(x)": s,
                "mean(x)": None if d is None else pytest.approx(float(d)),
                "min(x)": d,
            }
            for d, s in (
                (Decimal("-0.01"), Decimal("-0.01")),
                (Decimal("1234567.89"), Decimal("2469135.78")),
                (None, Decimal("0.00")),
            )
        ]
        assert ds.sum("x") == Decimal("2469135.77")
        assert [row["x"] for row in ds.sort("x", descending=True).take(1)] == [
            Decimal("1234567.89")
        ]
        assert ds.unique("x") == [Decimal("1234567.89"), None, Decimal("-0.01")]
        assert ds.join(ds, "k").count() == 6


def test_sums_of_decimals_do_not_run_over():
    most = Decimal("9" * 38)
    ds = in_blocks(pa.table({"x": pa.array([most, most])}), [1])
    assert ds.sum("x") == 2 * 10**38 - 2
    with pytest.raises(UnsupportedValue, match=r"sum\(x\): .*decimals does not fit"):
        ds.aggregate(Sum("x"))
    wide = in_blocks(pa.table({"x": pa.array([Decimal("9" * 76)] * 2, pa.decimal256(76, 0))}), [1])
    with pytest.raises(UnsupportedValue, match=r"sum\(x\): .*decimals does not fit"):
        wide.aggregate(Sum("x"))


def test_infinite_numbers():
    inf = float("inf")
    table = pa.table({"k": [1, 1, 2, 2, 3, 3], "x": [inf, -inf, inf, 1.0, 2.0, 4.0]})
    for cuts in ([], [1, 3]):
        found = in_blocks(table, cuts).groupby("k").aggregate(Sum("x"), Mean("x"), Std("x"))
        rows = [tuple(row.values()) for row in found.take_all()]
        assert str(rows) == str([(1, *[np.nan] * 3), (2, inf, inf, np.nan), (3, 6.0, 3.0, 2**0.5)])
