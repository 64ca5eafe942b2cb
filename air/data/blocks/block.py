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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeAlias, cast

import numpy as np
import pyarrow as pa

from air.data.batching.batch_format import (
    NUMPY,
    PANDAS,
    POLARS,
    PYARROW,
    is_pandas_frame,
    is_polars_frame,
)
from air.data.blocks import convert, frames, tensor
from air.data.blocks.choosing import kept, taken
from air.data.blocks.origins import Runs
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


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rows that an operator has left out because its function failed for them.

    Attributes:
        key: which operator of the run it was.
        count: how many rows.
        first: what it said of the first one, and where that was.
        files: names of files with the rows, if they are kept.
    """

    key: int
    count: int
    first: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """Some rows of a sorted run, the first one among them, by which it is divided.

    Attributes:
        keys: what they are sorted by.
        rows: which rows they are; ``None`` if they are evenly spread.
        before: bytes before each of them, and last of the whole run; ``None`` if all rows are of
            one size.
    """

    keys: Block
    rows: np.ndarray | range | None = None
    before: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class BlockMetadata:
    """What is known of a block, or of what a read will give, without looking at it.

    Attributes:
        num_rows: rows, or ``None`` if not known yet.
        size_bytes: bytes in memory, or an estimate; ``None`` if not known.
        schema: columns and types, or the class of plain objects; ``None`` if not known.
        source: where the rows come from, for messages: ``"data.csv"``, ``"rows 0-99 of ..."``.
        first_row: which row of ``source``, from 0, the first one is, if the rows are neighbours
            there; ``None`` otherwise, or if not known.
        runs: how many rows come from which places, if they are from several.
        rejected: what was left out since the block before, and has not been counted yet.
        bounds: where each part of a scattered block begins, and last its rows; ``None`` otherwise.
        samples: some rows of a sorted run; ``None`` otherwise.
        lineage: what it is made from, where that is kept track of; see
            :mod:`air.data.checkpointing.keepers`.
    """

    num_rows: int | None = None
    size_bytes: int | None = None
    schema: Schema | None = None
    source: str = ""
    first_row: int | None = None
    runs: Runs = ()
    rejected: tuple[Rejected, ...] = ()
    bounds: tuple[int, ...] | None = None
    samples: Sampled | None = None
    lineage: str = ""


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


def block_from_rows(rows: Sequence[Any], like: pa.Schema | None = None) -> Block:
    """A table if the rows are dictionaries, otherwise a block of plain objects.

    Args:
        like: as for :func:`block_from_batch`.

    Raises:
        UnsupportedValue: dictionaries are mixed with other objects, a column's values have no
            Arrow type, or what a function made of a record is ``None``.
    """
    if rows and isinstance(rows[0], Mapping):
        return convert.table_from_rows(rows, like)
    for index, row in enumerate(rows):
        if row is None and like is not None:
            raise UnsupportedValue(
                f"row {index} is None: a function that is given dictionaries returns one for each"
                " (is a return missing?)"
            )
        if isinstance(row, Mapping):
            raise UnsupportedValue(
                f"row {index} is a dictionary where the rows before it are"
                f" {type(rows[0]).__name__}: make all rows of a dataset of one kind"
            )
    return list(rows)


def block_from_batch(batch: Any, like: pa.Schema | None = None) -> Block:
    """The block for what a function on batches returned.

    Takes a DataFrame of pandas or Polars, an Arrow table or record batch, a dictionary of arrays
    or lists, a list of rows, or a one-dimensional array of plain values.

    Args:
        like: of the rows that the function was given, if they were records: a column that comes
            back by the name of one of theirs has its type, where only Arrow has that.

    Raises:
        UnsupportedValue: it is none of these, or holds what no block can.
    """
    if isinstance(batch, pa.Table):
        return convert.checked_table(batch)
    if isinstance(batch, Mapping):
        return convert.table_from_columns(batch, like)
    if is_pandas_frame(batch):
        return frames.table_from_pandas(batch, like)
    if is_polars_frame(batch):
        table: pa.Table = of_polars().from_batch(batch, like)
        return table
    if isinstance(batch, list):
        return block_from_rows(batch, like)
    if isinstance(batch, pa.RecordBatch):
        return convert.checked_table(pa.Table.from_batches([batch]))
    if isinstance(batch, np.ndarray) and batch.ndim == 1:
        return batch.tolist()
    shape = f" of shape {batch.shape}" if isinstance(batch, np.ndarray) else ""
    hint = '; for a column of arrays return {"name": array}' if shape else ""
    hint = "; does the function return its result?" if batch is None else hint
    hint = "; collect() it" if type(batch).__name__ == "LazyFrame" else hint
    raise UnsupportedValue(
        "a batch must be a pandas.DataFrame, a pyarrow.Table, a dictionary of arrays or a list"
        f" of rows, got {type(batch).__name__}{shape}{hint}"
    )


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
