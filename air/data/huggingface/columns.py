"""Tables of Hugging Face's ``datasets`` as tables of Arrow's own types, without copying numbers."""

from __future__ import annotations

import math

import pyarrow as pa

from air.data.blocks.schemas import empty_table


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of what :func:`plain_table` gives for tables of *schema*."""
    return plain_table(empty_table(schema)).schema


def plain_table(table: pa.Table) -> pa.Table:
    """*table* without the types and the notes that only ``datasets`` understands.

    ``Array2D`` and the like become columns of arrays, those of any number of rows lists.
    """
    columns = {name: _plain(table[name]) for name in table.column_names}
    return pa.table(columns)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if not isinstance(kind, pa.ExtensionType) or not hasattr(kind, "shape"):
        return column
    shape = tuple(kind.shape)
    if None in shape:
        return pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
    values = kind.storage_type
    for _ in shape:
        values = values.value_type
    lists = values
    for size in reversed(shape):
        lists = pa.list_(lists, size)
    if not (pa.types.is_integer(values) or pa.types.is_floating(values)):
        return pa.chunked_array([chunk.storage.cast(lists) for chunk in column.chunks], lists)
    made = pa.fixed_shape_tensor(values, shape)
    return pa.chunked_array([_tensors(chunk.storage, lists, made) for chunk in column.chunks], made)


def _tensors(storage: pa.Array, lists: pa.DataType, made: pa.FixedShapeTensorType) -> pa.Array:
    flat = fixed = storage.cast(lists)
    for size in made.shape:
        # Not `flatten`, which leaves missing arrays out.
        flat = flat.values.slice(flat.offset * size, len(flat) * size)
    missing = fixed.is_null() if fixed.null_count else None
    one_list = pa.FixedSizeListArray.from_arrays(flat, math.prod(made.shape), mask=missing)
    return pa.ExtensionArray.from_storage(made, one_list)
