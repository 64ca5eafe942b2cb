"""The Arrow column for values of any kind: arrays, series, lists of Python objects.

No value changes on the way in. Where Arrow by itself would cut something off (nanoseconds, the
time of day, numbers above 2**63, the mask of an array), a wider type is taken, or the column is
refused. What a function made of a column has that column's type where both show alike (see
:mod:`air.data.blocks.restoring`).
"""

from __future__ import annotations

import datetime
import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.batching.batch_format import is_frame
from air.data.blocks import marked, nested, tensor
from air.data.blocks.refusals import NO_COLUMN
from air.data.blocks.restoring import from_pairs, hides, restored
from air.data.errors import UnsupportedValue

_TIME_UNITS = {"Y": "D", "M": "D", "W": "D", "h": "s", "m": "s"}
"""Units of numpy's times that Arrow lacks, and what they become."""


def column_from_values(name: str, values: Any, kind: pa.DataType | None = None) -> pa.Array:
    """The column for an array, a series, or a list of values with ``None`` for nulls.

    Arrays with more than one dimension and lists of arrays of one shape give tensor columns;
    lists of arrays of different shapes, and arrays of arrays, give list columns. pandas' marks
    for missing values are nulls; NaN among numbers stays NaN, save in a series, where pandas
    means a missing value.

    Args:
        kind: the type of the column that a function was given by this name, if there was one.

    Raises:
        UnsupportedValue: Arrow has no one type for the values; names the column.
    """
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if is_frame(values):
        raise UnsupportedValue(f"column {name!r} must be the values of one column, got a DataFrame")
    try:
        made = _column(name, values)
    except NO_COLUMN as error:
        pairs = from_pairs(values, kind)
        if pairs is None:
            raise complaint(name, list(values), error) from None
        return pairs
    if kind is None or made.type == kind or _has_a_type(values, kind):
        return made
    pairs = None if pa.types.is_null(made.type) else from_pairs(values, kind)
    return restored(made, kind) if pairs is None else pairs


def _column(name: str, values: Any) -> pa.Array:
    library = type(values).__module__.partition(".")[0]
    if library == "pandas":
        return _from_pandas(values)
    if library == "polars":
        return importlib.import_module("air.data.polars.batches").from_series(name, values)
    if isinstance(values, marked.WithNulls):
        made = marked.column_of(values)
        return _from_array(values.view(np.ndarray)) if made is None else made
    if hasattr(values, "__array__"):
        return _from_array(values)
    return _from_list(values if isinstance(values, list) else list(values))


def _has_a_type(values: Any, kind: pa.DataType) -> bool:
    """Whether *values* say themselves of which type they are."""
    dtype = getattr(values, "dtype", None)
    if not isinstance(dtype, np.dtype) or dtype.kind == "O" or hides(kind):
        return False
    return not (dtype.kind == "M" and pa.types.is_date64(kind))  # which numpy has no other for


def complaint(name: str, items: Sequence[Any], error: Exception) -> UnsupportedValue:
    """What to say of a column whose values Arrow refused with *error*."""
    kinds: dict[str, int] = {}
    for index, item in enumerate(items):
        if not _is_missing(item):
            kinds.setdefault(type(item).__name__, index)
    if len(kinds) > 1:
        where = ", ".join(f"{kind} (first in row {index})" for kind, index in kinds.items())
        return UnsupportedValue(
            f"column {name!r} mixes values of the types {where}: make them one type,"
            " or return rows that are no dictionaries"
        )
    if isinstance(error, OverflowError):
        return UnsupportedValue(
            f"column {name!r} holds whole numbers that 64 bits cannot hold: turn them into"
            " floats or text, or return rows that are no dictionaries"
        )
    if isinstance(error, UnicodeError):
        return UnsupportedValue(
            f"column {name!r} holds text that UTF-8 cannot encode ({error}): leave such characters"
            " out, or turn it into bytes"
        )
    kind = next(iter(kinds), "nothing")
    return UnsupportedValue(
        f"column {name!r} holds {kind} values that Arrow has no type for ({error}): turn them"
        " into numbers, text, bytes, lists or arrays, or return rows that are no dictionaries"
    )


def _from_pandas(values: Any) -> pa.Array:
    if isinstance(values.dtype, np.dtype) and values.dtype.kind == "O":
        return _from_list(list(values), of_pandas=True, shows_lists=True)
    if type(values.dtype).__name__ == "SparseDtype":
        return pa.array(np.asarray(values), from_pandas=True)
    return pa.array(values, from_pandas=True)


def _from_array(values: Any) -> pa.Array:
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        if values.ndim != 1:
            raise TypeError("a masked array must have one dimension")
        return pa.array(np.asarray(values.data), mask=np.ma.getmaskarray(values))
    array = np.asarray(values)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind in "mM":
        unit = np.datetime_data(array.dtype)[0]
        array = array.astype(f"{array.dtype.kind}8[{_TIME_UNITS.get(unit, unit)}]")
    if array.ndim > 1:
        return tensor.from_numpy(array)
    return _from_list(list(array), shows_lists=True) if array.dtype.kind == "O" else pa.array(array)


def _from_list(items: list[Any], *, of_pandas: bool = False, shows_lists: bool = False) -> pa.Array:
    """The column for a list.

    Args:
        of_pandas: NaN is a missing value.
        shows_lists: of where lists are shown as arrays, and arrays of one shape otherwise.
    """
    first = next((item for item in items if not _is_missing(item)), None)
    are_given = isinstance(first, (np.ndarray, list)) and any(map(nested.is_given, items))
    if are_given or (isinstance(first, np.ndarray) and first.ndim):
        # Elements of tensor columns are of a class of their own in pandas, and no objects in numpy.
        are_plain = type(first) is np.ndarray and first.ndim == 1
        are_lists = are_given or (shows_lists and are_plain)
        arrays = [None if _is_missing(item) else item for item in items]
        return _from_arrays(arrays, are_lists=are_lists)
    if isinstance(first, np.datetime64):
        return _from_array(np.array([np.datetime64("NaT") if i is None else i for i in items]))
    try:
        made = pa.array(items, from_pandas=of_pandas)
    except OverflowError:
        return pa.array(items, pa.uint64(), from_pandas=of_pandas)
    except NO_COLUMN:
        if hasattr(first, "__array__") and not isinstance(first, (np.ndarray, np.generic)):
            # Arrays of another library, such as tensors; those without dimensions are numbers.
            arrays = [np.asarray(i)[()] if hasattr(i, "__array__") else i for i in items]
            return _from_list(arrays, of_pandas=of_pandas, shows_lists=shows_lists)
        # Marks of pandas for missing values among values of another type, as its records have.
        if all(item is None or not _is_missing(item) for item in items):
            raise
        present = [None if _is_missing(item) else item for item in items]
        return _from_list(present, shows_lists=shows_lists)
    if pa.types.is_temporal(made.type):
        return _exact_times(items, made)
    if pa.types.is_binary(made.type) and any(isinstance(item, str) for item in items):
        raise TypeError("Arrow would make bytes of the texts")
    return made


def _exact_times(items: list[Any], made: pa.Array) -> pa.Array:
    """*made* of *items*, unless something of them was lost."""
    given = [item for item in items if not _is_missing(item)]
    kind = made.type
    times = [item for item in given if isinstance(item, datetime.datetime)]
    if times and len(times) < len(given):
        raise TypeError("dates and times of day are different things")
    if len({item.tzinfo is None for item in times}) > 1:
        raise TypeError("times with a zone and times without one are different things")
    if pa.types.is_timestamp(kind) and any(getattr(i, "nanosecond", 0) for i in times):
        kind = pa.timestamp("ns", kind.tz)
    elif pa.types.is_duration(kind) and any(getattr(item, "nanoseconds", 0) for item in given):
        kind = pa.duration("ns")
    return made if kind == made.type else pa.array(items, kind, from_pandas=True)


def _from_arrays(items: list[Any], *, are_lists: bool) -> pa.Array:
    for item in items:
        if item is not None and not isinstance(item, (np.ndarray, list, tuple)):
            raise TypeError("arrays next to something else")
    if are_lists and any(isinstance(item, (list, tuple)) for item in items):
        # Lists of lists of different lengths, which no array is.
        return pa.array([i.tolist() if isinstance(i, np.ndarray) else i for i in items])
    arrays = [None if item is None else np.asarray(item) for item in items]
    present = [array for array in arrays if array is not None]
    shapes = {array.shape for array in present}
    dtype = np.result_type(*{array.dtype for array in present})
    if len(shapes) == 1 and dtype.kind != "O" and not are_lists:
        return _of_one_shape(arrays, present, dtype)
    if dtype.kind in "biuf" and len({array.ndim for array in present}) == 1:
        return tensor.as_lists(arrays, dtype)
    return pa.array([None if array is None else array.tolist() for array in arrays])


def _of_one_shape(
    arrays: list[np.ndarray | None], present: list[np.ndarray], dtype: np.dtype
) -> pa.Array:
    if len(present) == len(arrays):
        return _from_array(np.stack(present))
    is_there = np.array([array is not None for array in arrays])
    dense = np.zeros((len(arrays), *present[0].shape), dtype)
    dense[is_there] = np.stack(present)
    return tensor.masked(_from_array(dense), ~is_there)


def _is_missing(item: Any) -> bool:
    """Whether *item* is ``None``, NaN, or one of pandas' marks, without importing pandas."""
    if item is None:
        return True
    if isinstance(item, float):
        return math.isnan(item)
    kind = type(item)
    return kind.__name__ in ("NAType", "NaTType") and kind.__module__.startswith("pandas")
