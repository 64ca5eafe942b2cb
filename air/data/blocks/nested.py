"""Columns of lists of lists of numbers as arrays, a row each, over the memory of the column.

A row whose lists are equally long at each depth, such as an image of its own size, is an array of
as many dimensions; others stay lists. What an element looks like depends on its own values alone.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.kinds import is_list_in_order


class ListElement(np.ndarray):
    """One value of a column of lists of lists: an ``ndarray`` in every respect.

    Attributes:
        is_given: whether it is the array that a function was given, so that it goes back as lists
            also where all have one shape; not what the function has cut or computed from it.
    """

    is_given = False

    def __array_finalize__(self, source: Any) -> None:
        self.is_given = False


def is_given(item: Any) -> bool:
    """Whether a function passes on an element as it was given it."""
    return isinstance(item, ListElement) and item.is_given


def are_nested(kind: pa.DataType) -> bool:
    """Whether these are lists of lists (of lists ...) of numbers or flags."""
    return _depth(kind) > 1


def as_arrays(column: pa.ChunkedArray, *, writable: bool) -> np.ndarray | None:
    """An object array with an array, lists, or ``None`` for each row.

    ``None`` if there are nulls inside the rows, which no array has.

    Args:
        writable: the arrays may be changed; they are read-only where they share memory.
    """
    made = np.empty(len(column), dtype=object)
    place = 0
    for chunk in column.chunks:
        rows = _rows(chunk, writable)
        if rows is None:
            return None
        for row in rows:
            made[place] = row
            place += 1
    return made


def _rows(column: pa.Array, writable: bool) -> list[Any] | None:
    is_there = column.is_valid().to_numpy(zero_copy_only=False)
    # What a null row has in its memory is left out.
    array = column.drop_null() if column.null_count else column
    levels: list[np.ndarray] = []
    while is_list_in_order(array.type):
        if array.null_count:
            return None
        offsets, array = _level(array)
        levels.append(offsets)
    if array.null_count:
        return None
    flat = array.to_numpy(zero_copy_only=False)
    flat = flat.copy() if writable and not flat.flags.writeable else flat
    present = _elements(flat, levels)
    if len(present) == len(column):
        return present
    given = iter(present)
    return [next(given) if there else None for there in is_there]


def _elements(flat: np.ndarray, levels: list[np.ndarray]) -> list[Any]:
    """The rows of lists whose ends are *levels*, the outermost first."""
    # Where all lists of a depth are equally long, as those of three colours, nobody need look.
    sizes = [_one_size(offsets) for offsets in levels]
    made = []
    for row in range(len(levels[0]) - 1):
        begin, end = row, row + 1
        shape: list[int] = []
        for offsets, size in zip(levels, sizes, strict=True):
            if size is None:
                lengths = np.diff(offsets[begin : end + 1])
                size = int(lengths[0]) if len(lengths) else 0
                if (lengths != size).any():
                    break
            shape.append(size)
            begin, end = int(offsets[begin]), int(offsets[end])
        else:
            element = flat[begin:end].reshape(shape).view(ListElement)
            element.is_given = True
            made.append(element)
            continue
        made.append(_lists(flat, levels, row, row + 1)[0])
    return made


def _lists(flat: np.ndarray, levels: list[np.ndarray], begin: int, end: int) -> list[Any]:
    """Lists number *begin* to *end* of the outermost depth."""
    if not levels:
        values: list[Any] = flat[begin:end].tolist()
        return values
    ends = levels[0][begin : end + 1].tolist()
    return [_lists(flat, levels[1:], *pair) for pair in itertools.pairwise(ends)]


def _one_size(offsets: np.ndarray) -> int | None:
    lengths = np.diff(offsets)
    if not len(lengths) or (lengths != lengths[0]).any():
        return None
    return int(lengths[0])


def _level(array: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Where each list begins and the last ends in what they are made of, and that."""
    if pa.types.is_fixed_size_list(array.type):
        return np.arange(len(array) + 1, dtype=np.int64) * array.type.list_size, array.flatten()
    offsets = array.offsets.to_numpy().astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    return offsets - first, array.values.slice(first, last - first)


def _depth(kind: pa.DataType) -> int:
    """How many lists are inside each other around numbers or flags; 0 around anything else."""
    depth = 0
    while is_list_in_order(kind):
        kind, depth = kind.value_type, depth + 1
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return depth if is_number or pa.types.is_boolean(kind) else 0
