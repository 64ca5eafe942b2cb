"""The transforms that scatter blocks, and those that gather slices of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import pyarrow as pa

from air.data.blocks.block import Block, accessor, concat, split_large
from air.data.blocks.metadata import Sampled
from air.data.blocks.weights import bytes_before, varies
from air.data.errors import UnsupportedValue
from air.data.execution.exchange.marks import Marked
from air.data.execution.exchange.ordering import (
    SortKey,
    keys_of,
    sort_name,
    stable_order,
)
from air.data.execution.exchange.packing import concat_packed, packed, unpacked
from air.data.execution.exchange.partitioners import by_part, equal_edges, ranks
from air.data.execution.exchange.permutation import Permutation
from air.data.execution.exchange.samples import FEWEST_SAMPLES, SAMPLES, even_rows
from air.data.transforms import BlockFunction, Transform
from air.data.udf.functions import TaskContext

_SAMPLES_SHARE = 16
"""Keys of samples are no more than such a share of a run, unless there would be very few."""

_RUN_BYTES = 64 << 20

_FEW = 16
_SMALL_ROWS, _SMALL_BYTES, _SMALL_COLUMN = 1024, 128 << 10, 1 << 10
"""So many tables are put together before there are more, if they have so little on average."""


def together(blocks: Iterable[Block]) -> Block:
    """All *blocks* as one.

    Of many small tables some are put together at a time: what describes each of their columns
    would take more memory than what is in it.
    """
    found: list[Block] = []
    few: list[Block] = []
    for block in blocks:
        few.append(block)
        if len(few) == _FEW:
            found += _as_one(few)
            few.clear()
    whole = concat_packed([*found, *few])
    del found, few
    return unpacked(whole)


def _as_one(few: list[Block]) -> list[Block]:
    if sum(map(len, few)) > _FEW * _SMALL_ROWS:
        return [*few]
    whole = concat_packed(few)
    if not isinstance(whole, pa.Table):
        return [whole]
    small = max(_SMALL_BYTES, whole.num_columns * _SMALL_COLUMN)
    return [*few] if whole.nbytes > _FEW * small else [whole.combine_chunks()]


@dataclass(frozen=True)
class ConcatBlocks(Transform):
    """All blocks of a unit as one.

    Attributes:
        joins: otherwise they go on as they come, to what does not look at blocks.
    """

    label: str
    joins: bool = True
    keeps_rows = True

    @property
    def name(self) -> str:
        return self.label

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            yield concat(list(blocks))

        return run if self.joins else lambda blocks, context: blocks


@dataclass(frozen=True)
class _Shuffle(Transform):
    """What both halves of a shuffle know: how many rows there are, and who gets which."""

    seed: int
    rows: int
    parts: int

    @property
    def name(self) -> str:
        return f"random_shuffle(seed={self.seed})"

    @cached_property
    def edges(self) -> list[int]:
        return equal_edges(self.rows, self.parts)

    @property
    def permutation(self) -> Permutation:
        return Permutation(self.rows, self.seed)


@dataclass(frozen=True)
class ScatterRows(_Shuffle):
    """The rows of each block, those together that go to the same part.

    Attributes:
        starts: for each unit the number of its first row among all, and last how many there are.
    """

    starts: tuple[int, ...]

    def open(self) -> BlockFunction:
        permutation = self.permutation

        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Marked]:
            row, end = self.starts[context.index : context.index + 2]
            expected = end - row
            for block in blocks:
                for piece in split_large(block, _RUN_BYTES):
                    last = row + accessor(piece).num_rows()
                    if last <= end:
                        order, bounds = by_part(permutation.places(row, last), self.edges)
                        yield Marked(packed(accessor(piece).take(order)), bounds)
                    row = last
            if row != end:
                raise UnsupportedValue(
                    f"random_shuffle: {context.source or 'a piece of the data'} gave"
                    f" {row - end + expected} rows, and its metadata had said {expected}; a"
                    " datasource that does not know the number must say None"
                )

        return cast(BlockFunction, run)


@dataclass(frozen=True)
class GatherRows(_Shuffle):
    """A part of the shuffled rows, out of slices in the order that rows had before."""

    def open(self) -> BlockFunction:
        permutation = self.permutation

        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            first, last = self.edges[context.index : context.index + 2]
            places = ranks(permutation.origins(first, last))
            # Nothing of what goes in is held while somebody works with what comes out.
            yield accessor(together(blocks)).take(places)

        return run


@dataclass(frozen=True)
class SortRuns(Transform):
    """Each block sorted by itself."""

    keys: tuple[SortKey, ...]

    @property
    def name(self) -> str:
        return sort_name(self.keys)

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Marked]:
            for block in blocks:
                for piece in split_large(block, _RUN_BYTES):
                    yield self._run(piece)

        return cast(BlockFunction, run)

    def _run(self, piece: Block) -> Marked:
        order = stable_order(piece, self.keys)
        is_sorted = bool((order[1:] > order[:-1]).all())
        ordered = piece if is_sorted else accessor(piece).take(order)
        samples = sampled(ordered, keys_of(ordered, self.keys))
        return Marked(packed(ordered), samples=samples)


@dataclass(frozen=True)
class MergeRuns(Transform):
    """A part of the sorted rows, out of slices of sorted runs that reach over its edges.

    Attributes:
        ends: for each unit, which of its rows begins the part, and which is the first behind it;
            ``None`` where there is nothing beyond.
    """

    keys: tuple[SortKey, ...]
    ends: tuple[tuple[int | None, int | None], ...]

    @property
    def name(self) -> str:
        return sort_name(self.keys)

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            yield self._merged(together(blocks), *self.ends[context.index])

        return run

    def _merged(self, whole: Block, first: int | None, last: int | None) -> Block:
        order = stable_order(whole, self.keys, is_runs=True)
        begin = 0 if first is None else int(np.flatnonzero(order == first)[0])
        end = len(order) if last is None else int(np.flatnonzero(order == last)[0])
        return accessor(whole).take(order[begin:end])


@dataclass(frozen=True)
class TopRows(Transform):
    """The first rows of each block in the order of the keys."""

    keys: tuple[SortKey, ...]
    count: int

    @property
    def name(self) -> str:
        return f"{sort_name(self.keys)}, first {self.count}"

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return columns

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            for block in blocks:
                yield top_rows(block, self.keys, self.count)

        return run


def top_rows(block: Block, keys: Sequence[SortKey], count: int) -> Block:
    """The first *count* rows of *block* in the order of *keys*."""
    return accessor(block).take(stable_order(block, keys)[:count])


def sampled(run: Block, keys: Block) -> Sampled:
    """Rows of a sorted run to divide it by, so that there are about as many bytes between them.

    Args:
        keys: of all its rows.
    """
    rows = len(run)
    before = None
    chosen = np.asarray(even_rows(rows), np.int64)
    if isinstance(run, pa.Table) and varies(run) and rows:
        before = bytes_before(run, np.arange(rows + 1))
        chosen = np.unique(np.searchsorted(before[:-1], before[-1] * np.arange(SAMPLES) // SAMPLES))
        chosen = chosen[chosen < rows]
    most = accessor(run).size_bytes() // _SAMPLES_SHARE
    found = accessor(keys).take(chosen)
    while len(chosen) > FEWEST_SAMPLES and accessor(found).size_bytes() > most:
        chosen = chosen[::2]
        found = accessor(keys).take(chosen)
    if before is not None:
        return Sampled(found, chosen, before[[*chosen, rows]])
    return Sampled(found, None if len(chosen) == len(even_rows(rows)) else chosen)
