"""What waits between scatter and gather: blocks in the store, or files where these are too many."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from air.data.blocks.handle import BlockHandle
from air.data.datasource import ReadTask
from air.data.execution.exchange.sections import Section, SpillDirectory

Piece = ReadTask | BlockHandle


@dataclass(frozen=True, slots=True)
class Rows:
    """A block, of which any range of rows can be had."""

    held: BlockHandle | tuple[Section, ...]
    num_rows: int

    @property
    def size_bytes(self) -> int:
        """Bytes in memory, once it is there."""
        return _size_of(self.held)

    def slice(self, start: int, stop: int, size_bytes: int | None = None) -> list[Piece]:
        """Rows ``start <= i < stop`` as pieces of a unit, at least one.

        Args:
            size_bytes: of these rows, where it is known: not all rows may be of one size.
        """
        if isinstance(self.held, BlockHandle):
            return [self.held.slice(start, stop, size_bytes)]
        found: list[Piece] = []
        before = 0
        for section in self.held:
            first, last = max(start - before, 0), min(stop - before, section.num_rows)
            if first < last:
                known = size_bytes if len(self.held) == 1 else None
                found.append(section.slice(first, last, known).task())
            before += section.num_rows
        return found or [self.held[0].slice(0, 0).task()]


@dataclass(frozen=True, slots=True)
class Parts:
    """Scattered rows, of which each part can be had."""

    held: BlockHandle | tuple[Section, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes in memory, once it is there."""
        return _size_of(self.held)

    def part(self, number: int) -> Piece:
        """The rows of one part."""
        if isinstance(self.held, BlockHandle):
            bounds = self.held.metadata.bounds
            assert bounds is not None
            return self.held.slice(bounds[number], bounds[number + 1])
        return self.held[number].task()


def wait_as_rows(
    handles: Iterable[BlockHandle], budget: int | None, files: SpillDirectory
) -> list[Rows]:
    """All *handles*, the later ones in files where there are more than *budget* bytes of them.

    Args:
        budget: what other exchanges hold that are under way counts as well; ``None`` keeps all in
            the store.
    """
    found = []
    held = 0
    for handle in handles:
        held += handle.size_bytes
        if budget is None or held <= files.room(budget) or not handle.num_rows:
            found.append(Rows(handle, handle.num_rows))
            files.held_bytes += handle.size_bytes
        else:
            found.append(Rows(tuple(files.write_block(handle)), handle.num_rows))
    return found


def wait_as_parts(
    handles: Iterable[BlockHandle], budget: int | None, files: SpillDirectory
) -> list[Parts]:
    """The same for scattered blocks; neighbours go to one file, whose sections hold both."""
    found: list[Parts] = []
    waiting: list[BlockHandle] = []
    held = 0
    for handle in handles:
        waiting.append(handle)
        held += handle.size_bytes
        if budget is not None and held > files.room(budget):
            found.append(Parts(tuple(files.write_parts(waiting))))
            waiting, held = [], 0
    files.held_bytes += held
    return [*found, *map(Parts, waiting)]


def _size_of(held: BlockHandle | tuple[Section, ...]) -> int:
    if isinstance(held, BlockHandle):
        return held.size_bytes
    return sum(section.metadata.size_bytes or 0 for section in held)


def ranges(rows: Sequence[Rows], edges: Sequence[int]) -> list[list[Piece]]:
    """Rows ``edges[i] <= row < edges[i + 1]`` of all as pieces.

    Every range has at least one piece, if only one without rows, so that it knows its schema.
    """
    starts = [0]
    for one in rows:
        starts.append(starts[-1] + one.num_rows)
    found = []
    for first, last in itertools.pairwise(edges):
        pieces = [
            piece
            for one, start in zip(rows, starts, strict=False)
            if start < last and start + one.num_rows > first
            for piece in one.slice(max(first - start, 0), min(last - start, one.num_rows))
        ]
        found.append(pieces or rows[0].slice(0, 0))
    return found
