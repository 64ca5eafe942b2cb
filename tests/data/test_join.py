"""Joins are those of pandas, however rows lie in blocks, wherever they wait and who is small."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from air import data
from air.data import ColumnNotFound, DataContext, UnsupportedValue
from air.data.execution.physical import joining
from air.data.expressions.operators import FilterExpression
from air.data.joining.index import WholeKeys
from air.data.joining.matching import HeldRows, Matches
from air.data.optimizer import optimize
from air.data.plan import Join, Map, Node
from air.data.transforms import SelectColumns
from air.errors import InvalidOption

FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
HOW = ("inner", "left", "right", "outer")


def in_blocks(table: pa.Table, cuts: list[int]) -> data.Dataset:
    edges = [0, *sorted(cut % (len(table) + 1) for cut in cuts), len(table)]
    return data.from_arrow([table.slice(a, b - a) for a, b in itertools.pairwise(edges)])


def plain(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The rows, with one kind of missing value and one of zero."""
    return [
        tuple(None if pd.isna(v) else v + 0.0 if isinstance(v, float) else v for v in row)
        for row in frame.astype(object).itertuples(index=False)
    ]


def rows_of(ds: data.Dataset) -> list[tuple[Any, ...]]:
    return plain(ds.to_pandas())


# -- Which rows go together


@FEW
@given(
    st.lists(st.integers(0, 4), max_size=12),
    st.lists(st.integers(0, 4), max_size=12),
    st.integers(1, 9),
    st.booleans(),
)
def test_pairs_some_at_a_time_are_all_pairs(stream, held, at_a_time, keep):
    found = Matches(np.array(stream, int), HeldRows(np.array(held, int), 5), keep=keep)
    pairs = [
        (int(row), int(other))
        for some in found.some(at_a_time)
        for row, other in zip(some.stream, some.held, strict=True)
    ]
    expected = []
    for row, key in enumerate(stream):
        matching = [other for other, same in enumerate(held) if same == key]
        expected += [(row, other) for other in matching or ([-1] if keep else [])]
    assert pairs == expected
    assert all(len(some.stream) <= at_a_time for some in found.some(at_a_time))


WHOLE = st.one_of(st.none(), st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))


@FEW
@given(st.lists(WHOLE, max_size=9), st.lists(WHOLE, max_size=9), st.booleans())
def test_whole_numbers_are_numbered_once(stream, held, keep):
    sides = [pa.table({"k": pa.array(side, pa.int64())}) for side in (stream, held)]
    known = WholeKeys.of(sides[1])
    assert known is not None
    (pairs,) = Matches(known.codes(sides[0]), known.rows, keep=keep).some(100)
    found = list(zip(pairs.stream.tolist(), pairs.held.tolist(), strict=True))
    expected = []
    for row, key in enumerate(stream):
        matching = [other for other, same in enumerate(held) if same == key]
        expected += [(row, other) for other in matching or ([-1] if keep else [])]
    assert found == expected


@pytest.mark.parametrize("stride", [7, 1 << 20, 1 << 52])
@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_keys_that_are_far_apart(stride, kind):
    random = np.random.default_rng(0)
    known = (random.permutation(2000)[:800].astype(np.uint64) * np.uint64(stride)).view(kind)
    known = np.unique(np.append(known, np.array([0, np.iinfo(kind).max], kind)))
    looked_for = np.append(known, (known + kind(1))[::3])
    random.shuffle(looked_for)
    keys = WholeKeys.of(pa.table({"k": known}))
    assert keys is not None
    codes = keys.codes(pa.table({"k": looked_for}))
    rows = [
        keys.rows.order[keys.rows.begin[code]] if keys.rows.counts[code] else -1 for code in codes
    ]
    places = {number: row for row, number in enumerate(known.tolist())}
    assert rows == [places.get(number, -1) for number in looked_for.tolist()]


# -- Against pandas


KEYS = st.one_of(st.none(), st.just(float("nan")), st.sampled_from([0.0, -0.0, 1.0, 1.0, 7.5]))
TEXTS = st.sampled_from(["", "ü", "日本", None])
SIDE = st.lists(st.tuples(KEYS, TEXTS), max_size=14)


def side(rows: list[Any], value: str) -> pa.Table:
    return pa.table(
        {
            "k": pa.array([k for k, _ in rows], pa.float64()),
            "same": pa.array(range(len(rows)), pa.int64()),
            "t": pa.array([t for _, t in rows], pa.string()),
            value: pa.array([str(n) for n in range(len(rows))], pa.string()),
        }
    )


@FEW
@given(
    left=SIDE,
    right=SIDE,
    cuts=st.lists(st.integers(0, 14), max_size=3),
    how=st.sampled_from(HOW),
    on=st.sampled_from([["k"], ["t"], ["t", "k"]]),
)
def test_rows_are_those_of_pandas_in_their_order(waiting, left, right, cuts, how, on):
    one, other = side(left, "v"), side(right, "w")
    expected = one.to_pandas().merge(other.to_pandas(), on=on, how=how)
    found = in_blocks(one, cuts).join(in_blocks(other, cuts[1:]), on, how)
    assert found.columns() == list(expected.columns)
    assert rows_of(found) == plain(expected)


@FEW
@given(left=SIDE, right=SIDE, cuts=st.lists(st.integers(0, 14), max_size=3))
def test_semi_and_anti_joins_divide_the_rows(waiting, left, right, cuts):
    one, other = side(left, "v"), side(right, "w")
    matched = set(one.to_pandas().merge(other.to_pandas(), on=["k", "t"])["v"])
    ds, others = in_blocks(one, cuts), in_blocks(other, cuts[1:])
    for how, wanted in (("semi", True), ("anti", False)):
        found = ds.join(others, ["k", "t"], how)
        assert found.columns() == one.column_names
        kept = [v for v in one["v"].to_pylist() if (v in matched) == wanted]
        assert [row["v"] for row in found.take_all()] == kept


@pytest.mark.parametrize("how", HOW)
def test_keys_of_other_names_are_both_kept(waiting, how):
    left = pd.DataFrame({"a": [3.0, None, 1, 9, 1], "x": list("abcde"), "n": range(5)})
    right = pd.DataFrame({"x": [1.0, 3, None, 5, 1], "a": list("uvwxy"), "m": range(5)})
    expected = left.merge(right, left_on="a", right_on="x", how=how, suffixes=("", "_right"))
    one, other = (in_blocks(pa.Table.from_pandas(side), [1, 3]) for side in (left, right))
    found = one.join(other, "a", how, right_on="x", suffixes=("", "_right"))
    assert found.columns() == list(expected.columns) == ["a", "x", "n", "x_right", "a_right", "m"]
    assert rows_of(found) == plain(expected)


@pytest.mark.parametrize("how", HOW)
def test_a_key_that_many_rows_of_both_sides_have(waiting, monkeypatch, how):
    monkeypatch.setattr(joining, "_SMALLEST", 2000)  # parts are joined some rows at a time
    monkeypatch.setattr(joining, "_MADE_BYTES", 2000)
    random = np.random.default_rng(4)
    sides = []
    for rows, name in ((600, "v"), (200, "w")):
        keys = np.where(random.random(rows) < 0.4, 7, random.integers(0, 100, rows))
        sides.append(pd.DataFrame({"k": keys, name: np.arange(rows)}))
    one, other = (in_blocks(pa.Table.from_pandas(s), [50, 51, 150]) for s in sides)
    found = one.map_batches(dict).join(other.map_batches(dict), "k", how)
    expected = sides[0].merge(sides[1], on="k", how=how)
    pd.testing.assert_frame_equal(found.to_pandas(), expected, check_dtype=False)


def test_a_large_side_is_sorted_and_a_small_one_is_not(backend, monkeypatch):
    table = pa.table({"k": np.arange(40_000) % 1000, "v": np.arange(40_000)})
    names = pa.table({"k": np.arange(1000)[::-1], "name": [str(n) for n in range(1000)[::-1]]})
    large, small = in_blocks(table, [10_000, 20_001]), in_blocks(names, [500])
    first = large.join(small, "k")
    assert first.take(2) == [{"k": 0, "v": 0, "name": "0"}, {"k": 1, "v": 1, "name": "1"}]
    whole = first.to_arrow()
    assert whole["v"].to_pylist() == list(range(40_000))
    assert "sort" not in first.stats()
    monkeypatch.setattr(joining, "_HELD_BYTES", 0)
    assert first.to_arrow().equals(whole)
    assert "sort" in first.stats()


# -- Types


RIGHT = ("right", pa.timestamp("ms"), [(1, 0)])


@pytest.mark.parametrize(
    ("left", "right", "how", "kind", "rows"),
    [
        ([1, 2], [2.0, 2.5], "outer", pa.float64(), [(0, None), (1, 0), (None, 1)]),
        ([1, 2], [2.0, 2.5], "left", pa.int64(), [(0, None), (1, 0)]),
        (pa.array([1, 2], pa.int8()), [2], "right", pa.int64(), [(1, 0)]),
        (["a", "b"], pa.array(["b"]).dictionary_encode(), "outer", None, [(0, None), (1, 0)]),
        (pa.array(["a", "b"]).dictionary_encode(), ["b"], "right", pa.string(), [(1, 0)]),
        (pa.array([1, 2], pa.timestamp("s")), pa.array([2000], pa.timestamp("ms")), *RIGHT),
        (pa.nulls(2), [1, None], "left", pa.null(), [(0, 1), (1, 1)]),
        ([1, 2], pa.nulls(1), "outer", pa.int64(), [(0, None), (1, None), (None, 0)]),
        ([b"a", b"b"], [b"b"], "outer", pa.binary(), [(0, None), (1, 0)]),
        (
            pa.array([2**63, 1], pa.uint64()),
            pa.array([2**63], pa.uint64()),
            "inner",
            None,
            [(0, 0)],
        ),
        ([True, False], [False], "inner", pa.bool_(), [(1, 0)]),
        (
            pa.array([3, None, 1], pa.timestamp("us", "UTC")),
            pa.array([None, 1, 1], pa.timestamp("us", "UTC")),
            "left",
            pa.timestamp("us", "UTC"),
            [(0, None), (1, 0), (2, 1), (2, 2)],
        ),
        (
            pa.array([3, 1], pa.date32()),
            pa.array([1], pa.date32()),
            "left",
            None,
            [(0, None), (1, 0)],
        ),
        (pa.array([3], pa.uint8()), pa.array([2, 3], pa.int64()), "inner", None, [(0, 1)]),
    ],
)
def test_types_of_keys(waiting, left, right, how, kind, rows):
    one = pa.table({"k": left, "v": range(len(left))})
    other = pa.table({"k": right, "w": range(len(right))})
    found = in_blocks(one, [1]).join(in_blocks(other, [1]), "k", how)
    assert [(row["v"], row["w"]) for row in found.take_all()] == rows
    if kind is not None:
        assert found.schema().field("k").type == kind


def test_values_of_all_kinds_come_along(waiting):
    values = data.from_items(
        [{"k": 1, "lists": [1, 2], "s": {"a": 1}, "t": np.zeros((2, 2))}, {"k": 1, "lists": []}]
    )
    found = data.from_items([{"k": 2}, {"k": 1}]).join(values.drop_columns(["t"]), "k", "left")
    assert found.take_all() == [
        {"k": 2, "lists": None, "s": None},
        {"k": 1, "lists": [1, 2], "s": {"a": 1}},
        {"k": 1, "lists": [], "s": None},
    ]
    tensors = data.from_numpy(np.arange(8).reshape(2, 2, 2)).add_column("k", lambda b: [1, 2])
    rows = data.from_items([{"k": 2}, {"k": 3}]).join(tensors, "k", "left").take_all()
    assert rows[0]["data"].tolist() == [[4, 5], [6, 7]]
    assert rows[1]["data"] is None


def test_sides_without_rows(waiting):
    none = data.from_arrow(
        pa.table({"k": pa.array([], pa.int64()), "w": pa.array([], pa.string())})
    )
    some = data.from_items([{"k": 1, "v": 2}])
    nothing = data.from_items([])
    assert some.join(none, "k").take_all() == []
    assert some.join(none, "k", "left").take_all() == [{"k": 1, "v": 2, "w": None}]
    assert none.join(some, "k", "right").take_all() == [{"k": 1, "w": None, "v": 2}]
    assert none.join(some, "k", "outer").take_all() == [{"k": 1, "w": None, "v": 2}]
    assert some.join(none, "k", "anti").take_all() == [{"k": 1, "v": 2}]
    assert some.join(nothing, "k", "left").take_all() == [{"k": 1, "v": 2}]
    assert nothing.join(some, "k", "outer").take_all() == [{"k": 1, "v": 2}]
    assert nothing.join(some, "k").take_all() == []
    assert nothing.join(nothing, "k", "outer").take_all() == []


def test_a_join_of_a_dataset_with_itself_and_what_comes_after(placement):
    ds = data.range_table(100, parallelism=4).map_batches(
        lambda b: {"k": b["value"] % 10, "v": b["value"]}
    )
    sums = ds.groupby("k").sum("v")
    found = ds.join(sums, "k").filter(data.col("v") > 95).select_columns(["v", "sum(v)"])
    assert found.take_all() == [
        {"v": n, "sum(v)": 360 + 10 * (n % 10) + 90} for n in range(96, 100)
    ]
    assert ds.join(ds, "k").count() == 1000


def sides_of(ds: data.Dataset) -> list[list[str]]:
    """The columns of both sides of the join in a plan, and whether they are filtered."""
    (join,) = [node for node in optimize(ds.plan).walk() if isinstance(node, Join)]
    filtered = [any(FilterExpression is type(n.transform) for n in maps(s)) for s in join.inputs]
    return [*(side.columns() for side in join.inputs), filtered]


def maps(node: Node) -> list[Map]:
    return [one for one in node.walk() if isinstance(one, Map)]


SELECTED = st.lists(st.sampled_from(["k", "v_x", "v_y", "a", "b"]), min_size=1, unique=True)


@FEW
@given(names=SELECTED, how=st.sampled_from(HOW), least=st.sampled_from(["k", "v_x", "v_y", "b"]))
def test_columns_and_rows_that_nobody_wants_are_not_joined(names, how, least):
    left = pa.table({"k": [1, 2, 2, 3], "v": [1, 2, 3, 4], "a": list("abcd")})
    right = pa.table({"k": [2, 3, 3, 4], "v": [5, 1, 2, 3], "b": [1, 2, 3, 4]})
    joined = in_blocks(left, [2]).join(in_blocks(right, [1]), "k", how)
    whole = joined.materialize()
    chosen = joined.select_columns(names)
    assert chosen.take_all() == whole.select_columns(names).take_all()
    (one, other, _) = sides_of(chosen)
    assert set(one) <= {"k", *(name.removesuffix("_x").removesuffix("_y") for name in names)}
    assert ("b" in other) == ("b" in names)
    some = joined.filter(data.col(least) > 2)
    assert some.take_all() == whole.filter(data.col(least) > 2).take_all()
    moves = {"v_x": how in ("inner", "left"), "k": how in ("inner", "left")}
    filtered = [moves.get(least, False), least in ("v_y", "b") and how in ("inner", "right")]
    assert sides_of(some)[2] == filtered


def test_columns_of_semi_joins_and_names_that_stay():
    left, right = data.from_items([{"k": 1, "v": 2, "x": 3}]), data.from_items([{"k": 1, "v": 4}])
    semi = left.join(right, "k", "semi").select_columns(["x"])
    assert sides_of(semi)[:2] == [["k", "x"], ["k"]]
    assert semi.take_all() == [{"x": 3}]
    named = left.join(right, "k", suffixes=("", "_right")).select_columns(["v_right"])
    assert sides_of(named)[:2] == [["k", "v"], ["k", "v"]]
    assert named.take_all() == [{"v_right": 4}]
    unknown = left.join(right.map(dict), "k").select_columns(["x"])
    assert unknown.take_all() == [{"x": 3}]
    with pytest.raises(ColumnNotFound, match="'z'"):
        left.join(right, "k").over(lambda p: Map(p, SelectColumns(("z",)))).take_all()


def test_files_are_removed_when_a_result_is_given_up(waiting):
    ds = data.range_table(1000, parallelism=4)
    rows = iter(ds.join(ds.map_batches(dict), "value", "outer").iter_rows())
    assert next(rows) == {"value": 0}
    rows.close()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a, b: a.join([1], "k"), TypeError, "takes a dataset"),
        (lambda a, b: a.join(b, "z"), ColumnNotFound, "join: no column 'z'"),
        (lambda a, b: a.join(b, "v"), ColumnNotFound, "join: no column 'v'"),
        (lambda a, b: a.join(b, 3), InvalidOption, "join: on takes a column's name"),
        (lambda a, b: a.join(b, "k", "cross"), InvalidOption, "how='cross' is unknown"),
        (lambda a, b: a.join(b, "k", right_on=["k", "w"]), InvalidOption, "got 1 and 2"),
        (lambda a, b: a.join(b, "k", suffixes="_x"), InvalidOption, "two texts"),
        (
            lambda a, b: a.join(a, "k", suffixes=("", "")),
            InvalidOption,
            "several columns named 'v'",
        ),
        (lambda a, b: a.join(data.range(3), "k"), UnsupportedValue, "plain objects"),
        (
            lambda a, b: a.join(b, "k", right_on="s").take_all(),
            UnsupportedValue,
            "int64 on the left",
        ),
        (lambda a, b: a.join(b, "k", right_on="t").take_all(), UnsupportedValue, "cannot be keys"),
        (
            lambda a, b: a.join(b.map(lambda r: {"x": 1}), "k", "semi").take_all(),
            ColumnNotFound,
            r"join\('k', how='semi'\): no column 'k'",
        ),
    ],
)
def test_what_cannot_be_joined_says_why(call, error, message):
    one = data.from_items([{"k": 1, "v": 2}])
    other = data.from_items([{"k": 1, "w": 2, "s": "a", "t": [1]}])
    with pytest.raises(error, match=message):
        call(one, other)


def test_values_that_do_not_fit_the_common_type(backend):
    one = data.from_items([{"k": 2**53 + 1}])
    with pytest.raises(
        UnsupportedValue, match="'k' has the type int64, and not all its values fit"
    ):
        one.join(data.from_items([{"k": 0.5}]), "k").take_all()
    assert DataContext.get_current().memory_budget is None
