"""Frames of Polars from and to Arrow tables; numbers are not copied."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from air.data.errors import UnsupportedValue
from air.executor.extras import import_extra

INSTALL = "airloom[polars]"


def table_to_polars(what: str, table: pa.Table) -> Any:
    """The table as a ``polars.DataFrame``; columns of arrays are of its type ``Array``.

    Args:
        what: who asks, for messages.

    Raises:
        ImportError: Polars is not installed.
        UnsupportedValue: it has no type for a column; names it.
    """
    polars = import_extra("polars", what, INSTALL)
    columns = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_decimal256(column.type):
            raise UnsupportedValue(
                f"{what}: the column {name!r} holds {column.type}, of which Polars has no more"
                " than 38 digits; cast it to decimal128 or to floats"
            )
        if isinstance(column.type, pa.FixedShapeTensorType):
            column = pa.chunked_array(
                [_nested(chunk) for chunk in column.chunks], _nested_type(column.type)
            )
        columns[name] = column
    return polars.from_arrow(pa.table(columns))


def table_from_polars(what: str, frame: Any) -> pa.Table:
    """The columns of a ``polars.DataFrame``; text and lists are Arrow's large ones.

    Raises:
        UnsupportedValue: Arrow has no type for a column; names it.
    """
    polars = import_extra("polars", what, INSTALL)
    columns = {}
    for name, kind in frame.schema.items():
        try:
            if kind == polars.Object:
                raise pa.ArrowTypeError("it holds any objects of Python")
            series = frame.get_column(name)
            columns[name] = series.to_frame().to_arrow(compat_level=polars.CompatLevel.oldest())[0]
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise UnsupportedValue(
                f"{what}: the column {name!r} is of the type {kind}, which Arrow does not have"
                f" ({error}); cast it to another one"
            ) from None
    return pa.table(columns)


def _nested_type(kind: pa.FixedShapeTensorType) -> pa.DataType:
    made = kind.value_type
    for size in reversed(kind.shape):
        made = pa.list_(made, size)
    return made


def _nested(chunk: pa.ExtensionArray) -> pa.Array:
    """Arrays of one shape as lists of lists of fixed sizes."""
    storage, sizes = chunk.storage, chunk.type.shape
    total = storage.type.list_size
    made = storage.values.slice(storage.offset * total, len(storage) * total)
    missing = chunk.is_null() if chunk.null_count else None
    for size in reversed(sizes[1:]):
        made = pa.FixedSizeListArray.from_arrays(made, size)
    return pa.FixedSizeListArray.from_arrays(made, sizes[0], mask=missing)
