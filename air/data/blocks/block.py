"""Blocks: the pieces in which data is kept, moved and worked on.

A block is an Arrow table, or a plain list where rows are no records: ``range(5)`` holds
``[0, 1, 2, 3, 4]``. Blocks are never changed in place. An empty list stands for "no rows, of a
kind that is not known", as a function that returned nothing leaves behind; next to tables it
vanishes.
"""

from __future__ import annotations

import abc
import datetime
import importlib
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa

from air.data.batching.batch_format import (
    NUMPY,
    PANDAS,
    POLARS,
    PYARROW,
)
from air.data.blocks import convert, frames, tensor
from air.data.blocks.choosing import kept, taken
from air.data.blocks.metadata import BlockMetadata
from air.data.blocks.schemas import concat_tables, without_columns
from air.data.errors import UnsupportedValue, require_columns
from air.errors import SerializationError
from air.executor.serialization import dumps, loads

Block: TypeAlias = pa.Table | list[Any]
Schema: TypeAlias = pa.Schema | type
"""Arrow's schema for records, the class of the objects for plain ones."""

VALUE_COLUMN = "value"
"""The column that plain objects are in when they are shown as a table."""

_SIZE_SAMPLE = 100
_UNCHANGING = (str, bytes, int, float, complex, bool, type(None), np.generic, datetime.date)
_ROWS_AT_A_TIME = 4096


class BlockAccessor(abc.ABC):
    """What can be done with a block, whatever its kind; see :func:`accessor`."""

    @abc.abstractmethod
    def num_rows(self) -> int:
        """The number of rows."""

    @abc.abstractmethod
    def size_bytes(self) -> int:
        """Bytes in memory of these rows; an estimate for plain objects."""

    @abc.abstractmethod
    def schema(self) -> Schema | None:
        """Columns and types; the class of the first object; ``None`` if there is none."""

    @abc.abstractmethod
    def slice(self, start: int, stop: int) -> Block:
        """Rows ``start <= i < stop``, without a copy of their values."""

    @abc.abstractmethod
    def take(self, indices: np.ndarray) -> Block:
        """The rows at *indices*, in that order."""

    @abc.abstractmethod
    def filter(self, keep: Sequence[bool] | np.ndarray) -> Block:
        """The rows where *keep*, one truth value a row, is true."""

    @abc.abstractmethod
    def rows(self) -> Iterator[Any]:
        """The rows: dictionaries of Python values, or the objects."""

    @abc.abstractmethod
    def to_batch(self, batch_format: str, *, writable: bool = True, returns: bool = False) -> Any:
        """The block as ``"default"``, ``"numpy"``, ``"pandas"``, ``"polars"`` or ``"pyarrow"``.

        Args:
            writable: copy what would share memory with the block, so that a function may
                change its batch in place.
            returns: for a function whose result is a block again: columns with nulls tell their
                types.
        """

    @abc.abstractmethod
    def to_arrow(self) -> pa.Table:
        """The block as a table; plain objects are its column ``value``."""

    def metadata(self, source: str = "") -> BlockMetadata:
        """Everything about this block that can be known without its values."""
        return BlockMetadata(self.num_rows(), self.size_bytes(), self.schema(), source)


class TableAccessor(BlockAccessor):
    """Records in an Arrow table."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def num_rows(self) -> int:
        rows: int = self._table.num_rows
        return rows

    def size_bytes(self) -> int:
        size: int = self._table.nbytes
        return size

    def schema(self) -> Schema:
        return self._table.schema

    def slice(self, start: int, stop: int) -> Block:
        # Arrow takes the length of a table without columns as it is given.
        return self._table.slice(start, max(min(stop, self._table.num_rows) - start, 0))

    def take(self, indices: np.ndarray) -> Block:
        if not self._table.num_columns:
            return without_columns(len(indices))
        return taken(self._table, pa.array(indices))

    def filter(self, keep: Sequence[bool] | np.ndarray) -> Block:
        return kept(self._table, pa.array(keep, pa.bool_()))

    def rows(self) -> Iterator[Any]:
        # As Python objects rows take many times the memory of the table: a few at a time.
        for start in range(0, self._table.num_rows, _ROWS_AT_A_TIME):
            yield from convert.table_to_rows(self.slice(start, start + _ROWS_AT_A_TIME))

    def to_batch(self, batch_format: str, *, writable: bool = True, returns: bool = False) -> Any:
        if batch_format == PYARROW:
            return self._table
        if batch_format == PANDAS:
            return frames.table_to_pandas(self._table, nullable=returns)
        if batch_format == POLARS:
            return of_polars().to_batch(self._table)
        return convert.table_to_columns(self._table, writable=writable, marked=returns)

    def to_arrow(self) -> pa.Table:
        return self._table


class ObjectAccessor(BlockAccessor):
    """Plain Python objects in a list."""

    def __init__(self, objects: list[Any]) -> None:
        self._objects = objects

    def num_rows(self) -> int:
        return len(self._objects)

    def size_bytes(self) -> int:
        sample = self._objects[:: max(len(self._objects) // _SIZE_SAMPLE, 1)]
        if not sample:
            return 0
        total = sum(_size_of(item) for item in sample)
        return total * len(self._objects) // len(sample)

    def schema(self) -> Schema | None:
        return type(self._objects[0]) if self._objects else None

    def slice(self, start: int, stop: int) -> Block:
        return self._objects[start:stop]

    def take(self, indices: np.ndarray) -> Block:
        return [self._objects[index] for index in indices.tolist()]

    def filter(self, keep: Sequence[bool] | np.ndarray) -> Block:
        return [item for item, kept in zip(self._objects, keep, strict=True) if kept]

    def rows(self) -> Iterator[Any]:
        return iter(self._objects)

    def to_batch(self, batch_format: str, *, writable: bool = True, returns: bool = False) -> Any:
        if batch_format == PANDAS:
            return frames.table_to_pandas(self.to_arrow(), nullable=returns)
        if batch_format == POLARS:
            return of_polars().to_batch(self.to_arrow())
        if batch_format == PYARROW:
            return self.to_arrow()
        if batch_format == NUMPY:
            return _object_array(self._objects)
        return list(self._objects)

    def to_arrow(self) -> pa.Table:
        if not self._objects:
            return pa.table({})
        return convert.table_from_columns({VALUE_COLUMN: self._objects})


def accessor(block: Block) -> BlockAccessor:
    """How to work with *block*."""
    return ObjectAccessor(block) if isinstance(block, list) else TableAccessor(block)


def of_polars() -> ModuleType:
    """How batches are data frames of Polars; imported where it is used."""
    return importlib.import_module("air.data.polars.batches")


def concat(blocks: Sequence[Block], sources: Sequence[str] = ()) -> Block:
    """All rows of *blocks* in order, under one schema; see :mod:`air.data.blocks.schemas`.

    Args:
        sources: where the rows of each block come from, for messages.

    Raises:
        UnsupportedValue: tables are mixed with plain objects, or a column has types that do
            not go together; names it.
    """
    where = list(sources) or [""] * len(blocks)
    both = [pair for pair in zip(blocks, where, strict=True) if len(pair[0])]
    filled = [block for block, _ in both] or list(blocks[:1])
    tables = [block for block in filled if isinstance(block, pa.Table)]
    if not tables:
        return [item for block in filled for item in block]
    if len(tables) < len(filled):
        raise mixed_kinds()
    return concat_tables(tables, [source for _, source in both])


def mixed_kinds() -> UnsupportedValue:
    """The complaint about a dataset of which some rows are records and some are not."""
    return UnsupportedValue(
        "some blocks hold records and others plain objects: make all rows of a dataset of one kind"
    )


def split_large(block: Block, target_bytes: int) -> Iterator[Block]:
    """*block* in pieces of about equally many rows and at most about *target_bytes* each."""
    if target_bytes == sys.maxsize:  # to ask for its size takes long where columns are many
        yield block
        return
    access = accessor(block)
    rows, size = access.num_rows(), access.size_bytes()
    pieces = min(-(-size // target_bytes), rows)
    if pieces <= 1:
        yield block
        return
    for index in range(pieces):
        yield access.slice(rows * index // pieces, rows * (index + 1) // pieces)


def compact(block: Block) -> Block:
    """*block* without the memory of rows that were sliced away, as it should travel.

    Pickling a slice of a table sends the buffers of the whole table.
    """
    if isinstance(block, list):
        return block
    # A whole table counts a little more as well: what its buffers are padded with.
    if block.get_total_buffer_size() <= block.nbytes * 9 // 8 + 4096:
        return block
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, block.schema) as writer:
        writer.write_table(block)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def owned(block: Block) -> Block:
    """*block* for somebody who may change the objects in it; a copy where they can be changed.

    What cannot be copied is shared. Tables cannot be changed.
    """
    if not isinstance(block, list) or _is_unchanging(block):
        return block
    try:
        copy = dumps(block)
    except SerializationError:
        return block
    return cast(Block, loads(copy.stream, [bytearray(buffer) for buffer in copy.buffers]))


def records_of(block: Block) -> pa.Schema | None:
    """The columns of *block*; ``None`` of plain objects."""
    return block.schema if isinstance(block, pa.Table) else None


def column_names(schema: Schema | None) -> list[str] | None:
    """Names of columns, or ``None`` for plain objects and unknown schemas."""
    return list(schema.names) if isinstance(schema, pa.Schema) else None


def require_table(block: Block, what: str) -> pa.Table | None:
    """*block* as a table, ``None`` if it is empty and of unknown kind.

    Raises:
        UnsupportedValue: it holds plain objects, which have no columns.
    """
    if isinstance(block, pa.Table):
        return block
    if not block:
        return None
    raise UnsupportedValue(
        f"{what} works on columns, but the rows are plain {type(block[0]).__name__} objects;"
        ' make them records first: .map(lambda x: {"value": x})'
    )


def select(table: pa.Table, columns: Sequence[str], what: str) -> pa.Table:
    """The named columns in the given order; raises ``ColumnNotFound`` in the name of *what*."""
    require_columns(columns, table.column_names, what)
    return table.select(list(columns))


def _object_array(items: list[Any]) -> np.ndarray:
    """Numbers, texts and flags as an array of their own type; all else as objects."""
    if items and all(isinstance(item, (int, float, bool, np.generic)) for item in items):
        return np.asarray(items)
    is_arrays = items and all(isinstance(item, np.ndarray) for item in items)
    if is_arrays and len({item.shape for item in items}) == 1:
        return np.stack(items)
    return tensor.objects(items)


def _size_of(item: Any) -> int:
    size = getattr(item, "nbytes", None)
    if isinstance(size, int):
        return size
    total = sys.getsizeof(item)
    if isinstance(item, (list, tuple)):
        total += sum(sys.getsizeof(part) for part in item)
    elif isinstance(item, dict):
        total += sum(sys.getsizeof(k) + sys.getsizeof(v) for k, v in item.items())
    return total


def _is_unchanging(items: Iterable[Any], depth: int = 2) -> bool:
    """Whether all *items* are of types whose values cannot be changed."""
    kinds = {kind for kind in set(map(type, items)) if not issubclass(kind, _UNCHANGING)}
    if kinds == {tuple} and depth:
        tuples = (item for item in items if type(item) is tuple)
        return _is_unchanging(itertools.chain.from_iterable(tuples), depth - 1)
    return not kinds
