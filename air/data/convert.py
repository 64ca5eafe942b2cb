"""Arrow columns and tables from and to what user functions work with.

Values survive the way there and back: whole numbers with nulls become floats with NaN in numpy
and pandas (as pandas itself does), everything else keeps its type. Nulls in pandas are nulls
again in Arrow; NaN in numpy stays NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from air.data import tensor
from air.data.errors import UnsupportedValue
from air.executor.validation import listing

if TYPE_CHECKING:
    import pandas as pd

_STRING_LIMIT = 2**31
_ARROW_REFUSALS = (pa.ArrowException, OverflowError, TypeError, ValueError)


# Columns ----------------------------------------------------------------------------------


def column_to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    """The values of a column; read-only where they share memory with it.

    Shape ``(rows,)``, or ``(rows, *shape)`` for tensor columns. Text, bytes, lists, structs and
    decimals come as object arrays; lists as arrays inside them.
    """
    if tensor.is_tensor(column.type):
        return tensor.to_numpy(column)
    if _loses_types_as_arrays(column):
        return tensor.objects(column.to_pylist())
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # too large for one chunk
        return whole.to_numpy()
    values: np.ndarray = whole.to_numpy(zero_copy_only=False)
    return values


def _loses_types_as_arrays(column: pa.ChunkedArray) -> bool:
    """Whether Arrow would turn whole numbers inside the values into floats, for their nulls."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = kind.value_type
        return pa.types.is_nested(inner) or any(c.flatten().null_count for c in column.chunks)
    return bool(pa.types.is_nested(kind) and not tensor.is_tensor(kind))


def column_from_values(name: str, values: Any) -> pa.Array:
    """The column for an array, a series, or a list of values with ``None`` for nulls.

    Arrays with more than one dimension and lists of arrays of one shape give tensor columns,
    lists of one-dimensional arrays of different lengths give list columns.

    Raises:
        UnsupportedValue: Arrow has no one type for the values; names the column.
    """
    try:
        if isinstance(values, (pa.Array, pa.ChunkedArray)):
            return values
        if _is_pandas(values):
            return pa.array(values)
        if hasattr(values, "__array__"):
            values = np.asarray(values)
            if values.ndim > 1:
                return tensor.from_numpy(values)
            if values.dtype != object:
                return pa.array(values)
        items = values if isinstance(values, list) else list(values)
        return _from_list(items)
    except _ARROW_REFUSALS as error:
        items = values if isinstance(values, list) else list(values)
        raise UnsupportedValue(_complaint(name, items, error)) from None


def _is_pandas(values: Any) -> bool:
    return type(values).__module__.partition(".")[0] == "pandas"


def _from_list(items: list[Any]) -> pa.Array:
    first = next((item for item in items if item is not None), None)
    if isinstance(first, np.ndarray) and first.ndim:
        return _from_arrays(items)
    if isinstance(first, np.datetime64):
        return pa.array(np.array([np.datetime64("NaT") if i is None else i for i in items]))
    return pa.array(items)


def _from_arrays(items: list[Any]) -> pa.Array:
    arrays = [item for item in items if item is not None]
    shapes = {np.shape(item) for item in arrays}
    if len(shapes) == 1 and len(arrays) == len(items) and arrays[0].dtype != object:
        return tensor.from_numpy(np.stack(arrays))
    # Ragged in the first dimension only, or with nulls: lists (of lists ...) of numbers.
    return pa.array([None if item is None else item.tolist() for item in items])


def _complaint(name: str, items: Sequence[Any], error: Exception) -> str:
    kinds: dict[str, int] = {}
    for index, item in enumerate(items):
        if item is not None:
            kinds.setdefault(type(item).__name__, index)
    if len(kinds) > 1:
        where = ", ".join(f"{kind} (first in row {index})" for kind, index in kinds.items())
        return (
            f"column {name!r} mixes values of the types {where}: make them one type,"
            " or return rows that are no dictionaries"
        )
    kind = next(iter(kinds), "nothing")
    return (
        f"column {name!r} holds {kind} values that Arrow has no type for ({error}): turn them"
        " into numbers, text, bytes, lists or arrays, or return rows that are no dictionaries"
    )


# Tables and dictionaries of columns -----------------------------------------------------------


def table_from_columns(columns: Mapping[str, Any]) -> pa.Table:
    """The table for a dictionary of arrays or lists of one length.

    Raises:
        UnsupportedValue: lengths differ, a value is no column, or Arrow cannot hold it.
    """
    made: dict[str, pa.Array] = {}
    for name, values in columns.items():
        if not isinstance(name, str):
            raise UnsupportedValue(f"columns must be named by text, got {name!r}")
        if not _is_column(values):
            raise UnsupportedValue(
                f"column {name!r} must be an array or a list with one value a row,"
                f" got {type(values).__name__}"
            )
        made[name] = column_from_values(name, values)
    lengths = {name: len(column) for name, column in made.items()}
    if len(set(lengths.values())) > 1:
        raise UnsupportedValue(f"columns of one batch must be equally long, got {lengths}")
    return pa.table(made)


def _is_column(values: Any) -> bool:
    if isinstance(values, (list, tuple, pa.Array, pa.ChunkedArray)):
        return True
    return getattr(values, "ndim", 0) > 0  # numpy, pandas, torch ...


def table_to_columns(table: pa.Table, *, writable: bool = False) -> dict[str, np.ndarray]:
    """Arrays by column name; with *writable* none of them shares memory with the table."""
    columns = {name: column_to_numpy(table[name]) for name in table.column_names}
    if writable:
        for name, values in columns.items():
            if not values.flags.writeable:
                columns[name] = values.copy()
    return columns


# Rows -------------------------------------------------------------------------------------


def table_from_rows(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The table for records; a key that a record lacks is null there.

    Columns come in the order in which their names first appear.

    Raises:
        UnsupportedValue: a row is no mapping, or a column has no Arrow type; names it.
    """
    names: dict[str, None] = {}
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise UnsupportedValue(
                f"row {index} is {type(row).__name__} where the rows before it are"
                " dictionaries: make all rows of a dataset of one kind"
            )
        if row.keys() != names.keys():
            names.update(dict.fromkeys(row))
    if not names and rows:
        raise UnsupportedValue("rows must have at least one column, got empty dictionaries")
    return table_from_columns({name: [row.get(name) for row in rows] for name in names})


def table_to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Records of Python values; elements of tensor columns are arrays."""
    tensors = [f.name for f in table.schema if tensor.is_tensor(f.type)]
    if not tensors:
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows
    columns = [
        tensor.elements(table[name]) if name in tensors else table[name].to_pylist()
        for name in table.column_names
    ]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


# pandas -----------------------------------------------------------------------------------


def table_to_pandas(table: pa.Table) -> pd.DataFrame:
    """The table as a DataFrame with a fresh index; tensor columns as objects."""
    objects: dict[str, np.ndarray] = {}
    for name in table.column_names:
        if tensor.is_tensor(table[name].type):
            objects[name] = tensor.marked_elements(table[name])
        elif _loses_types_as_arrays(table[name]):
            objects[name] = column_to_numpy(table[name])
    if not objects:
        return table.to_pandas()
    import pandas as pd

    plain = table.drop_columns(list(objects)).to_pandas()
    index = pd.RangeIndex(table.num_rows)
    series = {
        name: pd.Series(objects[name], index=index) if name in objects else plain[name]
        for name in table.column_names
    }
    return pd.DataFrame(series, index=index, copy=False)


def checked_table(table: pa.Table) -> pa.Table:
    """*table* itself.

    Raises:
        UnsupportedValue: a column's name is there twice, so that a row could hold one only.
    """
    names = table.column_names
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UnsupportedValue(f"a table has several columns named {listing(twice)}")
    return table


def table_from_pandas(frame: pd.DataFrame) -> pa.Table:
    """The columns of a DataFrame; its index is dropped.

    Raises:
        UnsupportedValue: a column's name is no text, is there twice, or Arrow has no type for
            its values; names the column.
    """
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UnsupportedValue(f"a DataFrame has several columns named {listing(twice)}")
    own: dict[str, pa.Array] = {}
    for position, name in enumerate(names):
        series = frame.iloc[:, position]
        if series.dtype == object and _holds_tensors(series):
            own[name] = column_from_values(name, list(series))
    rest = [position for position, name in enumerate(names) if name not in own]
    if not own:
        return _plain_from_pandas(frame)
    plain = _plain_from_pandas(frame.iloc[:, rest])
    return pa.table({name: own[name] if name in own else plain[name] for name in names})


def _plain_from_pandas(frame: pd.DataFrame) -> pa.Table:
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except _ARROW_REFUSALS as error:
        for position, name in enumerate(frame.columns):
            series = frame.iloc[:, position]
            try:
                pa.array(series, from_pandas=True)
            except _ARROW_REFUSALS as refusal:
                values = [None if _is_missing(item) else item for item in series]
                raise UnsupportedValue(_complaint(str(name), values, refusal)) from None
        raise UnsupportedValue(f"a DataFrame has no Arrow equivalent: {error}") from None
    # pandas keeps text in large_string, whatever it was made from: undo that where it fits.
    schema = pa.schema(
        pa.field(f.name, pa.string()) if _was_string(f, frame, table) else f for f in table.schema
    )
    # What pandas notes about its index and dtypes would make schemas of equal blocks differ.
    return table.cast(schema).replace_schema_metadata(None)


def _was_string(field: pa.Field, frame: pd.DataFrame, table: pa.Table) -> bool:
    return (
        pa.types.is_large_string(field.type)
        and frame[field.name].dtype == "str"
        and table[field.name].nbytes < _STRING_LIMIT
    )


def _holds_tensors(series: Iterable[Any]) -> bool:
    first = next((item for item in series if item is not None), None)
    return isinstance(first, tensor.TensorElement) or (
        isinstance(first, np.ndarray) and first.ndim > 1
    )


def _is_missing(item: Any) -> bool:
    return item is None or (isinstance(item, float) and math.isnan(item))
