"""Batches cut from blocks: what can be done once for a block is not done for each of its batches.

Columns of numbers are looked at as arrays once, of which the batches are slices. What takes memory
of its own, a DataFrame or an object for each text, is made for a window of rows at a time, if
batches are small.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import pyarrow as pa

from air.data.batching.batch_format import NUMPY, PANDAS, PYARROW
from air.data.batching.regrouping import RowQueue
from air.data.blocks.block import Block, Schema, accessor
from air.data.blocks.convert import column_to_numpy
from air.data.blocks.frames import is_divisible, part_of, table_to_pandas
from air.data.blocks.marked import with_nulls

_WINDOW_BYTES = 4 << 20
"""What is made of so many bytes at a time stays in the cache, and is little beside a block."""

_Made = TypeVar("_Made")


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

    def to_batch(self, batch_format: str, *, writable: bool = True, returns: bool = False) -> Any:
        """The rows in that format, as :meth:`BlockAccessor.to_batch` gives them."""
        return self._view.batch(self.offset, self.num_rows, batch_format, writable, returns)

    def rows(self) -> Block:
        """The rows as a block of their own, which shares memory with the other one."""
        if self.num_rows == len(self.block):
            return self.block
        return accessor(self.block).slice(self.offset, self.offset + self.num_rows)


class _View:
    """A block of which batches are cut."""

    __slots__ = ("_columns", "_frames", "block")

    def __init__(self, block: Block) -> None:
        self.block = block
        self._columns: dict[str, _Chunks | _Windows[np.ndarray] | None] | None = None
        self._frames: _Windows[Any] | None = None

    def batch(
        self, offset: int, rows: int, batch_format: str, writable: bool, returns: bool
    ) -> Any:
        if isinstance(self.block, list) or batch_format not in ("default", NUMPY, PANDAS):
            part = accessor(self._part(offset, rows))
            return part.to_batch(batch_format, writable=writable, returns=returns)
        if batch_format == PANDAS:
            return self._frame(offset, rows, returns)
        if self._columns is None:
            self._columns = {n: _divided(self.block[n]) for n in self.block.column_names}
        batch: dict[str, np.ndarray] = {}
        for name, column in self._columns.items():
            values = None if column is None else column.rows(offset, rows, writable)
            if values is None:
                part = self.block[name].slice(offset, rows)
                values = column_to_numpy(part, writable=writable)
                values = with_nulls(part, values) if returns else values
            batch[name] = values
        return batch

    def _part(self, offset: int, rows: int) -> Block:
        if rows == len(self.block):
            return self.block
        return accessor(self.block).slice(offset, offset + rows)

    def _frame(self, offset: int, rows: int, returns: bool) -> Any:
        assert isinstance(self.block, pa.Table)  # lists have been seen to
        if self._frames is None:
            self._frames = _Windows(self.block, _divisible_frame, part_of)
        frame = self._frames.rows(offset, rows)
        if frame is not None:
            return frame
        return accessor(self._part(offset, rows)).to_batch(PANDAS, returns=returns)


class _Windows(Generic[_Made]):
    """What is made of some neighbouring rows, for several small batches that follow each other.

    Args:
        make: of those rows; ``None`` if batches of them must be made one by one.
        part: a batch of what was made: from which row, and to which.
    """

    __slots__ = ("_made", "_make", "_part", "_size", "_start", "_stop", "_values")

    def __init__(
        self,
        values: pa.Table | pa.ChunkedArray,
        make: Callable[[Any], _Made | None],
        part: Callable[[_Made, int, int], _Made],
    ) -> None:
        self._values, self._make, self._part = values, make, part
        self._size = _WINDOW_BYTES * len(values) // max(values.nbytes, 1)
        self._start = self._stop = 0
        self._made: _Made | None = None

    def rows(self, offset: int, rows: int, writable: bool = True) -> _Made | None:
        """The batch of these rows, the caller's own; ``None`` if it must be made by itself."""
        if 2 * rows > self._size:
            return None
        if not self._start <= offset <= offset + rows <= self._stop:
            window = self._values.slice(offset, self._size)
            self._start, self._stop = offset, offset + len(window)
            self._made = self._make(window)
        if self._made is None:
            return None
        return self._part(self._made, offset - self._start, offset - self._start + rows)


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


def _divided(column: pa.ChunkedArray) -> _Chunks | _Windows[np.ndarray] | None:
    """The column as arrays whose slices are what slices of the column become.

    ``None`` if it must be cut first: what an array is like may depend on all that is in it, as
    whole numbers become floats next to a null.
    """
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _Windows(column, column_to_numpy, lambda made, start, stop: made[start:stop].copy())
    if isinstance(kind, pa.FixedShapeTensorType):
        are_plain = all(not chunk.storage.flatten().null_count for chunk in column.chunks)
    else:
        are_plain = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not are_plain or column.null_count:
        return None
    chunks = (pa.chunked_array([chunk]) for chunk in column.chunks if len(chunk))
    return _Chunks([column_to_numpy(chunk) for chunk in chunks])


def is_sliced(schema: Schema | None, batch_format: str) -> bool:
    """Whether batches of rows with that schema are slices, which take next to nothing to make."""
    if not isinstance(schema, pa.Schema):
        return False
    are_numbers = all(pa.types.is_integer(t) or pa.types.is_floating(t) for t in schema.types)
    return batch_format == PYARROW or (batch_format in ("default", NUMPY) and are_numbers)


def _divisible_frame(table: pa.Table) -> Any:
    return table_to_pandas(table) if is_divisible(table) else None


def whole(block: Block) -> Cut:
    """All rows of a block as one cut."""
    return Cut(_View(block), 0, len(block))


def cuts_at(block: Block, begins: Sequence[int]) -> Iterator[Cut]:
    """The rows of *block*, divided before those with the numbers *begins*, of which one is 0."""
    view = _View(block)
    for begin, end in zip(begins, [*begins[1:], len(block)], strict=True):
        yield Cut(view, begin, end - begin)


def cuts(
    blocks: Iterable[Block],
    batch_size: int | None,
    *,
    drop_last: bool = False,
    most_bytes: int | None = None,
) -> Iterator[Cut]:
    """The rows of *blocks* as :func:`~air.data.batching.regrouping.rebatch` divides them.

    Args:
        most_bytes: batches end before *batch_size* where their rows take more than this.
    """
    if batch_size is None:
        for block in blocks:
            if len(block):
                yield whole(block)
            del block  # its memory may be needed for the next one
        return
    queue = RowQueue()  # rows of several blocks that make one batch
    for block in blocks:
        rows = len(block)
        size = batch_size if most_bytes is None else _within(block, batch_size, most_bytes)
        begin = 0
        if queue.num_rows >= size:  # their rows are not as wide
            yield whole(queue.take(queue.num_rows))
        elif queue.num_rows:
            begin = min(size - queue.num_rows, rows)
            queue.push(accessor(block).slice(0, begin))
            if queue.num_rows < size:
                continue
            yield whole(queue.take(size))
        view = _View(block)
        end = begin + (rows - begin) // size * size
        for offset in range(begin, end, size):
            yield Cut(view, offset, size)
        if end < rows:
            queue.push(accessor(block).slice(end, rows))
        del block, view
    if queue.num_rows and not drop_last:
        rest = queue.take(queue.num_rows)
        yield whole(rest)


def _within(block: Block, batch_size: int, most_bytes: int) -> int:
    """How many rows, *batch_size* at most, take *most_bytes* if they are as those of *block*."""
    if isinstance(block, list) or not len(block):
        return batch_size
    return max(1, min(batch_size, most_bytes * len(block) // max(block.nbytes, 1)))
