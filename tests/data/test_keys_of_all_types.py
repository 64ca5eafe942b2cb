"""Sorts, groups, distinct rows and joins by several keys of any types, against plain Python."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from air import data
from air.data.aggregate import Count, Max, Mean, Sum, Unique
from air.data.blocks.block import accessor
from air.data.execution.exchange.ordering import SortKey, stable_order
from air.data.execution.exchange.places import digits
from air.data.grouping.whole import rows_before, sorted_groups

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXTS = ["", "a", "ab", "ü", "u\u0308", "😀", "日本", "a\0"]
DAY = dt.date(2026, 3, 1)
NOON = dt.datetime(2026, 3, 29, 1, 30, tzinfo=dt.UTC)
KINDS: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int64(), [-3, 0, 2**62, -(2**62), 2**53 + 1, 2**53]),
    (pa.int64(), [0, 1, 2]),
    (pa.uint64(), [0, 1, 2**64 - 1, 2**63]),
    (pa.float64(), [0.0, -0.0, 1.5, float("inf"), float("-inf")]),
    (pa.float32(), [0.5, -0.0, 0.0]),
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.dictionary(pa.int8(), pa.string()), TEXTS[:4]),
    (pa.binary(), [b"", b"a", b"\0", b"\xff"]),
    (pa.binary(2), [b"aa", b"ab"]),
    (pa.bool_(), [True, False]),
    (pa.timestamp("us"), [dt.datetime(1969, 1, 1), dt.datetime(2026, 1, 1)]),
    (pa.timestamp("ms", "Europe/Berlin"), [NOON, NOON + dt.timedelta(hours=1)]),
    (pa.duration("s"), [dt.timedelta(0), dt.timedelta(-1), dt.timedelta(7)]),
    (pa.date32(), [DAY, DAY - dt.timedelta(1)]),
    (pa.time64("us"), [dt.time(0), dt.time(1, 2)]),
    (pa.decimal128(6, 2), [Decimal("-0.25"), Decimal("0.00"), Decimal("1.50")]),
    (pa.null(), [None]),
]
Rows = list[tuple[Any, ...]]


@st.composite
def keyed(draw: st.DrawFn) -> tuple[pa.Table, pa.Table, list[bool]]:
    """Two tables with the same keys, and ways to sort by them."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
    sides = []
    for name in ("v", "w"):
        rows = draw(st.sampled_from([0, 1, 2, 7, 20]))
        columns = {}
        for number, (kind, values) in enumerate(kinds):
            missing = draw(st.sampled_from([[], [None], [None] * 100]))
            one = st.sampled_from([*values, *missing])
            found = draw(st.lists(one, min_size=rows, max_size=rows))
            columns[f"k{number}"] = pa.array(found, kind)
        sides.append(pa.table({**columns, name: pa.array(range(rows), pa.int64())}))
    falls = draw(st.lists(st.booleans(), min_size=len(kinds), max_size=len(kinds)))
    return sides[0], sides[1], falls


def in_blocks(table: pa.Table, cuts: list[int]) -> data.Dataset:
    edges = [0, *sorted(cut % (len(table) + 1) for cut in cuts), len(table)]
    return data.from_arrow([table.slice(a, b - a) for a, b in itertools.pairwise(edges)])


def rows_of(table: pa.Table) -> Rows:
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def order(rows: Rows, falls: list[bool]) -> list[int]:
    """Stable, missing values last in either direction."""
    found = list(range(len(rows)))
    for number, descending in reversed(list(enumerate(falls))):
        there = [row for row in found if rows[row][number] is not None]
        missing = [row for row in found if rows[row][number] is None]
        values = [rows[row][number] for row in range(len(rows))]
        found = sorted(there, key=values.__getitem__, reverse=descending) + missing
    return found


CUTS = st.lists(st.integers(0, 20), max_size=3)


@FEW
@given(sides=keyed(), cuts=CUTS)
def test_sorted_and_distinct_rows(waiting, sides, cuts):
    table, _, falls = sides
    names, rows = table.column_names[:-1], rows_of(table)
    ds = in_blocks(table, cuts)
    found = ds.sort(names, descending=falls).to_arrow()
    assert rows_of(found) == [rows[row] for row in order(rows, falls)]
    assert found.schema.types == table.schema.types
    first: dict[Any, Any] = {}
    for row in rows:
        first.setdefault(row[:-1], row)
    found = ds.distinct(names).to_arrow()
    assert rows_of(found) == list(first.values())
    assert found.schema.types == table.schema.types
    for number, name in enumerate(names):
        assert ds.unique(name) == list(dict.fromkeys(row[number] for row in rows))


@FEW
@given(sides=keyed(), cuts=CUTS)
def test_groups(waiting, sides, cuts):
    table, _, falls = sides
    names, rows = table.column_names[:-1], rows_of(table)
    groups: dict[Any, Rows] = {}
    for row in rows:
        groups.setdefault(row[:-1], []).append(row)
    keys = [list(groups)[one] for one in order(list(groups), [False] * len(falls))]
    grouped = in_blocks(table, cuts).groupby(names)
    computed = grouped.aggregate(Count(), Sum("v"), Mean("v"), Max("v"), Unique("v")).to_arrow()
    values = [[row[-1] for row in groups[key]] for key in keys]
    expected = [
        (*key, len(v), sum(v), sum(v) / len(v), max(v), v)
        for key, v in zip(keys, values, strict=True)
    ]
    assert rows_of(computed) == expected
    whole = grouped.map_groups(lambda group: group, batch_format="pyarrow").to_arrow()
    assert rows_of(whole) == [row for key in keys for row in groups[key]]
    if rows:
        assert whole.schema.types == table.schema.types


@FEW
@given(
    sides=keyed(),
    cuts=CUTS,
    how=st.sampled_from(["inner", "left", "right", "semi", "anti", "outer"]),
)
def test_joined_rows(waiting, sides, cuts, how):
    left, right, falls = sides
    names, one, other = left.column_names[:-1], rows_of(left), rows_of(right)
    void = (None,)
    of = [[b for b in other if b[:-1] == a[:-1]] for a in one]
    back = [[a for a in one if a[:-1] == b[:-1]] for b in other]
    keys = list(dict.fromkeys(row[:-1] for row in [*one, *other]))
    outer = []
    for key in (keys[number] for number in order(keys, [False] * len(falls))):
        mine, theirs = ([r for r in side if r[:-1] == key] for side in (one, other))
        outer += [a + b[-1:] for a in mine or [(*key, None)] for b in theirs or [void]]
    expected = {
        "inner": [a + b[-1:] for a, bs in zip(one, of, strict=True) for b in bs],
        "left": [a + b[-1:] for a, bs in zip(one, of, strict=True) for b in bs or [void]],
        "right": [
            (*b[:-1], a[-1], b[-1])
            for b, some in zip(other, back, strict=True)
            for a in some or [void]
        ],
        "semi": [a for a, bs in zip(one, of, strict=True) if bs],
        "anti": [a for a, bs in zip(one, of, strict=True) if not bs],
        "outer": outer,
    }
    ds, others = in_blocks(left, cuts), in_blocks(right, cuts[1:])
    assert rows_of(ds.join(others, names, how).to_arrow()) == expected[how]


# -- Numbers that have the order of several columns


@FEW
@given(sides=keyed())
def test_digits_have_the_order_of_the_rows(sides):
    table, _, falls = sides
    columns = [table[name] for name in table.column_names[:-1]]
    found = digits(columns, falls)
    if found is not None:
        by_value = order(rows_of(table), falls)
        assert np.argsort(found, kind="stable").tolist() == by_value


def test_columns_without_digits():
    far = pa.chunked_array([pa.array([-(2**62), 2**62])])
    half = pa.chunked_array([pa.array([0, 2**32])])
    texts = pa.chunked_array([pa.array(["a", "b"])])
    assert digits([half], [True]) is not None
    for columns in ([far], [half, half], [texts], [pa.chunked_array([[0.5, 1.5]])]):
        assert digits(columns, [False] * len(columns)) is None


@pytest.mark.parametrize("descending", [False, True])
def test_texts_that_are_alike_and_missing_numbers(descending):
    random = np.random.default_rng(5)
    words = pa.array([None, "ü", "", "b", "ab", "日本"], pa.string())
    table = pa.table(
        {
            "t": words.take(pa.array(random.integers(0, 6, 5000))),
            "n": pa.array(random.integers(-50, 50, 5000), mask=random.random(5000) < 0.1),
            "row": np.arange(5000),
        }
    )
    for names in (["t"], ["n"], ["n", "t"], ["t", "n"]):
        falls = [descending, not descending][: len(names)]
        assert digits([table[name] for name in names], falls) is not None
        keys = [SortKey(name, fall) for name, fall in zip(names, falls, strict=True)]
        found = stable_order(table, keys).tolist()
        assert found == order(rows_of(table.select(names)), falls)


@FEW
@given(sides=keyed(), or_equal=st.booleans())
def test_rows_before_a_bound(sides, or_equal):
    table = pa.concat_tables([side.drop_columns(side.column_names[-1:]) for side in sides[:2]])
    keys = [SortKey(name, is_group=True) for name in table.column_names]
    groups = sorted_groups(accessor(table).take(stable_order(table, keys)), keys).of_row
    place = np.empty(len(table), np.int64)
    place[stable_order(table, keys)] = groups
    for row in range(len(table)):
        expected = place <= place[row] if or_equal else place < place[row]
        found = rows_before(table, table.slice(row, 1), or_equal=or_equal)
        assert found.tolist() == expected.tolist()
