"""Operators that call a function of the user for each batch, or each block."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import pyarrow as pa

from air.data.batching.batch_format import is_frame
from air.data.batching.cutting import Cut, cuts
from air.data.batching.regrouping import joined, joined_bytes
from air.data.batching.returned import Returned, returned
from air.data.blocks.block import Block, accessor, concat, owned, records_of, require_table
from air.data.blocks.infer import column_from_values
from air.data.blocks.making import block_from_batch
from air.data.blocks.restoring import type_in
from air.data.blocks.schemas import empty_table
from air.data.each_block import EachBlock
from air.data.errors import UnsupportedValue
from air.data.transforms import DEFAULT_BATCH_SIZE, BlockFunction
from air.data.udf.async_calls import outcomes
from air.data.udf.calling import Call, NotOfNoRows, made_of, without_rows
from air.data.udf.functions import TaskContext
from air.data.udf.positions import At
from air.data.udf.trying import Tries


@dataclass(frozen=True)
class MapBatches(Call):
    """One batch, or a stream of batches, out for each batch in.

    Attributes:
        min_batch_rows: how many rows small blocks are put together to, which is the size of a
            batch that was asked for; 0 for the default, which is less where rows are wide.
        wanted: columns of the result that somebody looks at; ``None`` for all.
    """

    batch_size: int | None = DEFAULT_BATCH_SIZE
    batch_format: str = "default"
    zero_copy: bool = False
    min_batch_rows: int = 0
    label: str | None = None
    wanted: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        return self.label or f"map_batches({self.user.name})"

    def numbered(self, number: int) -> Self:
        if self.label is not None:
            return replace(self, label=f"{self.label} #{number}")
        return super().numbered(number)

    @property
    def min_rows(self) -> int:
        return self.min_batch_rows

    @property
    def by_blocks(self) -> bool:
        return self.batch_size is None

    def open(self) -> BlockFunction:
        fn = self.user.open()

        def made(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block | Returned]:
            tries = None if self.skips is None else Tries(self.name, self.skips, context)
            for (cut, start), outcome in outcomes(fn, self._batches(blocks, context.block_bytes)):
                if tries is None:
                    where = At(self.name, cut.block, start, context, cut.num_rows)
                    try:
                        for result in _batch_results(outcome, where):
                            with where:
                                part = self._kept_of(cut.block, result)
                            yield part
                    except Exception as error:
                        self.describe(error, cut)
                        raise
                else:
                    first = functools.partial(self._all, cut.block, outcome)
                    again = functools.partial(self._again, fn)
                    for results in tries.halves(again, cut.rows(), start, first):
                        yield from results

        # A batch is small change where it has to travel, or gets a file of its own.
        return lambda blocks, context: joined(
            made(blocks, context), joined_bytes(context.block_bytes)
        )

    def of_no_rows(self, table: pa.Table) -> pa.Table | None:
        if self.user.is_class:
            return None
        fn, batch = self.user.open(), self._batch(table)
        with without_rows():
            first = list(itertools.islice(_results(fn(batch)), 1))
        if not first:
            return None
        made = block_from_batch(first[0], table.schema)
        if not isinstance(made, pa.Table):
            return None
        kinds = [
            (type_in(table.schema, name) or kind) if pa.types.is_null(kind) else kind
            for name, kind in zip(made.column_names, made.schema.types, strict=True)
        ]  # Objects of which there are none have no type.
        return empty_table(pa.schema(list(zip(made.column_names, kinds, strict=True))))

    def cuts(self, blocks: Iterator[Block], block_bytes: int) -> Iterator[Cut]:
        """The batches that the function is to see, where blocks may have so many bytes."""
        is_asked_for = self.min_batch_rows > 0
        return cuts(blocks, self.batch_size, most_bytes=None if is_asked_for else block_bytes)

    def describe(self, error: Exception, cut: Cut) -> None:
        """Add to *error* what is known of the batch at which it happened, beside its rows."""

    def _batches(
        self, blocks: Iterator[Block], block_bytes: int
    ) -> Iterator[tuple[tuple[Cut, int], Any]]:
        """Each batch with where it is cut from, and the number of its first row."""
        start = 0
        for cut in self.cuts(blocks, block_bytes):
            if self.skips is not None and isinstance(cut.block, list):
                batch = self._batch(cut.rows())
            else:
                batch = cut.to_batch(self.batch_format, writable=not self.zero_copy, returns=True)
            yield (cut, start), batch
            start += cut.num_rows

    def _batch(self, rows: Block) -> Any:
        """A batch of these rows of which a function may change the objects before it fails."""
        writable = not self.zero_copy
        return accessor(owned(rows)).to_batch(self.batch_format, writable=writable, returns=True)

    def _all(self, given: Block, outcome: Callable[[], Any]) -> list[Block | Returned]:
        return [self._kept_of(given, result) for result in _results(outcome())]

    def _again(self, fn: Callable[[Any], Any], rows: Block) -> list[Block | Returned]:
        return self._all(rows, functools.partial(fn, self._batch(rows)))

    def _kept_of(self, given: Block, result: Any) -> Block | Returned:
        keep = functools.partial(returned, like=records_of(given), wanted=self.wanted)
        return made_of(self.name, keep, result)


@dataclass(frozen=True, kw_only=True)
class AddColumn(Call):
    """A column, new or replaced, computed from batches; the others stay as they are."""

    column: str
    batch_format: str
    is_for_each_block = True

    @property
    def name(self) -> str:
        return f"add_column({self.column!r}, {self.user.name})"

    @property
    def keeps_rows(self) -> bool:
        return self.skips is None

    def columns(self, columns: list[str] | None) -> list[str] | None:
        if columns is None or self.column in columns:
            return columns
        return [*columns, self.column]

    def of_no_rows(self, table: pa.Table) -> pa.Table | None:
        unknown = self._placed(table, pa.nulls(0))
        if self.user.is_class:
            return unknown
        fn, batch = self.user.open(), self._batch(table)
        try:
            with without_rows():
                values = _values(fn, batch)
            return self._added(table, values)
        except (NotOfNoRows, UnsupportedValue):
            return unknown

    def open(self) -> BlockFunction:
        fn = self.user.open()

        def step(block: Block, start: int, context: TaskContext) -> Iterable[Block]:
            table = require_table(block, self.name)
            if table is None:
                return ()
            if not table.num_rows:
                return (self._placed(table, pa.nulls(0)),)
            if self.skips is None:
                with At(self.name, block, start, context):
                    return (self._added_to(fn, table),)
            tries = Tries(self.name, self.skips, context)
            parts = list(tries.halves(lambda part: self._added_to(fn, part), table, start))
            return (concat(parts) if parts else self._placed(table.slice(0, 0), pa.nulls(0)),)

        return EachBlock(step)

    def _batch(self, table: Block) -> Any:
        return accessor(table).to_batch(self.batch_format, returns=True)

    def _added_to(self, fn: Callable[[Any], Any], table: Block) -> pa.Table:
        return self._added(table, _values(fn, self._batch(table)))

    def _added(self, table: pa.Table, values: Any) -> pa.Table:
        if getattr(values, "ndim", 1) == 0 or _is_single(values):
            values = [values] * table.num_rows
        if isinstance(values, (Mapping, pa.Table)) or is_frame(values):
            raise UnsupportedValue(
                f"{self.name} must return the values of one column, got a {type(values).__name__}"
            )
        column = column_from_values(self.column, values, type_in(table.schema, self.column))
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


def _values(fn: Callable[[Any], Any], batch: Any) -> Any:
    values = fn(batch)
    return list(values) if isinstance(values, Iterator) else values


def _is_single(value: Any) -> bool:
    """Whether *value* is one value rather than one for each row."""
    return isinstance(value, (str, bytes)) or not hasattr(value, "__len__")


def _batch_results(outcome: Callable[[], Any], where: At) -> Iterator[Any]:
    """What a function returns or yields for a batch; an error is told at which rows it happened."""
    with where:
        yield from _results(outcome())


def _results(made: Any) -> Iterator[Any]:
    return made if isinstance(made, Iterator) else iter((made,))
