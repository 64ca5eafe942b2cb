"""Rows whose values have not been seen before, and numbers by which rows come back into order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.block import Block, accessor, require_table
from air.data.errors import UnsupportedValue, require_columns
from air.data.grouping.keys import groups_of
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
    if names is None:
        names = [name for name in table.column_names if name != ROW_NUMBER]
        if not names:
            return table.slice(0, 1)
    require_columns(names, table.column_names, what)
    return accessor(table).take(groups_of(table, names, what).first_row)


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
