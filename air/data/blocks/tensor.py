"""Columns whose elements are arrays of one shape.

A numpy array of shape ``(rows, *shape)`` becomes a column of Arrow's canonical type
``arrow.fixed_shape_tensor`` where that type can hold the numbers, and nested fixed-size lists
(booleans, text, times) where it cannot. Both come back as one array, without a copy when the
column is one chunk of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa


class TensorElement(np.ndarray):
    """One element of a tensor column among objects: an ``ndarray`` in every respect.

    The class says where it came from, so that a column that passes through pandas, or one with
    nulls through numpy, comes back as the tensor column it was, and a column of lists (arrays there
    too) as lists.
    """


def is_tensor(data_type: pa.DataType) -> bool:
    """Whether elements of a column of this type are arrays of one shape."""
    return isinstance(data_type, pa.FixedShapeTensorType) or pa.types.is_fixed_size_list(data_type)


def from_numpy(array: np.ndarray) -> pa.Array:
    """The column for an array of shape ``(rows, *shape)`` with at least two dimensions.

    Raises:
        pa.ArrowInvalid, pa.ArrowNotImplementedError: Arrow cannot hold the element type.
    """
    shape = array.shape[1:]
    values = pa.array(np.ascontiguousarray(array).reshape(-1))
    if _is_number(values.type):
        storage = _fixed_lists(values, math.prod(shape), len(array))
        return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(values.type, shape), storage)
    for depth in range(len(shape) - 1, -1, -1):
        values = _fixed_lists(values, shape[depth], math.prod((len(array), *shape[:depth])))
    return values


def to_numpy(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """The array of shape ``(rows, *shape)`` behind a tensor column, read-only if shared.

    A column with nulls among its elements has no such array: it gives an object array of
    :class:`TensorElement` and ``None``.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # a column too large for one chunk
        return np.concatenate([to_numpy(chunk) for chunk in column.chunks])
    if column.null_count:
        filled = to_numpy(column.filter(column.is_valid()))
        made = np.empty(len(column), dtype=object)
        places = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        for place, element in zip(places, filled, strict=True):
            made[place] = element.view(TensorElement)
        return made
    if isinstance(column.type, pa.FixedShapeTensorType):
        if column.type.permutation is not None and len(column):
            return column.to_numpy_ndarray()
        shape = tuple(column.type.shape)
        values = column.storage.flatten()
    else:
        shape = ()
        values = column
        while pa.types.is_fixed_size_list(values.type):
            shape = (*shape, values.type.list_size)
            values = values.flatten()
    return values.to_numpy(zero_copy_only=False).reshape(len(column), *shape)


def masked(column: pa.Array, is_null: np.ndarray) -> pa.Array:
    """A tensor column that :func:`from_numpy` gave, with nulls for some of its elements."""
    is_extension = isinstance(column, pa.ExtensionArray)
    storage = column.storage if is_extension else column
    made = pa.FixedSizeListArray.from_arrays(
        storage.flatten(), storage.type.list_size, mask=pa.array(is_null)
    )
    return pa.ExtensionArray.from_storage(column.type, made) if is_extension else made


def as_lists(arrays: Sequence[np.ndarray | None], dtype: np.dtype | None = None) -> pa.Array:
    """Arrays of any shapes, but of equally many dimensions, as lists (of lists ...).

    Args:
        arrays: ``None`` for nulls; at least one is none.
        dtype: of all numbers; by default that of the first array.

    Raises:
        pa.ArrowInvalid, pa.ArrowNotImplementedError: Arrow cannot hold the element type.
    """
    present = [array for array in arrays if array is not None]
    flat = np.concatenate([array.reshape(-1) for array in present])
    values = pa.array(flat.astype(dtype or present[0].dtype, copy=False))
    shapes = np.array([array.shape for array in present], dtype=np.int64)
    for depth in range(shapes.shape[1] - 1, -1, -1):
        lengths = np.repeat(shapes[:, depth], shapes[:, :depth].prod(axis=1))
        missing = None
        if not depth and len(present) < len(arrays):
            is_there = np.array([array is not None for array in arrays])
            missing = pa.array(~is_there)
            lengths, filled = np.zeros(len(arrays), np.int64), lengths
            lengths[is_there] = filled
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        is_large = offsets[-1] > np.iinfo(np.int32).max
        made = pa.LargeListArray if is_large else pa.ListArray
        index = pa.int64() if is_large else pa.int32()
        values = made.from_arrays(pa.array(offsets, index), values, mask=missing)
    return values


def elements(column: pa.ChunkedArray) -> list[Any]:
    """The elements of a tensor column, one array (or ``None``) a row."""
    return list(to_numpy(column))


def marked_elements(column: pa.ChunkedArray) -> np.ndarray:
    """An object array of :class:`TensorElement` (or ``None``), one a row."""
    return objects(
        None if element is None else np.asarray(element).view(TensorElement)
        for element in to_numpy(column)
    )


def objects(values: Any) -> np.ndarray:
    """A one-dimensional object array of *values*, whatever they are."""
    items = list(values)
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array


def _is_number(data_type: pa.DataType) -> bool:
    return pa.types.is_integer(data_type) or pa.types.is_floating(data_type)


def _fixed_lists(values: pa.Array, size: int, rows: int) -> pa.Array:
    if size:
        return pa.FixedSizeListArray.from_arrays(values, size)
    return pa.array([[]] * rows, pa.list_(values.type, 0))
