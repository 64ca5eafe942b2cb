"""Where the rows of a piece of work come from: which rows of which files."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass
from typing import TypeAlias

_MOST_RUNS = 1024
"""Blocks of rows from more places than this do not say where each is from."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where some neighbouring rows come from.

    Attributes:
        source: the file, or what else messages call it.
        first_row: which of its rows, from 0, the first of them is; ``None`` if not known.
    """

    source: str
    first_row: int | None = None

    def after(self, rows: int) -> Origin:
        """The origin of what comes *rows* rows later."""
        if self.first_row is None:
            return self
        return Origin(self.source, self.first_row + rows)


Runs: TypeAlias = tuple[tuple[int, Origin], ...]
"""How many rows come from where, in order."""


def cut_runs(runs: Runs, start: int, stop: int) -> Runs:
    """The runs of rows ``start <= i < stop`` of those of *runs*."""
    cut: list[tuple[int, Origin]] = []
    before = 0
    for rows, origin in runs:
        begin, end = max(start - before, 0), min(stop - before, rows)
        if begin < end:
            cut.append((end - begin, origin.after(begin)))
        before += rows
    return tuple(cut)


class Origins:
    """What is known of the rows that a stage has read so far, by their number in its input.

    Whoever reads notes each block before it is given on.
    """

    __slots__ = ("_runs", "_starts", "num_rows")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._runs: list[Origin] = []
        self.num_rows = 0

    def note(self, rows: int, origin: Origin) -> None:
        """The next *rows* rows come from there."""
        if not rows:
            return
        if not self._runs or self._runs[-1].after(self.num_rows - self._starts[-1]) != origin:
            self._starts.append(self.num_rows)
            self._runs.append(origin)
        self.num_rows += rows

    def note_all(self, runs: Runs) -> None:
        """So many rows come from each of these places in turn."""
        for rows, origin in runs:
            self.note(rows, origin)

    def at(self, row: int) -> Origin:
        """Where row number *row* comes from; it must have been noted."""
        run = self._run(row)
        return self._runs[run].after(row - self._starts[run])

    def runs(self, first: int, last: int) -> Runs:
        """Where rows *first* to *last* come from; nothing if not known, or of very many places."""
        if not 0 <= first <= last < self.num_rows:
            return ()
        begin, end = self._run(first), self._run(last)
        if end - begin >= _MOST_RUNS or all(
            o.first_row is None for o in self._runs[begin : end + 1]
        ):
            return ()
        starts = [first, *self._starts[begin + 1 : end + 1], last + 1]
        return tuple((b - a, self.at(a)) for a, b in itertools.pairwise(starts))

    def describe(self, first: int, last: int) -> str | None:
        """Rows *first* to *last* for messages; ``None`` if their places are not known."""
        if not 0 <= first <= last < self.num_rows:
            return None
        begin, end = self.at(first), self.at(last)
        if begin.first_row is None or end.first_row is None:
            return None
        if first == last:
            return f"row {begin.first_row} of {begin.source}"
        if self._run(first) == self._run(last):
            return f"rows {begin.first_row}-{end.first_row} of {begin.source}"
        return (
            f"rows from row {begin.first_row} of {begin.source} to row {end.first_row} of"
            f" {end.source}"
        )

    def _run(self, row: int) -> int:
        return bisect.bisect_right(self._starts, row) - 1
