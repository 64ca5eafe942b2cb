"""Rows whose values have not been seen before, and numbers by which rows come back into order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.block import Block, require_table
from air.data.blocks.choosing import kept, taken
from air.data.errors import UnsupportedValue
from air.data.grouping.hashing import are_equal, row_hashes
from air.data.grouping.keys import check_keys, groups_of
from air.data.transforms import BlockFunction, ColumnsTransform, Transform
from air.data.udf.functions import TaskContext

ROW_NUMBER = "\0row number"
"""A column that no user has: numbers that grow from row to row of all blocks."""

_ROW_BITS = 40
_NAN = math.nan  # one object, so that it equals itself as a key


def distinct_name(names: Sequence[str] | None) -> str:
    """How messages call the step that keeps the first rows."""
    return f"distinct({', '.join(map(repr, names or ()))})"


@dataclass(frozen=True)
class NumberRows(Transform):
    """Tables with a column :data:`ROW_NUMBER` more."""

    label: str

    @property
    def name(self) -> str:
        return self.label

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            start = context.index << _ROW_BITS
            for block in blocks:
                if isinstance(block, pa.Table):
                    numbers = np.arange(start, start + len(block))
                    start += len(block)
                    block = block.append_column(ROW_NUMBER, pa.array(numbers))
                yield block

        return run


@dataclass(frozen=True)
class DropRowNumber(ColumnsTransform):
    """Tables without that column."""

    @property
    def name(self) -> str:
        return "in the order of the rows"

    def apply(self, table: pa.Table) -> pa.Table:
        return table.drop_columns([ROW_NUMBER])


@dataclass(frozen=True)
class FirstRows(Transform):
    """Of the rows of each block that are equal in some columns the first.

    Attributes:
        names: ``None`` are all columns.
    """

    names: tuple[str, ...] | None

    @property
    def name(self) -> str:
        return distinct_name(self.names)

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            for block in blocks:
                yield first_rows_of(block, self.names)

        return run


def first_rows_of(block: Block, names: Sequence[str] | None) -> Block:
    """Of the rows that are equal in the columns *names* the first, in their order.

    Raises:
        ColumnNotFound, UnsupportedValue: as :func:`groups_of`; or plain objects have no hash.
    """
    what = distinct_name(names)
    if names is None and isinstance(block, list):
        return _first_objects(block, what)
    table = require_table(block, what)
    if table is None:
        return block
    if names is None and not table.column_names:
        return table.slice(0, 1)
    again = is_repeated(table, table.column_names if names is None else names, what)
    return kept(table, pa.array(~again)) if again.any() else table


def is_repeated(table: pa.Table, names: Sequence[str], what: str) -> np.ndarray:
    """For each row whether there is an equal one before it.

    Rows are told apart by hashes, and those that have one hash are compared.

    Raises:
        ColumnNotFound, UnsupportedValue: as :func:`groups_of`.
    """
    check_keys(table, names, what)
    first, again = _alike(row_hashes(table, names))
    found = np.zeros(len(table), bool)
    found[again] = True
    if len(again) and not are_equal(table, names, first, again):
        # Some are not what they look like: those that are in any pair are grouped.
        found[first] = True
        some = np.flatnonzero(found)
        found[some[groups_of(taken(table, pa.array(some)), names, what).first_row]] = False
    return found


def _alike(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows, the first with most bits of a hash and each that has the same behind it."""
    row_bits = np.uint64(max(len(hashes) - 1, 1).bit_length())
    row_mask = (np.uint64(1) << row_bits) - np.uint64(1)
    # Sorting numbers is several times as fast as looking for each among those before it.
    packed = (hashes & ~row_mask) | np.arange(len(hashes), dtype=np.uint64)
    packed.sort()
    is_same = (packed[1:] ^ packed[:-1]) <= row_mask
    if not is_same.any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    rows = (packed & row_mask).astype(np.int64)
    begin = np.arange(len(rows))
    begin[1:][is_same] = 0
    np.maximum.accumulate(begin, out=begin)
    return rows[begin[1:][is_same]], rows[1:][is_same]


def _first_objects(items: list[Any], what: str) -> list[Any]:
    found: dict[Any, Any] = {}
    try:
        for item in items:
            found.setdefault(_NAN if item != item else item, item)
    except TypeError as error:
        raise UnsupportedValue(
            f"{what}: rows are plain objects that cannot be compared by their hash: {error}"
        ) from None
    return list(found.values())
