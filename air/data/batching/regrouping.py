"""Rows of a stream of blocks, regrouped: in order, or shuffled within a buffer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from air.data.batching.returned import Returned
from air.data.blocks.block import Block, accessor, concat

JOINED_BYTES = 2 << 20
"""Blocks of this size are worth sending; smaller ones are put together."""

_MOST_JOINED_BYTES = 8 << 20
"""What it takes to send blocks of this size is little beside what is in them."""


def joined_bytes(block_bytes: int) -> int:
    """How large small blocks become by being put together where blocks may have *block_bytes*."""
    return min(max(block_bytes // 4, JOINED_BYTES), _MOST_JOINED_BYTES)


class RowQueue:
    """Blocks go in, any number of rows comes out at the other end, in order."""

    def __init__(self) -> None:
        self._blocks: deque[Block] = deque()
        self._offset = 0  # rows of the first block that are out already
        self.num_rows = 0

    def push(self, block: Block) -> None:
        """Add the rows of *block* behind all others."""
        if len(block):
            self._blocks.append(block)
            self.num_rows += len(block)

    def take(self, num_rows: int) -> Block:
        """Remove and return the first *num_rows* rows; there must be that many, at least one.

        Rows within one block are not copied.
        """
        parts: list[Block] = []
        missing = num_rows
        while missing:
            first = self._blocks[0]
            stop = min(len(first), self._offset + missing)
            if self._offset == 0 and stop == len(first):
                parts.append(first)
            else:
                parts.append(accessor(first).slice(self._offset, stop))
            missing -= stop - self._offset
            self._offset = stop
            if stop == len(first):
                self._blocks.popleft()
                self._offset = 0
        self.num_rows -= num_rows
        return parts[0] if len(parts) == 1 else concat(parts)


def rebatch(
    blocks: Iterable[Block], batch_size: int | None, *, drop_last: bool = False
) -> Iterator[Block]:
    """Blocks of exactly *batch_size* rows; the last one may be smaller, or is dropped.

    ``None`` passes every block that has rows on as it is.
    """
    if batch_size is None:
        yield from (block for block in blocks if len(block))
        return
    queue = RowQueue()
    for block in blocks:
        queue.push(block)
        while queue.num_rows >= batch_size:
            yield queue.take(batch_size)
    if queue.num_rows and not drop_last:
        yield queue.take(queue.num_rows)


def joined(
    blocks: Iterable[Block | Returned], target_bytes: int = JOINED_BYTES, *, at_once: bool = True
) -> Iterator[Block]:
    """The same rows, with small neighbouring blocks put together to about *target_bytes*.

    How rows are put together depends on their sizes alone. Before an error, what is there comes
    out.

    Args:
        at_once: begin small and grow: each block comes out when it is as large as all before it
            together, so that whoever waits for what a slow function gives waits twice as long
            as it took at most.
    """
    pending: list[Block | Returned] = []
    empty: Block | Returned | None = None
    size = given = 0
    try:
        for block in blocks:
            if not len(block):
                empty = block
                continue
            if pending and not _are_alike(pending[0], block):
                yield _one(pending)
                given += size
                pending, size = [], 0
            pending.append(block)
            size += _size_of(block)
            if size >= (min(given, target_bytes) if at_once else target_bytes):
                yield _one(pending)
                given += size
                pending, size = [], 0
    except Exception:
        if pending:
            yield _one(pending)
        raise
    if pending:
        yield _one(pending)
    elif empty is not None and not given:
        yield _one([empty])


def at_least(blocks: Iterable[Block], num_rows: int) -> Iterator[Block]:
    """The same rows, neighbouring blocks of a kind put together until each has *num_rows* rows.

    Before an error, what is there comes out.
    """
    pending: list[Block] = []
    rows = 0
    try:
        for block in blocks:
            if pending and not _are_alike(pending[0], block):
                yield _one(pending)
                pending, rows = [], 0
            pending.append(block)
            rows += len(block)
            if rows >= num_rows:
                yield pending[0] if len(pending) == 1 else _one(pending)
                pending, rows = [], 0
    except Exception:
        if pending:
            yield _one(pending)
        raise
    if pending:
        yield _one(pending)


def _size_of(block: Block | Returned) -> int:
    return block.size_bytes if isinstance(block, Returned) else accessor(block).size_bytes()


def _are_alike(one: Block | Returned, other: Block | Returned) -> bool:
    if isinstance(one, Returned) or isinstance(other, Returned):
        if not (isinstance(one, Returned) and isinstance(other, Returned)):
            return False
        return one.kinds == other.kinds
    if isinstance(one, list) or isinstance(other, list):
        return isinstance(one, list) and isinstance(other, list)
    return bool(one.schema.equals(other.schema))


def _one(blocks: list[Any]) -> Block:
    if isinstance(blocks[0], Returned):
        return type(blocks[0]).together(blocks)
    whole = concat(blocks)
    return whole if isinstance(whole, list) or len(blocks) == 1 else whole.combine_chunks()


def shuffled(
    blocks: Iterable[Block],
    batch_size: int,
    *,
    buffer_size: int,
    seed: int | None,
    drop_last: bool = False,
) -> Iterator[Block]:
    """Like :func:`rebatch`, with each row drawn from about *buffer_size* that are at hand.

    The buffer is filled to twice its size, shuffled whole and handed out down to its size, so
    each row is moved about twice. The order depends on the seed and the rows, never on how they
    are divided into blocks.
    """
    random = np.random.default_rng(seed)
    capacity = 2 * max(buffer_size, batch_size)
    buffer: Block | None = None
    held = 0
    for refill in rebatch(blocks, capacity // 2):
        buffer = refill if buffer is None or not held else concat([buffer, refill])
        held = len(buffer)
        if held < capacity:
            continue
        buffer = accessor(buffer).take(random.permutation(held))
        while held - batch_size >= buffer_size:
            yield accessor(buffer).slice(0, batch_size)
            buffer = accessor(buffer).slice(batch_size, held)
            held -= batch_size
    if buffer is not None and held:
        rest = accessor(buffer).take(random.permutation(held))
        yield from rebatch([rest], batch_size, drop_last=drop_last)


def first_rows(blocks: Iterable[Block], num_rows: int) -> Iterator[Block]:
    """Blocks up to and including row *num_rows*; no further block is asked for."""
    if num_rows <= 0:
        return
    for block in blocks:
        if len(block) >= num_rows:
            yield accessor(block).slice(0, num_rows)
            return
        num_rows -= len(block)
        yield block
