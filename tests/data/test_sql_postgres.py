"""Reading and writing a PostgreSQL server, where there is one to start."""

from __future__ import annotations

import datetime
import functools
import os
import shutil
import subprocess
import tempfile
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from air import data

PROGRAMS = [shutil.which("initdb"), *Path("/usr/lib/postgresql").glob("*/bin/initdb")]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not any(PROGRAMS), reason="there is no PostgreSQL server on this machine"),
    pytest.mark.usefixtures("backend"),
]


@pytest.fixture(scope="module")
def connect():
    """Opens a connection to a server of its own, in a directory of its own."""
    programs = Path(os.path.realpath(next(filter(None, PROGRAMS)))).parent
    # The server refuses to run as root, and its user must get at the directory.
    user = "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory() as directory:
        if user:
            shutil.chown(directory, user)
        where = Path(directory)
        call = functools.partial(
            subprocess.run, check=True, user=user, cwd=directory, stdout=subprocess.DEVNULL
        )
        files = ["-D", where / "files"]
        initial = ["-U", "tester", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        call([programs / "initdb", *files, *initial])
        options = f"-c listen_addresses= -k {directory} -c fsync=off -c timezone=Europe/Zurich"
        control = [programs / "pg_ctl", *files, "-w", "-s"]
        call([*control, "-l", where / "log", "-o", options, "start"])
        try:
            yield functools.partial(
                psycopg.connect, host=directory, user="tester", dbname="postgres"
            )
        finally:
            call([*control, "-m", "immediate", "stop"])


KINDS = {
    "k": "bigint",
    "price": "numeric(10, 2)",
    "any": "numeric",
    "day": "date",
    "time": "timestamp",
    "zoned": "timestamptz",
    "blob": "bytea",
    "flag": "boolean",
    "items": "integer[]",
    "late": "double precision",
    "none": "integer",
}


def table_of(count):
    """Rows with a value in the last ones only, in some columns."""
    start = datetime.datetime(2024, 3, 1)
    hours = [start + datetime.timedelta(hours=7 * i) for i in range(count)]
    last = [i == count - 1 for i in range(count)]
    return pa.table(
        {
            "k": [i if i % 5 else None for i in range(count)],
            "price": [Decimal(i).scaleb(-2) for i in range(count)],
            "any": [Decimal(i).scaleb(-(i % 4)) for i in range(count)],
            "day": [hour.date() for hour in hours],
            "time": hours,
            "zoned": [hour.replace(tzinfo=datetime.UTC) for hour in hours],
            "blob": [bytes([i]) * i for i in range(count)],
            "flag": [True if each else None for each in last],
            "items": [[i, None] for i in range(count)],
            "late": [0.5 if each else None for each in last],
            "none": pa.nulls(count, pa.int32()),
        }
    )


def test_types_and_parts(connect):
    with connect() as connection:
        columns = ", ".join(f'"{name}" {kind}' for name, kind in KINDS.items())
        connection.execute(f"CREATE TABLE everything ({columns})")
    table = table_of(200)
    places = ", ".join(f"%({name})s" for name in KINDS)
    data.from_arrow(table).repartition(3).write_sql(
        f"INSERT INTO everything VALUES ({places})", connect
    )
    everything = functools.partial(data.read_sql, "SELECT * FROM everything", connect)
    for options in (
        {},
        *({"shard_keys": key} for key in ("k", "price", "day", "time", "zoned", "late")),
        {"shard_keys": ["day", "blob"], "shard_hash_fn": "hashtext"},
    ):
        ds = everything(**options)
        handles = list(ds.run())
        assert len(handles) == (1 if not options else 16 if options["shard_keys"] != "late" else 1)
        types = {name: [h.get().schema.field(name).type for h in handles] for name in KINDS}
        # Truth values have no least one, by which those would be found that come late.
        assert all(
            len(set(found)) == 1 for name, found in types.items() if name not in ("flag", "any")
        )
        assert types["price"][0] == pa.decimal128(38, 2)
        assert types["zoned"][0] == pa.timestamp("us", "Europe/Zurich")
        found = ds.to_arrow().sort_by("price")
        assert found.to_pylist() == table.to_pylist()


def test_what_the_server_says_is_in_the_error(connect):
    with pytest.raises(data.ReadError, match=r"psycopg.errors.UndefinedTable: relation \"nope\""):
        data.read_sql("SELECT * FROM nope", connect).take_all()
    with pytest.raises(data.ReadError, match=r"column \"nope\" does not exist"):
        data.read_sql("SELECT 1 AS a", connect, shard_keys="nope")
    with connect() as connection:
        connection.execute("CREATE TABLE one (a integer UNIQUE)")
    ds = data.from_items([{"a": 1}, {"a": 2}, {"a": 1}])
    with pytest.raises(data.WriteError, match="UniqueViolation: duplicate key"):
        ds.write_sql("INSERT INTO one VALUES (%s)", connect)
    assert data.read_sql("SELECT * FROM one", connect).count() == 0
    ds.write_sql("INSERT INTO one VALUES (%s) ON CONFLICT DO NOTHING", connect)
    least = data.read_sql("SELECT * FROM one WHERE a > %s", connect, sql_params=[1])
    assert least.take_all() == [{"a": 2}]
