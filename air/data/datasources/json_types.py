"""Types that Arrow's parser of JSON infers, and those that it must be told."""

from __future__ import annotations

import pyarrow as pa


def has_lists(kind: pa.DataType) -> bool:
    """Whether there are lists in values of *kind*."""
    if pa.types.is_struct(kind):
        return any(has_lists(part.type) for part in kind)
    return bool(pa.types.is_list(kind))


def with_values(kind: pa.DataType, *, is_inside: bool = False) -> pa.DataType:
    """The type with flags in lists that have nothing but nulls, which Arrow (26) miscounts."""
    if pa.types.is_list(kind):
        return pa.list_(with_values(kind.value_type, is_inside=True))
    if pa.types.is_struct(kind):
        parts = [(part.name, with_values(part.type, is_inside=is_inside)) for part in kind]
        return pa.struct(parts)
    return pa.bool_() if is_inside and pa.types.is_null(kind) else kind


def as_schema(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """*table* without the flags that :func:`with_values` has put there for nothing."""
    columns = {
        name: column if column.type == kind else pa.array(column.to_pylist(), kind)
        for name, kind, column in zip(schema.names, schema.types, table.columns, strict=True)
    }
    return pa.table(columns)


def with_text(kind: pa.DataType) -> pa.DataType:
    """The type with text where Arrow takes text for times, which JSON does not have."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(with_text(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(part.name, with_text(part.type)) for part in kind])
    return kind
