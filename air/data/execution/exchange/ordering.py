"""The order of a block's rows by their keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.block import Block
from air.data.errors import UnsupportedValue, require_columns
from air.data.execution.exchange.partitioners import MOST_OF_DIGITS, from_zero, sorted_order
from air.data.execution.exchange.places import digits
from air.data.grouping.keys import comparable, has_order, plain


@dataclass(frozen=True, slots=True)
class SortKey:
    """What to sort by: a column, or the rows themselves if they are plain objects.

    Attributes:
        is_group: null and NaN are equal, as they are where rows are grouped.
    """

    column: str | None
    descending: bool = False
    is_group: bool = False

    def __str__(self) -> str:
        shown = "" if self.column is None else repr(self.column)
        if self.column is not None and self.column.startswith("\0"):
            shown = self.column[1:]  # no user has such a column
        return f"{shown} descending".strip() if self.descending else shown


def sort_name(keys: Sequence[SortKey]) -> str:
    """How messages call a sort."""
    return f"sort({', '.join(map(str, keys))})"


def keys_of(block: Block, keys: Sequence[SortKey]) -> Block:
    """Only what *block* is sorted by.

    Raises:
        ColumnNotFound: a key is no column.
        UnsupportedValue: rows have no columns and keys do, or the other way round.
    """
    names = [key.column for key in keys if key.column is not None]
    if isinstance(block, list):
        if names and block:
            raise UnsupportedValue(
                f"sort: rows are plain {type(block[0]).__name__} objects and have no column"
                f" {names[0]!r}; leave out the key to sort by the objects themselves"
            )
        return block
    if not names:
        raise UnsupportedValue(
            "sort: rows are records, so it takes a key: the name of a column, or a list of names"
        )
    require_columns(names, block.column_names, "sort")
    return block.select(names)


def stable_order(block: Block, keys: Sequence[SortKey], *, is_runs: bool = False) -> np.ndarray:
    """Positions that put the rows of *block* in order; equal ones stay as they are.

    Nulls and NaN come last, whatever the direction, NaN before null.

    Args:
        is_runs: the block is a few sorted ones behind each other, which are merged.

    Raises:
        ColumnNotFound, UnsupportedValue: as :func:`keys_of`, and a key cannot be compared.
    """
    chosen = keys_of(block, keys)
    if isinstance(chosen, list):
        return _objects_order(chosen, keys[0].descending)
    if len(keys) == 1:
        numbers = _as_numbers(chosen.column(0))
        if numbers is not None:
            return _numbers_order(numbers, keys[0].descending, is_runs)
    columns = [_sortable(key, chosen[key.column]) for key in keys]
    places = digits(columns, [key.descending for key in keys])
    if places is not None:
        return _numbers_order(places, False, is_runs)
    table = pa.table(dict(zip((str(key.column) for key in keys), columns, strict=True)))
    ways = [(key.column, "descending" if key.descending else "ascending") for key in keys]
    return pc.sort_indices(table, sort_keys=ways).to_numpy()


def _objects_order(items: list[Any], descending: bool) -> np.ndarray:
    missing = [i for i, item in enumerate(items) if item is None]
    nans = [i for i, item in enumerate(items) if isinstance(item, float) and math.isnan(item)]
    last = {*missing, *nans}
    there = [i for i in range(len(items)) if i not in last]
    try:
        there.sort(key=items.__getitem__, reverse=descending)
    except TypeError as error:
        raise UnsupportedValue(f"sort: rows cannot be compared with each other: {error}") from None
    return np.asarray([*there, *nans, *missing], np.int64)


def _as_numbers(column: pa.ChunkedArray) -> np.ndarray | None:
    """A column as numbers in the same order, where it has no nulls and there are such."""
    kind = column.type
    is_number = pa.types.is_integer(kind) or (
        pa.types.is_floating(kind) and not pa.types.is_float16(kind)
    )
    if column.null_count or not is_number:
        return None
    return column.to_numpy()


def _numbers_order(numbers: np.ndarray, descending: bool, is_runs: bool) -> np.ndarray:
    is_float = numbers.dtype.kind == "f"
    if descending:
        numbers = -numbers if is_float else ~numbers
    if is_runs:
        return np.argsort(numbers, kind="stable")  # finds runs, and merges them
    near = None if is_float else from_zero(numbers, MOST_OF_DIGITS)
    if near is not None:
        return sorted_order(near)
    # The unstable sort uses vectors. Then those that are equal are brought back to their order.
    order = np.argsort(numbers)
    ordered = numbers[order]
    equal = ordered[1:] == ordered[:-1]
    if is_float:
        equal |= np.isnan(ordered[1:]) & np.isnan(ordered[:-1])
    if not equal.any():
        return order
    group = np.zeros(len(order), np.int64)
    np.cumsum(~equal, out=group[1:])
    bits = len(order).bit_length()
    if 2 * bits > 63:
        return np.argsort(numbers, kind="stable")
    packed = (group << bits) | order
    packed.sort()
    return packed & ((1 << bits) - 1)


def _sortable(key: SortKey, column: pa.ChunkedArray) -> pa.ChunkedArray:
    column = comparable(column) if key.is_group else plain(column)
    kind = column.type
    if pa.types.is_null(kind):
        return pa.chunked_array([pa.nulls(len(column), pa.int8())])
    if not has_order(kind):
        raise UnsupportedValue(
            f"sort: column {key.column!r} has the type {kind}, whose values have no order; sort by"
            " a column of numbers, texts or times"
        )
    return column
