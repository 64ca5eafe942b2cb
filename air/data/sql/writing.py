"""Writing rows by a statement, all of them or none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pyarrow as pa

from air.data.blocks.block import Block, accessor
from air.data.blocks.handle import BlockHandle
from air.data.errors import WriteError, require_columns
from air.data.formats import cannot_hold
from air.data.sql.connections import ConnectionFactory, connected, explained
from air.data.sql.statements import names_of_places, shown

WHAT = "write_sql"

_ROWS_AT_ONCE = 4096


def write_rows(handles: Iterator[BlockHandle], sql: str, connect: ConnectionFactory) -> None:
    """Run *sql* for each row, in order, in one transaction.

    Raises:
        WriteError: the database refuses a row, or a column holds what no database takes.
        ColumnNotFound: the statement names a column that there is not.
    """
    names = names_of_places(sql)
    with (
        connected(WHAT, connect, WriteError) as connection,
        closing(connection.cursor()) as cursor,
    ):
        # In DuckDB a cursor has transactions of its own, and commits each statement without one.
        begins = callable(getattr(cursor, "begin", None))
        owner = cursor if begins else connection
        try:
            if begins:
                owner.begin()
            for handle in handles:
                _write(cursor, sql, names, handle.get())
            with explained(WHAT, sql, WriteError):
                owner.commit()
        except BaseException:
            with suppress(Exception):  # what went wrong before is the error
                owner.rollback()
            raise


def _write(cursor: Any, sql: str, names: list[str], block: Block) -> None:
    whole = accessor(block).to_arrow()
    if not whole.num_rows:
        return
    if names:
        require_columns(names, whole.column_names, f"{WHAT}: {shown(sql)}")
        whole = whole.select(names)
    whole = _exact(whole)
    hint = "; a row's values are, in this order: " + ", ".join(
        f"{column.name} ({column.type})" for column in whole.schema
    )
    for start in range(0, whole.num_rows, _ROWS_AT_ONCE):
        columns = [column.to_pylist() for column in whole.slice(start, _ROWS_AT_ONCE).columns]
        rows: list[Any] = list(zip(*columns, strict=True))
        if names:
            rows = [dict(zip(names, row, strict=True)) for row in rows]
        with explained(WHAT, sql, WriteError, hint):
            cursor.executemany(sql, rows)


def _exact(table: pa.Table) -> pa.Table:
    """*table* with times that Python's classes, which drivers take, hold exactly.

    Raises:
        WriteError: they do not, or a column holds arrays; names it.
    """
    for index, column in enumerate(table.schema):
        kind = column.type
        if isinstance(kind, pa.FixedShapeTensorType):
            raise cannot_hold(WHAT, column, "a database", "turn it into bytes or lists")
        finer = getattr(kind, "unit", None) == "ns"
        if not finer:
            continue
        coarser = {
            pa.timestamp("ns").id: lambda k: pa.timestamp("us", k.tz),
            pa.duration("ns").id: lambda k: pa.duration("us"),
            pa.time64("ns").id: lambda k: pa.time64("us"),
        }[kind.id](kind)
        try:
            table = table.set_column(index, column.name, table.column(index).cast(coarser))
        except pa.ArrowInvalid:
            raise cannot_hold(
                WHAT, column, "the Python DB-API", "round it to microseconds, or turn it into text"
            ) from None
    return table
