"""Rows that are equal to earlier ones in other blocks: found by their keys alone, then left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa

from air.data.blocks.block import Block, require_table
from air.data.blocks.choosing import kept, taken
from air.data.blocks.schemas import conform
from air.data.execution.exchange.marks import Marked
from air.data.execution.exchange.partitioners import order_of_parts
from air.data.execution.exchange.transforms import together
from air.data.grouping.first import ROW_NUMBER, distinct_name, is_repeated
from air.data.grouping.hashing import row_hashes
from air.data.transforms import BlockFunction, Transform
from air.data.udf.functions import TaskContext

_HALF_BITS = 32


@dataclass(frozen=True)
class ScatterKeys(Transform):
    """The keys of each block with the numbers of their rows, those that are equal in one part.

    Attributes:
        keys: names and types.
        starts: for each unit the number of its first row among all.
    """

    keys: pa.Schema
    starts: tuple[int, ...]
    parts: int

    @property
    def name(self) -> str:
        return distinct_name(self.keys.names)

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Marked]:
            row = self.starts[context.index]
            for block in blocks:
                table = require_table(block, self.name)
                if table is not None:
                    yield self._scattered(table, row)
                    row += len(table)

        return cast(BlockFunction, run)

    def _scattered(self, table: pa.Table, row: int) -> Marked:
        names = [name for name in self.keys.names if name in table.column_names]
        keys = conform(table.select(names), self.keys)
        hashes = row_hashes(keys, self.keys.names) >> np.uint64(_HALF_BITS)
        part = (hashes * np.uint64(self.parts)) >> np.uint64(_HALF_BITS)
        order, bounds = order_of_parts(part, self.parts)
        ordered = taken(keys, pa.array(order)).append_column(ROW_NUMBER, pa.array(order + row))
        return Marked(ordered, bounds)


@dataclass(frozen=True)
class GatherRepeated(Transform):
    """The numbers of the rows of a part for which there is an equal one before them, in order."""

    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return distinct_name(self.names)

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            whole = together(blocks)
            assert isinstance(whole, pa.Table)  # scatters have seen to that
            again = is_repeated(whole, self.names, self.name)
            yield whole.select([ROW_NUMBER]).filter(pa.array(again))

        return run


class RowSet:
    """Some of very many rows, a bit for each; in the beginning all.

    Args:
        rows: how many there are.
    """

    def __init__(self, rows: int) -> None:
        self._bits = np.full(-(-rows // 8), 0xFF, np.uint8)

    def discard(self, numbers: np.ndarray) -> None:
        """Take out rows; *numbers* are different and in order."""
        if not len(numbers):
            return
        byte = numbers >> 3
        begin = np.flatnonzero(np.diff(byte, prepend=-1))
        bits = np.left_shift(1, numbers & 7).astype(np.uint8)
        self._bits[byte[begin]] &= ~np.bitwise_or.reduceat(bits, begin)

    def between(self, start: int, stop: int) -> pa.Array:
        """For each of the rows ``start <= i < stop`` whether it is there."""
        held = self._bits[start >> 3 : -(-stop // 8)].copy()  # to travel by itself
        return pa.Array.from_buffers(
            pa.bool_(), stop - start, [None, pa.py_buffer(held)], offset=start & 7
        )


@dataclass(frozen=True)
class KeepRows(Transform):
    """Some rows: a unit's first block is a column that says which of those behind it.

    Attributes:
        schema: of what comes out.
    """

    schema: pa.Schema
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return distinct_name(self.names)

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            blocks = iter(blocks)
            chosen = next(blocks)
            assert isinstance(chosen, pa.Table)
            row = 0
            for block in blocks:
                table = require_table(block, self.name)
                if table is not None:
                    own = chosen.column(0).slice(row, len(table))
                    yield conform(kept(table, own), self.schema)
                    row += len(table)

        return run
