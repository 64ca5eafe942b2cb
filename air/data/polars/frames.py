"""Frames of Polars from and to Arrow tables; numbers are not copied."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.kinds import holds, is_list_view
from air.data.blocks.list_views import as_lists, list_type
from air.data.blocks.refusals import NO_CAST
from air.data.errors import UnsupportedValue
from air.executor.extras import import_extra

INSTALL = "airloom[polars]"
_UNKNOWN = (pa.types.is_decimal256, pa.types.is_interval)


def table_to_polars(what: str, table: pa.Table) -> Any:
    """The table as a ``polars.DataFrame``; columns of arrays are of its type ``Array``.

    Args:
        what: who asks, for messages.

    Raises:
        ImportError: Polars is not installed.
        UnsupportedValue: it has no type for a column; names it.
    """
    polars = import_extra("polars", what, INSTALL)
    if any(_needs_copy(column) for column in table.columns):
        table = table.combine_chunks()  # or columns would be cut where others have an end
    columns = {}
    for name in table.column_names:
        column = _plain(table[name])
        if any(holds(column.type, check) for check in _UNKNOWN):
            raise UnsupportedValue(
                f"{what}: the column {name!r} holds {column.type}, which Polars has no type for;"
                " cast it to another one"
            )
        if _needs_copy(column):
            column = column.take(pa.array(np.arange(len(column))))
        if isinstance(column.type, pa.FixedShapeTensorType):
            column = pa.chunked_array(
                [_nested(chunk) for chunk in column.chunks], _nested_type(column.type)
            )
        columns[name] = column
    if "" not in columns:
        return polars.from_arrow(pa.table(columns))
    # Polars (2.1) would give it another name. The index that pandas writes to CSV has none.
    numbered = [str(number) for number in range(len(columns))]
    frame = polars.from_arrow(pa.table(list(columns.values()), names=numbered))
    frame.columns = list(columns)
    return frame


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
        except NO_CAST as error:
            raise UnsupportedValue(
                f"{what}: the column {name!r} is of the type {kind}, which Arrow does not have"
                f" ({error}); cast it to another one"
            ) from None
    return pa.table(columns)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of types that Polars (2.1) cannot read in others that it can."""
    kind = column.type
    if pa.types.is_run_end_encoded(kind):
        return pc.run_end_decode(column)
    if is_list_view(kind):
        return pa.chunked_array([as_lists(chunk) for chunk in column.chunks], list_type(kind))
    if isinstance(kind, pa.Bool8Type):
        return column.cast(pa.bool_())
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.FixedShapeTensorType):
        return column.cast(kind.storage_type)
    return column


def _needs_copy(column: pa.ChunkedArray) -> bool:
    """Whether Polars (2.1) does not take slices of it: lists of fixed lengths with nulls."""
    kind = column.type
    is_nested = pa.types.is_nested(kind)
    return holds(kind, pa.types.is_fixed_size_list) and bool(column.null_count or is_nested)


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
