"""Operators that bring all blocks together: every output may need rows of every input."""

from __future__ import annotations

import itertools
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


def shuffle_here(handles: Sequence[BlockHandle], seed: int) -> Iterator[BlockHandle]:
    """All rows in an order that only the seed and their number decide, in this process."""
    rows, parts = _rows(handles), _filled(handles)
    order = np.argsort(_destinations(rows, seed))
    shuffled = accessor(concat([handle.get() for handle in handles])).take(order)
    for first, last in itertools.pairwise(equal_bounds(rows, parts)):
        yield BlockHandle.of_block(accessor(shuffled).slice(first, last), _source(seed))


def shuffle_on_tasks(handles: Sequence[BlockHandle], seed: int) -> Iterator[BlockHandle]:
    """The same result as :func:`shuffle_here`, by tasks that scatter blocks and gather pieces."""
    rows, parts = _rows(handles), _filled(handles)
    edges = equal_bounds(rows, parts)
    destinations = _destinations(rows, seed)
    scatter = remote(_scatter).options(num_returns=parts, name="data: random_shuffle, scatter")
    gather = remote(_gather).options(num_returns=2, name="data: random_shuffle, gather")
    scattered: list[list[Any]] = []
    start = 0
    for handle in handles:
        end = start + handle.num_rows
        if end > start:
            pieces = scatter.remote(
                handle.ref(), handle.offset, handle.num_rows, destinations[start:end], edges
            )
            scattered.append(pieces if parts > 1 else [pieces])
        start = end
    gathered = [
        gather.remote(_source(seed), *(pieces[part] for pieces in scattered))
        for part in range(parts)
    ]
    scattered.clear()
    for metadata, block in gathered:
        yield BlockHandle.of_ref(block, get_executor().get([metadata], None)[0])


def _scatter(
    block: Block, offset: int | None, num_rows: int, destinations: np.ndarray, edges: list[int]
) -> Any:
    """The rows that go to each part, each with where they go, in that order."""
    order = np.argsort(destinations)
    targets = destinations[order]
    rows = accessor(accessor(cut(block, offset, num_rows)).take(order))
    bounds = np.searchsorted(targets, edges).tolist()
    pieces = [
        (compact(rows.slice(first, last)), targets[first:last])
        for first, last in itertools.pairwise(bounds)
    ]
    return pieces if len(pieces) > 1 else pieces[0]


def _gather(source: str, *pieces: tuple[Block, np.ndarray]) -> tuple[BlockMetadata, Block]:
    order = np.argsort(np.concatenate([targets for _, targets in pieces]))
    block = accessor(concat([block for block, _ in pieces])).take(order)
    return accessor(block).metadata(source), block


def _destinations(rows: int, seed: int) -> np.ndarray:
    """Where each row goes."""
    return np.random.default_rng(seed).permutation(rows)


def _rows(handles: Sequence[BlockHandle]) -> int:
    return sum(handle.num_rows for handle in handles)


def _filled(handles: Sequence[BlockHandle]) -> int:
    return max(sum(handle.num_rows > 0 for handle in handles), 1)


def _source(seed: int) -> str:
    return f"random_shuffle(seed={seed})"
