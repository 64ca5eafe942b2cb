"""Samples of sorted runs, which whoever divides these has of all of them at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from air.data.blocks.block import accessor
from air.data.blocks.metadata import Sampled

SAMPLES = 1024
"""Rows of a run, at most, that are looked at to divide it."""

FEWEST_SAMPLES = 64
"""With fewer of them than parts, each part would have to read far beyond its edges."""


def even_rows(rows: int) -> range:
    """Up to :data:`SAMPLES` of *rows* rows, evenly spread from the first on."""
    return range(0, rows, max(-(-rows // SAMPLES), 1))


class FewSamples:
    """The samples of runs, of all together no more than so many bytes of keys.

    Where there are more, every second one of each run is let go, of the runs that are there and
    of those to come, but not of such as have few.

    Args:
        most_bytes: ``None`` keeps all.
    """

    def __init__(self, most_bytes: int | None) -> None:
        self.found: list[Sampled] = []
        """For each run that was added what is left of its samples, with their rows."""
        self._most = most_bytes
        self._bytes = 0
        self._halved = 0

    def add(self, sampled: Sampled, num_rows: int) -> None:
        """Note the samples of the next run, which has so many rows."""
        rows = even_rows(num_rows) if sampled.rows is None else sampled.rows
        made = replace(sampled, rows=rows)
        for _ in range(self._halved):
            made = thinned(made)
        self.found.append(made)
        self._bytes += _size_of(made)
        while self._most is not None and self._bytes > self._most:
            self.found = [thinned(one) for one in self.found]
            self._halved += 1
            before, self._bytes = self._bytes, sum(map(_size_of, self.found))
            if self._bytes == before:
                self._most = None  # all have few


def thinned(sampled: Sampled) -> Sampled:
    """Every second sample, beginning with the first; all of them if they are few."""
    rows, before = sampled.rows, sampled.before
    assert rows is not None
    if len(rows) < 2 * FEWEST_SAMPLES:
        return sampled
    keys = accessor(sampled.keys).take(np.arange(0, len(rows), 2))
    if before is not None:
        before = np.append(before[:-1:2], before[-1])
    return Sampled(keys, rows[::2], before)


def _size_of(sampled: Sampled) -> int:
    return accessor(sampled.keys).size_bytes()
