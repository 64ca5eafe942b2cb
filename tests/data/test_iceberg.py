"""Reading tables that pyiceberg has written, in a catalog of SQLite."""

from __future__ import annotations

import datetime
import pickle
import re
import uuid

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from air import data
from air.data import col
from air.data.errors import ColumnNotFound, ReadError
from air.data.iceberg.columns import ByNumber
from air.errors import InvalidOption
from tests.data.lake_tables import AT, ICEBERG, LIMITS, TYPES, VALUES

pytest.importorskip("pyiceberg")

from pyiceberg import expressions, manifest
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record
from pyiceberg.types import (
    FixedType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

pytestmark = pytest.mark.usefixtures("iceberg_catalog", "backend")

# pyiceberg writes a list that is null inside of a struct as one without items.
TABLE = ICEBERG.set_column(
    ICEBERG.column_names.index("inner"),
    "inner",
    pa.array([{"a": 1, "b": [{"c": "x"}]}, None, {"a": None, "b": []}]),
)


@pytest.fixture
def new(iceberg_catalog):
    """Makes a table of a schema in the catalog; it is gone after the test."""
    made = []

    def make(schema, *tables, **properties):
        table = iceberg_catalog.create_table(f"ns.t{len(made)}", schema=schema, **properties)
        made.append(table)
        for rows in tables:
            table.append(rows)
        return table

    yield make
    for number in range(len(made)):
        iceberg_catalog.drop_table(f"ns.t{number}")


def forget_rows(table):
    for task in table.scan().plan_files():
        path = task.file.file_path.removeprefix("file://")
        open(path, "w").close()


@pytest.mark.usefixtures("placement")
def test_types_come_back(iceberg_catalog, new):
    new(TABLE.schema, TABLE.slice(0, 1), TABLE.slice(1))
    ds = data.read_iceberg("ns.t0", catalog=iceberg_catalog)
    assert ds.schema() == TABLE.schema
    for name in TABLE.column_names:
        assert ds.to_arrow()[name].equals(TABLE[name]), name
    some = data.read_iceberg("ns.t0", catalog=iceberg_catalog, selected_fields=["t", "at"])
    assert some.to_arrow().equals(TABLE.select(["t", "at"]))
    assert ds.select_columns(["l"]).take(1) == [{"l": 1 << 60}]


def test_types_of_their_own(iceberg_catalog, new):
    fields = [
        NestedField(1, "u", UUIDType()),
        NestedField(2, "x", FixedType(3)),
        NestedField(3, "t", TimeType()),
    ]
    one = uuid.UUID(int=7)
    table = pa.table(
        {
            "u": pa.array([one.bytes], pa.binary(16)).cast(pa.uuid()),
            "x": pa.array([b"abc"], pa.binary(3)),
            "t": pa.array([5], pa.time64("us")),
        }
    )
    new(Schema(*fields), table)
    ds = data.read_iceberg("ns.t0", catalog=iceberg_catalog)
    assert ds.schema().types == [pa.binary(16), pa.binary(3), pa.time64("us")]
    assert ds.take_all() == [{"u": one.bytes, "x": b"abc", "t": datetime.time(0, 0, 0, 5)}]


def test_rows_are_counted_and_files_left_out_without_reading_any(iceberg_catalog, new):
    schema = pa.schema({"a": pa.int64(), "t": pa.string(), "at": pa.timestamp("us", "UTC")})
    parts = [
        pa.table(
            {
                "a": range(start, start + 10),
                "t": [f"{'x' * 30}{start}"] * 10,
                "at": [AT + datetime.timedelta(days=start)] * 10,
            },
            schema,
        )
        for start in range(0, 40, 10)
    ]
    table = new(schema, *parts)
    ds = data.read_iceberg("ns.t0", catalog=iceberg_catalog)
    forget_rows(table)
    assert ds.count() == 40
    assert ds.columns() == ["a", "t", "at"]
    assert ds.filter(col("a") >= 40).take_all() == []
    assert ds.filter(col("t") > "y").count() == 0
    assert ds.filter(col("at") < AT).count() == 0
    assert "only 1 of 4 files" in ds.filter(col("at") == AT).explain()
    assert (
        data.read_iceberg("ns.t0", catalog=iceberg_catalog, row_filter="a > 100").take_all() == []
    )
    with pytest.raises(Exception, match="parquet"):
        ds.filter(col("a") == 39).take_all()


@pytest.mark.usefixtures("placement")
def test_tables_divided_by_columns(iceberg_catalog, new):
    schema = Schema(
        NestedField(1, "a", LongType()),
        NestedField(2, "t", StringType()),
        NestedField(3, "at", TimestamptzType()),
    )
    spec = PartitionSpec(
        PartitionField(2, 1001, IdentityTransform(), "t"),
        PartitionField(3, 1002, IdentityTransform(), "instant"),
    )
    rows = pa.table(
        {
            "a": [1, 2, None, 4],
            "t": ["a b/é%", None, "y", "y"],
            "at": pa.array([AT, AT, None, AT], pa.timestamp("us", "UTC")),
        }
    )
    new(schema, rows, partition_spec=spec)
    ds = data.read_iceberg("ns.t0", catalog=iceberg_catalog)
    assert sorted(ds.take_all(), key=str) == sorted(rows.to_pylist(), key=str)
    assert ds.filter(col("t") == "y").count() == 2
    one = data.read_iceberg("ns.t0", catalog=iceberg_catalog, row_filter="t = 'y' and a = 4")
    assert one.take_all() == rows.to_pylist()[3:]
    assert len(one.plan.source.files) == 1


def test_snapshots(iceberg_catalog, new):
    table = new(pa.schema({"a": pa.int64()}), pa.table({"a": [1]}), pa.table({"a": [2]}))
    first, second = (snapshot.snapshot_id for snapshot in table.snapshots())
    with table.update_schema() as update:
        update.rename_column("a", "b")
    table.overwrite(pa.table({"b": [3]}))
    assert data.read_iceberg("ns.t0", catalog=iceberg_catalog).take_all() == [{"b": 3}]
    then = data.read_iceberg("ns.t0", catalog=iceberg_catalog, snapshot_id=second)
    assert then.take_all() == [{"a": 1}, {"a": 2}]
    with_filter = {"row_filter": "a > 1", "snapshot_id": second}
    assert data.read_iceberg("ns.t0", catalog=iceberg_catalog, **with_filter).take_all() == [
        {"a": 2}
    ]
    assert data.read_iceberg("ns.t0", catalog=iceberg_catalog, snapshot_id=first).count() == 1
    with pytest.raises(InvalidOption, match=f"has no snapshot 1; the newest are .*'{second}'"):
        data.read_iceberg("ns.t0", catalog=iceberg_catalog, snapshot_id=1)


@pytest.mark.usefixtures("placement")
def test_columns_that_changed(iceberg_catalog, new):
    first = pa.table(
        {"a": pa.array([1, 2], pa.int32()), "b": ["x", "y"], "s": [{"x": 1}, None], "c": [0.5, 1.5]}
    )
    table = new(first.schema, first)
    with table.update_schema() as update:
        update.update_column("a", LongType())
        update.rename_column("a", "n")
        update.delete_column("b")
        update.delete_column("c")
        update.add_column(("s", "y"), StringType())
    with table.update_schema() as update:
        # Another one than that which was there, and whose values are still in the first file.
        update.add_column("c", StringType())
        update.add_column("b", LongType())
    later = pa.table({"n": [3], "s": [{"x": 2, "y": "z"}], "c": ["new"], "b": [9]})
    table.append(later)
    ds = data.read_iceberg("ns.t0", catalog=iceberg_catalog)
    rows = [
        {"n": 1, "s": {"x": 1, "y": None}, "c": None, "b": None},
        {"n": 2, "s": None, "c": None, "b": None},
        {"n": 3, "s": {"x": 2, "y": "z"}, "c": "new", "b": 9},
    ]
    assert ds.take_all() == rows
    assert ds.filter(col("n") >= 2).take_all() == rows[1:]
    assert ds.filter(col("b") == 9).take_all() == rows[2:]
    assert ds.filter(col("c") == "x").take_all() == []
    with table.update_schema() as update:
        update.rename_column(("s", "x"), "z")
    assert ds.count() == 3
    again = data.read_iceberg("ns.t0", catalog=iceberg_catalog)
    assert again.select_columns(["n"]).count() == 3
    with pytest.raises(Exception, match="in column 's' the field 'z' was renamed or replaced"):
        again.take_all()


@pytest.mark.usefixtures("placement")
def test_row_filters(iceberg_catalog, new):
    table = pa.table(
        {
            "a": [1, 2, None, 4],
            "t": ["x", "xy", None, "z"],
            "day": [datetime.date(2024, 1, day) for day in (1, 2, 3, 4)],
            "money": pa.array([1, 2, 3, 4]).cast(pa.decimal128(21, 2)),
            "s": [{"k": 1}, {"k": 2}, None, {"k": 4}],
        }
    )
    new(table.schema, table.slice(0, 2), table.slice(2))
    for row_filter, wanted in [
        ("a > 1", [2, 4]),
        ("day >= '2024-01-03'", [None, 4]),
        ("t like 'x%' and money < 2", [1]),
        ("t in ('xy', 'z')", [2, 4]),
        ("a is null", [None]),
        ("not (a = 1 or a = 4)", [2]),
        (expressions.GreaterThan("s.k", 1), [2, 4]),
        (expressions.AlwaysTrue(), [1, 2, None, 4]),
    ]:
        ds = data.read_iceberg("ns.t0", catalog=iceberg_catalog, row_filter=row_filter)
        assert [row["a"] for row in ds.take_all()] == wanted
        assert ds.count() == len(wanted)
        few = {"row_filter": row_filter, "selected_fields": ["a"]}
        found = data.read_iceberg("ns.t0", catalog=iceberg_catalog, **few)
        assert found.take_all() == [{"a": value} for value in wanted]
        assert found.filter(col("a") > 1).count() == sum((value or 0) > 1 for value in wanted)


@pytest.mark.usefixtures("placement")
def test_rows_that_were_removed_by_position(iceberg_catalog, new, tmp_path):
    rows = pa.table({"a": range(10), "b": list("abcdefghij")})
    table = new(rows.schema, rows)
    (task,) = table.scan().plan_files()
    location = task.file.file_path
    for number, positions in enumerate([[0, 9], [5, 0]]):
        removed = pa.table({"file_path": [location, *["other"] * 1], "pos": [positions[0], 3]})
        removed = pa.concat_tables(
            [removed, pa.table({"file_path": [location], "pos": positions[1:]})]
        )
        path = tmp_path / f"{number}.parquet"
        parquet.write_table(removed, path)
        deletes = manifest.DataFile.from_args(
            content=manifest.DataFileContent.POSITION_DELETES,
            file_path=f"file://{path}",
            file_format=manifest.FileFormat.PARQUET,
            partition=Record(),
            record_count=2,
            file_size_in_bytes=path.stat().st_size,
            spec_id=0,
        )
        with table.transaction() as change, change.update_snapshot().fast_append() as append:
            append.append_data_file(deletes)
    table.append(pa.table({"a": [10], "b": ["k"]}))
    ds = data.read_iceberg("ns.t0", catalog=iceberg_catalog)
    assert [row["a"] for row in ds.take_all()] == [1, 2, 3, 4, 6, 7, 8, 10]
    assert ds.count() == 8
    assert ds.filter(col("a") > 4).select_columns(["b"]).take(2) == [{"b": "g"}, {"b": "h"}]
    assert ds.filter(col("a") == 5).count() == 0


def test_other_removals_are_refused_by_name(iceberg_catalog, new, tmp_path):
    table = new(pa.schema({"a": pa.int64()}), pa.table({"a": [1]}))

    def removes(content, kind):
        file = manifest.DataFile.from_args(
            content=content,
            file_path=f"file://{tmp_path}/x",
            file_format=kind,
            partition=Record(),
            record_count=1,
            file_size_in_bytes=1,
            spec_id=0,
        )
        with table.transaction() as change, change.update_snapshot().fast_append() as append:
            append.append_data_file(file)

    removes(manifest.DataFileContent.POSITION_DELETES, manifest.FileFormat.PUFFIN)
    with pytest.raises(ReadError, match="by files of the format PUFFIN, which is not supported: c"):
        data.read_iceberg("ns.t0", catalog=iceberg_catalog)
    removes(manifest.DataFileContent.EQUALITY_DELETES, manifest.FileFormat.PARQUET)
    with pytest.raises(ReadError, match=r"by their values \(equality deletes\), which is not"):
        data.read_iceberg("ns.t0", catalog=iceberg_catalog)


def test_files_that_were_added_without_numbers(iceberg_catalog, new, tmp_path):
    rows = pa.table({"a": [1, 2], "m": [{"x": [{"y": 1}]}, None]})
    table = new(rows.schema)
    parquet.write_table(rows, tmp_path / "added.parquet")
    table.add_files([f"file://{tmp_path}/added.parquet"])
    with table.update_schema() as update:
        update.rename_column("a", "b")
    ds = data.read_iceberg("ns.t0", catalog=iceberg_catalog)
    assert ds.take_all() == [{"b": 1, "m": {"x": [{"y": 1}]}}, {"b": 2, "m": None}]
    with pytest.raises(ReadError, match="x does not number its columns, and the table has no"):
        ByNumber({("a",): 1}, {}).names(pa.schema({"a": pa.int64()}), "x")


def test_empty_tables(iceberg_catalog, new):
    new(pa.schema({"a": pa.int64(), "b": pa.string()}))
    ds = data.read_iceberg("ns.t0", catalog=iceberg_catalog)
    assert ds.count() == 0
    assert ds.take_all() == []
    assert ds.to_arrow().schema == pa.schema({"a": pa.int64(), "b": pa.string()})
    assert ds.filter(col("a") > 1).count() == 0
    assert data.read_iceberg("ns.t0", catalog=iceberg_catalog, row_filter="a > 1").take_all() == []


def test_a_plan_stays_small_and_kept_results_are_found_again(iceberg_catalog, new, tmp_path):
    table = new(pa.schema({"a": pa.int64()}), *(pa.table({"a": [n]}) for n in range(9)))
    ds = data.read_iceberg("ns.t0", catalog=iceberg_catalog)
    assert [row["a"] for row in ds.take_all()] == list(range(9))
    tasks = ds.plan.source.get_read_tasks(5)
    assert len(tasks) == 5
    assert max(len(pickle.dumps(task.read_fn)) for task in tasks) < 3000
    assert ds.checkpointed(tmp_path / "kept").count() == 9
    again = data.read_iceberg("ns.t0", catalog=iceberg_catalog)
    assert again.checkpointed(tmp_path / "kept").take_all() == ds.take_all()
    assert len(ds.input_files()) == len(list(table.scan().plan_files()))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"table_identifier": "ns.t"}, FileNotFoundError, "no table 'ns.t'; those in 'ns' are: 'n"),
        ({"table_identifier": "no.t"}, FileNotFoundError, "those in 'no' are: (none)"),
        ({"table_identifier": "t"}, TypeError, "must be text such as 'namespace.table', got 't'"),
        ({"catalog": "nothing"}, InvalidOption, "catalog 'nothing' cannot be opened: URI missing"),
        ({"catalog_kwargs": {"type": "sql"}}, InvalidOption, "no use to a catalog that is open"),
        ({"selected_fields": ["b"]}, ColumnNotFound, "no column 'b'"),
        ({"row_filter": "a >"}, InvalidOption, "row_filter='a >' cannot be parsed, at"),
        ({"row_filter": "b > 1"}, InvalidOption, "does not go with the table: Could not find"),
        (
            {"row_filter": col("a") > 1},
            InvalidOption,
            "conditions of air.data are for .filter(...)",
        ),
        ({"columns": ["a"]}, InvalidOption, "'columns': give selected_fields"),
        ({"snapshot": 1}, InvalidOption, "Did you mean 'snapshot_id'?"),
    ],
)
def test_what_is_wrong_is_told_by_name(iceberg_catalog, new, call, error, message):
    new(pa.schema({"a": pa.int64()}))
    given = {"table_identifier": "ns.t0", "catalog": iceberg_catalog} | call
    with pytest.raises(error, match=re.escape(message)):
        data.read_iceberg(given.pop("table_identifier"), **given)


def test_catalogs_by_their_properties(iceberg_catalog, new):
    new(pa.schema({"a": pa.int64()}), pa.table({"a": [1]}))
    properties = {name: iceberg_catalog.properties[name] for name in ("type", "uri", "warehouse")}
    named = {**properties, "name": "ours"}
    assert data.read_iceberg("ns.t0", catalog_kwargs=named).count() == 1
    assert data.read_iceberg("ns.t0", catalog="ours", catalog_kwargs=properties).count() == 1


@settings(max_examples=8, deadline=None)
@given(
    st.lists(st.lists(st.fixed_dictionaries(VALUES), max_size=4), min_size=1, max_size=2),
    st.sampled_from(["n", "f", "t"]),
    st.sampled_from(["__gt__", "__le__", "__eq__", "__ne__"]),
)
def test_conditions_leave_the_rows_that_they_should(iceberg_catalog, parts, name, comparison):
    table = iceberg_catalog.create_table("ns.property", schema=pa.schema(TYPES))
    try:
        for part in parts:
            table.append(pa.Table.from_pylist(part, pa.schema(TYPES)))
        ds = data.read_iceberg("ns.property", catalog=iceberg_catalog)
        limit = LIMITS[name]
        found = ds.filter(getattr(col(name), comparison)(limit)).take_all()
        rows = [{name: row[name] for name in VALUES} for part in parts for row in part]
        wanted = [
            row for row in rows if row[name] is not None and getattr(row[name], comparison)(limit)
        ]
        assert ds.count() == len(rows)
        assert list(map(repr, found)) == list(map(repr, wanted))
    finally:
        iceberg_catalog.drop_table("ns.property")
