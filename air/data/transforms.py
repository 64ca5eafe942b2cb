"""Operators that work on one piece of the data at a time.

A transform is a value that travels to where the data is. There it is *opened*, once for each
process that works: that makes a function from a stream of blocks to a stream of blocks, which
holds no more than it must of either.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from air.data.batching.regrouping import first_rows
from air.data.blocks.block import Block, require_table, select
from air.data.blocks.convert import check_distinct
from air.data.blocks.schemas import conform, empty_table
from air.data.each_block import EachBlock
from air.data.errors import ColumnNotFound, UnsupportedValue, require_columns
from air.data.udf.functions import TaskContext

DEFAULT_BATCH_SIZE = 4096

BlockFunction = Callable[[Iterator[Block], TaskContext], Iterator[Block]]


class Transform(abc.ABC):
    """One operator; subclasses are immutable and picklable.

    Attributes:
        keeps_rows: exactly one row comes out for each that goes in, in the same order.
        min_rows: how many rows it wants to see together, if they can be had.
        is_for_each_block: it is opened as an :class:`EachBlock`.
        by_blocks: whether what comes out depends on which rows are in one block.
    """

    @property
    def keeps_rows(self) -> bool:
        return False

    @property
    def is_for_each_block(self) -> bool:
        return False

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """How messages call it: ``map(parse)``."""

    @property
    def min_rows(self) -> int:
        return 0

    @property
    def by_blocks(self) -> bool:
        return True

    @abc.abstractmethod
    def open(self) -> BlockFunction:
        """What does the work; instances of callable classes are made here."""

    def columns(self, columns: list[str] | None) -> list[str] | None:
        """Columns that come out for *columns* that go in; ``None``: not known in advance."""
        return columns

    def schema_for(self, schema: pa.Schema) -> pa.Schema | None:
        """Columns and types that come out for those that go in; ``None``: not known in advance."""
        return None

    def of_no_rows(self, table: pa.Table) -> pa.Table | None:
        """What comes out if all that goes in is *table*, which has no rows; ``None``: unknown."""
        for block in self.open()(iter([table]), TaskContext()):
            if isinstance(block, pa.Table):
                return block
        return None


@dataclass(frozen=True)
class ColumnsTransform(Transform):
    """Base of what only picks and names columns: takes and gives tables, runs no user code."""

    keeps_rows = True
    is_for_each_block = True
    by_blocks = False

    @abc.abstractmethod
    def apply(self, table: pa.Table) -> pa.Table:
        """The changed table."""

    def open(self) -> BlockFunction:
        def step(block: Block, _before: int, _context: TaskContext) -> Iterable[Block]:
            table = require_table(block, self.name)
            return (block if table is None else self.apply(table),)

        return EachBlock(step)


class _Picks(ColumnsTransform):
    """Base of what gives the columns that go in, with their types."""

    def schema_for(self, schema: pa.Schema) -> pa.Schema | None:
        try:
            return self.apply(empty_table(schema)).schema
        except (ColumnNotFound, UnsupportedValue):
            return None  # which is told when it runs


@dataclass(frozen=True)
class SelectColumns(_Picks):
    """Some columns, in the order given."""

    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"select_columns({_listed(self.names)})"

    def apply(self, table: pa.Table) -> pa.Table:
        return select(table, self.names, "select_columns")

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return list(self.names)


@dataclass(frozen=True)
class DropColumns(_Picks):
    """All columns but some."""

    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"drop_columns({_listed(self.names)})"

    def apply(self, table: pa.Table) -> pa.Table:
        require_columns(self.names, table.column_names, "drop_columns")
        return table.drop_columns(list(self.names))

    def columns(self, columns: list[str] | None) -> list[str] | None:
        if columns is None:
            return None
        return [name for name in columns if name not in self.names]


@dataclass(frozen=True)
class RenameColumns(_Picks):
    """Other names for some columns, as pairs of old and new."""

    pairs: tuple[tuple[str, str], ...]
    mapping: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mapping", dict(self.pairs))

    @property
    def name(self) -> str:
        return f"rename_columns({_listed(old for old, _ in self.pairs)})"

    def apply(self, table: pa.Table) -> pa.Table:
        require_columns(self.mapping, table.column_names, "rename_columns")
        names = [self.mapping.get(name, name) for name in table.column_names]
        check_distinct(names, f"the result of {self.name}")
        return table.rename_columns(names)

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return None if columns is None else [self.mapping.get(name, name) for name in columns]


@dataclass(frozen=True)
class Conform(ColumnsTransform):
    """The columns and types of a schema that the rows can be brought to."""

    schema: pa.Schema

    @property
    def name(self) -> str:
        return "conform"

    def apply(self, table: pa.Table) -> pa.Table:
        return conform(table, self.schema)

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return list(self.schema.names)

    def schema_for(self, schema: pa.Schema) -> pa.Schema | None:
        return self.schema


@dataclass(frozen=True)
class TakeRows(Transform):
    """The first rows of each piece: no piece needs to give more under a limit."""

    count: int

    @property
    def name(self) -> str:
        return f"limit({self.count})"

    def schema_for(self, schema: pa.Schema) -> pa.Schema | None:
        return schema

    def open(self) -> BlockFunction:
        return lambda blocks, context: first_rows(blocks, self.count)


@dataclass(frozen=True)
class Summarize(Transform):
    """Plain objects that tell about the rows, for the caller to merge.

    Attributes:
        summarize: what to tell of a block; ``None`` for nothing.
        merge: makes one of what two blocks tell, the first first: one object comes out for each
            piece of work. ``None`` for one object for each block.
        names: columns that are looked at; ``None`` for all.
    """

    summarize: Callable[[Block], Any]
    label: str
    merge: Callable[[Any, Any], Any] | None = None
    names: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        return self.label

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return None

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            told = (one for one in map(self.summarize, blocks) if one is not None)
            if self.merge is None:
                for one in told:
                    yield [one]
                return
            first = next(told, None)
            if first is not None:
                yield [functools.reduce(self.merge, told, first)]

        return run


def _listed(names: Iterable[str], limit: int = 4) -> str:
    shown: Sequence[str] = [repr(name) for name in names]
    return ", ".join(shown[:limit]) + (", ..." if len(shown) > limit else "")
