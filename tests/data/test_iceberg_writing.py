"""Writing tables of Apache Iceberg, which pyiceberg reads as well."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from air import data
from air.data import col
from air.data.errors import ColumnNotFound, WriteError
from air.errors import InvalidOption
from tests.data.lake_tables import ICEBERG as TABLE

pytest.importorskip("pyiceberg")

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import DateType, ListType, LongType, NestedField, StringType, UUIDType

pytestmark = pytest.mark.usefixtures("iceberg_catalog", "backend")


@pytest.fixture
def new(iceberg_catalog):
    """Makes a table of a schema in the catalog, and gives its name; it is gone after the test."""
    made = []

    def make(schema, **properties):
        made.append(f"ns.w{len(made)}")
        iceberg_catalog.create_table(made[-1], schema=schema, **properties)
        return made[-1]

    yield make
    for name in made:
        iceberg_catalog.purge_table(name)


@pytest.fixture
def read(iceberg_catalog):
    return lambda name, **given: data.read_iceberg(name, catalog=iceberg_catalog, **given)


@pytest.fixture
def write(iceberg_catalog):
    return lambda ds, name, **given: ds.write_iceberg(name, catalog=iceberg_catalog, **given)


def files_of(table):
    """The files in the place of a table's data."""
    place = table.location().removeprefix("file://")
    return sorted(path.name for path in Path(place, "data").rglob("*.parquet"))


def ints(*values):
    return data.from_arrow(pa.table({"a": pa.array(values, pa.int64())}))


@pytest.mark.usefixtures("placement")
def test_types_come_back(iceberg_catalog, new, read, write):
    name = new(TABLE.schema)
    write(data.from_arrow([TABLE.slice(0, 1), TABLE.slice(1)]), name)
    assert read(name).schema() == TABLE.schema
    for column in TABLE.column_names:
        assert read(name).to_arrow()[column].equals(TABLE[column]), column
    table = iceberg_catalog.load_table(name)
    assert len(table.snapshots()) == 1
    assert len(files_of(table)) == 2
    theirs = table.scan().to_arrow().to_pylist()
    wanted = TABLE.to_pylist()
    wanted[2]["inner"]["b"] = []  # as they read a list that is null inside of a struct
    assert sorted(theirs, key=str) == sorted(wanted, key=str)
    assert table.scan(row_filter="l > 0").count() == 1


@pytest.mark.usefixtures("placement")
def test_fields_are_numbered_inside_of_columns_too(iceberg_catalog, new, write):
    name = new(TABLE.schema)
    write(data.from_arrow(TABLE), name)
    table = iceberg_catalog.load_table(name)
    (task,) = table.scan().plan_files()
    schema = parquet.read_schema(task.file.file_path.removeprefix("file://"))
    kinds = [schema.field(name).type for name in ("inner", "map", "many")]
    inside = [*kinds[0], kinds[1].key_field, kinds[1].item_field, kinds[2].value_field]
    assert all(b"PARQUET:field_id" in part.metadata for part in inside)
    assert task.file.null_value_counts[2] == 1


@pytest.mark.usefixtures("placement")
def test_a_write_is_one_snapshot_and_rows_keep_their_order(iceberg_catalog, new, read, write):
    name = new(pa.schema({"value": pa.int64()}))
    ds = data.range_table(300, parallelism=5)
    write(ds, name)
    more = ds.map(lambda row: {"value": row["value"] + 300})
    write(more, name, snapshot_properties={"who": "us"})
    assert [row["value"] for row in read(name).take_all()] == list(range(600))
    first, second = iceberg_catalog.load_table(name).snapshots()
    assert second.summary["who"] == "us"
    write(ds.limit(2), name, mode="overwrite")
    assert read(name).take_all() == [{"value": 0}, {"value": 1}]
    assert len(iceberg_catalog.load_table(name).snapshots()) == 3
    assert read(name, snapshot_id=first.snapshot_id).count() == 300
    assert read(name, snapshot_id=second.snapshot_id).count() == 600
    write(ds.limit(0), name)
    assert len(iceberg_catalog.load_table(name).snapshots()) == 3
    write(ds.limit(0), name, mode="overwrite")
    assert read(name).count() == 0


@pytest.mark.usefixtures("placement")
def test_rows_are_divided_as_the_table_is(iceberg_catalog, new, read, write):
    schema = Schema(
        NestedField(1, "a", LongType()),
        NestedField(2, "t", StringType()),
        NestedField(3, "day", DateType()),
    )
    spec = PartitionSpec(
        PartitionField(2, 1000, IdentityTransform(), "t"),
        PartitionField(3, 1001, IdentityTransform(), "day"),
    )
    name = new(schema, partition_spec=spec)
    day = datetime.date(2024, 1, 2)
    rows = pa.table(
        {"a": range(5), "t": ["y", "a b/é%", None, "y", ""], "day": [day, day, None] + [day] * 2}
    )
    write(data.from_arrow(rows), name)
    assert sorted(read(name).take_all(), key=str) == sorted(rows.to_pylist(), key=str)
    table = iceberg_catalog.load_table(name)
    assert len(list(table.scan().plan_files())) == 4
    assert len(list(table.scan(row_filter="t = 'y' and day = '2024-01-02'").plan_files())) == 1
    assert table.scan(row_filter="t = 'y'").to_arrow()["a"].to_pylist() == [0, 3]
    assert "only 1 of 4 files" in read(name).filter(col("t") == "y").explain()


def test_rows_must_fit_the_table(iceberg_catalog, new, read, write):
    fields = [
        NestedField(1, "a", LongType(), required=True),
        NestedField(2, "b", StringType()),
    ]
    name = new(Schema(*fields))
    few = data.from_arrow(pa.table({"a": pa.array([7], pa.uint8())}))
    write(few, name)
    write(data.from_arrow(pa.table({"b": pa.array(["x"]).dictionary_encode(), "a": [8]})), name)
    assert read(name).take_all() == [{"a": 7, "b": None}, {"a": 8, "b": "x"}]
    for row, message in [
        ({"a": 0.5}, "column 'a' is double, and int64 in the table: cast it"),
        ({"a": 1, "b": 2}, "column 'b' is int64, and string in the table"),
        ({"b": "x"}, "column 'a' must have a value in each row of the table"),
        ({"a": 1, "c": 2}, "the table: no column 'c'"),
    ]:
        with pytest.raises((WriteError, ColumnNotFound), match=re.escape(message)):
            write(data.from_items([row]), name)
    assert len(files_of(iceberg_catalog.load_table(name))) == 2
    with pytest.raises(WriteError, match=r"'d' has the type duration.* an Iceberg table cannot"):
        write(
            data.from_arrow(pa.table({"d": pa.array([1], pa.duration("s"))})),
            new(pa.schema({"d": pa.int64()})),
        )


def test_tables_that_are_not_written_are_refused_by_name(new, write):
    with pytest.raises(WriteError, match="column 'u' holds UUIDs, which are not written"):
        write(ints(1), new(Schema(NestedField(1, "u", UUIDType()))))
    inside = ListType(2, LongType(), element_required=True)
    with pytest.raises(WriteError, match="column 'a' has parts that must have values"):
        write(ints(1), new(Schema(NestedField(1, "a", inside))))
    name = new(Schema(NestedField(1, "a", LongType())))
    with pytest.raises(InvalidOption, match="mode must be 'append' or 'overwrite', as the table"):
        write(ints(1), name, mode="error")
    with pytest.raises(InvalidOption, match="snapshot_properties must be a dictionary of text"):
        write(ints(1), name, snapshot_properties={"a": 1})
    with pytest.raises(FileNotFoundError, match=r"the catalog has no table 'ns.none'"):
        write(ints(1), "ns.none")


@pytest.mark.usefixtures("placement")
def test_a_write_that_fails_leaves_nothing(iceberg_catalog, new, read, write):
    name = new(pa.schema({"a": pa.int64()}))
    write(ints(1), name)
    before = files_of(iceberg_catalog.load_table(name))
    broken = data.range_table(100, parallelism=10).map(lambda row: {"a": 1 // (90 - row["value"])})
    for mode in ("append", "overwrite"):
        with pytest.raises(Exception, match="division"):
            write(broken, name, mode=mode)
    assert files_of(iceberg_catalog.load_table(name)) == before
    assert read(name).take_all() == [{"a": 1}]


def test_writes_at_the_same_time(iceberg_catalog, new, read, write):
    name = new(pa.schema({"a": pa.int64()}))
    write(ints(0), name)

    def during(ds, then, **given):
        """Write *ds* while *then* happens."""
        write(ds.map(lambda row: then() or row), name, **given)

    during(ints(10), lambda: write(ints(1), name))
    assert sorted(row["a"] for row in read(name).take_all()) == [0, 1, 10]
    before = files_of(iceberg_catalog.load_table(name))
    with pytest.raises(WriteError, match="nothing was written, because the table was changed by"):
        during(ints(10), lambda: write(ints(2), name), mode="overwrite")
    assert sorted(row["a"] for row in read(name).take_all()) == [0, 1, 2, 10]
    assert len(files_of(iceberg_catalog.load_table(name))) == len(before) + 1


@pytest.mark.parametrize("was_made", [True, False])
def test_a_commit_of_which_the_answer_is_lost_keeps_its_files(
    iceberg_catalog, new, read, write, monkeypatch, was_made
):
    name = new(pa.schema({"a": pa.int64()}))
    transaction = type(iceberg_catalog.load_table(name).transaction())
    commit = transaction.commit_transaction

    def answers_no_more(self):
        if was_made:
            commit(self)
            raise OSError("the line is dead")
        raise CommitFailedException("somebody was faster")

    with monkeypatch.context() as patch:
        patch.setattr(transaction, "commit_transaction", answers_no_more)
        with pytest.raises((OSError, WriteError), match=r"the line is dead|somebody was faster"):
            write(ints(1), name)
    assert read(name).take_all() == ([{"a": 1}] if was_made else [])
    assert len(files_of(iceberg_catalog.load_table(name))) == was_made
