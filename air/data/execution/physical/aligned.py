"""Computes the steps that need to know where rows stand, and nothing else of other blocks."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from air.data.blocks.block import Block, accessor
from air.data.blocks.handle import BlockHandle
from air.data.datasource import ReadTask
from air.data.errors import UnsupportedValue
from air.data.execution.exchange.sections import SpillDirectory
from air.data.execution.exchange.waiting import Piece, Rows, wait_as_rows
from air.data.execution.physical.exchanges import as_blocks, spills_beyond
from air.data.execution.run import Given, Run
from air.data.execution.stages import Stage, Unit
from air.data.plan import RandomizeBlockOrder, RandomSample, Zip, apart
from air.data.transforms import BlockFunction, Transform
from air.data.udf.functions import TaskContext


def random_sample(run: Run, node: RandomSample, _limit: int | None) -> Iterator[BlockHandle]:
    """The rows whose numbers the seed chooses."""

    def units() -> Iterator[Unit]:
        start = 0
        for handle in run.run(node.input):
            read = _Sampled(handle, start, node.seed, node.fraction)
            yield Unit((ReadTask(read, handle.metadata),))
            start += handle.num_rows

    return run.segment([Stage((_Done(node.name),))], Given(units(), None, None))


def randomize_block_order(
    run: Run, node: RandomizeBlockOrder, _limit: int | None
) -> Iterator[BlockHandle]:
    """The blocks in another order."""
    files = run.files()
    try:
        waiting = wait_as_rows(run.run(node.input), spills_beyond(run, node.input), files)
        order = np.random.default_rng(node.seed).permutation(len(waiting))
        units = [Unit(tuple(waiting[index].slice(0, waiting[index].num_rows))) for index in order]
        del waiting
        yield from as_blocks(run, units, node.name)
    finally:
        files.close()


def zipped(run: Run, node: Zip, _limit: int | None) -> Iterator[BlockHandle]:
    """The rows of the left side, block by block, with those of the right side beside them.

    The right side is made first: tasks of both at a time could wait for each other's CPUs.
    """
    files = run.files()
    try:
        yield from _zipped(run, node, files)
    finally:
        files.close()


def _zipped(run: Run, node: Zip, files: SpillDirectory) -> Iterator[BlockHandle]:
    right = wait_as_rows(run.run(node.right), spills_beyond(run, node.right), files)
    ends = list(itertools.accumulate(one.num_rows for one in right))
    available = ends[-1] if ends else 0

    def units() -> Iterator[Unit]:
        start = 0
        for handle in run.run(node.left):
            stop = start + handle.num_rows
            if stop > available:
                break
            beside = tuple(_rows(right, ends, start, stop))
            size = handle.size_bytes + sum(piece.metadata.size_bytes or 0 for piece in beside)
            metadata = replace(handle.metadata, size_bytes=size)
            yield Unit((ReadTask(_Zipped(handle, beside), metadata),))
            start = stop
        else:
            if start == available:
                return
            stop = start
        sign = "at least " if stop > available else ""
        raise UnsupportedValue(
            f"zip needs as many rows on both sides, got {sign}{stop} and {available}"
        )

    return run.segment([Stage((_Done(node.name),))], Given(units(), None, None))


def _rows(right: Sequence[Rows], ends: Sequence[int], start: int, stop: int) -> Iterator[Piece]:
    """Rows ``start <= i < stop`` of all of *right*; a piece without rows if there are none.

    Args:
        ends: how many rows there are up to each of *right* and with it.
    """
    if start == stop:
        yield from itertools.chain.from_iterable(one.slice(0, 0) for one in right[:1])
    index = bisect.bisect_right(ends, start)
    while start < stop:
        one = right[index]
        before = ends[index] - one.num_rows
        if one.num_rows:
            yield from one.slice(start - before, min(stop, ends[index]) - before)
        start = ends[index]
        index += 1


@dataclass(frozen=True, slots=True)
class _Sampled:
    """The rows of a block that a sample has, of which *start* stand before it."""

    handle: BlockHandle
    start: int
    seed: int
    fraction: float

    def __call__(self) -> list[Block]:
        # One number a row, whatever the block: the generator can be set to any position.
        numbers = np.random.PCG64(self.seed).advance(self.start)
        drawn = np.random.Generator(numbers).random(self.handle.num_rows)
        return [accessor(self.handle.get()).filter(drawn < self.fraction)]


@dataclass(frozen=True, slots=True)
class _Zipped:
    """A block with the same rows of others beside it."""

    left: BlockHandle
    right: tuple[Piece, ...]

    def __call__(self) -> Iterator[Block]:
        left = self.left.get()
        begin = 0
        for right in Unit(self.right).blocks():
            yield _beside(accessor(left).slice(begin, begin + len(right)), right)
            begin += len(right)


def _beside(left: Block, right: Block) -> Block:
    if isinstance(left, list) and isinstance(right, list):
        return list(zip(left, right, strict=True))
    if isinstance(left, list) or isinstance(right, list):
        if not len(left):  # a list without objects may be of records as well
            return right if isinstance(left, list) else left
        raise UnsupportedValue(
            "zip: one side has records and the other plain objects: make records of these first:"
            ' .map(lambda x: {"value": x})'
        )
    names = apart(right.column_names, left.column_names)
    for name, column in zip(names, right.columns, strict=True):
        left = left.append_column(name, column)
    return left


@dataclass(frozen=True)
class _Done(Transform):
    """Passes on what reading has made already, under the name of the step."""

    label: str

    @property
    def name(self) -> str:
        return self.label

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            return blocks

        return run
