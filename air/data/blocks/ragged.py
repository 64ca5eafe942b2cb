"""Columns of arrays and lists as arrays that tensors are made of, and back.

A column whose rows have different sizes is one array of all its values, and for each dimension
that differs the places at which its parts begin and end: what ``tf.RaggedTensor`` calls row
splits, and Arrow offsets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.choosing import combined
from air.data.blocks.convert import floats_would_round
from air.data.blocks.infer import column_from_values
from air.data.blocks.kinds import is_list, is_text
from air.data.errors import UnsupportedValue

_TEXT = np.dtype(object)


@dataclass(frozen=True, slots=True)
class Layout:
    """What the rows of a column look like.

    Attributes:
        dtype: of the numbers; ``object`` for text and bytes.
        shape: of one row; ``None`` where rows have different sizes, and before that.
    """

    dtype: np.dtype
    shape: tuple[int | None, ...] = ()

    @property
    def ragged_rank(self) -> int:
        """How many dimensions need splits."""
        ends = (index + 1 for index, size in enumerate(self.shape) if size is None)
        return max(ends, default=0)


@dataclass(frozen=True, slots=True)
class Values:
    """The rows of a column.

    Attributes:
        flat: all values, of the shape ``(number, *sizes)`` where *sizes* are those at the end
            of the shape that are the same in all rows. Text is UTF-8.
        splits: for each ragged dimension, the outermost first, where each part begins in the
            next one, and last the number of all; 64-bit, from 0.
    """

    flat: np.ndarray
    splits: tuple[np.ndarray, ...] = ()


def layout_of(kind: pa.DataType) -> Layout | None:
    """What rows of this type look like; ``None`` if they are neither numbers nor text."""
    if isinstance(kind, pa.FixedShapeTensorType):
        inner = layout_of(kind.value_type)
        shape: tuple[int | None, ...] = tuple(kind.shape)
        return None if inner is None or kind.permutation else Layout(inner.dtype, shape)
    if pa.types.is_dictionary(kind):
        return layout_of(kind.value_type)
    if pa.types.is_fixed_size_list(kind):
        inner = layout_of(kind.value_type)
        if inner is None:
            return None
        size = None if None in inner.shape else kind.list_size
        return Layout(inner.dtype, (size, *inner.shape))
    if is_list(kind):
        inner = layout_of(kind.value_type)
        return None if inner is None else Layout(inner.dtype, (None, *inner.shape))
    if is_text(kind):
        return Layout(_TEXT)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return Layout(np.dtype(kind.to_pandas_dtype()))
    return None


def values_of(what: str, name: str, column: pa.ChunkedArray, *, keeps_type: bool = False) -> Values:
    """The rows of a column, of which missing numbers are NaN.

    Args:
        what: the method, for messages, as *name* is.
        keeps_type: refuse missing values among whole numbers, which would all be floats then.

    Raises:
        UnsupportedValue: it holds neither numbers nor text, or missing values that are no
            numbers; names it and says what to do.
    """
    layout = require_layout(what, name, column.type)
    array = combined(column)
    splits: list[np.ndarray] = []
    sizes: list[int] = []
    while True:
        kind = array.type
        if isinstance(array, pa.ExtensionArray):
            _no_missing(what, name, array)
            sizes.extend(kind.shape)
            array = array.storage.flatten()
        elif pa.types.is_dictionary(kind):
            array = array.dictionary_decode()
        elif pa.types.is_fixed_size_list(kind):
            _no_missing(what, name, array)
            if len(splits) < layout.ragged_rank:
                splits.append(np.arange(len(array) + 1, dtype=np.int64) * kind.list_size)
            else:
                sizes.append(kind.list_size)
            array = array.flatten()
        elif is_list(kind):
            _no_missing(what, name, array)
            offsets = array.offsets.to_numpy().astype(np.int64)
            splits.append(offsets - offsets[0])
            array = array.flatten()
        else:
            break
    may_be_floats = not (keeps_type or splits or sizes)
    flat = _flat(what, name, array, may_be_floats=may_be_floats)
    rows = len(splits[-1]) - 1 if splits else len(column)
    number = int(splits[-1][-1]) if splits else rows
    return Values(flat.reshape(number, *sizes) if sizes else flat, tuple(splits))


def arrays_of(what: str, name: str, values: Values) -> list[np.ndarray]:
    """The rows of a ragged column as arrays, each of its own shape; they share memory.

    Raises:
        UnsupportedValue: lists inside of a row have different lengths; names it.
    """
    return [_array_of(what, name, values, row) for row in range(len(values.splits[0]) - 1)]


def _array_of(what: str, name: str, values: Values, row: int) -> np.ndarray:
    begin, end = row, row + 1
    shape: list[int] = []
    for splits in values.splits:
        lengths = np.diff(splits[begin : end + 1])
        if len(lengths) and (lengths != lengths[0]).any():
            raise UnsupportedValue(
                f"{what}: the column {name!r} holds lists of different lengths inside of one row"
                f" (row {row} of a batch), which is no array; make them equally long"
            )
        shape.append(int(lengths[0]) if len(lengths) else 0)
        begin, end = int(splits[begin]), int(splits[end])
    return values.flat[begin:end].reshape(*shape, *values.flat.shape[1:])


def require_layout(what: str, name: str, kind: pa.DataType) -> Layout:
    """As :func:`layout_of`, with an error that names the column where there is none."""
    layout = layout_of(kind)
    if layout is not None:
        return layout
    advice = "leave it out (drop_columns), or make numbers or text of it"
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        number = "float64" if pa.types.is_decimal(kind) else "int64"
        advice += f' (.with_column("{name}", air.data.col("{name}").cast("{number}")))'
    raise UnsupportedValue(
        f"{what}: the column {name!r} holds {kind}, of which no tensors are made; {advice}"
    )


def column_of(name: str, flat: np.ndarray, splits: Sequence[np.ndarray] = ()) -> pa.Array:
    """The column for values in the form of :class:`Values`; lists where there are splits.

    Raises:
        UnsupportedValue: Arrow has no type for the values; names the column.
    """
    if not splits and (flat.ndim > 1 or flat.dtype != _TEXT):
        return column_from_values(name, flat)
    divisions = list(splits)
    number = len(flat)
    for size in flat.shape[1:]:
        divisions.append(np.arange(number + 1, dtype=np.int64) * size)
        number *= size
    array = _text_or_numbers(name, flat.reshape(-1))
    for offsets in reversed(divisions):
        kind = pa.LargeListArray if offsets[-1] > np.iinfo(np.int32).max else pa.ListArray
        index = pa.int64() if kind is pa.LargeListArray else pa.int32()
        array = kind.from_arrays(pa.array(offsets, index), array)
    return array


def _text_or_numbers(name: str, flat: np.ndarray) -> pa.Array:
    # Arrow would not know what no objects at all are.
    return pa.array(flat, pa.binary()) if flat.dtype == _TEXT else column_from_values(name, flat)


def _flat(what: str, name: str, array: pa.Array, *, may_be_floats: bool) -> np.ndarray:
    if is_text(array.type):
        _no_missing(what, name, array)
        if not pa.types.is_fixed_size_binary(array.type):
            array = array.cast(pa.large_binary())
        flat: np.ndarray = array.to_numpy(zero_copy_only=False)
        return flat
    if array.null_count:
        are_floats = pa.types.is_floating(array.type)
        if not are_floats and not (may_be_floats and pa.types.is_integer(array.type)):
            _no_missing(what, name, array)
        if floats_would_round(pa.chunked_array([array])):
            raise UnsupportedValue(
                f"{what}: the column {name!r} holds missing values beside whole numbers that are"
                f" no floats exactly; {_FILL}"
            )
    flat = array.to_numpy(zero_copy_only=False)
    return flat


_FILL = "fill them (air.data.preprocessors.SimpleImputer) or leave these rows out (filter)"


def _no_missing(what: str, name: str, array: pa.Array) -> None:
    if array.null_count:
        row = pc.index(pc.is_null(array), True).as_py()
        raise UnsupportedValue(
            f"{what}: the column {name!r} holds missing values (first in value {row} of a batch),"
            f" which {array.type} has none for in a tensor; {_FILL}"
        )
