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


class HeldRows:
    """The rows of one side by their keys.

    Args:
        codes: for each row the number of its key.
        keys: how many keys there are.
        rows: what the rows are called that these are, if not by their places.

    Attributes:
        counts: how many rows each key has.
        order: the rows of one key after the other, each in their order.
        begin: for each key where in it its rows begin.
    """

    def __init__(self, codes: np.ndarray, keys: int, rows: np.ndarray | None = None) -> None:
        self.keys = keys
        self.counts = np.bincount(codes, minlength=keys)
        order = sorted_order(codes)
        self.order = order if rows is None else rows[order]
        self.begin = np.cumsum(self.counts) - self.counts


class Matches:
    """All pairs of rows with equal keys: for each row of one side in order, those of the other.

    Pairs are made a few at a time, because there may be as many as the product of both sides.

    Args:
        stream: for each row of one side the number of its key.
        held: the rows of the other.
        keep: rows of *stream* without any match come out as well.
        keep_held: rows of *held* without any match too; all come out by the number of their key.
    """

    def __init__(
        self, stream: np.ndarray, held: HeldRows, *, keep: bool = False, keep_held: bool = False
    ) -> None:
        self._row: np.ndarray | None = None
        if keep_held:
            # Where nobody is there to be matched, there stands nobody.
            here = np.bincount(stream, minlength=held.keys)
            alone = np.flatnonzero((here == 0) & (held.counts > 0))
            codes = np.concatenate([stream, alone])
            row = np.concatenate([np.arange(len(stream)), np.full(len(alone), -1)])
            order = sorted_order(codes)
            stream, self._row = codes[order], row[order]
        self._order = held.order
        self._begin = held.begin[stream]
        self.found = held.counts[stream]
        """How many matches each row of the stream has."""
        self._width = np.maximum(self.found, 1) if keep or keep_held else self.found
        self._single: np.ndarray | None = None
        if self._width.max(initial=0) <= 1:
            # No row comes out twice.
            is_all = self._width.all()
            self._single = np.arange(len(stream)) if is_all else np.flatnonzero(self._width)
            self._end = np.zeros(0, np.int64)
        else:
            self._end = np.cumsum(self._width)

    def __len__(self) -> int:
        if self._single is not None:
            return len(self._single)
        return int(self._end[-1]) if len(self._end) else 0

    def some(self, at_a_time: int) -> Iterator[Pairs]:
        """All pairs, so many at a time; once none if there is none."""
        for begin in range(0, max(len(self), 1), at_a_time):
            yield self._between(begin, min(begin + at_a_time, len(self)))

    def _between(self, begin: int, end: int) -> Pairs:
        if begin == end:
            return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
        if self._single is not None:
            row = self._single[begin:end]
            place = self._begin[row]
        else:
            first = int(np.searchsorted(self._end, begin, side="right"))
            last = int(np.searchsorted(self._end, end, side="left")) + 1
            width = self._width[first:last].copy()
            before = self._end[first:last] - width
            row = np.repeat(np.arange(first, last), self._cut(width, before, begin, end))
            place = self._begin[row] + np.arange(begin, end) - (self._end[row] - self._width[row])
        is_there = self.found[row] > 0
        if is_there.all():
            held = self._order[place]
        else:
            held = np.full(len(row), -1)
            held[is_there] = self._order[place[is_there]]
        return Pairs(row if self._row is None else self._row[row], held)

    @staticmethod
    def _cut(width: np.ndarray, before: np.ndarray, begin: int, end: int) -> np.ndarray:
        """How many pairs of each row lie between two numbers of pairs."""
        return np.minimum(before + width, end) - np.maximum(before, begin)
