"""Rows of tables chosen by number or by condition, also where Arrow's own kernels give up.

Those do not know texts and bytes as views, nor values by the ends of their runs, and cannot gather
more than 2 GiB of values into an array whose offsets have 32 bits. Types stay what they are.
"""

from __future__ import annotations

import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.refusals import NO_KERNEL


def taken(table: pa.Table, indices: pa.Array) -> pa.Table:
    """The rows at *indices*, in that order; nulls where an index is null."""
    try:
        return table.take(indices)
    except NO_KERNEL:
        columns = [_taken(column, indices) for column in table.columns]
        return pa.table(columns, schema=table.schema)


def kept(table: pa.Table, mask: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The rows for which *mask* is true."""
    try:
        return table.filter(mask)
    except NO_KERNEL:
        return taken(table, pc.indices_nonzero(pc.fill_null(mask, False)))


def combined(column: pa.ChunkedArray) -> pa.Array:
    """All values as one array, with wide offsets where those of 32 bits do not reach."""
    if column.num_chunks == 1:
        return column.chunk(0)
    try:
        return column.combine_chunks()
    except pa.ArrowInvalid:
        return column.cast(_wide(column.type)).combine_chunks()


def _taken(column: pa.ChunkedArray, indices: pa.Array) -> pa.ChunkedArray:
    try:
        return column.take(indices)
    except NO_KERNEL:
        if not pa.types.is_run_end_encoded(column.type):
            return widely_taken(column, indices)
        found = pc.run_end_decode(column).take(indices)
        return pc.run_end_encode(found, run_end_type=column.type.run_end_type)


def widely_taken(column: pa.ChunkedArray, indices: pa.Array) -> pa.ChunkedArray:
    """The same by way of a type with wide offsets, in as many chunks as are needed to go back."""
    kind = column.type
    found = column.cast(_wide(kind)).take(indices)
    chunks = [piece for chunk in found.chunks for piece in _narrowed(chunk, kind)]
    return pa.chunked_array(chunks, kind)


def _narrowed(values: pa.Array, kind: pa.DataType) -> list[pa.Array]:
    try:
        if pa.types.is_string_view(kind):
            return [values.cast(pa.string()).cast(kind)]
        if pa.types.is_binary_view(kind):
            return [values.cast(pa.binary()).cast(kind)]
        return [values.cast(kind)]
    except pa.ArrowInvalid:
        if len(values) < 2:
            raise
    half = len(values) // 2
    parts = (values.slice(0, half), values.slice(half))
    # Of a slice offsets are as large as those of the whole, until it is copied.
    copies = [part.take(pa.array(range(len(part)), pa.int64())) for part in parts]
    return [piece for copy in copies for piece in _narrowed(copy, kind)]


def _wide(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary(kind) or pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_list(kind):
        return pa.large_list(kind.value_field.with_type(_wide(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([part.with_type(_wide(part.type)) for part in kind])
    return kind
