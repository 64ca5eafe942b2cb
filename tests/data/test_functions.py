"""What functions of users may be, do and raise, here and on tasks alike."""

from __future__ import annotations

import functools
import itertools
import threading
import traceback

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from air import data
from air.data.errors import UnsupportedValue
from air.data.udf.functions import TaskContext, check_function
from air.data.udf.rows import FlatMapRows
from air.errors import InvalidOption, SerializationError

pytestmark = pytest.mark.usefixtures("placement")


class Broken(Exception):
    def __init__(self, code, detail):
        super().__init__(f"{code}: {detail}")
        self.code = code


class Times:
    def __init__(self, factor=1):
        if factor == 0:
            raise Broken(7, "no factor")
        self.factor = factor

    def __call__(self, row, plus=0):
        return {"v": row["value"] * self.factor + plus}

    def method(self, row):
        return {"v": row["value"] * self.factor}


def table(rows=4, blocks=2):
    return data.range_table(rows, parallelism=blocks)


def values(ds):
    return [row["v"] for row in ds.take_all()]


# Kinds of functions -----------------------------------------------------------------------------


def test_everything_that_can_be_called():
    ds = table()
    assert values(ds.map(Times, fn_constructor_args=[10], fn_kwargs={"plus": 1})) == [1, 11, 21, 31]
    assert values(ds.map(Times(2))) == [0, 2, 4, 6]
    assert values(ds.map(Times(3).method)) == [0, 3, 6, 9]
    assert values(ds.map(functools.partial(lambda k, row: {"v": k + row["value"]}, 5))) == [
        *(5, 6, 7, 8)
    ]
    offset = 100
    assert values(ds.map(lambda row: {"v": row["value"] + offset})) == [100, 101, 102, 103]
    assert data.range(2).map(str).take() == ["0", "1"]


def yields(row):
    yield row


@pytest.mark.parametrize("operator", ["map", "filter"])
def test_generators_are_refused_where_one_result_is_wanted(operator):
    with pytest.raises(TypeError, match="yields; for several rows of one use flat_map"):
        getattr(table(), operator)(yields)


def test_functions_on_batches_may_give_any_iterator():
    def twice(batch):
        return iter([batch, {"value": batch["value"] + 10}])

    assert [row["value"] for row in table().map_batches(twice).take_all()] == [
        *(0, 1, 10, 11, 2, 3, 12, 13)
    ]
    assert table().map_batches(lambda batch: iter(())).take_all() == []
    assert table().flat_map(yields).count() == 4


def test_a_column_may_be_yielded_value_by_value():
    ds = table().add_column("v", lambda frame: (i for i in frame["value"] * 2))
    assert values(ds) == [0, 2, 4, 6]


# What they do to what they are given ------------------------------------------------------------


def test_what_a_function_does_to_its_batch_stays_with_it():
    def spoil(batch):
        batch["value"][:] = -1
        batch["new"] = batch["value"]
        return batch

    frame = pd.DataFrame({"value": [1, 2]})
    for ds in (data.from_pandas(frame), table(2).materialize()):
        before = ds.take_all()
        assert ds.map_batches(spoil).take_all() == [{"value": -1, "new": -1}] * 2
        assert ds.take_all() == before
    assert frame["value"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "use",
    [
        lambda ds, spoil: ds.map(spoil),
        lambda ds, spoil: ds.filter(spoil),
        lambda ds, spoil: ds.map_batches(lambda items: [spoil(item) for item in items]),
        lambda ds, spoil: ds.flat_map(lambda item: [spoil(item)]),
    ],
)
def test_what_a_function_does_to_an_object_stays_with_it(use):
    items = [[1], [2]]
    ds = data.from_items(items)

    def spoil(item):
        item.append(9)
        return item

    for source in (ds, ds.map(list).materialize()):
        assert use(source, spoil).take_all() == [[1, 9], [2, 9]]
        assert source.take_all() == [[1], [2]]
    ds.take_all()[0].append(5)
    items[0].append(5)
    assert ds.take_all() == [[1], [2]]


# What they raise ------------------------------------------------------------------------------


def raise_at(number):
    def check(row):
        if row["value"] >= number:
            raise Broken(row["value"], "too large")
        return row

    return check


@pytest.mark.parametrize("operator", ["map", "filter"])
def test_an_error_is_itself_and_ends_on_the_line_that_raised(operator):
    with pytest.raises(Broken) as raised:
        getattr(table(), operator)(raise_at(3)).materialize()
    assert raised.value.code == 3
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "check"
    assert f"in {operator}(check), at row 1 of its input" in raised.value.__notes__[0]


def test_an_error_among_rows_that_are_yielded_is_told_where():
    def spread(row):
        yield row
        raise Broken(row["value"], "late")

    with pytest.raises(Broken) as raised:
        table().flat_map(spread).take_all()
    assert raised.value.code == 0
    assert "in flat_map(spread), at row 0 of its input" in raised.value.__notes__[0]


def test_an_error_of_a_constructor_is_itself_too():
    with pytest.raises(Broken) as raised:
        table().map(Times, fn_constructor_args=[0]).take()
    assert raised.value.code == 7
    assert "in the constructor of Times" in raised.value.__notes__
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "__init__"


def test_a_stop_iteration_does_not_end_the_data_in_silence():
    for operator in ("map", "map_batches", "filter", "flat_map"):
        ds = getattr(table(), operator)(lambda _: next(iter([])))
        with pytest.raises(RuntimeError, match=rf"{operator}\(<lambda>\) raised StopIteration"):
            ds.take_all()


def test_rows_before_an_error_come_out():
    rows = table(60, 6).map(raise_at(45)).iter_rows()
    # Whole blocks: that with row 45 is not there.
    assert [row["value"] for row in itertools.islice(rows, 40)] == list(range(40))
    with pytest.raises(Broken) as raised:
        next(rows)
    assert raised.value.code == 45


def test_of_several_errors_the_first_in_the_data_is_told():
    for _ in range(3):
        with pytest.raises(Broken) as raised:
            table(40, 20).map(raise_at(8)).take_all()
        assert raised.value.code == 8


def test_nobody_learns_of_an_error_in_rows_not_asked_for():
    assert len(table(40, 20).map(raise_at(6)).take(6)) == 6


# What they return -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "got NoneType; does the function return its result?"),
        (3, "got int"),
        ("abc", "got str"),
        (pd.Series([1]), "got Series"),
        (np.eye(2), "got ndarray of shape (2, 2); for a column of arrays return"),
        ({"a": [1], "b": [1, 2]}, "equally long, got {'a': 1, 'b': 2}"),
        ({"a": 1}, "column 'a' must be an array or a list with one value a row, got int"),
        ({"a": pd.DataFrame({"x": [1]})}, "column 'a' must be the values of one column"),
    ],
)
def test_what_is_no_batch_is_blamed_on_the_function(returned, message):
    with pytest.raises(UnsupportedValue) as raised:
        table().map_batches(lambda batch: returned).take_all()
    assert "what map_batches(<lambda>) returned cannot be kept" in str(raised.value)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "step",
    [
        lambda rows: rows.map(lambda row: {"a": row["a"] if row["a"] < 4 else "x"}),
        lambda rows: rows.map(lambda row: row["a"] if row["a"] < 4 else {"a": 1}),
        lambda rows: rows.flat_map(lambda row: [{"a": row["a"] if row["a"] < 4 else "x"}]),
        lambda rows: rows.map_batches(lambda batch: None if batch["a"][0] > 2 else batch),
        lambda rows: rows.add_column("b", lambda batch: [1, 2] if batch["a"][0] > 2 else 1),
    ],
    ids=["map", "map to objects", "flat_map", "map_batches", "add_column"],
)
def test_what_cannot_be_kept_is_told_with_its_rows_and_columns(tmp_path, step):
    for name, rows in {"1.csv": "1\n2\n", "2.csv": "3\n4\n5\n"}.items():
        (tmp_path / name).write_text("a\n" + rows)
    with pytest.raises(UnsupportedValue) as raised:
        step(data.read_csv(tmp_path)).take_all()
    (note,) = (note for note in raised.value.__notes__ if note.startswith("in "))
    assert f"at rows 0-2 of {tmp_path / '2.csv'} (columns a: int64)" in note


def test_many_rows_of_few_become_blocks_as_they_are_made():
    asked = []

    def spread(row):
        asked.append(row["value"])
        return [{"v": row["value"], "part": n if row["value"] else n / 2} for n in range(10_000)]

    user = check_function("flat_map", spread)
    given = pa.table({"value": range(12)})
    context = TaskContext(0, "test", block_bytes=1 << 18)
    blocks = FlatMapRows(user).open()(iter([given]), context)
    first = next(blocks)
    assert first["v"].to_pylist() == [value for value in asked for _ in range(10_000)]
    assert len(asked) < 4
    # What is a float in one row and a whole number in another is a float in all of the block.
    assert first.schema.field("part").type == pa.float64()
    rest = list(blocks)
    assert sum(map(len, rest)) == 120_000 - len(first)
    assert all(block.nbytes < 1 << 20 for block in [first, *rest])


def test_blocks_without_rows_go_with_all_others():
    def some(batch):
        return batch if batch["value"][0] == 0 else {}

    assert table().map_batches(some).to_pandas()["value"].tolist() == [0, 1]
    assert table().map_batches(lambda batch: pd.DataFrame()).take_all() == []


def test_a_column_added_to_no_rows_is_there():
    ds = table().filter(lambda row: False).add_column("v", lambda frame: frame["value"])
    assert ds.to_arrow().column_names == ["value", "v"]


def test_names_are_checked_against_those_of_the_data():
    ds = data.from_items([{"a": 1, "b": 2}]).map(lambda row: row)
    with pytest.raises(UnsupportedValue, match="several columns named 'b'"):
        ds.rename_columns({"a": "b"}).take()


# Blocks that differ -----------------------------------------------------------------------------


def either(batch):
    return {"a": [1]} if batch["value"][0] == 0 else {"a": [0.5], "b": ["x"]}


def test_materialized_blocks_have_one_schema():
    whole = table().map_batches(either).materialize()
    assert whole.schema() == pa.schema({"a": pa.float64(), "b": pa.string()})
    rows = [{"a": 1.0, "b": None}, {"a": 0.5, "b": "x"}]
    assert whole.take_all() == rows
    assert whole.select_columns("b").take(1) == [{"b": None}]
    first, second = whole.split(2)
    assert [*first.take_all(), *second.take_all()] == rows
    assert first.schema() == second.schema()


def test_materialized_blocks_that_do_not_go_together_are_refused():
    def mixed(batch):
        return {"a": [1]} if batch["value"][0] == 0 else {"a": ["x"]}

    with pytest.raises(UnsupportedValue, match=r"int64 in range 0-1 and string in range 2-3"):
        table().map_batches(mixed).materialize()
    with pytest.raises(UnsupportedValue, match="some blocks hold records"):
        data.range(4, parallelism=2).map(lambda x: {"a": x} if x < 2 else x).materialize()


def test_options_of_operators_name_the_nearest():
    with pytest.raises(InvalidOption, match="Did you mean 'fn_kwargs'"):
        table().map(Times, fn_kwarg={"plus": 1})


@pytest.mark.parametrize("make", [threading.Lock, lambda: (i for i in "ab")])
def test_what_cannot_be_sent_is_named(placement, make):
    ds = data.range(4, parallelism=2).map(lambda i: [make()][0])
    if placement == "here":
        assert len(ds.take_all()) == 4
        return
    with pytest.raises(SerializationError, match="cannot be sent to another process"):
        ds.take_all()
    assert data.range(2).map(lambda i: None).materialize().schema() is type(None)


@pytest.mark.parametrize("missing", [range(4), range(2, 4)])
def test_a_missing_return_is_told(placement, missing):
    ds = data.range_table(4, parallelism=1)
    ds = ds.map(lambda row: None if row["value"] in missing else row)
    with pytest.raises(UnsupportedValue, match=f"row {missing[0]} is"):
        ds.take_all()


def test_a_function_that_never_ends_gives_what_is_asked_of_it():
    def endless(batch):
        for i in itertools.count():
            yield {"value": batch["value"] + i}

    ds = table(1, 1).map_batches(endless)
    assert [row["value"] for row in ds.take(3)] == [0, 1, 2]
    batches = ds.iter_batches(batch_size=2)
    assert [next(batches)["value"].tolist() for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    batches.close()


@pytest.mark.parametrize("batch_format", ["numpy", "pandas", "pyarrow"])
def test_lists_stay_lists_whatever_their_lengths_in_a_batch(batch_format):
    rows = [{"l": value} for value in ([1, 2], [3, 4], [5], [], [], None)]
    ds = data.from_items(rows).map_batches(lambda b: b, batch_format=batch_format, batch_size=2)
    for whole in (ds, ds.repartition(1)):
        assert whole.take_all() == rows
    assert ds.materialize().schema() == pa.schema([("l", pa.list_(pa.int64()))])


@pytest.mark.parametrize("rows", [4, 4_000])  # small frames are kept as they are for a while
def test_an_index_with_a_name_is_columns(placement, rows):
    frame = pd.DataFrame({"k": [i % 2 for i in range(rows)], "j": "a", "v": range(rows)})
    ds = data.from_pandas(frame)

    def given(change):
        made = ds.map_batches(change, batch_format="pandas", batch_size=None).to_pandas()
        pd.testing.assert_frame_equal(made, change(frame).reset_index(), check_dtype=False)

    given(lambda batch: batch.groupby("k").sum(numeric_only=True))
    given(lambda batch: batch.groupby(["k", "j"]).agg(most=("v", "max")))
    given(lambda batch: batch.set_index("v"))
    kept = ds.map_batches(lambda batch: batch.set_index("v", drop=False), batch_format="pandas")
    assert kept.columns() == ["k", "j", "v"]
    assert ds.map_batches(lambda b: b.sort_values("v"), batch_format="pandas").count() == rows
    assert data.from_pandas(frame.set_index("v")).columns() == ["v", "k", "j"]
    assert data.from_pandas(frame.iloc[::-1]).columns() == ["k", "j", "v"]
    sizes = ds.groupby("k").map_groups(
        lambda group: group.groupby("j").size().to_frame("n"), batch_format="pandas"
    )
    assert sizes.take(1) == [{"j": "a", "n": rows // 2}]
