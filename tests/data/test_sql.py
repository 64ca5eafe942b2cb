"""Reading and writing databases, on those that need no server: SQLite and DuckDB."""

from __future__ import annotations

import datetime
import sqlite3
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import data
from air.data.sql.connections import rows_at_once
from air.data.sql.splits import bounds_between, conditions, literal
from air.data.sql.statements import Statement, names_of_places, shown
from air.errors import InvalidOption

INSERT = "INSERT INTO t VALUES (?, ?, ?)"


# What needs no database -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("INSERT INTO t VALUES (?, ?)", []),
        ("INSERT INTO t VALUES (%s, %s)", []),
        ("INSERT INTO t VALUES (:1, $2)", []),
        ("INSERT INTO t VALUES (:b, :a, :b)", ["b", "a"]),
        ("INSERT INTO t VALUES (%(a)s, %(b_c)s)", ["a", "b_c"]),
        ("INSERT INTO t VALUES ($a, $b)", ["a", "b"]),
        ("INSERT INTO t VALUES (?, ':x', \":y\", `$z`, 'it''s :w') -- :v\n/* :u */", []),
        ("INSERT INTO t VALUES (%s::int, $f$body$f$)", []),
    ],
)
def test_places_with_names_are_found(sql, names):
    assert names_of_places(sql) == names


def test_a_statement_goes_inside_another_one():
    inner = Statement(" SELECT a FROM t; -- all of it", [1])
    around = inner.around("MIN(a)", "a > 1")
    assert around.sql.startswith("SELECT MIN(a) FROM (\nSELECT a FROM t; -- all of it\n) air_rows")
    assert around.sql.endswith(" WHERE a > 1")
    assert around.parameters == [1]
    assert Statement("SELECT 1 ;\n").around().sql == "SELECT * FROM (\nSELECT 1 \n) air_rows"
    assert shown("SELECT\n  1") == "'SELECT 1'"
    assert len(shown("x" * 1000)) == 202


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (-5, "-5"),
        (1.5e300, "1.5e+300"),
        (Decimal("1E+3"), "1000"),
        (datetime.date(2024, 1, 2), "DATE '2024-01-02'"),
        (datetime.datetime(2024, 1, 2, 3), "TIMESTAMP '2024-01-02 03:00:00'"),
        (
            datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC),
            "TIMESTAMP WITH TIME ZONE '2024-01-02 00:00:00+00:00'",
        ),
    ],
)
def test_values_as_sql_writes_them(value, written):
    assert literal(value) == written


KEYS = st.one_of(
    st.tuples(*[st.integers(-(2**63), 2**63)] * 2),
    st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2),
    st.tuples(*[st.decimals(-(10**9), 10**9, places=3)] * 2),
    st.tuples(*[st.dates()] * 2),
    st.tuples(*[st.datetimes()] * 2),
)


@settings(max_examples=100)
@given(KEYS, st.integers(1, 20))
def test_bounds_divide_a_range(extent, pieces):
    low, high = sorted(extent)
    bounds = bounds_between((low, high), pieces)
    assert bounds == sorted(set(bounds))
    assert all(low < bound <= high for bound in bounds)
    assert len(bounds) < pieces
    if isinstance(low, int):
        assert len(bounds) == min(pieces, high - low + 1) - 1
    assert len(conditions("k", bounds)) == len(bounds) + 1


def test_conditions_take_every_row_once():
    assert conditions("k", []) == [None]
    assert conditions("k", [2]) == ["(k < 2 OR k IS NULL)", "k >= 2"]
    assert conditions("k", [2, 5])[1] == "k >= 2 AND k < 5"


def test_few_large_rows_are_fetched_at_once():
    assert rows_at_once(256, 256 * 100) == 1024
    assert rows_at_once(256, 256 << 20) == 8
    assert rows_at_once(1, 1 << 30) == 1
    assert rows_at_once(65_536, 65_536) == 65_536
    assert rows_at_once(1024, 1024 * 100, 64 << 10) == 655


# Databases ------------------------------------------------------------------------------------


@pytest.fixture
def connect(tmp_path):
    """Opens a SQLite database with an empty table ``t`` of the columns a, b and c."""
    path = str(tmp_path / "rows.db")
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b TEXT, c REAL)")
    connection.close()
    return lambda: sqlite3.connect(path)


def rows_of(count):
    return [
        {"a": i if i % 7 else None, "b": "ü" if i > count - 3 else None, "c": i / 2}
        for i in range(count)
    ]


@pytest.mark.usefixtures("placement")
def test_rows_come_back_whole_or_in_parts(connect):
    rows = rows_of(100)
    data.from_items(rows, parallelism=3).write_sql(INSERT, connect)
    statement = "SELECT * FROM t ORDER BY c DESC"
    assert data.read_sql(statement, connect).take_all() == rows[::-1]
    divided = data.read_sql("SELECT * FROM t;", connect, shard_keys="a", parallelism=7)
    assert divided.num_blocks() == 7
    assert divided.columns() == ["a", "b", "c"]
    # Rows without a key are in the first part; the parts are in the order of their keys.
    found = divided.take_all()
    assert sorted(found, key=lambda row: row["c"]) == rows
    keys = [row["a"] for row in found if row["a"] is not None]
    assert keys == sorted(keys)


@pytest.mark.usefixtures("placement")
def test_parts_have_one_schema(connect):
    """Also those without rows, and those in which a column has no value."""
    data.from_items(rows_of(60)).write_sql(INSERT, connect)
    key = "CASE WHEN a > 40 THEN a * 100 ELSE a END"
    divided = data.read_sql(f"SELECT *, {key} AS k FROM t", connect, shard_keys=["k"])
    schema = pa.schema({"a": pa.int64(), "b": pa.string(), "c": pa.float64(), "k": pa.int64()})
    handles = list(divided.run())
    assert len(handles) == 16
    assert {handle.num_rows for handle in handles} > {0}
    assert all(handle.get().schema == schema for handle in handles)


def test_nothing_is_a_result_too(connect):
    for keys in ({}, {"shard_keys": "a"}):
        ds = data.read_sql("SELECT * FROM t", connect, **keys)
        assert ds.take_all() == []
        assert ds.columns() == ["a", "b", "c"]
    data.from_items(rows_of(0)).write_sql(INSERT, connect)
    data.from_items([{"a": None, "b": None, "c": None}]).write_sql(INSERT, connect)
    only = data.read_sql("SELECT * FROM t", connect, shard_keys="a")
    assert only.take_all() == [{"a": None, "b": None, "c": None}]


def test_keys_of_any_kind_are_divided_by_a_function_of_the_database(tmp_path):
    path = str(tmp_path / "rows.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE t AS SELECT i, 'n' || i AS name FROM range(200) t(i)")
    statement = "SELECT * FROM t WHERE i < $most"
    ds = data.read_sql(
        statement,
        lambda: duckdb.connect(path, read_only=True),
        sql_params={"most": 100},
        shard_keys=["name", "i"],
        shard_hash_fn="hash",
        parallelism=4,
    )
    sizes = [handle.num_rows for handle in ds.run()]
    assert len(sizes) == 4
    assert min(sizes) > 5
    assert sorted(row["i"] for row in ds.take_all()) == list(range(100))


def test_types_come_back(tmp_path):
    path = str(tmp_path / "rows.duckdb")
    zone = datetime.timezone(datetime.timedelta(hours=2))
    table = pa.table(
        {
            "k": [1, 2, None],
            "price": pa.array([Decimal("1.50"), None, Decimal("-10.25")], pa.decimal128(10, 2)),
            "day": [datetime.date(2024, 1, 31), None, datetime.date(1, 1, 1)],
            "time": [datetime.datetime(2024, 1, 1, 2, 3, 4, 5), None, None],
            "zoned": [datetime.datetime(2024, 1, 1, 2, tzinfo=zone), None, None],
            "blob": [b"\x00\xff", b"", None],
            "flag": [True, None, False],
            "none": pa.nulls(3, pa.int32()),
        }
    )
    kinds = "BIGINT|DECIMAL(10, 2)|DATE|TIMESTAMP|TIMESTAMPTZ|BLOB|BOOLEAN|INTEGER".split("|")
    columns = ", ".join(map("{} {}".format, table.column_names, kinds))
    with duckdb.connect(path) as connection:
        connection.execute(f"CREATE TABLE t ({columns})")
    insert = f"INSERT INTO t VALUES ({', '.join(f'${name}' for name in table.column_names)})"
    data.from_arrow(table).write_sql(insert, lambda: duckdb.connect(path))

    def connect():
        return duckdb.connect(path, read_only=True)

    for options in ({}, {"shard_keys": "k"}, {"shard_keys": "day", "shard_hash_fn": "hash"}):
        found = data.read_sql("SELECT * FROM t ORDER BY k", connect, **options).to_arrow()
        found = found.sort_by("k")
        assert found.to_pylist() == table.to_pylist()
        assert found.schema.field("price").type == pa.decimal128(38, 2)
        assert found.schema.field("zoned").type.tz is not None
    by_day = data.read_sql("SELECT * FROM t", connect, shard_keys="day", parallelism=3)
    assert [row["k"] for row in by_day.take_all()] == [2, None, 1]
    by_time = data.read_sql("SELECT * FROM t", connect, shard_keys="time")
    assert by_time.count() == 3


def test_types_can_be_said(connect):
    data.from_items([{"a": 1, "b": "2024-01-31", "c": 0.5}]).write_sql(INSERT, connect)
    kinds = {"b": pa.date32(), "c": pa.decimal128(5, 2)}
    row = {"a": 1, "b": datetime.date(2024, 1, 31), "c": Decimal("0.50")}
    assert data.read_sql("SELECT * FROM t", connect, schema=kinds).take_all() == [row]
    with pytest.raises(data.ColumnNotFound, match="read_sql: schema: no column 'd'"):
        data.read_sql("SELECT * FROM t", connect, schema={"d": pa.date32()}).take_all()
    with pytest.raises(data.ReadError, match="column 'b' has values of the type string that do n"):
        data.read_sql("SELECT * FROM t", connect, schema={"b": pa.int64()}).take_all()


def test_values_of_different_types_widen_or_are_named(connect, monkeypatch):
    monkeypatch.setattr("air.data.sql.source.FIRST_ROWS", 2)
    with connect() as connection:
        connection.executescript("CREATE TABLE u (x); INSERT INTO u VALUES (1), (2), (2.5), (4)")
    connection.close()
    ds = data.read_sql("SELECT * FROM u", connect)
    assert [row["x"] for row in ds.take_all()] == [1, 2, 2.5, 4]
    with connect() as connection:
        connection.execute("INSERT INTO u VALUES ('text')")
    connection.close()
    with pytest.raises(data.ReadError, match=r"'x'.*(double|types).*CAST.*or .*schema="):
        ds.take_all()


def test_a_write_is_all_or_nothing(connect, tmp_path):
    with connect() as connection:
        connection.execute("CREATE UNIQUE INDEX one ON t (c)")
    connection.close()
    rows = rows_of(9)
    data.from_items(rows).write_sql(INSERT, connect)
    message = r"UNIQUE constraint failed: t\.c; a row's values are, in this order: a \(int64\), b"
    with pytest.raises(data.WriteError, match=message):
        data.from_items(rows_of(12)[::-1], parallelism=4).write_sql(INSERT, connect)

    def fail(row):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        data.from_items(rows).map(fail).write_sql(INSERT, connect)
    assert data.read_sql("SELECT * FROM t", connect).count() == 9
    # DuckDB commits each statement unless a transaction is begun.
    path = str(tmp_path / "x.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE t (a INTEGER UNIQUE)")
    ds = data.from_items([{"a": 1}, {"a": 2}, {"a": 1}], parallelism=3)
    with pytest.raises(data.WriteError, match=r"ConstraintException: .*[Dd]uplicate key"):
        ds.write_sql("INSERT INTO t VALUES (?)", lambda: duckdb.connect(path))
    ds.limit(2).write_sql("INSERT INTO t VALUES ($a)", lambda: duckdb.connect(path))
    assert (
        data.read_sql("SELECT * FROM t", lambda: duckdb.connect(path, read_only=True)).count() == 2
    )


def test_columns_are_written_by_place_or_by_name(connect):
    ds = data.from_items([{"x": 1, "c": 2.0, "a": 3, "b": "b"}])
    with pytest.raises(data.WriteError, match=r"Incorrect number .*: x \(int64\), c \("):
        ds.write_sql(INSERT, connect)
    ds.write_sql("INSERT INTO t VALUES (:a, :b, :c)", connect)
    with pytest.raises(data.ColumnNotFound, match="no column 'd'"):
        ds.write_sql("INSERT INTO t VALUES (:a, :b, :d)", connect)
    data.range(2).map(lambda i: i).write_sql("INSERT INTO t VALUES (:value, NULL, 0)", connect)
    found = data.read_sql("SELECT a, c FROM t", connect).take_all()
    assert found == [{"a": 3, "c": 2.0}, {"a": 0, "c": 0.0}, {"a": 1, "c": 0.0}]


def test_what_a_database_cannot_be_given_is_named(connect):
    fine = pa.table({"t": pa.array([1], pa.timestamp("ns"))})
    with pytest.raises(data.WriteError, match=r"'t' has the type timestamp\[ns\].*microseconds"):
        data.from_arrow(fine).write_sql("INSERT INTO t VALUES (?, 0, 0)", connect)
    with pytest.raises(data.WriteError, match=r"'data' has the type .*tensor.*turn it into bytes"):
        data.range_tensor(1, shape=(2,)).write_sql("INSERT INTO t VALUES (?, 0, 0)", connect)
    with pytest.raises(data.WriteError, match=r"failed: sqlite3\..*: x \(list<"):
        data.from_items([{"x": [1]}]).write_sql("INSERT INTO t VALUES (?, 0, 0)", connect)


@pytest.mark.parametrize(
    ("statement", "keys", "message"),
    [
        (
            "SELECT * FROM no",
            {},
            "'SELECT \\* FROM no' failed: sqlite3.OperationalError: no such table",
        ),
        ("SELECT * FROM no", {"shard_keys": "a"}, "FROM no.* failed: .* no such table: no"),
        ("SELECT * FROM t", {"shard_keys": "d"}, "MIN.d.*FROM t.* failed: .* no such column: d"),
        ("SELECT", {}, "'SELECT' failed: sqlite3.OperationalError: incomplete input"),
        ("SELECT a, b AS a FROM t", {}, "two columns 'a': call one otherwise, by AS"),
    ],
)
def test_a_statement_that_is_refused_is_named(connect, statement, keys, message):
    with pytest.raises(data.ReadError, match=message):
        data.read_sql(statement, connect, **keys).take_all()


def test_what_is_no_query_is_named(connect):
    with pytest.raises(data.ReadError, match="'DELETE FROM t' gives no rows: it is no query"):
        data.read_sql("DELETE FROM t", connect).take_all()


def test_a_database_that_is_not_there_is_named(tmp_path):
    ds = data.read_sql("SELECT 1", lambda: sqlite3.connect(tmp_path / "no" / "x.db"))
    with pytest.raises(data.ReadError, match=r"connection_factory failed: sqlite3\.Op"):
        ds.take_all()
    with pytest.raises(TypeError, match="must give a connection of the Python DB-API"):
        data.read_sql("SELECT 1", lambda: 3).take_all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sql": ""}, "sql must be a statement as text, got ''"),
        ({"parallelism": 4}, "parallelism=4 needs shard_keys"),
        ({"shard_hash_fn": "hash"}, "shard_hash_fn needs shard_keys"),
        ({"shard_keys": ["a", "c"]}, "2 shard_keys need shard_hash_fn"),
        ({"shard_keys": "a", "shard_hash_fn": "MD5(a)"}, "must be the name of a function"),
        ({"shard_keys": []}, "shard_keys takes a column's name or a list of them"),
        ({"shard_keys": "b"}, "cannot be divided into ranges of b, whose values are such as 'x'"),
        ({"shard_keys": "b", "shard_hash_fn": "UPPER"}, r"ranges of UPPER\(b\), .*such as 'X'"),
        ({"schema": {"a": int}}, "schema must be a pyarrow.Schema or a dictionary of types"),
        ({"sql_params": 3}, "sql_params must be a list, a tuple or a dictionary"),
        ({"params": []}, "'params': give sql_params"),
        ({"ray_remote_args": {}}, "'ray_remote_args': reading takes a CPU"),
        ({"shard_key": "a"}, "Did you mean 'shard_keys'?"),
    ],
)
def test_options_are_checked_at_the_call(connect, options, message):
    data.from_items([{"a": 1, "b": "x", "c": 1.0}]).write_sql(INSERT, connect)
    with pytest.raises(InvalidOption, match=message):
        data.read_sql(**{"sql": "SELECT * FROM t", "connection_factory": connect, **options})


def test_a_connection_is_no_factory(connect):
    connection = connect()
    with pytest.raises(TypeError, match="must be a function that opens a connection"):
        data.read_sql("SELECT 1", connection)
    with pytest.raises(TypeError, match="write_sql: connection_factory must be a function"):
        data.from_items([{"a": 1}]).write_sql(INSERT, connection)
    connection.close()
