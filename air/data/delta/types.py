"""Columns as those of a Delta table: the types that there are, and what becomes of others."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from air.data.blocks.schemas import ValuesDoNotFit, conform, unify
from air.data.errors import UnsupportedValue, WriteError
from air.data.formats import cannot_hold
from air.executor.validation import listing

WHAT = "write_delta"

_SAME = (
    pa.types.is_boolean,
    pa.types.is_signed_integer,
    pa.types.is_float32,
    pa.types.is_float64,
    pa.types.is_date32,
)
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BYTES = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)
_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.float16(): pa.float32(),
    pa.date64(): pa.date32(),
}


def as_delta(table: pa.Table) -> pa.Table:
    """*table* with types that Delta Lake has; columns of nulls alone are left out.

    Raises:
        WriteError: it has no type for a column, or none that holds a value; names the column.
    """
    named = set()
    for name in table.column_names:
        if name.lower() in named:
            raise WriteError(
                f"{WHAT}: {name!r} is the name of two columns, of which case makes no difference in"
                " a Delta table; use rename_columns"
            )
        named.add(name.lower())
    columns: dict[str, pa.ChunkedArray] = {}
    for column in table.schema:
        if pa.types.is_null(column.type):
            continue
        values = table[column.name]
        kind = _delta_type(column, column.type)
        if kind != column.type:
            try:
                values = _cast(values, kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise WriteError(
                    f"{WHAT}: column {column.name!r} is {column.type}, and not all its values fit"
                    f" {kind}, which is what a Delta table has: {error}"
                ) from None
        columns[column.name] = values
    if not columns:
        return pa.table({"": pa.nulls(table.num_rows)}).select([])
    return pa.table(columns)


def _cast(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values.cast(kind)


def _delta_type(column: pa.Field, kind: pa.DataType) -> pa.DataType:
    if any(check(kind) for check in _SAME):
        return kind
    if any(check(kind) for check in _TEXTS):
        return pa.string()
    if any(check(kind) for check in _BYTES):
        return pa.binary()
    if kind in _WIDER:
        return _WIDER[kind]
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if pa.types.is_decimal(kind) and kind.precision <= 38 and 0 <= kind.scale <= kind.precision:
        return pa.decimal128(kind.precision, kind.scale)
    if pa.types.is_dictionary(kind):
        return _delta_type(column, kind.value_type)
    if isinstance(kind, pa.ExtensionType):
        raise _no_type(column)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(pa.field("element", _delta_type(column, kind.value_type)))
    if pa.types.is_map(kind):
        return pa.map_(_delta_type(column, kind.key_type), _delta_type(column, kind.item_type))
    if pa.types.is_struct(kind) and kind.num_fields:
        return pa.struct([pa.field(part.name, _delta_type(column, part.type)) for part in kind])
    raise _no_type(column)


def _no_type(column: pa.Field) -> WriteError:
    return cannot_hold(
        WHAT, column, "a Delta table", "turn it into another one, or use write_parquet"
    )


def fitted(table: pa.Table, target: pa.Schema) -> pa.Table:
    """Rows with the columns and types of a table that is there, and other columns behind them.

    Numbers become wider ones as in ``air.data.Dataset.union``, and whole ones narrower ones that
    hold all of them; a column that is missing has nulls. Nothing else changes.

    Args:
        table: with types of Delta Lake.

    Raises:
        WriteError: a column has a type there that does not hold these values; names it.
    """
    for wanted in target:
        position = table.schema.get_field_index(wanted.name)
        kind = wanted.type if position < 0 else table.field(position).type
        if not _goes_into(kind, wanted.type):
            raise WriteError(
                f"{WHAT}: column {wanted.name!r} is {kind}, and {wanted.type} in the table: cast"
                " it, or replace the table with mode='overwrite', schema_mode='overwrite'"
            )
    more = [column for column in table.schema if column.name not in target.names]
    try:
        return conform(table, pa.schema([*target, *more]))
    except ValuesDoNotFit as error:
        raise WriteError(
            f"{WHAT}: column {error.column!r} is {error.kind}, and not all its values fit"
            f" {error.common}, which it is in the table: {error.why}"
        ) from None


def _goes_into(kind: pa.DataType, wanted: pa.DataType) -> bool:
    if kind == wanted or (pa.types.is_integer(kind) and pa.types.is_integer(wanted)):
        return True
    try:
        both = unify([pa.schema([pa.field("", kind)]), pa.schema([pa.field("", wanted)])])
    except UnsupportedValue:
        return False
    return bool(both.field(0).type == wanted)


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


def check_not_null(table: pa.Table, required: Any) -> None:
    """Complain about nulls in columns that must have none.

    Raises:
        WriteError: there is one; names the column.
    """
    for name in required:
        if name not in table.column_names or table[name].null_count:
            raise WriteError(
                f"{WHAT}: column {name!r} must have a value in each row of the table, and has none"
                f" in some; columns that must have one are: {listing(required)}"
            )
