"""Computes the steps for which every block may need rows of every other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from air.data.blocks.block import accessor, concat
from air.data.blocks.handle import BlockHandle
from air.data.execution.exchange.ordering import SortKey, stable_order
from air.data.execution.exchange.partitioners import cuts, equal_edges
from air.data.execution.exchange.runs import wait_as_runs
from air.data.execution.exchange.transforms import (
    ConcatBlocks,
    GatherRows,
    MergeRuns,
    ScatterRows,
    SortRuns,
    TopRows,
    top_rows,
)
from air.data.execution.exchange.waiting import (
    Piece,
    ranges,
    wait_as_parts,
    wait_as_rows,
)
from air.data.execution.run import Given, Run
from air.data.execution.stages import Stage, Unit
from air.data.plan import InputBlocks, Map, Node, RandomShuffle, Repartition, Sort, TopOf
from air.data.transforms import Transform

_TOP_ROWS_AT_A_TIME = 1 << 16
_SMALLEST_PART = 2 << 20
_MANY_PARTS = 64
_PARTS_OF_WAITING = 8
"""What is sorted together is at most so small a share of the memory for blocks that wait."""


def repartition(
    run: Run, node: Repartition, _limit: int | None, after: tuple[Transform, ...] = ()
) -> Iterator[BlockHandle]:
    """Blocks of equal size, or what *after* makes of each.

    Rows that lie in one block already are only referred to.
    """
    files = run.files()
    try:
        rows = wait_as_rows(run.run(node.input), spills_beyond(run, node.input), files)
        if not rows:
            return
        edges = equal_edges(sum(one.num_rows for one in rows), node.blocks)
        units = [Unit(tuple(pieces)) for pieces in ranges(rows, edges)]
        del rows
        if not after:
            yield from as_blocks(run, units, "repartition")
            return
        # A block may be a large part of the memory: it is put together only for who looks at it.
        joins = not run.budget.is_tight or any(transform.by_blocks for transform in after)
        first = ConcatBlocks("repartition", joins)
        yield from run.over_units(Stage((first, *after), gathers=joins), units)
    finally:
        files.close()


def spills_beyond(run: Run, node: Node) -> int | None:
    """As :meth:`Run.spills_beyond`, for the blocks of *node*.

    Blocks that somebody holds anyway take no more memory for being waited with.
    """
    return None if isinstance(node, InputBlocks) else run.spills_beyond()


def as_blocks(run: Run, units: Sequence[Unit], label: str) -> Iterator[BlockHandle]:
    """Each unit as one block, in order; of a unit that is a block nothing moves."""
    mixed = [unit for unit in units if not _is_one_block(unit.pieces)]
    stage = Stage((ConcatBlocks(label),), divides=False)
    made = run.over_units(stage, mixed) if mixed else iter(())
    for unit in units:
        piece = unit.pieces[0]
        if _is_one_block(unit.pieces) and isinstance(piece, BlockHandle):
            yield piece
        else:
            yield next(made)


def random_shuffle(
    run: Run, node: RandomShuffle, _limit: int | None, after: tuple[Transform, ...] = ()
) -> Iterator[BlockHandle]:
    """All rows in an order that the seed decides, or what *after* makes of each block of them.

    Rows are scattered as they are made where it is known beforehand how many each unit gives, and
    when all are there otherwise: where a row goes depends on its number and on how many there are.
    """
    files = run.files()
    try:
        stages, given = run.chain(node.input)
        sizes = _sizes(stages, given)
        before = stages[0].transforms if stages else ()
        if sizes is None:
            made = run.segment(stages, given) if stages else run.run(node.input)
            rows = wait_as_rows(made, run.spills_beyond(), files)
            sizes = [one.num_rows for one in rows]
            units = [Unit(tuple(one.slice(0, one.num_rows))) for one in rows]
            given, before = run.given(units).let_go(), ()
            del rows, units
        if not sizes:
            return
        room = run.spills_beyond()
        filled = max(sum(size > 0 for size in sizes), 1)
        parts = node.blocks or min(
            parts_for(given.size_bytes or 0, filled, room), max(sum(sizes), 1)
        )
        starts = tuple(itertools.accumulate(sizes, initial=0))
        scatter = ScatterRows(node.seed, starts[-1], parts, starts)
        scattered = run.segment([Stage((*before, scatter))], given)
        waiting = wait_as_parts(scattered, room, files)
        del given
        slices = (
            Unit(tuple(_filled([one.part(number) for one in waiting]))) for number in range(parts)
        )
        gather = GatherRows(node.seed, starts[-1], parts)
        if Stage(after).min_rows:  # which may take several parts
            stages = [Stage((gather,), divides=False), Stage(after)]
        else:
            stages = [Stage((gather, *after), divides=bool(after), gathers=True)]
        size = sum(one.size_bytes for one in waiting)
        yield from run.segment(stages, Given(slices, parts, size))
    finally:
        files.close()


def sort(run: Run, node: Sort, _limit: int | None) -> Iterator[BlockHandle]:
    """All rows in the order of the keys: sorted runs, of which parts are put together."""
    return merged(run, run.run(Map(node.input, SortRuns(node.keys))), node.keys)


def merged(
    run: Run,
    scattered: Iterator[BlockHandle],
    keys: tuple[SortKey, ...],
    after: tuple[Transform, ...] = (),
) -> Iterator[BlockHandle]:
    """All rows of runs that :class:`SortRuns` gives, in order, with what *after* makes of them."""
    files = run.files()
    try:
        budget = run.spills_beyond()
        runs = wait_as_runs(scattered, budget, files)
        if not runs.filled:
            whole = Given([Unit((handle,)) for handle in runs.empty], len(runs.empty), 0)
            stages = [Stage(after)] if after else []
            yield from run.segment(stages, whole) if stages else runs.empty
            return
        parts = parts_for(runs.size_bytes, len(runs.filled), budget)
        spread = runs.spread
        found = cuts(spread, stable_order(concat(runs.keys), keys), parts)
        units = (Unit(tuple(runs.pieces(cut.slices, spread))) for cut in found)
        gather = Stage((MergeRuns(keys, tuple(cut.ends for cut in found)), *after), divides=False)
        yield from run.segment([gather], Given(units, len(found), runs.size_bytes))
    finally:
        files.close()


def parts_for(size: int, least: int, budget: int | None) -> int:
    """In how many parts to put together rows of *size* bytes.

    Args:
        least: blocks that there are: where they are not very many, there are no fewer parts.
        budget: bytes of blocks that wait; see :meth:`Run.spills_beyond`.
    """
    if budget is None:
        return least
    return max(
        min(least, _MANY_PARTS), -(-size // max(budget // _PARTS_OF_WAITING, _SMALLEST_PART))
    )


def top(run: Run, node: TopOf, _limit: int | None) -> Iterator[BlockHandle]:
    """The first rows in the order of the keys, out of those of each block."""
    kept: list[BlockHandle] = []
    rows = 0
    for handle in run.run(Map(node.input, TopRows(node.keys, node.count))):
        kept.append(handle)
        rows += handle.num_rows
        if rows > max(_TOP_ROWS_AT_A_TIME, 4 * node.count):
            kept = [_top_of(kept, node)]
            rows = kept[0].num_rows
    if kept:
        yield _top_of(kept, node)


def _top_of(handles: Sequence[BlockHandle], node: TopOf) -> BlockHandle:
    block = top_rows(concat([handle.get() for handle in handles]), node.keys, node.count)
    return BlockHandle.of_block(accessor(block).take(np.arange(len(block))), node.name)


def _sizes(stages: Sequence[Stage], given: Given) -> list[int] | None:
    """Rows that each unit of *given* will give after *stages*, if that is known."""
    if len(stages) > 1 or not isinstance(given.units, list):
        return None
    for stage in stages:
        if stage.compute.asked or stage.compute.pool or stage.min_rows:
            return None
        if not all(transform.keeps_rows for transform in stage.transforms):
            return None
    sizes = [unit.num_rows for unit in given.units]
    return None if None in sizes else [size for size in sizes if size is not None]


def _filled(pieces: list[Piece]) -> list[Piece]:
    """The pieces that have rows; the first if none has, for its schema."""
    return [piece for piece in pieces if piece.metadata.num_rows] or pieces[:1]


def _is_one_block(pieces: Sequence[Piece]) -> bool:
    return len(pieces) == 1 and isinstance(pieces[0], BlockHandle)
