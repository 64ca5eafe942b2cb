"""Expressions give what pandas gives, say what is wrong, and let files be read in part."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import compute as pc
from pyarrow import parquet

import air.data
from air.data import col, if_else, lit
from air.data.expressions.operators import FilterExpression
from air.data.expressions.pruning import Bounds, may_match
from air.data.optimizer import optimize
from air.data.plan import Map, Read
from air.errors import InvalidOption

MIXED = pa.table(
    {
        "a": [1, 2, None, 4],
        "b": [1.5, math.nan, None, 0.0],
        "s": ["x{}", "Yé", None, " z "],
        "d": [datetime.datetime(2024, 1, day) for day in (1, 2, 3, 7)],
        "c": pa.array(["p", "q", "p", None]).dictionary_encode(),
    }
)


@pytest.mark.parametrize(
    ("expression", "shown", "expected"),
    [
        (1 - col("a"), "(1 - col('a'))", [0, -1, None, -3]),
        (col("a") / 0, "(col('a') / 0)", [math.inf, math.inf, None, math.inf]),
        (col("a") % 3, "(col('a') % 3)", [1, 2, None, 1]),
        (-7 // col("a"), "(-7 // col('a'))", [-7, -4, None, -2]),
        (col("a") // 0, None, [None] * 4),
        (col("b").fill_null(2.5) % -1, None, [-0.5, -0.5, -0.5, 0.0]),
        (lit(7) % lit(-4), "(7 % -4)", [-1] * 4),
        (-(col("a") ** 2), "(-(col('a') ** 2))", [-1, -4, None, -16]),
        (~(col("a") == 1), "~(col('a') == 1)", [False, True, None, True]),
        ((col("a") > 1) | (col("b") > 1), None, [True, True, None, True]),
        (col("b").is_null(), "col('b').is_null()", [False, True, True, False]),
        (col("a").is_not_null(), None, [True, True, False, True]),
        (col("a").is_in([1, None]), "col('a').is_in([1, None])", [True, False, True, False]),
        (col("a").between(2, 4), None, [False, True, None, True]),
        (col("b").fill_null(0), None, [1.5, 0.0, 0.0, 0.0]),
        ((col("a") + 0.5).round(), "(col('a') + 0.5).round(0)", [2.0, 2.0, None, 4.0]),
        ((col("a") - 3).abs(), None, [2, 1, None, 1]),
        (col("a").cast("float32"), "col('a').cast('float')", [1.0, 2.0, None, 4.0]),
        (col("s").str.upper(), "col('s').str.upper()", ["X{}", "YÉ", None, " Z "]),
        (col("s").str.lower(), None, ["x{}", "yé", None, " z "]),
        (col("s").str.strip().str.len(), "col('s').str.strip().str.len()", [3, 2, None, 1]),
        (col("s").str.contains("{}"), "col('s').str.contains('{}')", [True, False, None, False]),
        (col("s").str.contains("[xY]", regex=True), None, [True, True, None, False]),
        (col("s").str.starts_with("Y"), None, [False, True, None, False]),
        (col("s").str.ends_with(" "), None, [False, False, None, True]),
        (col("s").str.replace("{}", "é"), None, ["xé", "Yé", None, " z "]),
        (col("s").str.slice(1, 2), "col('s').str.slice(1, 2)", ["{", "é", None, "z"]),
        (col("d").dt.year() + col("d").dt.month(), None, [2025] * 4),
        (col("d").dt.day_of_week(), "col('d').dt.day_of_week()", [0, 1, 2, 6]),
        (col("d") > datetime.date(2024, 1, 2), None, [False, False, True, True]),
        (col("c") == "p", None, [True, False, True, None]),
        (col("c").is_in(["q"]), None, [False, True, False, False]),
        (if_else(col("a") > 1, "big", col("s")), None, ["x{}", "big", None, "big"]),
        (lit(3), "3", [3, 3, 3, 3]),
    ],
    ids=lambda value: repr(value) if isinstance(value, type(col("a"))) else "",
)
def test_values(expression, shown, expected):
    made = air.data.from_arrow(MIXED).with_column("made", expression).to_arrow()
    assert made["made"].to_pylist() == expected
    assert repr(made.drop_columns(["made"]).to_pydict()) == repr(MIXED.to_pydict())
    assert shown is None or repr(expression) == shown


NUMBERS = st.none() | st.integers(-5, 5)
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30)


@settings(max_examples=25)
@given(ROWS, st.integers(-5, 5), st.integers(1, 5))
def test_filters_are_those_of_pandas(rows, bound, blocks):
    frame = pd.DataFrame(rows, columns=["a", "b"], dtype="Int64")
    table = pa.table({n: pa.array(frame[n], pa.int64(), from_pandas=True) for n in frame})
    condition = (col("a") * 2 > bound) & ~(col("b") == col("a")) | col("b").is_null()
    kept = air.data.from_arrow(table).repartition(blocks).filter(condition)
    mask = (frame.a * 2 > bound) & ~(frame.b == frame.a) | frame.b.isna()
    expected = frame[mask.fillna(False)]
    assert kept.to_arrow().to_pydict() == {
        name: [None if v is pd.NA else v for v in expected[name]] for name in frame
    }


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), max_size=20),
    st.sampled_from([np.int8, np.uint16, np.int64, np.float32, np.float64]),
    st.sampled_from([3, -2, 2.5]),
)
def test_numbers_are_those_of_pandas(rows, kind, number):
    frame = pd.DataFrame(rows, columns=["a", "b"]).abs().replace(0, 4).astype(kind)
    signed = number > 0 or np.dtype(kind).kind != "u"
    number = number if signed else abs(number)
    for apply in (
        lambda a, b: a + number,
        lambda a, b: number * b,
        lambda a, b: a // b,
        lambda a, b: a % number,
        lambda a, b: number // b,
    ):
        made = air.data.from_pandas(frame).with_column("made", apply(col("a"), col("b")))
        expected = apply(frame.a, frame.b).rename("made")
        pd.testing.assert_series_equal(made.to_pandas()["made"], expected)


def test_a_number_that_does_not_fit_its_column_widens_it():
    table = pa.table({"a": pa.array([1, 2], pa.int8())})
    made = air.data.from_arrow(table).with_column("made", col("a") + 1000).to_arrow()
    assert made["made"].to_pylist() == [1001, 1002]


def test_on_tasks_and_here(placement):
    ds = air.data.range_table(1000).with_column("half", col("value") / 2)
    ds = ds.filter(col("half") >= 499)
    assert ds.take_all() == [{"value": 998, "half": 499.0}, {"value": 999, "half": 499.5}]


def test_a_column_in_the_place_of_another_stays_where_it_is():
    ds = air.data.from_arrow(MIXED).select_columns(["a", "s"]).with_column("a", lit("new"))
    assert ds.columns() == ["a", "s"]
    assert ds.take(1) == [{"a": "new", "s": "x{}"}]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda ds: ds.filter(col("a") > 1 and col("b") > 1), TypeError, "combine conditions"),
        (lambda ds: ds.filter(col("a") == None), InvalidOption, "is_null"),  # noqa: E711
        (lambda ds: ds.filter(col("aa") > 1), air.data.ColumnNotFound, "'aa'"),
        (lambda ds: ds.filter(col("a") > 1, num_cpus=1), InvalidOption, "leave all other"),
        (lambda ds: ds.with_column("x", lambda b: b), TypeError, "use add_column"),
        (lambda ds: ds.with_column(1, col("a")), InvalidOption, "must be text"),
        (lambda ds: col(1), InvalidOption, "name of a column"),
        (lambda ds: lit(object()), InvalidOption, "no type"),
        (lambda ds: col("a").cast("int"), InvalidOption, "no Arrow type"),
        (lambda ds: col("a").cast(int), InvalidOption, "takes an Arrow type"),
        (lambda ds: col("s").is_in("abc"), InvalidOption, "list of values"),
        (lambda ds: ds.filter(col("a")).take(), air.data.UnsupportedValue, "compare it"),
        (
            lambda ds: ds.filter(col("s") + 1 > 2).take(),
            air.data.UnsupportedValue,
            r"\(col\('s'\) \+ 1\) cannot .* where col\('s'\) is string, 1 is int64",
        ),
    ],
)
def test_what_is_wrong_is_said(make, error, message):
    with pytest.raises(error, match=message):
        make(air.data.from_arrow(MIXED))


@pytest.fixture
def files(tmp_path):
    """Two files of four row groups each; ``n`` counts, ``s`` follows it, ``k`` has nulls."""
    for part in range(2):
        n = np.arange(40) + part * 40
        text = [f"{value:03}" for value in n]
        holes = pa.array([None if value < 50 else int(value) for value in n], pa.int64())
        table = pa.table({"n": n, "s": text, "k": holes, "x": n * 0.5, "u": n.astype("u4")})
        parquet.write_table(table, tmp_path / f"{part}.parquet", row_group_size=10)
    return str(tmp_path)


def planned_rows(ds):
    """Rows of the row groups that the plan of *ds* reads."""
    reads = [node for node in optimize(ds.plan).walk() if isinstance(node, Read)]
    tasks = [task for read in reads for task in read.source.get_read_tasks(16)]
    return sum(task.metadata.num_rows for task in tasks)


@pytest.mark.parametrize(
    ("condition", "read"),
    [
        (col("n") < 15, 20),
        (lit(15) > col("n"), 20),
        (col("n") == 33, 10),
        (col("n").is_in([5, 71]), 20),
        (col("s") >= "065", 20),
        (col("x") > 34.75, 10),
        ((col("n") < 15) & (col("x") > 6), 10),
        ((col("n") < 5) | (col("n") > 75), 20),
        (col("k") > 0, 30),
        (col("n") > 1000, 0),
        (col("u") > 1000, 80),
        (~(col("n") < 70), 80),
        (col("n") + 1 > 75, 80),
    ],
    ids=repr,
)
def test_row_groups_that_cannot_match_are_not_read(files, condition, read):
    ds = air.data.read_parquet(files).filter(condition)
    assert planned_rows(ds) == read
    whole = air.data.read_parquet(files).materialize().filter(condition)
    assert ds.to_arrow().equals(whole.to_arrow())
    assert ds.count() == whole.count()


@pytest.fixture
def typed_files(tmp_path):
    """A file of four row groups of ten, in which each column counts from group to group."""
    group = [number // 10 for number in range(40)]
    start = datetime.datetime(2024, 1, 1)
    days = [start + datetime.timedelta(days=number) for number in group]
    table = pa.table(
        {
            "us": pa.array(days, pa.timestamp("us")),
            "zone": pa.array(days, pa.timestamp("ms", "Europe/Rome")),
            "ns": pa.array(days, pa.timestamp("ns")),
            "day": pa.array([day.date() for day in days]),
            "money": pa.array([Decimal(number) / 2 for number in group], pa.decimal128(9, 2)),
            "wide": pa.array([Decimal(number - 2) for number in group], pa.decimal256(50, 1)),
            "flag": [number > 1 for number in group],
            "holes": pa.array([None if number < 2 else True for number in group], pa.bool_()),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=10)
    return str(tmp_path)


SECOND = datetime.datetime(2024, 1, 2)


@pytest.mark.parametrize(
    ("condition", "read"),
    [
        (col("us") < SECOND, 10),
        (col("us") >= SECOND, 30),
        (col("us") == SECOND, 10),
        (col("us").is_in([SECOND]), 10),
        (col("ns") < SECOND, 40),
        (col("day") > SECOND.date(), 20),
        (lit(SECOND.date()) >= col("day"), 20),
        (col("money") > Decimal("0.75"), 20),
        (col("money") > 1, 10),
        (col("wide") < Decimal(-1), 10),
        (col("flag"), 20),
        (~col("flag"), 20),
        (col("flag") == True, 20),  # noqa: E712
        (col("flag") & (col("day") > datetime.date(2024, 1, 3)), 10),
        (col("holes"), 20),
        (~col("holes"), 0),
    ],
    ids=repr,
)
def test_row_groups_are_left_out_by_values_of_other_types(typed_files, condition, read):
    ds = air.data.read_parquet(typed_files).filter(condition)
    assert planned_rows(ds) == read
    whole = air.data.read_parquet(typed_files).materialize().filter(condition)
    assert ds.to_arrow().equals(whole.to_arrow())


def test_times_with_a_zone(typed_files):
    ds = air.data.read_parquet(typed_files)
    at = pa.scalar(SECOND, pa.timestamp("ms", "Europe/Rome")).as_py()
    for condition in (col("zone") < at, col("zone") < SECOND):
        try:
            expected = ds.materialize().filter(condition).count()
        except air.data.UnsupportedValue:
            with pytest.raises(air.data.UnsupportedValue):
                ds.filter(condition).count()
        else:
            assert ds.filter(condition).count() == expected


def test_expressions_of_pyarrow_are_refused():
    for operator in ("filter", "map"):
        with pytest.raises(TypeError, match=r"takes no expression of pyarrow.*col\('a'\) > 1"):
            getattr(air.data.from_arrow(MIXED), operator)(pc.field("a") > 1)


def test_conditions_go_below_what_they_do_not_depend_on(files):
    ds = air.data.read_parquet(files)
    shaped = (
        ds.rename_columns({"n": "m"})
        .with_column("y", col("m") * 2)
        .drop_columns(["u"])
        .filter(col("m") >= 70)
        .select_columns(["y", "m"])
    )
    assert planned_rows(shaped) == 10
    assert shaped.take_all() == [{"y": 2 * n, "m": n} for n in range(70, 80)]
    made = ds.with_column("n", col("n") * 0).filter(col("n") > 5)
    assert planned_rows(made) == 80
    assert made.take_all() == []
    twice = ds.filter(col("n") >= 30).filter(col("s") < "040")
    assert planned_rows(twice) == 10
    both = ds.union(ds).filter(col("n") < 10)
    assert planned_rows(both) == 20
    assert both.count() == 20
    assert planned_rows(ds.limit(5).filter(col("n") > 70)) == 80


def test_swapped_names(files):
    ds = air.data.read_parquet(files).rename_columns({"n": "x", "x": "n"}).filter(col("n") < 1)
    assert [row["x"] for row in ds.take_all()] == [0, 1]


def test_a_column_that_was_renamed_is_gone(files):
    ds = air.data.read_parquet(files).map_batches(lambda batch: batch)
    with pytest.raises(air.data.ColumnNotFound, match="'n'"):
        ds.rename_columns({"n": "m"}).filter(col("n") < 1).take()


def test_only_columns_that_are_needed_are_read(files):
    ds = air.data.read_parquet(files).filter(col("x") > 30).select_columns(["n"])
    (read,) = (node for node in optimize(ds.plan).walk() if isinstance(node, Read))
    assert read.columns() == ["n", "x"]
    assert ds.take(1) == [{"n": 61}]


def test_labels_of_files_are_not_taken_for_what_is_in_them(tmp_path):
    for year in (1, 2):
        (tmp_path / f"n={year}").mkdir()
        parquet.write_table(pa.table({"v": [year]}), tmp_path / f"n={year}" / "a.parquet")
    ds = air.data.read_parquet(str(tmp_path), include_paths=True)
    assert ds.filter(col("n") == ds.take(2)[1]["n"]).select_columns(["v"]).take_all() == [{"v": 2}]
    assert ds.filter(col("path").str.contains("n=1")).count() == 1


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        (col("n") == 1, [1]),
        ((col("n") > 1) & (col("v") < 100), [2, 3]),
        ((col("n") == 3) | (col("w") == "x"), [1, 2, 3]),
        (col("n").is_in([3]), [3]),
        (col("n") > 7, []),
    ],
)
def test_files_that_directories_rule_out_are_not_opened(tmp_path, condition, left):
    for n in (1, 2, 3):
        (tmp_path / f"n={n}").mkdir()
        table = pa.table({"v": [10 * n], "w": ["y"]})
        parquet.write_table(table, tmp_path / f"n={n}" / "a.parquet")
    ds = air.data.read_parquet(str(tmp_path)).filter(condition)
    expected = [n for n in left if n == 3 or "col('w')" not in repr(condition)]
    for n in {1, 2, 3} - set(left):
        if left:  # of one file the columns are seen
            (tmp_path / f"n={n}" / "a.parquet").unlink()
    assert ds.take_all() == [{"v": 10 * n, "w": "y", "n": n} for n in expected]
    assert ds.to_pandas().columns.tolist() == ["v", "w", "n"]


def test_files_that_have_the_column_themselves_are_looked_into(tmp_path):
    (tmp_path / "n=1").mkdir()
    parquet.write_table(pa.table({"n": [5, 6]}), tmp_path / "n=1" / "a.parquet")
    assert air.data.read_parquet(str(tmp_path)).filter(col("n") > 5).take_all() == [{"n": 6}]


def test_statistics_that_say_nothing_prune_nothing():
    bounds = {"a": Bounds(None, None, None, 10), "t": Bounds("a", "f", 0, 10)}
    assert may_match(col("a") > 3, bounds)
    assert may_match(col("missing") > 3, bounds)
    assert may_match(col("t") > 3, bounds)
    assert not may_match(col("t") > "f", bounds)
    assert may_match(col("t") >= "f", bounds)
    assert not may_match(col("a") == 1, {"a": Bounds(None, None, 10, 10)})


def test_one_filter_is_told_once(files):
    ds = air.data.read_parquet(files).filter(col("n") < 15)
    plan = optimize(ds.plan)
    assert isinstance(plan, Map)
    assert isinstance(plan.transform, FilterExpression)
    assert optimize(plan) is plan
