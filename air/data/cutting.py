"""Batches cut from blocks: what can be done once for a block is not done for each of its batches.

Columns of numbers are looked at as arrays once, of which the batches are slices.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.batching import RowQueue
from air.data.block import Block, accessor
from air.data.convert import column_to_numpy


class Cut:
    """Some rows of a block, as a function is to see them.

    Attributes:
        block: where the rows are.
        offset, num_rows: which of its rows.
    """

    __slots__ = ("_view", "block", "num_rows", "offset")

    def __init__(self, view: _View, offset: int, num_rows: int) -> None:
        self._view = view
        self.block, self.offset, self.num_rows = view.block, offset, num_rows

    def to_batch(self, batch_format: str, *, writable: bool = True) -> Any:
        """The rows in that format, as :meth:`BlockAccessor.to_batch` gives them."""
        return self._view.batch(self.offset, self.num_rows, batch_format, writable)

    def rows(self) -> Block:
        """The rows as a block of their own, which shares memory with the other one."""
        if self.num_rows == len(self.block):
            return self.block
        return accessor(self.block).slice(self.offset, self.offset + self.num_rows)


class _View:
    """A block of which batches are cut."""

    __slots__ = ("_columns", "block")

    def __init__(self, block: Block) -> None:
        self.block = block
        self._columns: dict[str, _Chunks | None] | None = None

    def batch(self, offset: int, rows: int, batch_format: str, writable: bool) -> Any:
        if isinstance(self.block, list) or batch_format not in ("default", "numpy"):
            part = self.block
            if rows < len(part):
                part = accessor(part).slice(offset, offset + rows)
            return accessor(part).to_batch(batch_format, writable=writable)
        if self._columns is None:
            self._columns = {n: _divisible(self.block[n]) for n in self.block.column_names}
        batch: dict[str, np.ndarray] = {}
        for name, column in self._columns.items():
            if column is None:
                part = self.block[name].slice(offset, rows)
                batch[name] = column_to_numpy(part, writable=writable)
            else:
                batch[name] = column.rows(offset, rows, writable)
        return batch


class _Chunks:
    """The arrays that are one column of a block."""

    __slots__ = ("_arrays", "_starts")

    def __init__(self, arrays: list[np.ndarray]) -> None:
        self._arrays = arrays
        self._starts = list(itertools.accumulate((len(a) for a in arrays), initial=0))

    def rows(self, offset: int, rows: int, writable: bool) -> np.ndarray:
        index = bisect.bisect_right(self._starts, offset) - 1
        begin = offset - self._starts[index]
        first = self._arrays[index][begin : begin + rows]
        if len(first) == rows:
            return first.copy() if writable else first
        parts = [first]
        missing = rows - len(first)
        while missing:
            index += 1
            parts.append(self._arrays[index][:missing])
            missing -= len(parts[-1])
        return np.concatenate(parts)


def _divisible(column: pa.ChunkedArray) -> _Chunks | None:
    """The column as arrays whose slices are what slices of the column become.

    ``None`` if it must be cut first: what an array is like may depend on all that is in it, as
    whole numbers become floats next to a null, and objects need a Python object each.
    """
    kind = column.type
    if isinstance(kind, pa.FixedShapeTensorType):
        are_plain = all(not chunk.storage.flatten().null_count for chunk in column.chunks)
    else:
        are_plain = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not are_plain or column.null_count:
        return None
    chunks = (pa.chunked_array([chunk]) for chunk in column.chunks if len(chunk))
    return _Chunks([column_to_numpy(chunk) for chunk in chunks])


def whole(block: Block) -> Cut:
    """All rows of a block as one cut."""
    return Cut(_View(block), 0, len(block))


def cuts(
    blocks: Iterable[Block], batch_size: int | None, *, drop_last: bool = False
) -> Iterator[Cut]:
    """The rows of *blocks* as :func:`~air.data.batching.rebatch` divides them."""
    if batch_size is None:
        for block in blocks:
            if len(block):
                yield whole(block)
        return
    queue = RowQueue()  # rows of several blocks that make one batch
    for block in blocks:
        rows = len(block)
        begin = 0
        if queue.num_rows:
            begin = min(batch_size - queue.num_rows, rows)
            queue.push(accessor(block).slice(0, begin))
            if queue.num_rows < batch_size:
                continue
            yield Cut(_View(queue.take(batch_size)), 0, batch_size)
        view = _View(block)
        end = begin + (rows - begin) // batch_size * batch_size
        for offset in range(begin, end, batch_size):
            yield Cut(view, offset, batch_size)
        if end < rows:
            queue.push(accessor(block).slice(end, rows))
    if queue.num_rows and not drop_last:
        rest = queue.take(queue.num_rows)
        yield whole(rest)
