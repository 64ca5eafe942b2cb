"""Operators that call a function of the user for each row."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

from air.data.batching.regrouping import at_least
from air.data.blocks.block import Block, accessor, concat, records_of
from air.data.blocks.making import block_from_rows
from air.data.each_block import BlockStep, EachBlock
from air.data.errors import UnsupportedValue
from air.data.transforms import BlockFunction
from air.data.udf.async_calls import AsyncCalls
from air.data.udf.calling import Call, made_of
from air.data.udf.functions import TaskContext
from air.data.udf.positions import At
from air.data.udf.trying import Tries

_Built = TypeVar("_Built")
_Build: TypeAlias = Callable[[list[Any]], Block]
_ROWS_AT_A_TIME = 16 << 10
"""So many rows that a function made are objects at the same time."""


@dataclass(frozen=True)
class CallForRows(Call):
    """Base of operators that call a function for each row."""

    by_blocks = False

    @property
    def min_rows(self) -> int:
        return self.user.concurrency  # calls that are under way together are for rows of a block

    @property
    def is_for_each_block(self) -> bool:
        return not self.user.concurrency

    def each(self, step: BlockStep) -> BlockFunction:
        """*step* for each block, which has as many rows as calls may be under way."""
        each, concurrency = EachBlock(step), self.user.concurrency
        if not concurrency:
            return each
        return lambda blocks, context: each(at_least(blocks, concurrency), context)


@dataclass(frozen=True)
class MapRows(CallForRows):
    """One row out for each row in."""

    @property
    def name(self) -> str:
        return f"map({self.user.name})"

    @property
    def keeps_rows(self) -> bool:
        return self.skips is None

    def open(self) -> BlockFunction:
        fn = self.user.open()
        skips = self.skips

        def step(block: Block, start: int, context: TaskContext) -> Iterator[Block]:
            made: Iterable[Sequence[Any]]
            if skips is None:
                made = ((row,) for row in _row_results(self.name, fn, block, start, context))
                build = _building(block)
            else:
                tries = Tries(self.name, skips, context)
                found = ((number, (row,)) for number, row in tries.rows(fn, block, start))
                made, build = _kept(tries, found, block, start)
            return _blocks_of(self.name, made, build, block, start, context)

        return self.each(step)


@dataclass(frozen=True)
class FlatMapRows(CallForRows):
    """Any number of rows out for each row in."""

    @property
    def name(self) -> str:
        return f"flat_map({self.user.name})"

    def open(self) -> BlockFunction:
        fn = self.user.open()
        skips = self.skips

        rows_of = _then(fn, lambda made: list(self._checked(made)))

        def step(block: Block, start: int, context: TaskContext) -> Iterator[Block]:
            if skips is None:
                made = _row_results(self.name, rows_of, block, start, context)
                build = _building(block)
            else:
                tries = Tries(self.name, skips, context)
                found = tries.rows(rows_of, block, start)
                made, build = _kept(tries, found, block, start)
            return _blocks_of(self.name, made, build, block, start, context)

        return self.each(step)

    def _checked(self, rows: Any) -> Iterable[Any]:
        if isinstance(rows, (str, bytes, dict)) or not isinstance(rows, Iterable):
            raise UnsupportedValue(
                f"{self.name} must return a list of rows for each row, got {type(rows).__name__}"
            )
        return rows


@dataclass(frozen=True)
class FilterRows(CallForRows):
    """The rows for which the function is true."""

    @property
    def name(self) -> str:
        return f"filter({self.user.name})"

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return columns

    def schema_for(self, schema: pa.Schema) -> pa.Schema | None:
        return schema

    def of_no_rows(self, table: pa.Table) -> pa.Table | None:
        return table

    def open(self) -> BlockFunction:
        fn = self.user.open()
        skips = self.skips

        is_wanted = _then(fn, bool)

        def step(block: Block, start: int, context: TaskContext) -> Iterable[Block]:
            if skips is None:
                keep = list(_row_results(self.name, is_wanted, block, start, context))
            else:
                keep = [False] * len(block)
                tries = Tries(self.name, skips, context)
                for number, wanted in tries.rows(is_wanted, block, start):
                    keep[number] = wanted
            return (accessor(block).filter(keep),)

        return self.each(step)


def _then(fn: Callable[[Any], Any], finish: Callable[[Any], _Built]) -> Callable[[Any], Any]:
    """*fn*, and *finish* with what it returns."""
    return fn.then(finish) if isinstance(fn, AsyncCalls) else lambda item: finish(fn(item))


def _row_results(
    name: str, fn: Callable[[Any], Any], block: Block, start: int, context: TaskContext
) -> Iterator[Any]:
    """What *fn* returns for each row; an error is told at which row it happened."""
    rows = enumerate(accessor(block).rows(), start)
    number = start
    try:
        if isinstance(fn, AsyncCalls):
            for number, outcome in fn.ahead(rows):  # noqa: B007 - told of an error
                yield outcome()
        else:
            for number, row in rows:  # noqa: B007
                yield fn(row)
    except Exception:
        with At(name, block, number, context, 1):
            raise


def _building(block: Block) -> _Build:
    return functools.partial(block_from_rows, like=records_of(block))


def _kept(
    tries: Tries, found: Iterable[tuple[int, Sequence[Any]]], block: Block, start: int
) -> tuple[Iterator[Sequence[Any]], _Build]:
    """What was *found* for rows of *block*, and how to make a block of as much as was taken of it.

    Args:
        found: the number of a row in *block*, and what was made of it.
    """
    numbers: list[int] = []

    def made() -> Iterator[Sequence[Any]]:
        for number, rows in found:
            numbers.extend([number] * len(rows))
            yield rows

    def build(rows: list[Any]) -> Block:
        taken = numbers.copy()
        numbers.clear()
        return tries.kept(rows, taken, block, start)

    return made(), build


def _blocks_of(
    name: str,
    made: Iterable[Iterable[Any]],
    build: _Build,
    block: Block,
    start: int,
    context: TaskContext,
) -> Iterator[Block]:
    """The rows that were made of those of *block*, in blocks of about the size that is asked for.

    Some rows at a time become part of a block: as objects they take many times as much memory.
    An error that they do not go together is told of the rows of *block*.

    Args:
        build: makes a block of the rows that were taken of *made* since it was called last.
    """
    parts: list[Block] = []
    rows: list[Any] = []
    size, is_first = 0, True
    for some in made:
        rows.extend(some)
        if len(rows) < _ROWS_AT_A_TIME:
            continue
        with At(name, block, start, context):
            parts.append(made_of(name, build, rows))
        rows = []
        size += accessor(parts[-1]).size_bytes()
        if size >= context.block_bytes:
            with At(name, block, start, context):
                whole = made_of(name, concat, parts)
            parts, size, is_first = [], 0, False
            yield whole
            del whole
    if rows or parts or is_first:
        with At(name, block, start, context):
            if rows or not parts:
                parts.append(made_of(name, build, rows))
            whole = parts[0] if len(parts) == 1 else made_of(name, concat, parts)
        yield whole
