"""Rows that functions fail for can be left out: counted, bounded, and written to a dead letter."""

from __future__ import annotations

import datetime
import decimal
import os
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import air
from air import data
from air.data.errors import TooManyErrors, UnsupportedValue
from air.errors import InvalidOption

settings.register_profile("data", deadline=None, max_examples=25)
settings.load_profile("data")

BAD = {3, 4, 17, 31}


def checked(value):
    if value in BAD:
        raise ValueError(f"bad {value}")
    return value


def doubled(row):
    return {"v": checked(row["value"]) * 2}


def doubled_batch(batch):
    for value in batch["value"].tolist():
        checked(value)
    return {"v": batch["value"] * 2}


class Doubled:
    def __call__(self, row):
        return doubled(row)


class DoubledBatch:
    def __call__(self, batch):
        return doubled_batch(batch)


OPERATORS = {
    "map": lambda ds, **o: ds.map(doubled, **o),
    "flat_map": lambda ds, **o: ds.flat_map(lambda row: [doubled(row)], **o),
    "generator": lambda ds, **o: ds.flat_map(lambda row: (doubled(row) for _ in "a"), **o),
    "filter": lambda ds, **o: ds.filter(lambda row: checked(row["value"]) >= 0, **o).map(doubled),
    "map_batches": lambda ds, **o: ds.map_batches(doubled_batch, batch_size=7, **o),
    "pandas": lambda ds, **o: ds.map_batches(doubled_batch, batch_format="pandas", **o),
    "add_column": lambda ds, **o: ds.add_column("v", lambda b: doubled_batch(b)["v"], **o),
    "pool": lambda ds, **o: ds.map(Doubled, concurrency=2, **o),
    "pool of batches": lambda ds, **o: ds.map_batches(DoubledBatch, concurrency=(1, 2), **o),
}


def table(rows=40, blocks=4):
    return data.range_table(rows, parallelism=blocks)


@pytest.mark.parametrize("operator", OPERATORS)
def test_all_other_rows_come_out(placement, tmp_path, operator):
    path = tmp_path / "dead"
    ds = OPERATORS[operator](table(), on_error="skip", dead_letter=path)
    rows = ds.take_all()
    assert [row["v"] for row in rows] == [2 * i for i in range(40) if i not in BAD]
    assert f"{len(BAD)} rows skipped by" in ds.stats()
    assert "(first ValueError: bad 3, at row 3 of its input from range 0-9)" in ds.stats()
    letters = data.read_parquet(str(path))
    assert letters.drop_columns("_error").take_all() == [{"value": i} for i in sorted(BAD)]
    errors = [row["_error"] for row in letters.take_all()]
    assert [error["message"] for error in errors] == [f"bad {i}" for i in sorted(BAD)]
    assert {error["type"] for error in errors} == {"ValueError"}
    assert [error["source"] for error in errors] == [
        *("range 0-9", "range 0-9", "range 10-19", "range 30-39")
    ]
    assert os.listdir(tmp_path) == ["dead"]


@pytest.mark.parametrize("operator", ["map", "map_batches", "pool"])
def test_running_again_writes_the_same_again(placement, tmp_path, operator):
    ds = OPERATORS[operator](table(), on_error="skip", dead_letter=tmp_path / "dead")
    assert len(ds.take(4)) == 4
    names = set(os.listdir(tmp_path / "dead")) if (tmp_path / "dead").exists() else set()
    for _ in range(2):
        assert ds.count() == 40 - len(BAD)
        again = set(os.listdir(tmp_path / "dead"))
        assert names <= again
        names = again
    assert data.read_parquet(str(tmp_path / "dead")).count() == len(BAD)


def test_rows_of_files_know_their_places(placement, tmp_path):
    data.range_table(20, parallelism=1).write_parquet(str(tmp_path / "in"))
    (file,) = os.listdir(tmp_path / "in")
    source = f"{tmp_path}/in/{file}"
    dead = tmp_path / "dead"
    ds = data.read_parquet(source).map(Doubled, concurrency=1, on_error="skip", dead_letter=dead)
    assert ds.count() == 17
    errors = [row["_error"] for row in data.read_parquet(str(dead)).take_all()]
    assert [(error["source"], error["row"]) for error in errors] == [
        *((source, 3), (source, 4), (source, 17))
    ]
    assert errors[0] == {
        "operator": "map(Doubled)",
        "type": "ValueError",
        "message": "bad 3",
        "source": source,
        "row": 3,
        "column": "value",
    }


def test_several_operators_each_count_their_own(placement, tmp_path):
    def even(row):
        if row["v"] == 20:
            raise KeyError("twenty")
        return row

    ds = table().map(doubled, on_error="skip", dead_letter=tmp_path / "one")
    ds = ds.map(Doubled2, concurrency=1, on_error="skip", dead_letter=tmp_path / "two").map(
        even, on_error="skip"
    )
    assert ds.count() == 40 - len(BAD) - 2
    lines = ds.stats()
    assert "4 rows skipped by map(doubled)" in lines
    assert "1 rows skipped by map(Doubled2)" in lines
    assert "1 rows skipped by map(even)" in lines
    assert data.read_parquet(str(tmp_path / "one")).count() == 4
    assert data.read_parquet(str(tmp_path / "two")).count() == 1


class Doubled2:
    def __call__(self, row):
        if row["v"] == 40:
            raise ValueError("forty")
        return row


def test_an_exchange_after_it_loses_nothing(placement, tmp_path):
    ds = table().map(doubled, on_error="skip", dead_letter=tmp_path / "dead")
    expected = [2 * i for i in range(40) if i not in BAD]
    assert sorted(row["v"] for row in ds.random_shuffle(seed=1).take_all()) == expected
    assert [row["v"] for row in ds.sort("v").take_all()] == expected
    assert [row["v"] for row in ds.repartition(3).take_all()] == expected
    assert ds.groupby("v").count().count() == len(expected)
    assert data.read_parquet(str(tmp_path / "dead")).count() == len(BAD)


def test_a_dataset_of_which_nothing_is_left(placement, tmp_path):
    def refuse(row):
        raise ValueError("no")

    dead = tmp_path / "dead"
    assert table().map(refuse, on_error="skip", dead_letter=dead).take_all() == []
    assert data.read_parquet(str(dead)).count() == 40
    ds = table().add_column("v", refuse, on_error="skip")
    assert ds.to_arrow().column_names == ["value", "v"]
    assert ds.count() == 0
    assert table().map_batches(refuse, on_error="skip").materialize().count() == 0


# How many -------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS)
def test_more_than_may_be(placement, tmp_path, operator):
    fine = OPERATORS[operator](table(), on_error="skip", max_errors=len(BAD))
    assert fine.count() == 40 - len(BAD)
    most = len(BAD) - 1
    ds = OPERATORS[operator](table(), on_error="skip", max_errors=most, dead_letter=tmp_path / "d")
    with pytest.raises(TooManyErrors, match=rf"failed for more than max_errors={most} rows"):
        ds.take_all()
    assert data.read_parquet(str(tmp_path / "d")).count() >= most
    assert os.listdir(tmp_path) == ["d"]


def test_none_may_fail(placement):
    ds = table().map(doubled, on_error="skip", max_errors=0)
    with pytest.raises(TooManyErrors, match="bad 3, at row 3 of its input from range 0-9"):
        ds.take_all()
    # Blocks that nobody asks for do not count.
    assert len(table(40, 20).map(doubled, on_error="skip", max_errors=0).take(2)) == 2


# Kinds of rows and errors ---------------------------------------------------------------------


def test_types_of_rows_survive(placement, tmp_path):
    zone = datetime.UTC
    times = pa.array([datetime.datetime(2020, 1, 1, tzinfo=zone)] * 2, pa.timestamp("us", "UTC"))
    rows = pa.table(
        {
            "d": pa.array([decimal.Decimal("1.50"), None], pa.decimal128(5, 2)),
            "t": times,
            "c": pa.array(["x", "y"]).dictionary_encode(),
            "l": [[1], None],
            "b": [b"\xff", b""],
        }
    )
    tensors = data.from_arrow(rows).zip(data.from_numpy(np.arange(8.0).reshape(2, 2, 2)))

    def refuse(row):
        raise ValueError("no")

    assert tensors.map(refuse, on_error="skip", dead_letter=tmp_path / "dead").count() == 0
    again = data.read_parquet(str(tmp_path / "dead")).drop_columns("_error")
    assert again.to_arrow().equals(tensors.to_arrow())


class Odd:
    def __init__(self, value):
        self.value = value


def test_plain_objects(placement, tmp_path):
    def refuse(item):
        if item != 2:
            raise ValueError("no")
        return item

    ds = data.range(4).map(refuse, on_error="skip", dead_letter=tmp_path / "ints")
    assert ds.take_all() == [2]
    letters = data.read_parquet(str(tmp_path / "ints"))
    assert [row["value"] for row in letters.take_all()] == [0, 1, 3]

    def spoil(item):
        item[0].value = "spoilt"
        raise ValueError("no")

    ds = data.from_items([[Odd(1)], [Odd(2)]])
    for name, operator in (("rows", ds.map), ("batches", ds.map_batches)):
        assert operator(spoil, on_error="skip", dead_letter=tmp_path / name).count() == 0
        letters = data.read_parquet(str(tmp_path / name)).take_all()
        assert [pickle.loads(row["pickle"])[0].value for row in letters] == [1, 2]


def test_what_cannot_be_kept_is_an_error_of_the_row(placement):
    def odd(row):
        return {"v": Odd(1)} if row["value"] == 1 else {"v": 1}

    ds = table(3, 1)
    with pytest.raises(UnsupportedValue):
        ds.map(odd).take_all()
    assert ds.map(odd, on_error="skip").take_all() == [{"v": 1}] * 2
    assert ds.flat_map(lambda row: [odd(row)], on_error="skip").take_all() == [{"v": 1}] * 2
    assert ds.flat_map(lambda row: 5, on_error="skip").take_all() == []
    lists = ds.map_batches(lambda b: [odd({"value": v}) for v in b["value"]], on_error="skip")
    assert lists.take_all() == [{"v": 1}] * 2
    # What is fine by itself and does not go together is nobody's fault alone.
    mixed = ds.map(lambda row: {"v": "x" if row["value"] else 1}, on_error="skip")
    with pytest.raises(UnsupportedValue, match="mixes values"):
        mixed.take_all()


def test_halves_are_tried_in_order(placement):
    sizes = []

    def refuse(batch):
        sizes.append(len(batch["value"]))
        return doubled_batch(batch)

    ds = data.range_table(8, parallelism=1).map_batches(refuse, on_error="skip")
    assert [row["v"] for row in ds.take_all()] == [0, 2, 4, 10, 12, 14]
    if placement == "here":
        assert sizes == [8, 4, 2, 2, 1, 1, 4, 2, 1, 1, 2]


def test_what_was_yielded_before_an_error_is_dropped(placement):
    def twice(batch):
        yield batch
        checked(batch["value"][-1])

    ds = data.range_table(4, parallelism=1).map_batches(twice, on_error="skip")
    assert [row["value"] for row in ds.take_all()] == [0, 1, 2]


def test_a_task_that_is_tried_again_counts_once(backend, placement, tmp_path):
    if backend == "local" or placement == "here":
        pytest.skip("nothing is tried again there")
    flag = tmp_path / "died"

    def die_once(row):
        if row["value"] == 25 and not flag.exists():
            flag.touch()
            os._exit(1)
        return doubled(row)

    ds = table().map(die_once, on_error="skip", dead_letter=tmp_path / "dead", num_cpus=1)
    assert [row["v"] for row in ds.take_all()] == [2 * i for i in range(40) if i not in BAD]
    assert flag.exists()
    assert "4 rows skipped" in ds.stats()
    assert data.read_parquet(str(tmp_path / "dead")).count() == 4
    assert sorted(os.listdir(tmp_path)) == ["dead", "died"]


# Options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on_error": "skp"}, "unknown on_error 'skp'. Did you mean 'skip'?"),
        ({"on_error": None}, "unknown on_error None"),
        ({"dead_letter": "x"}, "dead_letter is about rows that are skipped"),
        ({"max_errors": 3}, "max_errors is about rows that are skipped"),
        ({"on_error": "skip", "max_errors": -1}, "max_errors"),
        ({"on_error": "skip", "dead_letter": 5}, "dead_letter: path must be text"),
    ],
)
@pytest.mark.parametrize("operator", ["map", "flat_map", "filter", "map_batches"])
def test_options_are_checked_at_the_call(operator, options, words):
    with pytest.raises(InvalidOption) as raised:
        getattr(table(), operator)(doubled, **options)
    assert words in str(raised.value)


def test_a_dead_letter_is_a_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidOption, match="is a file, not a directory"):
        table().map(doubled, on_error="skip", dead_letter=tmp_path / "file")
    with pytest.raises(InvalidOption, match="leave all other"):
        table().filter(data.col("value") > 1, on_error="skip")


def test_letters_are_not_skipped_into_themselves(placement, tmp_path):
    ds = table().map(doubled, on_error="skip", dead_letter=tmp_path / "dead")
    ds.materialize()
    letters = data.read_parquet(str(tmp_path / "dead"))
    again = letters.map(doubled, on_error="skip", dead_letter=tmp_path / "again")
    with pytest.raises(UnsupportedValue, match="have a column '_error' already"):
        again.take_all()
    again = letters.drop_columns("_error")
    assert again.map(doubled, on_error="skip", dead_letter=tmp_path / "again").count() == 0
    assert data.read_parquet(str(tmp_path / "again")).count() == 4


# The same as leaving them out before ----------------------------------------------------------


@given(
    st.lists(st.one_of(st.none(), st.integers(-5, 5), st.sampled_from(["", "ü"])), max_size=25),
    st.integers(1, 4),
    st.integers(1, 6),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_as_if_such_rows_were_not_there(placement, items, blocks, batch_size):
    frame = pd.DataFrame(
        {"i": range(len(items)), "s": [None if i is None else str(i) for i in items]}
    )
    good = [i for i, item in enumerate(items) if isinstance(item, int)]

    def parse(row):
        return {"i": row["i"], "n": int(row["s"])}

    def parse_batch(batch):
        return {"i": batch["i"], "n": np.array([int(text) for text in batch["s"]])}

    ds = data.from_pandas(frame).repartition(blocks)
    expected = [{"i": i, "n": items[i]} for i in good]
    assert ds.map(parse, on_error="skip").take_all() == expected
    assert ds.flat_map(lambda r: [parse(r)], on_error="skip").take_all() == expected
    batches = ds.map_batches(parse_batch, batch_size=batch_size, on_error="skip")
    assert batches.take_all() == expected
    kept = ds.filter(lambda row: parse(row)["n"] > -9, on_error="skip").take_all()
    assert [row["i"] for row in kept] == good
    assert air.is_initialized()


def test_rows_are_made_blocks_some_at_a_time_whether_they_may_fail_or_not(
    placement, monkeypatch, tmp_path
):
    monkeypatch.setattr("air.data.udf.rows._ROWS_AT_A_TIME", 7)

    def few(row):
        if row["value"] % 10 == 3:
            raise ValueError("three")
        if row["value"] % 10 == 5:
            return [{"v": 1}, {"v": Odd(5)}]
        return [{"v": row["value"]}] * (row["value"] % 4)

    rows = [{"v": n} for n in range(100) if n % 10 not in (3, 5) for _ in range(n % 4)]
    ds = table(100, 1).flat_map(few, on_error="skip", dead_letter=tmp_path)
    assert ds.take_all() == rows
    letters = data.read_parquet(str(tmp_path)).take_all()
    assert sorted(row["value"] for row in letters) == [n for n in range(100) if n % 10 in (3, 5)]
    assert "20 rows skipped by flat_map(few)" in ds.materialize().stats()


def test_few_rows_are_objects_at_a_time_where_they_may_fail():
    alive, most = set(), 0

    class Row(dict):
        def __init__(self, n):
            super().__init__(v=n)
            alive.add(n)

        def __del__(self):
            alive.discard(self["v"])

    def made(row):
        nonlocal most
        most = max(most, len(alive))
        return Row(row["value"])

    ds = table(100_000, 1).map(made, on_error="skip")
    assert sum(len(handle.get()) for handle in ds.run()) == 100_000
    assert most < 40_000
