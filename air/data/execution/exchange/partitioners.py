"""Which rows go together, computed on whole columns of numbers; nothing here knows of blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_DIGIT_BITS = 16
MOST_OF_DIGITS = (1 << 2 * _DIGIT_BITS) - 1
"""Whole numbers from 0 to this one are sorted without comparing them."""


def equal_edges(rows: int, parts: int) -> list[int]:
    """Edges that divide *rows* into *parts* ranges whose sizes differ by one at most."""
    return [rows * index // parts for index in range(parts + 1)]


def by_part(places: np.ndarray, edges: Sequence[int]) -> tuple[np.ndarray, tuple[int, ...]]:
    """An order that puts together what goes to the same range, and where in it each begins.

    Within a range rows stay in their order.

    Args:
        places: where each row goes, ``edges[0] <= place < edges[-1]``.
    """
    parts = len(edges) - 1
    if parts == 1:
        return np.arange(len(places)), (0, len(places))
    # Numpy sorts numbers of up to 16 bits by their digits, which is several times as fast.
    part = np.searchsorted(edges, places, side="right") - 1
    order = np.argsort(part.astype(np.min_scalar_type(parts)), kind="stable")
    counts = np.bincount(part, minlength=parts)
    return order, (0, *np.cumsum(counts).tolist())


def ranks(numbers: np.ndarray) -> np.ndarray:
    """How many of *numbers*, of which no two are equal, are smaller than each."""
    result = np.empty(len(numbers), np.int64)
    result[sorted_order(numbers)] = np.arange(len(numbers))
    return result


def from_zero(numbers: np.ndarray, most: int) -> np.ndarray | None:
    """Whole numbers less the smallest of them, as int64; ``None`` if one were more than *most*."""
    if not len(numbers):
        return numbers.astype(np.int64)
    least = int(numbers.min())
    if int(numbers.max()) - least > most:
        return None
    if numbers.dtype.itemsize < 8:
        numbers = numbers.astype(np.int64)
    return (numbers - numbers.dtype.type(least)).astype(np.int64, copy=False)


def sorted_order(numbers: np.ndarray) -> np.ndarray:
    """What ``argsort(numbers, kind="stable")`` gives for whole numbers from 0 on."""
    most = int(numbers.max()) if len(numbers) else 0
    if most <= MOST_OF_DIGITS:
        return _order_of_digits(numbers, most)
    bits = max(len(numbers) - 1, 1).bit_length()
    if most.bit_length() + bits > 63:
        return np.argsort(numbers, kind="stable")
    # Sorting numbers is several times as fast as sorting positions by them.
    packed = (numbers.astype(np.int64) << bits) | np.arange(len(numbers))
    packed.sort()
    return packed & ((1 << bits) - 1)


def _order_of_digits(numbers: np.ndarray, most: int) -> np.ndarray:
    """The order of whole numbers up to *most* of two digits, the last digit first.

    Numbers of 16 bits are sorted by counting: that is ten times as fast as comparing them.
    """
    order = np.argsort(numbers.astype(np.uint16), kind="stable")
    if most >> _DIGIT_BITS:
        high = (numbers >> _DIGIT_BITS).astype(np.uint16)
        order = order[np.argsort(high[order], kind="stable")]
    return order


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of runs that are sorted together.

    Attributes:
        slices: for each run that has rows near the part, which run, and from where to where.
        first: run and row of the first row of the part; ``None`` if nothing comes before it.
        last: run and row of the first row behind the part; ``None`` if nothing does.
    """

    slices: tuple[tuple[int, int, int], ...]
    first: tuple[int, int] | None
    last: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class KeyPart:
    """A part of sorted runs that holds all rows of its keys.

    Attributes:
        slices: for each run that may have such rows, which run, and from where to where; there
            may be rows of the keys before and behind as well.
        first: the number of a sample with the smallest key; ``None`` if nothing comes before it.
        last: the number of a sample with the first key behind; ``None`` if there is none.
    """

    slices: tuple[tuple[int, int, int], ...]
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Sorted runs, as far as one knows them to divide them.

    Attributes:
        sizes: rows of each run.
        rows: for each run the rows that are samples, the first one among them.
        before: for each run the bytes before each sample, and last of all its rows.
    """

    sizes: Sequence[int]
    rows: Sequence[np.ndarray]
    before: Sequence[np.ndarray]

    def bytes_of(self, run: int, begin: int, end: int) -> int:
        """Bytes of rows ``begin <= row < end`` of a run, exact where these are samples."""
        places = np.append(self.rows[run], self.sizes[run])
        first, last = np.interp([begin, end], places, self.before[run])
        return round(last - first)


def cuts(runs: Spread, order: np.ndarray, parts: int) -> list[Cut]:
    """How to divide sorted runs into *parts* of about as many bytes, or fewer if there is less.

    The parts begin at samples; which rows of a run come before one is known up to the gap between
    two of its own samples, so slices reach over the edges, and whoever sorts a part cuts it at its
    two rows.

    Args:
        order: what puts all samples, run after run, in order; equal ones stay in theirs.
    """
    samples = _Samples(runs, order)

    def row(edge: int | None) -> tuple[int, int] | None:
        return None if edge is None else samples.row(edge)

    found = []
    ends: list[int | None] = [None, *samples.edges(parts), None]
    for first, last in itertools.pairwise(ends):
        ending = row(last)
        slices = [
            # The row that ends the part goes along, to be found.
            (run, begin, end + (ending == (run, end)))
            for run, begin, end in samples.between(first, last)
        ]
        slices = [one for one in slices if one[1] < one[2]]
        found.append(Cut(tuple(slices), row(first), ending))
    return found


def key_parts(runs: Spread, order: np.ndarray, is_new: np.ndarray, parts: int) -> list[KeyPart]:
    """How to divide sorted runs into about *parts*, none of which shares a key with another.

    A key with very many rows gets a part of its own, so there may be up to twice as many.

    Args:
        order: as for :func:`cuts`.
        is_new: for each sample in order, whether its key is another than that of the one before.
    """
    samples = _Samples(runs, order)
    begins = np.flatnonzero(is_new)
    edges: set[int] = set()
    for edge in samples.edges(parts):
        # To the first sample with the key, and if that is far away, also to that behind it.
        which = int(np.searchsorted(begins, edge, side="right")) - 1
        edges.add(int(begins[which]))
        if begins[which] != edge and which + 1 < len(begins):
            edges.add(int(begins[which + 1]))
    found = []
    ends: list[int | None] = [None, *sorted(edges - {0}), None]
    for first, last in itertools.pairwise(ends):
        slices = [one for one in samples.between(first, last) if one[1] < one[2]]
        numbers = [None if edge is None else int(order[edge]) for edge in (first, last)]
        found.append(KeyPart(tuple(slices), *numbers))
    return found


class _Samples:
    """Samples of sorted runs in order, and what is known from them about where rows are."""

    def __init__(self, runs: Spread, order: np.ndarray) -> None:
        self._runs, self._order = runs, order.astype(np.int64)
        counts = [len(rows) for rows in runs.rows]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._run_of = np.repeat(np.arange(len(counts)), counts)
        self._position = np.empty(len(order), np.int64)
        self._position[order] = np.arange(len(order))

    def edges(self, parts: int) -> list[int]:
        """Samples between *parts* of about as many bytes, by their places in order."""
        if not len(self._order):
            return []
        # A sample stands for all that is there up to the next of its run.
        weight = np.concatenate([np.diff(before) for before in self._runs.before])[self._order]
        before = np.concatenate([[0], np.cumsum(weight)[:-1]])
        total = int(weight.sum())
        wanted = [total * index // parts for index in range(1, parts)]
        found = {int(edge) for edge in np.searchsorted(before, wanted)}
        return sorted(found - {0, len(self._order)})

    def row(self, edge: int) -> tuple[int, int]:
        """The run and the row of a sample."""
        run = int(self._run_of[self._order[edge]])
        return run, int(self._runs.rows[run][self._order[edge] - self._starts[run]])

    def between(self, first: int | None, last: int | None) -> Iterator[tuple[int, int, int]]:
        """For each run, where the rows may be that are not before one sample but before another.

        The first is not before itself.
        """
        for run, (size, rows) in enumerate(zip(self._runs.sizes, self._runs.rows, strict=True)):
            own = self._position[self._starts[run] : self._starts[run + 1]]
            begin, end = 0, size
            if first is not None:
                earlier = int(np.searchsorted(own, first))
                begin = int(rows[earlier - 1]) + 1 if earlier else 0
            if last is not None:
                later = int(np.searchsorted(own, last))
                end = int(rows[later]) if later < len(rows) else size
            yield run, begin, end
