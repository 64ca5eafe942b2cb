"""Operators that work on each block by itself, put together in one loop.

A generator for each of several hundred operators, one within the other, would be deeper than
Python lets functions call one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from air.data.blocks.block import Block
from air.data.udf.functions import TaskContext

BlockStep: TypeAlias = Callable[[Block, int, TaskContext], Iterable[Block]]
"""What comes of one block; it is told how many rows there were before it in the piece of work."""


@dataclass(frozen=True, slots=True)
class EachBlock:
    """A function of streams that keeps nothing from one block to the next."""

    step: BlockStep

    def __call__(self, blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
        return through([(self.step, context)], blocks)


def through(
    steps: Sequence[tuple[BlockStep, TaskContext]], blocks: Iterator[Block]
) -> Iterator[Block]:
    """What comes of *blocks* when each goes through all *steps*, in order.

    A step is given a block when all that came of the one before is out at the other end.
    """
    return _through(steps, blocks) if steps else blocks


def _through(
    steps: Sequence[tuple[BlockStep, TaskContext]], blocks: Iterator[Block]
) -> Iterator[Block]:
    given = [0] * len(steps)  # rows, by step
    under_way = [blocks]  # what goes into each step that has begun, and comes out of the last
    while under_way:
        block = next(under_way[-1], None)
        position = len(under_way) - 1
        if block is None:
            under_way.pop()
        elif position == len(steps):
            yield block
        else:
            step, context = steps[position]
            under_way.append(iter(step(block, given[position], context)))
            given[position] += len(block)
        del block  # others may be done with it before there is another
