"""Whole groups: rows brought together by their keys, and what functions make of each group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.batching.cutting import Cut, cuts_at, whole
from air.data.blocks.block import Block, accessor, concat, require_table
from air.data.execution.exchange.marks import Marked
from air.data.execution.exchange.ordering import SortKey, keys_of, stable_order
from air.data.execution.exchange.transforms import SortRuns, together
from air.data.grouping.keys import Groups, check_keys, comparable
from air.data.transforms import BlockFunction, Transform
from air.data.udf.batches import MapBatches
from air.data.udf.functions import TaskContext


def group_keys(names: Sequence[str]) -> tuple[SortKey, ...]:
    """How rows are sorted that are to be grouped by the columns *names*."""
    return tuple(SortKey(name, is_group=True) for name in names)


def changes(table: pa.Table, keys: Sequence[SortKey]) -> np.ndarray:
    """For each row of a sorted table whether its key is another than that of the row before."""
    rows = len(table)
    is_new = np.zeros(rows, bool)
    is_new[:1] = True
    for key in keys:
        column = comparable(table[key.column])
        after, before = column.slice(1), column.slice(0, max(rows - 1, 0))
        if pa.types.is_null(column.type):
            continue
        differs = pc.fill_null(pc.not_equal(after, before), False)
        if column.null_count:
            differs = pc.or_(differs, pc.not_equal(pc.is_null(after), pc.is_null(before)))
        is_new[1:] |= differs.to_numpy()
    return is_new


def sorted_groups(table: pa.Table, keys: Sequence[SortKey]) -> Groups:
    """The groups of a table that is sorted by *keys*."""
    is_new = changes(table, keys)
    return Groups(np.cumsum(is_new) - 1, np.flatnonzero(is_new))


@dataclass(frozen=True)
class ScatterGroups(SortRuns):
    """Each block sorted by itself, for groups that *label* makes something of."""

    label: str

    @property
    def name(self) -> str:
        return self.label

    def open(self) -> BlockFunction:
        scatter = super().open()
        names = [str(key.column) for key in self.keys]

        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Marked]:
            return cast(Iterator[Marked], scatter(self._checked(blocks, names), context))

        return cast(BlockFunction, run)

    def _checked(self, blocks: Iterator[Block], names: list[str]) -> Iterator[Block]:
        for block in blocks:
            table = require_table(block, self.label)
            if table is not None:
                check_keys(table, names, self.label)
                yield table


def rows_between(
    table: pa.Table, keys: Sequence[SortKey], first: pa.Table | None, last: pa.Table | None
) -> np.ndarray:
    """The rows whose keys are not before that of *first* but before that of *last*, in order.

    Args:
        first, last: a row each, with the columns of the keys; ``None`` is no bound.
    """
    bounds = [bound for bound in (first, last) if bound is not None]
    whole = concat([*bounds, keys_of(table, keys)])
    # Bounds stand before the rows that are equal to them.
    order = stable_order(whole, keys, is_runs=True)
    begin, end = 0, len(order)
    if first is not None:
        begin = int(np.flatnonzero(order == 0)[0]) + 1
    if last is not None:
        end = int(np.flatnonzero(order == len(bounds) - 1)[0])
    chosen = order[begin:end]
    return chosen[chosen >= len(bounds)] - len(bounds)


def rows_before(table: pa.Table, bound: pa.Table, *, or_equal: bool) -> np.ndarray:
    """Which rows have keys before that of *bound*, a row of the same columns.

    Args:
        or_equal: or the same one.
    """
    before = np.full(len(table), or_equal)
    for name in reversed(table.column_names):
        column, (value,) = comparable(table[name]), comparable(bound[name])
        valid = pc.is_valid(column).to_numpy()
        if not value.is_valid:
            # Nothing is behind missing values.
            before = valid | before
            continue
        less, equal = (
            pc.fill_null(compare(column, value), False).to_numpy()
            for compare in (pc.less, pc.equal)
        )
        before = less | (equal & before)
    return before


@dataclass(frozen=True)
class GatherGroups(Transform):
    """The rows of some keys as one block, sorted, out of slices that may hold others as well.

    Attributes:
        edges: a row for each place between two parts, with the first key behind it.
    """

    keys: tuple[SortKey, ...]
    edges: pa.Table
    label: str

    @property
    def name(self) -> str:
        return self.label

    def bounds(self, part: int) -> tuple[pa.Table | None, pa.Table | None]:
        """The first key of a part, and the first behind it."""
        first = self.edges.slice(part - 1, 1) if part else None
        return first, self.edges.slice(part, 1) if part < len(self.edges) else None

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            yield self._gathered(together(blocks), context.index)

        return run

    def _gathered(self, whole: Block, part: int) -> Block:
        assert isinstance(whole, pa.Table)  # scatters have seen to that
        return accessor(whole).take(rows_between(whole, self.keys, *self.bounds(part)))


@dataclass(frozen=True)
class MapGroups(MapBatches):
    """What a function makes of each group; blocks hold whole groups, one behind the other."""

    batch_size: int | None = None
    keys: tuple[SortKey, ...] = ()

    @property
    def name(self) -> str:
        return f"map_groups({self.user.name})"

    def cuts(self, blocks: Iterator[Block], block_bytes: int) -> Iterator[Cut]:
        for block in blocks:
            if not len(block):
                continue
            if isinstance(block, list) or not self.keys:
                yield whole(block)
                continue
            # Slices of many chunks would be looked for in all of them.
            table = block.combine_chunks()
            yield from cuts_at(table, np.flatnonzero(changes(table, self.keys)).tolist())

    def describe(self, error: Exception, cut: Cut) -> None:
        if self.keys:
            (row,) = accessor(keys_of(accessor(cut.rows()).slice(0, 1), self.keys)).rows()
            error.add_note(f"in {self.name}, at the group {dict(row)}")
