"""Arrow tables from and to dictionaries of columns and rows, as user functions see them.

Values survive the way there and back. Whole numbers with nulls become floats with NaN in numpy (as
in pandas) where floats hold them exactly, and objects where they do not. numpy knows no time
zones: such times are objects too. NaN in numpy stays NaN; where a function is given NaN for a null,
the array remembers (:mod:`air.data.blocks.marked`). What comes out may be changed freely where it
is asked to be writable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks import nested, tensor
from air.data.blocks.choosing import combined
from air.data.blocks.infer import column_from_values
from air.data.blocks.kinds import is_list
from air.data.blocks.marked import with_nulls
from air.data.blocks.restoring import type_in
from air.data.errors import UnsupportedValue
from air.executor.validation import listing

_FLOAT_EXACT = 2**53
"""All whole numbers up to this one are floats exactly."""


# Columns ----------------------------------------------------------------------------------


def column_to_numpy(column: pa.ChunkedArray, *, writable: bool = False) -> np.ndarray:
    """The values of a column; read-only where they share memory with it.

    Shape ``(rows,)``, or ``(rows, *shape)`` for tensor columns. Text, bytes, lists, structs,
    decimals and times with a zone come as object arrays; lists as arrays inside them, and lists
    of lists too where those of a row are equally long (:mod:`air.data.blocks.nested`).

    Args:
        writable: copy what shares memory, so that it may be changed.
    """
    if nested.are_nested(column.type) and not tensor.is_tensor(column.type):
        arrays = nested.as_arrays(column, writable=writable)
        if arrays is not None:
            return arrays
    values = _to_numpy(column)
    if not writable:
        return values
    if values.dtype == object:
        return owned_elements(values)
    return values if values.flags.writeable else values.copy()


def owned_elements(values: np.ndarray) -> np.ndarray:
    """*values* with copies of those arrays in it that must not be changed."""
    shared = [
        index
        for index, item in enumerate(values)
        if isinstance(item, np.ndarray) and not item.flags.writeable
    ]
    if shared and not values.flags.writeable:
        values = values.copy()
    for index in shared:
        values[index] = values[index].copy()
    return values


def loses_types_as_arrays(column: pa.ChunkedArray) -> bool:
    """Whether Arrow would turn whole numbers inside the values into floats, for their nulls."""
    kind = column.type
    if is_list(kind):
        inner = kind.value_type
        return pa.types.is_nested(inner) or any(c.flatten().null_count for c in column.chunks)
    return bool(pa.types.is_nested(kind) and not tensor.is_tensor(kind))


def floats_would_round(column: pa.ChunkedArray) -> bool:
    """Whether these are whole numbers with nulls of which some are no floats exactly."""
    return column.null_count > 0 and exceeds_floats(column)


def exceeds_floats(column: pa.ChunkedArray) -> bool:
    """Whether these are whole numbers of which some are no floats exactly."""
    if not (pa.types.is_int64(column.type) or pa.types.is_uint64(column.type)):
        return False
    bounds = pc.min_max(column).as_py()
    return bounds["max"] is not None and not (
        -_FLOAT_EXACT <= bounds["min"] <= bounds["max"] <= _FLOAT_EXACT
    )


def _to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    if tensor.is_tensor(column.type):
        return tensor.to_numpy(column)
    has_zone = pa.types.is_timestamp(column.type) and column.type.tz is not None
    if has_zone or loses_types_as_arrays(column) or floats_would_round(column):
        return tensor.objects(column.to_pylist())
    values: np.ndarray = combined(column).to_numpy(zero_copy_only=False)
    return values


# Tables and dictionaries of columns -----------------------------------------------------------


def table_from_columns(columns: Mapping[str, Any], like: pa.Schema | None = None) -> pa.Table:
    """The table for a dictionary of arrays or lists of one length.

    Args:
        like: of the rows that a function made it of, for types that numpy and Python do not have.

    Raises:
        UnsupportedValue: lengths differ, a value is no column, or Arrow cannot hold it.
    """
    check_batch(columns)
    return pa.table(
        {
            name: column_from_values(name, values, type_in(like, name))
            for name, values in columns.items()
        }
    )


def check_batch(columns: Mapping[str, Any]) -> None:
    """Complain about what is no dictionary of arrays or lists of one length.

    Raises:
        UnsupportedValue: lengths differ, a name is no text, or a value is no column; names it.
    """
    for name, values in columns.items():
        if not isinstance(name, str):
            raise UnsupportedValue(f"columns must be named by text, got {name!r}")
        if not name.isascii():
            _check_encodable(name)
        if not _is_column(values):
            raise UnsupportedValue(
                f"column {name!r} must be an array or a list with one value a row,"
                f" got {type(values).__name__}"
            )
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise UnsupportedValue(f"columns of one batch must be equally long, got {lengths}")


def _check_encodable(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UnsupportedValue(f"a column's name is no valid text: {error}") from None


def _is_column(values: Any) -> bool:
    if isinstance(values, (list, tuple, pa.Array, pa.ChunkedArray)):
        return True
    if type(values).__name__ == "Series":  # that of Polars has no dimensions
        return True
    return getattr(values, "ndim", 0) > 0  # numpy, pandas, torch ...


def table_to_columns(
    table: pa.Table, *, writable: bool = False, marked: bool = False
) -> dict[str, np.ndarray]:
    """Arrays by column name.

    Args:
        writable: none of them shares memory with the table.
        marked: arrays of columns with nulls remember which they are.
    """
    made = {name: column_to_numpy(table[name], writable=writable) for name in table.column_names}
    return {name: with_nulls(table[name], made[name]) for name in made} if marked else made


# Rows -------------------------------------------------------------------------------------


def table_from_rows(rows: Sequence[Mapping[str, Any]], like: pa.Schema | None = None) -> pa.Table:
    """The table for records; a key that a record lacks is null there.

    Columns come in the order in which their names first appear.

    Args:
        like: of the rows that a function made them of, for types that Python does not have.

    Raises:
        UnsupportedValue: a row is no mapping, or a column has no Arrow type; names it.
    """
    keys = rows[0].keys() if rows else ()
    if keys and all(type(row) is dict and row.keys() == keys for row in rows):
        return table_from_columns({name: [row[name] for row in rows] for name in keys}, like)
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
    return table_from_columns({name: [row.get(name) for row in rows] for name in names}, like)


def table_to_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Records of Python values; elements of tensor columns are arrays. The caller owns all."""
    tensors = [f.name for f in table.schema if tensor.is_tensor(f.type)]
    if not tensors:
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows
    columns = [
        list(column_to_numpy(table[name], writable=True))
        if name in tensors
        else table[name].to_pylist()
        for name in table.column_names
    ]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def rows_of_same_keys(rows: list[Any], parts: Sequence[tuple[int, Sequence[str]]]) -> list[Any]:
    """*rows* with ``None`` for the keys that only others have; the same list if there are none.

    Keys come in the order in which they first appear.

    Args:
        parts: how many neighbours have which keys, for all rows if they are dictionaries.
    """
    kinds = dict.fromkeys(tuple(names) for _, names in parts)
    if len(kinds) < 2 or sum(number for number, _ in parts) < len(rows):
        return rows
    missing = dict.fromkeys(name for names in kinds for name in names)
    return [missing | row for row in rows]


def checked_table(table: pa.Table) -> pa.Table:
    """*table* itself.

    Raises:
        UnsupportedValue: a column's name is there twice, so that a row could hold one only.
    """
    check_distinct(table.column_names, "a table")
    return table


def check_distinct(names: Sequence[str], what: str) -> None:
    """Raise :class:`UnsupportedValue` if a column of *what* has the name of another."""
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UnsupportedValue(f"{what} has several columns named {listing(twice)}")
