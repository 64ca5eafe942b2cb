"""Reading tables that deltalake has written, or that are made up after the protocol."""

from __future__ import annotations

import datetime
import decimal
import json
import pickle
import re
import struct
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from air import data
from air.data import col
from air.data.errors import ColumnNotFound, ReadError
from air.errors import InvalidOption
from tests.data.lake_tables import AT, LIMITS, TYPES, UTC, VALUES
from tests.data.lake_tables import DELTA as TABLE

deltalake = pytest.importorskip("deltalake")
pytestmark = pytest.mark.usefixtures("deltalake_is_warm", "backend")


def forget_rows(path):
    """Remove all files but the log: whoever reads rows then, fails."""
    for file in path.rglob("*.parquet"):
        file.unlink()


def made_up(
    directory,
    tables,
    *,
    schema=None,
    features=(),
    mapping=None,
    partitions=(),
    row_group_size=2,
    **action,
):
    """A table of a file for each of *tables*, whose log is written by hand."""
    log = directory / "_delta_log"
    log.mkdir(parents=True)
    fields = json.loads(deltalake.Schema.from_arrow(tables[0].schema).to_json())["fields"]
    protocol = {"minReaderVersion": 1, "minWriterVersion": 2}
    if features:
        names = {"readerFeatures": list(features), "writerFeatures": list(features)}
        protocol = {"minReaderVersion": 3, "minWriterVersion": 7} | names
    actions = [
        {"protocol": protocol},
        {
            "metaData": {
                "id": "0",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps({"type": "struct", "fields": schema or fields}),
                "partitionColumns": list(partitions),
                "configuration": {} if mapping is None else {"delta.columnMapping.mode": mapping},
                "createdTime": 0,
            }
        },
    ]
    for number, table in enumerate(tables):
        parquet.write_table(table, directory / f"{number}.parquet", row_group_size=row_group_size)
        size = (directory / f"{number}.parquet").stat().st_size
        given = {"path": f"{number}.parquet", "size": size, "modificationTime": number}
        stats = {"stats": json.dumps({"numRecords": len(table)})}
        more = {"partitionValues": {}, "dataChange": True, **stats, **action}
        actions.append({"add": given | more})
    (log / f"{0:020}.json").write_text("\n".join(map(json.dumps, actions)))
    return directory


def deletion_vector(rows):
    """*rows* in the form in which a log holds few of them itself."""
    # A Roaring bitmap with one container, an array of numbers of 16 bits, among one of 64.
    container = struct.pack(f"<IIHHI{len(rows)}H", 12346, 1, 0, len(rows) - 1, 16, *rows)
    bitmap = struct.pack("<IqI", 1681511377, 1, 0) + container
    padded = bitmap + bytes(-len(bitmap) % 4)
    digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    text = "".join(
        digits[number // 85**power % 85]
        for (number,) in struct.iter_unpack(">I", padded)
        for power in (4, 3, 2, 1, 0)
    )
    return {
        "storageType": "i",
        "pathOrInlineDv": text,
        "sizeInBytes": len(bitmap),
        "cardinality": len(rows),
    }


def field(name, kind="long", **metadata):
    return {"name": name, "type": kind, "nullable": True, "metadata": metadata}


def mapped(name, inside, kind="long"):
    number = int(inside[-1])
    physical = {"delta.columnMapping.physicalName": inside, "delta.columnMapping.id": number}
    return field(name, kind, **physical)


@pytest.mark.usefixtures("placement")
def test_types_come_back(tmp_path):
    deltalake.write_deltalake(tmp_path, TABLE.slice(0, 1))
    deltalake.write_deltalake(tmp_path, TABLE.slice(1), mode="append")
    ds = data.read_delta(tmp_path)
    assert ds.schema() == TABLE.schema
    assert ds.to_arrow().equals(TABLE)
    assert (
        data.read_delta(str(tmp_path), columns=["t", "at"])
        .to_arrow()
        .equals(TABLE.select(["t", "at"]))
    )
    assert ds.select_columns(["l"]).take(1) == [{"l": 1 << 60}]


@pytest.mark.usefixtures("placement")
def test_partition_columns_have_the_types_of_the_table(tmp_path):
    names = ["t", "at", "money", "i", "b", "day", "d"]
    money = pa.array([decimal.Decimal("1.50"), None, decimal.Decimal(7)], pa.decimal128(12, 2))
    table = TABLE.set_column(TABLE.column_names.index("t"), "t", [["a b/é%=", None, "x:y"]])
    table = table.set_column(table.column_names.index("money"), "money", money)
    deltalake.write_deltalake(tmp_path, table, partition_by=names)
    ds = data.read_delta(tmp_path)
    assert ds.schema() == table.schema
    assert ds.sort("l").to_arrow().equals(table.sort_by([("l", "ascending")]))
    one = ds.filter((col("t") == "a b/é%=") & (col("i") > 0) & (col("at") == AT))
    assert one.select_columns(["t", "l"]).take_all() == [{"t": "a b/é%=", "l": 1 << 60}]
    assert "only 1 of 3 files" in one.explain()


def test_rows_are_counted_and_files_left_out_without_reading_any(tmp_path):
    for start in range(0, 40, 10):
        part = pa.table({"a": range(start, start + 10), "day": [f"d{start}"] * 10})
        deltalake.write_deltalake(tmp_path, part, mode="append", partition_by=["day"])
    ds = data.read_delta(tmp_path)
    forget_rows(tmp_path)
    assert ds.count() == 40
    assert ds.columns() == ["a", "day"]
    assert ds.filter(col("day") == "d7").count() == 0
    assert ds.filter(col("a") >= 40).take_all() == []
    assert ds.filter((col("a") > 12) & (col("day") == "d20") & (col("a") < 20)).count() == 0
    assert ds.filter(col("a") >= 40).to_arrow().schema == ds.schema()
    with pytest.raises(Exception, match="parquet"):
        ds.filter(col("a") == 39).take_all()


def test_versions(tmp_path):
    for value in (1, 2):
        deltalake.write_deltalake(tmp_path, pa.table({"a": [value]}), mode="append")
    wider = pa.table({"a": [3], "b": ["x"]})
    deltalake.write_deltalake(tmp_path, wider, mode="overwrite", schema_mode="overwrite")
    assert data.read_delta(tmp_path).take_all() == [{"a": 3, "b": "x"}]
    assert data.read_delta(tmp_path, version=1).take_all() == [{"a": 1}, {"a": 2}]
    assert data.read_delta(tmp_path, version=0).take_all() == [{"a": 1}]
    # The time of a version is that of its file, as long as no timestamps are kept inside.
    times = [entry["timestamp"] for entry in deltalake.DeltaTable(tmp_path).history()][::-1]
    second = datetime.datetime.fromtimestamp(times[2] / 1000 + 1, UTC)
    assert data.read_delta(tmp_path, version=second).count() == 1
    assert data.read_delta(tmp_path, version=second.isoformat()).count() == 1
    for version, message in [
        (3, "has the versions 0 to 2, got 3"),
        (-1, "has the versions 0 to 2, got -1"),
        ("yesterday", "cannot be read as of version='yesterday'"),
        (1.5, "version must be a number, or a time"),
        (True, "version must be a number, or a time"),
    ]:
        with pytest.raises(InvalidOption, match=re.escape(message)):
            data.read_delta(tmp_path, version=version)


@pytest.mark.usefixtures("placement")
def test_columns_that_came_later_or_became_wider(tmp_path):
    deltalake.write_deltalake(tmp_path / "x", pa.table({"a": [1], "s": [{"x": 1}]}))
    later = pa.table({"s": [{"x": 2, "y": "z"}], "b": ["u"], "a": [2]})
    deltalake.write_deltalake(tmp_path / "x", later, mode="append", schema_mode="merge")
    ds = data.read_delta(tmp_path / "x")
    assert ds.take_all() == [
        {"a": 1, "s": {"x": 1, "y": None}, "b": None},
        {"a": 2, "s": {"x": 2, "y": "z"}, "b": "u"},
    ]
    assert ds.filter(col("b") == "u").select_columns(["b"]).take_all() == [{"b": "u"}]

    narrow = pa.table({"n": pa.array([1, 2, None], pa.int16()), "f": pa.array([0.5] * 3, "f4")})
    wide = [field("n", "long"), field("f", "double"), field("new", "string")]
    made_up(tmp_path / "y", [narrow], schema=wide, features=["typeWidening"])
    table = data.read_delta(tmp_path / "y").to_arrow()
    types = {"n": pa.int64(), "f": pa.float64(), "new": pa.string()}
    assert table.schema == pa.schema(types)
    assert table.to_pydict() == {"n": [1, 2, None], "f": [0.5] * 3, "new": [None] * 3}


@pytest.mark.usefixtures("placement")
def test_rows_that_deletion_vectors_remove(tmp_path):
    table = pa.table({"a": range(10), "b": list("abcdefghij")})
    gone = {"features": ["deletionVectors"], "deletionVector": deletion_vector([0, 5, 9])}
    ds = data.read_delta(made_up(tmp_path / "x", [table], **gone))
    assert ds.count() == 7
    assert [row["a"] for row in ds.take_all()] == [1, 2, 3, 4, 6, 7, 8]
    # Positions are those in the file, also where groups of rows before are not read.
    late = ds.filter(col("a") > 3)
    assert [row["b"] for row in late.take_all()] == list("eghi")
    assert late.count() == 4
    assert ds.filter(col("a") == 5).count() == 0
    assert ds.select_columns(["b"]).filter(col("b") >= "i").take_all() == [{"b": "i"}]


@pytest.mark.usefixtures("placement")
def test_columns_that_have_other_names_in_files(tmp_path):
    table = pa.table({"col-1": range(6), "col-2": list("abcdef")})
    # What is called col-2 in the table is not what is called so in the file.
    schema = [mapped("x", "col-1"), mapped("col-2", "col-9"), mapped("day", "col-3", "string")]
    made_up(
        tmp_path / "x",
        [table],
        schema=schema,
        mapping="name",
        features=["columnMapping"],
        partitions=["day"],
        partitionValues={"col-3": "monday"},
    )
    ds = data.read_delta(tmp_path / "x")
    rows = [{"x": i, "col-2": None, "day": "monday"} for i in range(6)]
    assert ds.take_all() == rows
    assert ds.filter(col("x") > 3).take_all() == rows[4:]
    assert ds.filter(col("col-2") == 1).count() == 0
    assert "only 1 of 1 files" in ds.filter(col("col-2") > 1).explain()
    assert "only 0 of 1 files" in ds.filter(col("day") == "sunday").explain()


def test_large_files_are_divided_where_there_are_few(tmp_path):
    table = pa.table({"a": range(1 << 20), "b": [0.5] * (1 << 20)})
    path = made_up(tmp_path, [table], row_group_size=1 << 16)
    ds = data.read_delta(path)
    assert ds.count() == 1 << 20
    assert "16 pieces" in ds.explain()
    late = ds.filter(col("a") >= (1 << 20) - 5)
    assert "1 piece" in late.explain()
    assert [row["a"] for row in late.take_all()] == list(range((1 << 20) - 5, 1 << 20))
    assert ds.sum("a") == sum(range(1 << 20))


def test_a_table_without_rows_has_columns(tmp_path):
    deltalake.write_deltalake(tmp_path, pa.table({"a": [1], "b": ["x"]}))
    deltalake.DeltaTable(tmp_path).delete()
    ds = data.read_delta(tmp_path)
    assert ds.count() == 0
    assert ds.take_all() == []
    assert ds.to_arrow().schema == pa.schema({"a": pa.int64(), "b": pa.string()})
    assert ds.filter(col("a") > 1).map(lambda row: row).count() == 0
    assert ds.input_files() == []


def test_where_rows_come_from(tmp_path):
    deltalake.write_deltalake(tmp_path, pa.table({"a": [1, 0]}))
    ds = data.read_delta(tmp_path, include_paths=True)
    (path,) = {row["path"] for row in ds.take_all()}
    assert (tmp_path / path).is_file()
    assert ds.input_files() == [path]
    assert ds.select_columns(["path"]).take(1) == [{"path": path}]
    with pytest.raises(Exception, match=f"row 1 of {path}"):
        ds.map(lambda row: {"a": 1 // row["a"]}).take_all()
    deltalake.write_deltalake(tmp_path / "y", pa.table({"path": [1]}))
    with pytest.raises(ReadError, match="has a column 'path' itself"):
        data.read_delta(tmp_path / "y", include_paths=True)


def test_a_plan_stays_small_and_kept_results_are_found_again(tmp_path):
    for start in range(30):
        deltalake.write_deltalake(tmp_path / "x", pa.table({"a": [start]}), mode="append")
    ds = data.read_delta(tmp_path / "x")
    tasks = ds.plan.source.get_read_tasks(16)
    assert len(tasks) == 16
    assert max(len(pickle.dumps(task.read_fn)) for task in tasks) < 3000
    assert ds.checkpointed(tmp_path / "kept").take_all() == ds.take_all()
    forget_rows(tmp_path / "x" / "none")
    again = data.read_delta(tmp_path / "x", version=29)
    assert again.checkpointed(tmp_path / "kept").count() == 30


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda path: data.read_delta(path / "x"), FileNotFoundError, "no Delta table at"),
        (lambda path: data.read_delta(3), TypeError, "path must be text or a pathlib.Path, got 3"),
        (lambda path: data.read_delta(path, columns=["c"]), ColumnNotFound, "no column 'c'"),
        (lambda path: data.read_delta(path, filter=1), InvalidOption, "use .filter(col"),
        (lambda path: data.read_delta(path, filesystem=1), InvalidOption, "give storage_options"),
        (lambda path: data.read_delta(path, vresion=1), InvalidOption, "Did you mean 'version'?"),
        (
            lambda path: data.read_delta(path, storage_options={"key": 1}),
            InvalidOption,
            "storage_options must be a dictionary of text",
        ),
    ],
)
def test_what_is_wrong_is_told_by_name(tmp_path, call, error, message):
    deltalake.write_deltalake(tmp_path, pa.table({"a": [1]}))
    with pytest.raises(error, match=re.escape(message)):
        call(tmp_path)


def test_tables_that_need_more_are_refused_by_name(tmp_path):
    table = pa.table({"a": [1]})
    with pytest.raises(ReadError, match="the table needs 'variantType', which is not supported"):
        data.read_delta(made_up(tmp_path / "a", [table], features=["variantType"]))
    with pytest.raises(ReadError, match=r"columns are mapped by 'id' \(delta.columnMapping.mode"):
        data.read_delta(
            made_up(
                tmp_path / "b",
                [table],
                schema=[mapped("a", "col-1")],
                features=["columnMapping"],
                mapping="id",
            )
        )
    inner = mapped("x", "col-1")
    outer = {"type": "array", "elementType": {"type": "struct", "fields": [inner]}}
    with pytest.raises(ReadError, match="in column 'a' the field 'x' has another name in files"):
        data.read_delta(
            made_up(
                tmp_path / "c",
                [table],
                schema=[mapped("a", "a2", outer | {"containsNull": True})],
                features=["columnMapping"],
                mapping="name",
            )
        )
    with pytest.raises(ReadError, match="lies outside of the table, as in a shallow clone"):
        data.read_delta(made_up(tmp_path / "d", [table], path="file:///x.parquet"))
    (tmp_path / "e" / "_delta_log").mkdir(parents=True)
    (tmp_path / "e" / "_delta_log" / f"{0:020}.json").write_text("no json")
    with pytest.raises(ReadError, match=r"the log of .*/e' cannot be read"):
        data.read_delta(tmp_path / "e")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.fixed_dictionaries(VALUES), max_size=4), min_size=1, max_size=3),
    st.sampled_from(["n", "f", "t"]),
    st.sampled_from(["__gt__", "__le__", "__eq__", "__ne__"]),
    st.booleans(),
)
def test_conditions_leave_the_rows_that_they_should(parts, name, comparison, partitioned):
    with TemporaryDirectory() as path:
        for part in parts:
            table = pa.Table.from_pylist(part, pa.schema(TYPES))
            by = ["n"] if partitioned else None
            deltalake.write_deltalake(path, table, mode="append", partition_by=by)
        ds = data.read_delta(path)
        limit = LIMITS[name]
        found = (
            ds.filter(getattr(col(name), comparison)(limit)).select_columns([*VALUES]).take_all()
        )
        rows = [{name: row[name] for name in VALUES} for part in parts for row in part]
        wanted = [
            row for row in rows if row[name] is not None and getattr(row[name], comparison)(limit)
        ]
        assert ds.count() == len(rows)
        assert sorted(map(repr, found)) == sorted(map(repr, wanted))
