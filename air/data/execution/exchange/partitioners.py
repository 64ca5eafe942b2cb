"""Which rows go together, computed on whole columns of numbers; nothing here knows of blocks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


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


def sorted_order(numbers: np.ndarray) -> np.ndarray:
    """What ``argsort(numbers, kind="stable")`` gives for whole numbers from 0 on."""
    bits = max(len(numbers) - 1, 1).bit_length()
    if not len(numbers) or int(numbers.max()).bit_length() + bits > 63:
        return np.argsort(numbers, kind="stable")
    # Sorting numbers is several times as fast as sorting positions by them.
    packed = (numbers.astype(np.int64) << bits) | np.arange(len(numbers))
    packed.sort()
    return packed & ((1 << bits) - 1)


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


def cuts(sizes: Sequence[int], steps: Sequence[int], order: np.ndarray, parts: int) -> list[Cut]:
    """How to divide sorted runs into *parts* of about equal size, or fewer if there is less.

    Every ``steps[i]``-th row of run ``i``, from its first on, is a sample. The parts begin at
    samples; which rows of a run come before one is known up to the gap between two of its own
    samples, so slices reach over the edges, and whoever sorts a part cuts it at its two rows.

    Args:
        sizes: rows of each run.
        order: what puts all samples, run after run, in order; equal ones stay in theirs.
    """
    counts = [-(-size // step) for size, step in zip(sizes, steps, strict=True)]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    run_of = np.repeat(np.arange(len(sizes)), counts)
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    # A sample stands for as many rows as there are to the next of its run.
    weight = np.asarray(steps, np.int64)[run_of][order]
    before = np.concatenate([[0], np.cumsum(weight)[:-1]]) if len(order) else np.zeros(0, np.int64)
    total = int(weight.sum())
    wanted = [total * index // parts for index in range(1, parts)]
    edges = sorted({int(edge) for edge in np.searchsorted(before, wanted)} - {0, len(order)})

    def row(edge: int | None) -> tuple[int, int] | None:
        if edge is None:
            return None
        run = int(run_of[order[edge]])
        return run, int(order[edge] - starts[run]) * steps[run]

    found = []
    ends: list[int | None] = [None, *edges, None]
    for first, last in itertools.pairwise(ends):
        slices = []
        for run, size in enumerate(sizes):
            own = position[starts[run] : starts[run + 1]]
            begin, end = 0, size
            if first is not None:
                earlier = int(np.searchsorted(own, first))
                begin = (earlier - 1) * steps[run] + 1 if earlier else 0
            if last is not None:
                later = int(np.searchsorted(own, last))
                # The row that ends the part goes along, to be found.
                end = min(later * steps[run] + (row(last) == (run, later * steps[run])), size)
            if begin < end:
                slices.append((run, begin, end))
        found.append(Cut(tuple(slices), row(first), row(last)))
    return found
