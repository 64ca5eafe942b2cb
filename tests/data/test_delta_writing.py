"""Writing tables of Delta Lake, which deltalake reads as well."""

from __future__ import annotations

import datetime
import decimal
import json
import re
import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import data
from air.data import col
from air.data.delta import sink
from air.data.delta.statistics import statistics
from air.data.errors import ColumnNotFound, WriteError
from air.errors import InvalidOption
from tests.data.lake_tables import AT, UTC
from tests.data.lake_tables import DELTA as TABLE

deltalake = pytest.importorskip("deltalake")
pytestmark = pytest.mark.usefixtures("deltalake_is_warm", "backend")


def by_the_library(path, version=None):
    """All rows as deltalake reads them."""
    return deltalake.DeltaTable(path, version=version).to_pyarrow_table()


def files_in(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*.parquet"))


def ints(*values):
    return data.from_arrow(pa.table({"a": pa.array(values, pa.int64())}))


@pytest.mark.usefixtures("placement")
def test_types_come_back(tmp_path):
    data.from_arrow([TABLE.slice(0, 1), TABLE.slice(1)]).write_delta(tmp_path / "x")
    back = data.read_delta(tmp_path / "x")
    assert back.schema() == TABLE.schema
    assert back.to_arrow().equals(TABLE)
    flat = [name for name in TABLE.column_names if name not in ("many", "inner", "map")]
    by_library = by_the_library(tmp_path / "x").sort_by([("l", "descending")]).select(flat)
    assert by_library.to_pylist() == TABLE.select(flat).take([0, 2, 1]).to_pylist()
    assert deltalake.DeltaTable(tmp_path / "x").version() == 0
    assert len(files_in(tmp_path / "x")) == 2


@pytest.mark.usefixtures("placement")
def test_a_write_is_one_version_and_rows_keep_their_order(tmp_path):
    ds = data.range_table(1000, parallelism=7)
    ds.write_delta(tmp_path)
    ds.map(lambda row: {"value": row["value"] + 1000}).write_delta(str(tmp_path))
    assert deltalake.DeltaTable(tmp_path).version() == 1
    assert [row["value"] for row in data.read_delta(tmp_path).take_all()] == list(range(2000))
    ints(5).rename_columns({"a": "value"}).write_delta(tmp_path, mode="overwrite")
    assert data.read_delta(tmp_path).take_all() == [{"value": 5}]
    assert data.read_delta(tmp_path, version=1).count() == 2000
    assert by_the_library(tmp_path, 1).num_rows == 2000


@pytest.mark.usefixtures("placement")
def test_tables_are_divided_by_columns(tmp_path):
    names = ["t", "at", "money", "i", "b", "day", "local"]
    # deltalake cannot read -0.01 in a column that a table is divided by.
    money = pa.array([decimal.Decimal("1.50"), None, decimal.Decimal(7)], pa.decimal128(12, 2))
    table = TABLE.set_column(TABLE.column_names.index("t"), "t", [["a b/é%=", None, "x:y"]])
    table = table.set_column(table.column_names.index("money"), "money", money)
    data.from_arrow(table).write_delta(tmp_path, partition_cols=names)
    assert deltalake.DeltaTable(tmp_path).metadata().partition_columns == names
    ds = data.read_delta(tmp_path)
    assert ds.schema() == table.schema
    assert ds.sort("l").to_arrow().equals(table.sort_by([("l", "ascending")]))
    assert "only 1 of 3 files" in ds.filter(col("money") > 5).explain()
    library = by_the_library(tmp_path).sort_by([("l", "ascending")])
    assert library.select([*names, "l"]).equals(
        table.sort_by([("l", "ascending")]).select([*names, "l"])
    )
    data.from_arrow(table).write_delta(tmp_path)
    data.from_arrow(table).write_delta(tmp_path, partition_cols=names)
    assert data.read_delta(tmp_path).count() == 9
    with pytest.raises(InvalidOption, match=r"is divided by 't', .*, got partition_cols=\['t'\]"):
        data.from_arrow(table).write_delta(tmp_path, partition_cols=["t"])


def test_types_that_there_are_not_become_wider_ones_or_are_refused(tmp_path):
    table = pa.table(
        {
            "a": pa.array([255], pa.uint8()),
            "b": pa.array([1 << 31], pa.uint32()),
            "c": pa.array(["x"]).dictionary_encode(),
            "d": pa.array([[1, 2]], pa.list_(pa.int64(), 2)),
            "e": pa.array(["y"], pa.large_string()),
            "z": pa.array([0], pa.timestamp("s", "Europe/Zurich")),
            "n": pa.array([1000], pa.timestamp("ns")),
            "x": pa.array([b"ab"], pa.binary(2)),
            "h": pa.array([np.float16(0.5)], pa.float16()),
        }
    )
    data.from_arrow(table).write_delta(tmp_path / "x")
    schema = data.read_delta(tmp_path / "x").schema()
    assert [str(kind) for kind in schema.types] == [
        "int16",
        "int64",
        "string",
        "list<element: int64>",
        "string",
        "timestamp[us, tz=UTC]",
        "timestamp[us]",
        "binary",
        "float",
    ]
    assert data.read_delta(tmp_path / "x").take_all()[0]["d"] == [1, 2]
    for values in (
        pa.array([1], pa.uint64()),
        pa.array([1], pa.duration("s")),
        pa.array([1], pa.time64("us")),
        pa.array([{}], pa.struct([])),
        pa.array([decimal.Decimal(1)], pa.decimal256(50, 2)),
    ):
        ds = data.from_arrow(pa.table({"good": [1], "bad": values}))
        with pytest.raises(WriteError, match=r"column 'bad' has the type .* a Delta table cannot"):
            ds.write_delta(tmp_path / "y")
    with pytest.raises(WriteError, match=r"'bad' has the type .*tensor"):
        data.from_numpy(np.zeros((2, 3))).rename_columns({"data": "bad"}).write_delta(
            tmp_path / "y"
        )
    with pytest.raises(WriteError, match=r"'n' is timestamp\[ns\], and not all its values fit"):
        data.from_arrow(pa.table({"n": pa.array([1], pa.timestamp("ns"))})).write_delta(
            tmp_path / "y"
        )
    with pytest.raises(WriteError, match="'A' is the name of two columns, of which case makes no"):
        data.from_arrow(pa.table({"a": [1], "A": [1]})).write_delta(tmp_path / "y")
    with pytest.raises(WriteError, match="column 'n' has no values, so that it is not known"):
        data.from_items([{"a": 1, "n": None}]).write_delta(tmp_path / "y")
    assert not (tmp_path / "y").exists()


@pytest.mark.usefixtures("placement")
def test_rows_must_fit_the_table_unless_it_may_change(tmp_path):
    table = pa.table({"a": pa.array([1], pa.int32()), "b": ["x"], "f": [0.5]})
    data.from_arrow(table).write_delta(tmp_path)
    data.from_items([{"f": 3, "a": 2}]).write_delta(tmp_path)
    rows = [{"a": 1, "b": "x", "f": 0.5}, {"a": 2, "b": None, "f": 3.0}]
    assert data.read_delta(tmp_path).take_all() == rows
    for row, message in [
        ({"a": 1 << 40}, "'a' is int64, and not all its values fit int32"),
        ({"a": 0.5}, "column 'a' is double, and int32 in the table: cast it, or replace"),
        ({"b": 1}, "column 'b' is int64, and string in the table"),
        ({"a": 1, "bb": "x"}, "the table: no column 'bb'. Did you mean 'b'?"),
    ]:
        with pytest.raises((WriteError, ColumnNotFound), match=re.escape(message)):
            data.from_items([row]).write_delta(tmp_path)
    assert data.read_delta(tmp_path).take_all() == rows
    assert len(files_in(tmp_path)) == 2

    more = data.from_items([{"a": 3, "new": [1], "f": None}])
    more.write_delta(tmp_path, schema_mode="merge")
    assert data.read_delta(tmp_path).take(3)[1:] == [
        {"a": 2, "b": None, "f": 3.0, "new": None},
        {"a": 3, "b": None, "f": None, "new": [1]},
    ]
    ints(1).write_delta(tmp_path, mode="overwrite", schema_mode="overwrite")
    assert data.read_delta(tmp_path).schema() == pa.schema({"a": pa.int64()})
    one = data.from_items([{"a": 3, "z": "x"}])
    one.write_delta(tmp_path, mode="overwrite", schema_mode="merge")
    assert data.read_delta(tmp_path).take_all() == [{"a": 3, "z": "x"}]
    assert by_the_library(tmp_path).to_pylist() == [{"a": 3, "z": "x"}]
    with pytest.raises(InvalidOption, match="gives the table other columns, which takes mode="):
        one.write_delta(tmp_path, schema_mode="overwrite")
    with pytest.raises(InvalidOption, match="schema_mode must be None, 'merge' or 'overwrite'"):
        one.write_delta(tmp_path, schema_mode="evolve")


def test_blocks_of_a_new_table_must_agree(tmp_path):
    ds = data.from_items([1, 2], parallelism=2).map(lambda v: {"a": v if v == 1 else 0.5})
    with pytest.raises(WriteError, match=r"column 'a' is int64 in .* and double in .* one type"):
        ds.write_delta(tmp_path / "x")
    assert not (tmp_path / "x").exists()
    ds.with_column("a", col("a").cast("float64")).write_delta(tmp_path / "x")
    assert [row["a"] for row in data.read_delta(tmp_path / "x").take_all()] == [1.0, 0.5]
    # Nulls alone have no type: that of others holds.
    late = data.from_items([1, 2], parallelism=2).map(
        lambda v: {"a": v, "b": None if v == 1 else "x"}
    )
    late.write_delta(tmp_path / "y")
    assert [row["b"] for row in data.read_delta(tmp_path / "y").take_all()] == [None, "x"]


def test_modes(tmp_path):
    with pytest.raises(InvalidOption, match=r"unknown mode 'apend'. Did you mean 'append'?"):
        ints(1).write_delta(tmp_path / "x", mode="apend")
    ints(1).write_delta(tmp_path / "x", mode="error")
    with pytest.raises(FileExistsError, match="is a table already, and mode='error' says"):
        ints(2).write_delta(tmp_path / "x", mode="error")
    ints(2).write_delta(tmp_path / "x", mode="ignore")
    assert data.read_delta(tmp_path / "x").take_all() == [{"a": 1}]
    ints().write_delta(tmp_path / "x")
    assert deltalake.DeltaTable(tmp_path / "x").version() == 0
    ints().write_delta(tmp_path / "x", mode="overwrite")
    assert data.read_delta(tmp_path / "x").count() == 0
    assert data.read_delta(tmp_path / "x", version=0).count() == 1
    ints().write_delta(tmp_path / "y")
    assert data.read_delta(tmp_path / "y").schema() == pa.schema({"a": pa.int64()})
    with pytest.raises(WriteError, match="there are no rows, and it is not known which columns"):
        data.from_items([]).write_delta(tmp_path / "z")
    with pytest.raises(InvalidOption, match="'filesystem': give storage_options"):
        ints(1).write_delta(tmp_path / "z", filesystem=None)
    assert not (tmp_path / "z").exists()


@pytest.mark.usefixtures("placement")
def test_a_write_that_fails_leaves_nothing(tmp_path):
    def fails_late(row):
        return {"a": 1 // (90 - row["value"])}

    broken = data.range_table(100, parallelism=10).map(fails_late)
    with pytest.raises(Exception, match="division"):
        broken.write_delta(tmp_path / "deep" / "x")
    assert list(tmp_path.iterdir()) == []
    ints(1).write_delta(tmp_path / "x")
    before = files_in(tmp_path / "x")
    for mode in ("append", "overwrite"):
        with pytest.raises(Exception, match="division"):
            broken.write_delta(tmp_path / "x", mode=mode)
    assert files_in(tmp_path / "x") == before
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == sorted(
        [before[0].partition("/")[0], "_delta_log"]
    )
    assert data.read_delta(tmp_path / "x").take_all() == [{"a": 1}]


def test_a_commit_of_which_the_answer_is_lost_keeps_its_files(tmp_path, monkeypatch):
    commit = sink.commit

    def answers_no_more(*args):
        commit(*args)
        raise OSError("the line is dead")

    monkeypatch.setattr(sink, "commit", answers_no_more)
    with pytest.raises(OSError, match="the line is dead"):
        ints(1).write_delta(tmp_path)
    assert data.read_delta(tmp_path).take_all() == [{"a": 1}]


def in_between(path, write, then):
    """What becomes of *write* if *then* happens after it began and before it ends."""

    def waits(row):
        then()
        return row

    write(ints(10).map(waits))


def test_several_append_at_a_time(tmp_path):
    ints(0).write_delta(tmp_path)
    barrier = threading.Barrier(4)
    errors = []

    def write(number):
        barrier.wait()
        try:
            ints(number).write_delta(tmp_path)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    rows = [row["a"] for row in data.read_delta(tmp_path).take_all()]
    assert sorted(rows) == [0, 1, 2, 3, 4]
    assert deltalake.DeltaTable(tmp_path).version() == 4


def test_writes_that_go_against_one_another_are_told(tmp_path):
    ints(0).write_delta(tmp_path)
    in_between(tmp_path, lambda ds: ds.write_delta(tmp_path), lambda: ints(1).write_delta(tmp_path))
    assert [row["a"] for row in data.read_delta(tmp_path).take_all()] == [0, 1, 10]
    before = files_in(tmp_path)
    with pytest.raises(WriteError, match=r"nothing was written, because .* was changed by another"):
        in_between(
            tmp_path,
            lambda ds: ds.write_delta(tmp_path, mode="overwrite"),
            lambda: ints(2).write_delta(tmp_path),
        )
    assert [row["a"] for row in data.read_delta(tmp_path).take_all()] == [0, 1, 10, 2]
    with pytest.raises(WriteError, match="was changed by another"):
        in_between(
            tmp_path,
            lambda ds: ds.write_delta(tmp_path),
            lambda: data.from_items([{"a": 3, "b": 1}]).write_delta(tmp_path, schema_mode="merge"),
        )
    assert data.read_delta(tmp_path).count() == 5
    assert len(files_in(tmp_path)) == len(before) + 2
    with pytest.raises(WriteError, match="was made by another write"):
        in_between(
            tmp_path,
            lambda ds: ds.write_delta(tmp_path / "new"),
            lambda: ints(7).write_delta(tmp_path / "new"),
        )
    assert data.read_delta(tmp_path / "new").take_all() == [{"a": 7}]
    assert len(files_in(tmp_path / "new")) == 1


def test_values_that_must_be_there(tmp_path):
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False), pa.field("b", pa.string())])
    deltalake.DeltaTable.create(tmp_path, deltalake.Schema.from_arrow(schema))
    data.from_items([{"a": 1, "b": "x"}]).write_delta(tmp_path)
    for row in ({"b": "x"}, {"a": None, "b": "y"}):
        with pytest.raises(WriteError, match="column 'a' must have a value in each row"):
            data.from_items([row]).write_delta(tmp_path)
    data.from_items([{"a": 2, "b": "z"}]).write_delta(tmp_path, mode="overwrite")
    (column, _) = deltalake.DeltaTable(tmp_path).schema().fields
    assert column.nullable is False
    assert data.read_delta(tmp_path).take_all() == [{"a": 2, "b": "z"}]


def test_tables_that_ask_more_of_writers_are_refused_by_name(tmp_path):
    ints(1).write_delta(tmp_path / "a")
    deltalake.DeltaTable(tmp_path / "a").alter.add_constraint({"positive": "a > 0"})
    with pytest.raises(WriteError, match=r"conditions on its rows, .*: 'delta.constraints.posit"):
        ints(2).write_delta(tmp_path / "a")
    deltalake.write_deltalake(
        tmp_path / "b", pa.table({"a": [1]}), configuration={"delta.appendOnly": "true"}
    )
    ints(2).write_delta(tmp_path / "b")
    with pytest.raises(WriteError, match=r"rows can only be added to the table \(delta.appendO"):
        ints(2).write_delta(tmp_path / "b", mode="overwrite")
    inside = pa.schema({"a": pa.list_(pa.field("element", pa.int64(), nullable=False))})
    deltalake.DeltaTable.create(tmp_path / "c", deltalake.Schema.from_arrow(inside))
    with pytest.raises(WriteError, match="column 'a' has parts that must have values"):
        data.from_items([{"a": [1]}]).write_delta(tmp_path / "c")
    ints(1).write_delta(tmp_path / "d")
    times = data.from_arrow(pa.table({"a": pa.array([0], pa.timestamp("us"))}))
    with pytest.raises(WriteError, match="'a' has times without a zone, which the table cannot"):
        times.write_delta(tmp_path / "d", mode="overwrite", schema_mode="overwrite")
    assert data.read_delta(tmp_path / "d").take_all() == [{"a": 1}]


def test_what_a_table_cannot_be_divided_by(tmp_path):
    table = pa.table({"a": [1], "f": [0.5], "t": [""]})
    for names, error, message in [
        (["f"], WriteError, "'f' has the type double: partition_cols takes"),
        (["t"], WriteError, "'t' has an empty text, which a Delta table"),
        (["a", "f", "t"], WriteError, "no column with a value is left for the files"),
        (["b"], ColumnNotFound, "no column 'b'"),
    ]:
        with pytest.raises(error, match=re.escape(message)):
            data.from_arrow(table).write_delta(tmp_path / "x", partition_cols=names)
    assert list(tmp_path.iterdir()) == []


def test_statistics_hold_for_all_values():
    table = pa.table(
        {
            "n": [3, None, -1],
            "f": [0.5, None, float("nan")],
            "long": ["a" * 40, "b" * 40, None],
            "last": ["\U0010ffff" * 40, None, None],
            "at": pa.array([AT, AT, None], pa.timestamp("us", "UTC")),
            "day": [datetime.date(2024, 1, 2), None, None],
            "money": [decimal.Decimal("0.10"), decimal.Decimal("-7.25"), None],
            "huge": [decimal.Decimal(10**20), None, None],
            "b": [True, None, None],
            "none": pa.nulls(3, pa.int64()),
            "many": [[1], None, None],
        }
    )
    found = json.loads(statistics(table))
    assert found["numRecords"] == 3
    assert found["minValues"] == {
        "n": -1,
        "long": "a" * 32,
        "at": "2024-02-29T12:00:00.123Z",
        "day": "2024-01-02",
        "money": -7.25,
    }
    assert found["maxValues"] == {
        "n": 3,
        "long": "b" * 32 + "\U0010ffff",
        "at": "2024-02-29T12:00:00.124Z",
        "day": "2024-01-02",
        "money": 0.1,
    }
    assert found["nullCount"]["none"] == 3
    assert "many" not in found["nullCount"]


VALUES = st.fixed_dictionaries(
    {
        "n": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "f": st.one_of(st.none(), st.floats()),
        "t": st.one_of(st.none(), st.text(max_size=40)),
        "at": st.one_of(st.none(), st.datetimes(timezones=st.just(UTC))),
        "p": st.one_of(st.none(), st.text(min_size=1, max_size=3)),
    }
)
SCHEMA = pa.schema(
    {
        "n": pa.int64(),
        "f": pa.float64(),
        "t": pa.string(),
        "at": pa.timestamp("us", "UTC"),
        "p": pa.string(),
    }
)


@settings(max_examples=25, deadline=None)
@given(st.lists(VALUES, max_size=6), st.booleans(), st.integers(1, 3))
def test_any_rows_come_back_and_conditions_find_them(tmp_path_factory, rows, divides, parts):
    path = tmp_path_factory.mktemp("table")
    ds = data.from_arrow(pa.Table.from_pylist(rows, SCHEMA)).repartition(parts)
    ds.write_delta(path, partition_cols=["p"] if divides else None)
    back = data.read_delta(path)
    assert back.count() == len(rows)
    found = back.take_all()
    if not divides:
        assert repr(found) == repr(pa.Table.from_pylist(rows, SCHEMA).to_pylist())
    assert sorted(map(repr, found)) == sorted(map(repr, ds.take_all()))
    assert len(by_the_library(path)) == len(rows)
    for name in ("n", "t", "at", "p"):
        for row in rows:
            if row[name] is not None:
                same = [other for other in rows if other[name] == row[name]]
                assert back.filter(col(name) == row[name]).count() == len(same)
