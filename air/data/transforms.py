"""Operators that work on one piece of the data at a time.

A transform is a value that travels to where the data is. There it is *opened*, once for each
process that works: that makes a function from a stream of blocks to a stream of blocks, which
holds no more than it must of either.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa

from air.data.batch_format import is_pandas_frame
from air.data.batching import first_rows, joined
from air.data.block import (
    Block,
    accessor,
    block_from_batch,
    block_from_rows,
    require_table,
    select,
)
from air.data.convert import check_distinct
from air.data.cutting import cuts
from air.data.errors import UnsupportedValue, require_columns
from air.data.functions import TaskContext, UserFunction
from air.data.infer import column_from_values
from air.data.returned import Columns
from air.data.schemas import conform

DEFAULT_BATCH_SIZE = 4096

_Built = TypeVar("_Built")
BlockFunction = Callable[[Iterator[Block], TaskContext], Iterator[Block]]


class Transform(abc.ABC):
    """One operator; subclasses are immutable and picklable.

    Attributes:
        keeps_rows: exactly one row comes out for each that goes in, in the same order.
        function: the user's code in it, if there is any.
        min_rows: how many rows it wants to see together, if they can be had.
    """

    keeps_rows: bool = False

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """How messages call it: ``map(parse)``."""

    @property
    def function(self) -> UserFunction | None:
        return None

    @property
    def min_rows(self) -> int:
        return 0

    @abc.abstractmethod
    def open(self) -> BlockFunction:
        """What does the work; instances of callable classes are made here."""

    def columns(self, columns: list[str] | None) -> list[str] | None:
        """Columns that come out for *columns* that go in; ``None``: not known in advance."""
        return None if self.function is not None else columns


@dataclass(frozen=True)
class MapRows(Transform):
    """One row out for each row in."""

    user: UserFunction
    keeps_rows = True

    @property
    def name(self) -> str:
        return f"map({self.user.name})"

    @property
    def function(self) -> UserFunction:
        return self.user

    def open(self) -> BlockFunction:
        fn = self.user.open()

        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            for block, start in _with_positions(blocks):
                made = list(_row_results(self.name, fn, block, start, context))
                yield _made_of(self.name, block_from_rows, made)

        return run


@dataclass(frozen=True)
class FlatMapRows(Transform):
    """Any number of rows out for each row in."""

    user: UserFunction

    @property
    def name(self) -> str:
        return f"flat_map({self.user.name})"

    @property
    def function(self) -> UserFunction:
        return self.user

    def open(self) -> BlockFunction:
        fn = self.user.open()

        def rows_of(row: Any) -> list[Any]:
            return list(self._checked(fn(row)))

        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            for block, start in _with_positions(blocks):
                made: list[Any] = []
                for rows in _row_results(self.name, rows_of, block, start, context):
                    made.extend(rows)
                yield _made_of(self.name, block_from_rows, made)

        return run

    def _checked(self, rows: Any) -> Iterable[Any]:
        if isinstance(rows, (str, bytes, dict)) or not isinstance(rows, Iterable):
            raise UnsupportedValue(
                f"{self.name} must return a list of rows for each row, got {type(rows).__name__}"
            )
        return rows


@dataclass(frozen=True)
class FilterRows(Transform):
    """The rows for which the function is true."""

    user: UserFunction

    @property
    def name(self) -> str:
        return f"filter({self.user.name})"

    @property
    def function(self) -> UserFunction:
        return self.user

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return columns

    def open(self) -> BlockFunction:
        fn = self.user.open()

        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            for block, start in _with_positions(blocks):
                keep = _row_results(self.name, lambda row: bool(fn(row)), block, start, context)
                yield accessor(block).filter(list(keep))

        return run


@dataclass(frozen=True)
class MapBatches(Transform):
    """One batch, or a stream of batches, out for each batch in."""

    user: UserFunction
    batch_size: int | None = DEFAULT_BATCH_SIZE
    batch_format: str = "default"
    zero_copy: bool = False
    min_batch_rows: int = 0
    label: str | None = None

    @property
    def name(self) -> str:
        return self.label or f"map_batches({self.user.name})"

    @property
    def function(self) -> UserFunction:
        return self.user

    @property
    def min_rows(self) -> int:
        return self.min_batch_rows

    def open(self) -> BlockFunction:
        fn = self.user.open()

        def made(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block | Columns]:
            start = 0
            for cut in cuts(blocks, self.batch_size):
                batch = cut.to_batch(self.batch_format, writable=not self.zero_copy)
                where = _Where(self.name, cut.block, start, context, cut.num_rows)
                for result in _batch_results(fn, batch, where):
                    build = Columns if isinstance(result, Mapping) else block_from_batch
                    yield _made_of(self.name, build, result)
                start += cut.num_rows

        # A batch is small change where it has to travel, or gets a file of its own.
        return lambda blocks, context: joined(made(blocks, context))


@dataclass(frozen=True)
class AddColumn(Transform):
    """A column, new or replaced, computed from batches; the others stay as they are."""

    column: str
    user: UserFunction
    batch_format: str
    keeps_rows = True

    @property
    def name(self) -> str:
        return f"add_column({self.column!r}, {self.user.name})"

    @property
    def function(self) -> UserFunction:
        return self.user

    def columns(self, columns: list[str] | None) -> list[str] | None:
        if columns is None or self.column in columns:
            return columns
        return [*columns, self.column]

    def open(self) -> BlockFunction:
        fn = self.user.open()

        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            for block, start in _with_positions(blocks):
                table = require_table(block, self.name)
                if table is None:
                    continue
                if not table.num_rows:
                    yield self._placed(table, pa.nulls(0))
                    continue
                batch = accessor(block).to_batch(self.batch_format)
                with _Where(self.name, block, start, context):
                    values = fn(batch)
                    if isinstance(values, Iterator):
                        values = list(values)
                yield self._added(table, values)

        return run

    def _added(self, table: pa.Table, values: Any) -> pa.Table:
        if getattr(values, "ndim", 1) == 0 or _is_single(values):
            values = [values] * table.num_rows
        if isinstance(values, (Mapping, pa.Table)) or is_pandas_frame(values):
            raise UnsupportedValue(
                f"{self.name} must return the values of one column, got a {type(values).__name__}"
            )
        column = column_from_values(self.column, values)
        if len(column) != table.num_rows:
            raise UnsupportedValue(
                f"{self.name} must return one value for each of the {table.num_rows} rows of a"
                f" batch, got {len(column)}"
            )
        return self._placed(table, column)

    def _placed(self, table: pa.Table, column: pa.Array) -> pa.Table:
        if self.column in table.column_names:
            position = table.column_names.index(self.column)
            return table.set_column(position, self.column, column)
        return table.append_column(self.column, column)


def _is_single(value: Any) -> bool:
    """Whether *value* is one value rather than one for each row."""
    return isinstance(value, (str, bytes)) or not hasattr(value, "__len__")


@dataclass(frozen=True)
class ColumnsTransform(Transform):
    """Base of what only picks and names columns: takes and gives tables, runs no user code."""

    keeps_rows = True

    @abc.abstractmethod
    def apply(self, table: pa.Table) -> pa.Table:
        """The changed table."""

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            for block in blocks:
                table = require_table(block, self.name)
                yield block if table is None else self.apply(table)

        return run


@dataclass(frozen=True)
class SelectColumns(ColumnsTransform):
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
class DropColumns(ColumnsTransform):
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
class RenameColumns(ColumnsTransform):
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


@dataclass(frozen=True)
class TakeRows(Transform):
    """The first rows of each piece: no piece needs to give more under a limit."""

    count: int

    @property
    def name(self) -> str:
        return f"limit({self.count})"

    def open(self) -> BlockFunction:
        return lambda blocks, context: first_rows(blocks, self.count)


@dataclass(frozen=True)
class SummarizeBlocks(Transform):
    """One plain object out for each block in: partial results for the caller to merge."""

    summarize: Callable[[Block], Any]
    label: str

    @property
    def name(self) -> str:
        return self.label

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return None

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            for block in blocks:
                yield [self.summarize(block)]

        return run


def _with_positions(blocks: Iterable[Block]) -> Iterator[tuple[Block, int]]:
    """Each block with the number of rows before it."""
    start = 0
    for block in blocks:
        yield block, start
        start += len(block)


class _Where:
    """Tells the errors of a user's function at which rows of what they happened."""

    __slots__ = ("_block", "_context", "_name", "first", "last")

    def __init__(
        self, name: str, block: Block, start: int, context: TaskContext, rows: int | None = None
    ) -> None:
        self._name = name
        self._block = block
        self._context = context
        self.first = start
        self.last = start + (len(block) if rows is None else rows) - 1

    def __enter__(self) -> _Where:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if not isinstance(error, Exception):
            return
        one = self.first == self.last
        rows = f"row {self.first}" if one else f"rows {self.first}-{self.last}"
        error.add_note(f"in {self._name}, at {rows} of {_input(self._block, self._context)}")
        if isinstance(error, StopIteration):
            # It would end the generators that it passes, and with them the data, in silence.
            raise RuntimeError(f"{self._name} raised StopIteration") from error


def _row_results(
    name: str, fn: Callable[[Any], Any], block: Block, start: int, context: TaskContext
) -> Iterator[Any]:
    """What *fn* returns for each row; an error is told at which row it happened."""
    with _Where(name, block, start, context) as where:
        for number, row in enumerate(accessor(block).rows(), start):
            where.first = where.last = number
            yield fn(row)


def _batch_results(fn: Callable[[Any], Any], batch: Any, where: _Where) -> Iterator[Any]:
    """What *fn* returns or yields for a batch; an error is told at which rows it happened."""
    with where:
        made = fn(batch)
        if isinstance(made, Iterator):
            yield from made
        else:
            yield made


def _made_of(name: str, build: Callable[[Any], _Built], made: Any) -> _Built:
    try:
        return build(made)
    except UnsupportedValue as error:
        raise UnsupportedValue(f"what {name} returned cannot be kept: {error}") from None


def _input(block: Block, context: TaskContext) -> str:
    origin = f" from {context.source}" if context.source else ""
    if isinstance(block, list):
        return f"its input{origin} ({type(block[0]).__name__ if block else 'no'} objects)"
    columns = ", ".join(f"{f.name}: {f.type}" for f in list(block.schema)[:12])
    more = f", and {len(block.schema) - 12} more" if len(block.schema) > 12 else ""
    return f"its input{origin} (columns {columns}{more})"


def _listed(names: Iterable[str], limit: int = 4) -> str:
    shown: Sequence[str] = [repr(name) for name in names]
    return ", ".join(shown[:limit]) + (", ..." if len(shown) > limit else "")
