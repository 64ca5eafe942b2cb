"""Which rows go together, computed on whole columns of numbers; nothing here knows of blocks."""

from __future__ import annotations

from collections.abc import Sequence
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
    if len(edges) == 2:
        return order_of_parts(np.zeros(len(places), np.int64), 1)
    return order_of_parts(np.searchsorted(edges, places, side="right") - 1, len(edges) - 1)


def order_of_parts(part: np.ndarray, parts: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """The same for rows of which it is known to which of *parts* parts each goes."""
    if parts == 1:
        return np.arange(len(part)), (0, len(part))
    # Numpy sorts numbers of up to 16 bits by their digits, which is several times as fast.
    order = np.argsort(part.astype(np.min_scalar_type(parts)), kind="stable")
    counts = np.bincount(part.astype(np.int64, copy=False), minlength=parts)
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


Slices = np.ndarray
"""A row for each slice of a run: which run, from which of its rows on, and up to which."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of runs that are sorted together.

    Attributes:
        slices: of the runs that have rows near the part.
        first: run and row of the first row of the part; ``None`` if nothing comes before it.
        last: run and row of the first row behind the part; ``None`` if nothing does.
    """

    slices: Slices
    first: tuple[int, int] | None
    last: tuple[int, int] | None

    @property
    def ends(self) -> tuple[int | None, int | None]:
        """Where *first* and *last* are among the rows of all slices, one behind the other."""
        return self._place(self.first), self._place(self.last)

    def _place(self, wanted: tuple[int, int] | None) -> int | None:
        if wanted is None:
            return None
        before = 0
        for run, begin, end in self.slices.tolist():
            if run == wanted[0]:
                return before + wanted[1] - begin
            before += end - begin
        raise AssertionError(f"run {wanted[0]} has no rows in the part that it delimits")


@dataclass(frozen=True, slots=True)
class KeyPart:
    """A part of sorted runs that holds all rows of its keys.

    Attributes:
        slices: of the runs that may have such rows; there may be rows of the keys before and
            behind as well.
        first: the number of a sample with the smallest key; ``None`` if nothing comes before it.
        last: the number of a sample with the first key behind; ``None`` if there is none.
        is_after: the key of *first* is not in the part, what comes behind it is.
        is_one_key: the key of *last* is in the part, and all that there is.
        sampled: of such a part, the runs that have a sample with its key.
    """

    slices: Slices
    first: int | None
    last: int | None
    is_after: bool = False
    is_one_key: bool = False
    sampled: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Spread:
    """Sorted runs, as far as one knows them to divide them.

    Attributes:
        sizes: rows of each run.
        rows: for each run the rows that are samples, the first one among them.
        before: for each run the bytes before each sample, and last of all its rows; or only the
            latter, where all its rows are of one size.
    """

    sizes: Sequence[int]
    rows: Sequence[np.ndarray | range]
    before: Sequence[np.ndarray | int]

    def bytes_of(self, run: int, begin: int, end: int) -> int:
        """Bytes of rows ``begin <= row < end`` of a run, exact where these are samples."""
        before = self.before[run]
        if isinstance(before, int):
            return before * (end - begin) // max(self.sizes[run], 1)
        places = np.append(self.rows[run], self.sizes[run])
        first, last = np.interp([begin, end], places, before)
        return round(last - first)

    def weights(self) -> np.ndarray:
        """For each sample, run after run, the bytes from it up to the next of its run."""
        return np.concatenate([self._weights_of(run) for run in range(len(self.sizes))])

    def _weights_of(self, run: int) -> np.ndarray:
        before = self.before[run]
        if isinstance(before, int):
            size = self.sizes[run]
            before = np.append(self.rows[run], size) * before // max(size, 1)
        return np.diff(before)


def cuts(runs: Spread, order: np.ndarray, parts: int) -> list[Cut]:
    """How to divide sorted runs into *parts* of about as many bytes, or fewer if there is less.

    The parts begin at samples; which rows of a run come before one is known up to the gap between
    two of its own samples, so slices reach over the edges, and whoever sorts a part cuts it at its
    two rows.

    Args:
        order: what puts all samples, run after run, in order; equal ones stay in theirs.
    """
    samples = _Samples(runs, order)
    edges = samples.edges(parts)
    begins, ends = samples.places(edges)
    rows = [None, *map(samples.row, edges), None]
    for edge, row in enumerate(rows[1:-1]):
        # The row that ends a part goes along, to be found.
        assert row is not None
        ends[edge, row[0]] += ends[edge, row[0]] == row[1]
    return [Cut(_slices(begins[at], ends[at]), rows[at], rows[at + 1]) for at in range(len(ends))]


def key_parts(
    runs: Spread, order: np.ndarray, is_new: np.ndarray, parts: int, *, apart: bool = False
) -> list[KeyPart]:
    """How to divide sorted runs into about *parts*, none of which shares a key with another.

    A key with very many rows gets a part of its own, so there may be up to twice as many.

    Args:
        order: as for :func:`cuts`.
        is_new: for each sample in order, whether its key is another than that of the one before.
        apart: with nothing else in it, not even keys of which there is no sample: these are in
            one more part.
    """
    samples = _Samples(runs, order)
    key_begins = np.flatnonzero(is_new)
    edges: set[int] = set()
    heavy: dict[int, int] = {}
    for edge in samples.edges(parts):
        # To the first sample with the key, and if that is far away, also to that behind it.
        which = int(np.searchsorted(key_begins, edge, side="right")) - 1
        begin, *after = key_begins[which : which + 2].tolist()
        edges.add(begin)
        if begin != edge:
            edges.update(after)
            heavy[begin] = after[0] if after else len(order)
    between = [0, *sorted(edges - {0}), len(order)]
    begins, ends = samples.places(between[1:])
    numbers = [None, *(int(order[edge]) for edge in between[1:-1]), None]
    found = []
    for at, edge in enumerate(between[:-1]):
        first, last, slices = numbers[at], numbers[at + 1], _slices(begins[at], ends[at])
        if not apart or edge not in heavy:
            found.append(KeyPart(slices, first, last))
            continue
        own, sampled = int(order[edge]), samples.runs_of(edge, heavy[edge])
        found.append(KeyPart(slices, first, own, is_one_key=True, sampled=sampled))
        # Behind the last sample with the key, up to the first with another.
        slices = _slices(begins[at + 1], ends[at])
        found.append(KeyPart(slices, own, last, is_after=True))
    return found


def _slices(begins: np.ndarray, ends: np.ndarray) -> Slices:
    """The slices of runs that have rows, from where they begin and end in all of them."""
    (chosen,) = np.nonzero(begins < ends)
    return np.column_stack([chosen, begins[chosen], ends[chosen]])


class _Samples:
    """Samples of sorted runs in order, and what is known from them about where rows are.

    There may be very many of them, so nothing is kept for each but two numbers.
    """

    def __init__(self, runs: Spread, order: np.ndarray) -> None:
        self._runs, self._order = runs, order.astype(np.int32)
        counts = [len(rows) for rows in runs.rows]
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self._position = np.empty(len(order), np.int32)
        self._position[self._order] = np.arange(len(order), dtype=np.int32)

    def edges(self, parts: int) -> list[int]:
        """Samples between *parts* of about as many bytes, by their places in order."""
        if not len(self._order):
            return []
        weight = self._runs.weights()[self._order]
        upto = np.cumsum(weight, out=weight)
        total = int(upto[-1])
        wanted = [total * index // parts for index in range(1, parts)]
        # The first sample before which there is so much.
        found = {int(edge) + 1 for edge in np.searchsorted(upto[:-1], [w for w in wanted if w])}
        return sorted(found - {len(self._order)})

    def row(self, edge: int) -> tuple[int, int]:
        """The run and the row of a sample."""
        number = int(self._order[edge])
        run = int(np.searchsorted(self._starts, number, side="right")) - 1
        return run, int(self._runs.rows[run][number - int(self._starts[run])])

    def runs_of(self, begin: int, end: int) -> tuple[int, ...]:
        """The runs of the samples from one place in order up to another."""
        runs = np.searchsorted(self._starts, self._order[begin:end], side="right") - 1
        return tuple(np.unique(runs).tolist())

    def places(self, edges: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Where in each run the rows may be that are between two samples, one edge to the next.

        Those are not before the first sample, itself among them, but before the second; nothing is
        before all edges or behind them.

        Returns:
            For each of ``len(edges) + 1`` ranges a row: where it begins in each run, and where it
            ends.
        """
        shape = len(edges) + 1, len(self._runs.sizes)
        begins, ends = np.zeros(shape, np.int64), np.empty(shape, np.int64)
        for run, (size, rows) in enumerate(zip(self._runs.sizes, self._runs.rows, strict=True)):
            own = self._position[self._starts[run] : self._starts[run + 1]]
            earlier = np.searchsorted(own, edges)
            places = np.append(rows, size)
            begins[1:, run] = np.where(earlier > 0, places[earlier - 1] + 1, 0)
            ends[:-1, run] = places[earlier]
            ends[-1, run] = size
        return begins, ends
