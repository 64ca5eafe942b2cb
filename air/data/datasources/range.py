"""Whole numbers from 0: plain, as records, or as arrays."""

from __future__ import annotations

import builtins
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from air.data.blocks.block import VALUE_COLUMN, Block, Schema, accessor
from air.data.blocks.convert import table_from_columns
from air.data.blocks.metadata import BlockMetadata
from air.data.datasource import Datasource, ReadTask

ARRAY_COLUMN = "data"

_BLOCK_BYTES = 32 << 20
"""A piece that would be larger is made block by block, so that it never is in memory whole."""


@dataclass(frozen=True)
class RangeDatasource(Datasource):
    """The numbers ``0 <= i < n``.

    Attributes:
        n: how many.
        kind: ``"objects"`` for plain ints, ``"table"`` for records with the column ``value``,
            ``"tensor"`` for records with the column ``data`` of arrays filled with ``i``.
        shape: of the arrays.
    """

    n: int
    kind: Literal["objects", "table", "tensor"] = "objects"
    shape: tuple[int, ...] = (1,)

    @property
    def name(self) -> str:
        return f"Range({self.n})"

    def get_read_tasks(self, parallelism: int) -> list[ReadTask]:
        pieces = max(min(parallelism, self.n), 1)
        bounds = [self.n * index // pieces for index in builtins.range(pieces + 1)]
        schema = self.schema()
        return [
            ReadTask(
                _ReadRange(self, start, stop),
                BlockMetadata(
                    num_rows=stop - start,
                    size_bytes=(stop - start) * self.row_bytes,
                    schema=schema,
                    source=f"range {start}-{stop - 1}" if stop > start else "an empty range",
                ),
            )
            for start, stop in itertools.pairwise(bounds)
        ]

    def estimate_inmemory_data_size(self) -> int | None:
        return self.n * self.row_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes that a row takes in memory."""
        return {"objects": 32, "table": 8, "tensor": 8 * math.prod(self.shape)}[self.kind]

    def num_rows(self) -> int:
        return self.n

    def schema(self) -> Schema | None:
        if self.kind == "objects":
            return int if self.n else None
        return accessor(self.block(0, 0)).schema()

    def block(self, start: int, stop: int) -> Block:
        """The rows for ``start <= i < stop``."""
        if self.kind == "objects":
            return list(builtins.range(start, stop))
        numbers = np.arange(start, stop, dtype=np.int64)
        if self.kind == "table":
            return pa.table({VALUE_COLUMN: numbers})
        spread = numbers.reshape(-1, *(1 for _ in self.shape))
        arrays = np.broadcast_to(spread, (len(numbers), *self.shape))
        return table_from_columns({ARRAY_COLUMN: arrays})


@dataclass(frozen=True, slots=True)
class _ReadRange:
    source: RangeDatasource
    start: int
    stop: int

    def __call__(self) -> Iterator[Block]:
        step = max(_BLOCK_BYTES // self.source.row_bytes, 1)
        for start in builtins.range(self.start, max(self.stop, self.start + 1), step):
            yield self.source.block(start, min(start + step, self.stop))
