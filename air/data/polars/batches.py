"""Batches as data frames of Polars, whose types come back as what they were.

Polars shares memory with Arrow and never changes it. What it has types for survives a function that
returns it as it was: text, bytes, lists of any depth, categories of text (without their order),
decimals of 128 bits, arrays of one shape, structs, dates, times with a zone, nulls next to NaN.
Everything else becomes the nearest that Polars has: seconds become milliseconds, times of day count
nanoseconds, bytes of a fixed length are bytes of any, categories that are no text their values,
maps lists of pairs. A column that a function returns by the name of one that it was given has that
one's type again, if all values fit. Zones that are offsets (``+02:00``) become UTC with the same
instants, and stay that. Decimals of 256 bits and intervals of months are refused.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from air.data.blocks.convert import check_distinct
from air.data.blocks.restoring import restored, type_in
from air.data.blocks.schemas import without_columns
from air.data.polars.frames import table_from_polars, table_to_polars

_WHAT = "batch_format='polars'"
_NARROW_BYTES = 2**31


def to_batch(table: pa.Table) -> Any:
    """The table as a ``polars.DataFrame``; numbers are not copied.

    Raises:
        ImportError: Polars is not installed.
        UnsupportedValue: it has no type for a column; names it.
    """
    columns = [_for_polars(column) for column in table.columns]
    return table_to_polars(_WHAT, pa.table(columns, names=table.column_names))


def from_batch(frame: Any, like: pa.Schema | None = None) -> pa.Table:
    """The columns of a data frame that a function returned.

    Args:
        like: of the rows that it was given, for types that Polars does not have.

    Raises:
        UnsupportedValue: Arrow has no type for one; names it.
    """
    if not frame.columns:
        return without_columns(len(frame))
    table = table_from_polars(_WHAT, frame)
    check_distinct(table.column_names, "a DataFrame")
    made = {}
    for name in table.column_names:
        column, kind = _as_it_was(table[name]), type_in(like, name)
        made[name] = column if kind is None else restored(column, kind)
    return pa.table(made)


def from_series(name: str, series: Any) -> pa.ChunkedArray:
    """The values of a series that a function returned for a column."""
    return from_batch(series.alias(name).to_frame())[name]


def _for_polars(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_date64(kind):
        return column.cast(pa.date32())
    if pa.types.is_timestamp(kind) and kind.tz is not None and kind.tz[0] in "+-":
        return column.cast(pa.timestamp(kind.unit, "UTC"))
    return column


def _as_it_was(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """With the types of Arrow that Polars has no other than large ones for."""
    kind = column.type
    if column.nbytes >= _NARROW_BYTES:
        return column
    if pa.types.is_fixed_size_list(kind):
        return _as_tensors(column)
    if pa.types.is_dictionary(kind) and pa.types.is_large_string(kind.value_type):
        words = pa.dictionary(pa.int32(), pa.string())
        chunks = [
            pa.DictionaryArray.from_arrays(
                chunk.indices.cast(pa.int32()), chunk.dictionary.cast(pa.string())
            )
            for chunk in column.chunks
        ]
        return pa.chunked_array(chunks, words)
    narrow = _narrow(kind)
    return column if narrow == kind else column.cast(narrow)


def _as_tensors(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Arrays of one shape as they are kept; fixed-length lists of anything but numbers stay."""
    shape, kind = [], column.type
    while pa.types.is_fixed_size_list(kind):
        shape.append(kind.list_size)
        kind = kind.value_type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return column
    made = []
    for chunk in column.chunks:
        flat, size = chunk, 1
        for length in shape:
            size *= length
            flat = flat.values.slice(flat.offset * length, len(flat) * length)
        missing = chunk.is_null() if chunk.null_count else None
        storage = pa.FixedSizeListArray.from_arrays(flat, size, mask=missing)
        made.append(pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(kind, shape), storage))
    return pa.chunked_array(made, pa.fixed_shape_tensor(kind, shape))


def _narrow(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_large_list(kind):
        return pa.list_(kind.value_field.with_type(_narrow(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([part.with_type(_narrow(part.type)) for part in kind])
    return kind
