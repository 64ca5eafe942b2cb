"""Operators that bring all blocks together: every output may need rows of every input."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from air.core.api import remote
from air.data.block import Block, BlockMetadata, accessor, compact, concat
from air.data.execution.stages import Stage, Unit
from air.data.functions import TaskContext
from air.data.handle import BlockHandle, cut
from air.data.transforms import BlockFunction, Transform
from air.executor.current import get_executor


@dataclass(frozen=True)
class _ConcatBlocks(Transform):
    """All blocks of a unit as one."""

    keeps_rows = True

    @property
    def name(self) -> str:
        return "repartition"

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            yield concat(list(blocks))

        return run


def repartition(
    handles: Iterator[BlockHandle],
    num_blocks: int,
    run_stage: Callable[[Stage, Sequence[Unit]], Iterator[BlockHandle]],
) -> Iterator[BlockHandle]:
    """The same rows in *num_blocks* blocks whose sizes differ by one row at most.

    Rows that lie in one block already are only referred to; *run_stage* puts the others together.
    """
    given = list(handles)
    if not given:
        return
    units = [
        Unit(tuple(pieces)) for pieces in divide(given, equal_bounds(_rows(given), num_blocks))
    ]
    mixed = [unit for unit in units if len(unit.pieces) > 1]
    made = run_stage(Stage((_ConcatBlocks(),), divides=False), mixed) if mixed else iter(())
    for unit in units:
        piece = unit.pieces[0]
        yield piece if len(unit.pieces) == 1 and isinstance(piece, BlockHandle) else next(made)


def divide(handles: Sequence[BlockHandle], bounds: Sequence[int]) -> list[list[BlockHandle]]:
    """Ranges of rows ``bounds[i] <= row < bounds[i + 1]`` as handles to parts of blocks.

    Every range has at least one handle, if only one without rows, so that it knows its schema.

    Args:
        bounds: ascending, from 0 to the number of rows.
    """
    starts = list(itertools.accumulate((handle.num_rows for handle in handles), initial=0))
    ranges: list[list[BlockHandle]] = []
    for first, last in itertools.pairwise(bounds):
        pieces = [
            handle.slice(max(first - start, 0), last - start)
            for handle, start in zip(handles, starts, strict=False)
            if start < last and start + handle.num_rows > first
        ]
        ranges.append(pieces or [handle.slice(0, 0) for handle in handles[:1]])
    return ranges


def equal_bounds(rows: int, parts: int) -> list[int]:
    """Bounds that divide *rows* into *parts* ranges whose sizes differ by one at most."""
    return [rows * index // parts for index in range(parts + 1)]


def shuffle_here(handles: list[BlockHandle], seed: int, parts: int) -> Iterator[BlockHandle]:
    """All rows in an order that only the seed and their number decide, in this process.

    Args:
        handles: emptied, so that no row is kept twice.
        parts: blocks of the result.
    """
    rows = _rows(handles)
    whole = concat([handle.get() for handle in handles])
    handles.clear()
    shuffled = accessor(whole).take(np.argsort(_destinations(rows, seed)))
    del whole
    for first, last in itertools.pairwise(equal_bounds(rows, parts)):
        yield BlockHandle.of_block(accessor(shuffled).slice(first, last), _source(seed))


def shuffle_on_tasks(handles: list[BlockHandle], seed: int, parts: int) -> Iterator[BlockHandle]:
    """The same result as :func:`shuffle_here`, by tasks that scatter blocks and gather pieces.

    A block is let go when its pieces are there, and pieces when they are gathered, so that the
    data is in the store once, save for what is being worked on and the gaps that pieces leave.
    """
    edges = equal_bounds(_rows(handles), parts)
    gather = remote(_gather).options(num_returns=2, name="data: random_shuffle, gather")
    scattered = _scattered(handles, _destinations(edges[-1], seed), edges)
    gathered = deque(
        gather.remote(_source(seed), *pieces) for pieces in zip(*scattered, strict=True)
    )
    scattered.clear()
    while gathered:
        yield _described(*gathered.popleft())


def _scattered(
    handles: list[BlockHandle], destinations: np.ndarray, edges: list[int]
) -> list[list[Any]]:
    """For each block that has rows references to what goes to each part."""
    parts = len(edges) - 1
    scatter = remote(_scatter).options(num_returns=parts, name="data: random_shuffle, scatter")
    scattered = []
    start = 0
    remaining = deque(handles)
    handles.clear()
    while remaining:
        handle = remaining.popleft()
        end = start + handle.num_rows
        if end > start:
            pieces = scatter.remote(
                handle.ref(), handle.offset, handle.num_rows, destinations[start:end], edges
            )
            scattered.append(pieces if parts > 1 else [pieces])
        start = end
    return scattered


def _described(metadata: Any, block: Any) -> BlockHandle:
    return BlockHandle.of_ref(block, get_executor().get([metadata], None)[0])


def _scatter(
    block: Block, offset: int | None, num_rows: int, destinations: np.ndarray, edges: list[int]
) -> Any:
    """The rows that go to each part, each with where in it they go, in that order."""
    order = np.argsort(destinations)
    targets = destinations[order]
    rows = accessor(accessor(cut(block, offset, num_rows)).take(order))
    bounds = np.searchsorted(targets, edges).tolist()
    pieces = []
    for part, (first, last) in enumerate(itertools.pairwise(bounds)):
        places = targets[first:last] - edges[part]
        narrow = np.min_scalar_type(edges[part + 1] - edges[part])
        pieces.append((compact(rows.slice(first, last)), places.astype(narrow)))
    return pieces if len(pieces) > 1 else pieces[0]


def _gather(source: str, *pieces: tuple[Block, np.ndarray]) -> tuple[BlockMetadata, Block]:
    order = np.argsort(np.concatenate([places for _, places in pieces]))
    blocks = [cut(block, None, len(places)) for block, places in pieces]
    block = accessor(concat(blocks)).take(order)
    return accessor(block).metadata(source), block


def _destinations(rows: int, seed: int) -> np.ndarray:
    """Where each row goes."""
    return np.random.default_rng(seed).permutation(rows)


def _rows(handles: Sequence[BlockHandle]) -> int:
    return sum(handle.num_rows for handle in handles)


def _source(seed: int) -> str:
    return f"random_shuffle(seed={seed})"
