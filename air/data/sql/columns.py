"""Arrow columns for the values that a database gives.

A database knows the type of a column, and the DB-API does not tell it: it is found from values.
What differs between values of one column of a database does not make a difference in type:
decimals take as many digits as there can be, and times of any offset are told in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from air.data.blocks.infer import column_from_values
from air.data.blocks.refusals import NO_KERNEL
from air.data.blocks.schemas import conform, unify
from air.data.errors import ReadError, UnsupportedValue, require_columns
from air.errors import InvalidOption

_DIGITS = 38
"""Of the decimals of Arrow that take 16 bytes, and of most databases."""


def check_types(given: object) -> dict[str, pa.DataType]:
    """The types of columns that a reader was given, by name; nothing for ``None``.

    Raises:
        InvalidOption: neither a schema nor a dictionary of types.
    """
    if given is None:
        return {}
    if isinstance(given, pa.Schema):
        return dict(zip(given.names, given.types, strict=True))
    if isinstance(given, Mapping) and all(isinstance(kind, pa.DataType) for kind in given.values()):
        return dict(given)
    raise InvalidOption(
        "read_sql: schema must be a pyarrow.Schema or a dictionary of types such as"
        f' {{"price": pyarrow.decimal128(10, 2)}}, got {given!r:.80}'
    )


def check_columns(names: Sequence[str], types: Mapping[str, pa.DataType]) -> None:
    """Complain about columns that a statement gives twice, or does not give.

    Raises:
        ReadError: a name is there twice.
        ColumnNotFound: one of *types* is not there; names the nearest.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ReadError(f"read_sql: the rows have two columns {twice!r}: call one otherwise, by AS")
    require_columns(types, names, "read_sql: schema")


def table_of(
    rows: Sequence[Sequence[Any]], names: Sequence[str], types: Mapping[str, pa.DataType]
) -> pa.Table:
    """The rows as a table; columns of *types* have those.

    Raises:
        ReadError: values have no common type, or not the one that is wanted; names the column.
    """
    values = zip(*rows, strict=True) if rows else ([] for _ in names)
    columns = {}
    for name, column in zip(names, values, strict=True):
        try:
            made = _even(column_from_values(name, list(column)))
            columns[name] = _cast(name, made, types[name]) if name in types else made
        except UnsupportedValue as error:
            raise ReadError(
                f"read_sql: {error}; CAST it in the statement, or say the type: schema="
            ) from None
    return pa.table(columns)


def _cast(name: str, column: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return column.cast(kind)
    except NO_KERNEL as error:
        raise ReadError(
            f"read_sql: column {name!r} has values of the type {column.type} that do not become"
            f" {kind}, which schema wants: {error}"
        ) from None


def together(table: pa.Table, known: pa.Schema | None) -> pa.Table:
    """*table* with the types of the rows before it, wider where its values need that.

    Raises:
        ReadError: a column's types do not go together; names it and both.
    """
    if known is None or table.schema.equals(known):
        return table
    try:
        return conform(table, unify([known, table.schema], ["some rows", "others"]))
    except UnsupportedValue as error:
        raise ReadError(
            f"read_sql: {error}, by CAST in the statement or by schema={{name: type}}"
        ) from None


def _even(column: pa.Array) -> pa.Array:
    """*column* with the type that other values of it would have as well."""
    kind = column.type
    if pa.types.is_decimal128(kind) and kind.precision < _DIGITS:
        return column.cast(pa.decimal128(_DIGITS, kind.scale))
    if pa.types.is_timestamp(kind) and kind.tz is not None and kind.tz[0] in "+-":
        return column.cast(pa.timestamp(kind.unit, "UTC"))
    return column
