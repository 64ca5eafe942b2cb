"""The types of Delta tables."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from air.data.errors import WriteError
from air.data.lakes.fitting import TableTypes

WHAT = "write_delta"

TYPES = TableTypes(
    WHAT,
    "a Delta table",
    (
        pa.types.is_boolean,
        pa.types.is_signed_integer,
        pa.types.is_float32,
        pa.types.is_float64,
        pa.types.is_date32,
    ),
    {
        pa.uint8(): pa.int16(),
        pa.uint16(): pa.int32(),
        pa.uint32(): pa.int64(),
        pa.float16(): pa.float32(),
        pa.date64(): pa.date32(),
    },
    ", or replace the table with mode='overwrite', schema_mode='overwrite'",
)


def one_schema(schemas: list[pa.Schema], sources: list[str]) -> pa.Schema:
    """The columns of a new table, of which files with *schemas* are written.

    Raises:
        WriteError: a column has two types, which files of one table may not; names it.
    """
    found: dict[str, tuple[pa.DataType, str]] = {}
    for schema, source in zip(schemas, sources, strict=True):
        for column in schema:
            kind, first = found.setdefault(column.name, (column.type, source))
            if kind != column.type:
                raise WriteError(
                    f"{WHAT}: column {column.name!r} is {kind} in {first or 'some rows'} and"
                    f" {column.type} in {source or 'others'}, and the files of a Delta table have"
                    " one type: make it one before, as with_column(name, col(name).cast(...)) does"
                )
    return pa.schema([pa.field(name, kind) for name, (kind, _) in found.items()])


def check_distinct(names: Iterable[str]) -> None:
    """Complain about names of columns that differ in case alone.

    Raises:
        WriteError: names one.
    """
    seen = set()
    for name in names:
        if name.lower() in seen:
            raise WriteError(
                f"{WHAT}: {name!r} is the name of two columns, of which case makes no difference in"
                " a Delta table; use rename_columns"
            )
        seen.add(name.lower())
