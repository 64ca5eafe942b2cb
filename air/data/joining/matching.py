"""Which rows of two sides go together, computed on numbers that stand for their keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from air.data.execution.exchange.partitioners import sorted_order


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows of two sides that go together; -1 where there is none."""

    stream: np.ndarray
    held: np.ndarray


class Matches:
    """All pairs of rows with equal keys: for each row of one side in order, those of the other.

    Pairs are made a few at a time, because there may be as many as the product of both sides.

    Args:
        stream, held: for each row of either side the number of its key.
        keys: how many keys there are.
        keep: rows of *stream* without any match come out as well.
        keep_held: rows of *held* without any match too; all come out by the number of their key.
    """

    def __init__(
        self,
        stream: np.ndarray,
        held: np.ndarray,
        keys: int,
        *,
        keep: bool = False,
        keep_held: bool = False,
    ) -> None:
        self._row: np.ndarray | None = None
        if keep_held:
            # Where nobody is there to be matched, there stands nobody.
            here, there = (np.bincount(codes, minlength=keys) for codes in (stream, held))
            alone = np.flatnonzero((here == 0) & (there > 0))
            codes = np.concatenate([stream, alone])
            row = np.concatenate([np.arange(len(stream)), np.full(len(alone), -1)])
            order = sorted_order(codes)
            stream, self._row = codes[order], row[order]
        self._order = sorted_order(held)
        counts = np.bincount(held, minlength=keys)
        self._begin = (np.cumsum(counts) - counts)[stream]
        self.found = counts[stream]
        """How many matches each row of the stream has."""
        self._width = np.maximum(self.found, 1) if keep or keep_held else self.found
        self._end = np.cumsum(self._width)

    def __len__(self) -> int:
        return int(self._end[-1]) if len(self._end) else 0

    def some(self, at_a_time: int) -> Iterator[Pairs]:
        """All pairs, so many at a time; once none if there is none."""
        for begin in range(0, max(len(self), 1), at_a_time):
            yield self._between(begin, min(begin + at_a_time, len(self)))

    def _between(self, begin: int, end: int) -> Pairs:
        if begin == end:
            return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
        first = int(np.searchsorted(self._end, begin, side="right"))
        last = int(np.searchsorted(self._end, end, side="left")) + 1
        width = self._width[first:last].copy()
        before = self._end[first:last] - width
        row = np.repeat(np.arange(first, last), self._cut(width, before, begin, end))
        within = np.arange(begin, end) - (self._end[row] - self._width[row])
        is_there = self.found[row] > 0
        held = np.full(len(row), -1)
        held[is_there] = self._order[(self._begin[row] + within)[is_there]]
        return Pairs(row if self._row is None else self._row[row], held)

    @staticmethod
    def _cut(width: np.ndarray, before: np.ndarray, begin: int, end: int) -> np.ndarray:
        """How many pairs of each row lie between two numbers of pairs."""
        return np.minimum(before + width, end) - np.maximum(before, begin)
