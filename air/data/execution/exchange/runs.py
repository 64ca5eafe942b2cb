"""Sorted runs that wait until all are there, with samples of each to divide them by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from air.data.blocks.block import Block
from air.data.blocks.handle import BlockHandle
from air.data.blocks.metadata import Sampled
from air.data.blocks.schemas import unify
from air.data.execution.exchange.packing import concat_packed, unpacked, unpacked_schema
from air.data.execution.exchange.partitioners import Slices, Spread
from air.data.execution.exchange.samples import FewSamples, even_rows
from air.data.execution.exchange.sections import SpillDirectory
from air.data.execution.exchange.waiting import Piece, Rows, wait_as_rows
from air.data.execution.stages import Unit

_SAMPLES_SHARE = 4
"""Keys of samples take no more than such a share of what blocks may take that wait."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Sorted runs.

    Attributes:
        filled: those that have rows.
        samples: some rows of each of these.
        empty: one without rows, for its schema, if there are no others.
    """

    filled: list[Rows]
    samples: list[Sampled]
    empty: list[BlockHandle]

    @property
    def keys(self) -> list[Block]:
        """The keys of the samples, for each run."""
        return [sample.keys for sample in self.samples]

    @property
    def spread(self) -> Spread:
        """How large they are, and where."""
        rows: list[np.ndarray | range] = []
        before: list[np.ndarray | int] = []
        for one, sample in zip(self.filled, self.samples, strict=True):
            rows.append(even_rows(one.num_rows) if sample.rows is None else sample.rows)
            before.append(one.size_bytes if sample.before is None else sample.before)
        return Spread([one.num_rows for one in self.filled], rows, before)

    @property
    def size_bytes(self) -> int:
        """Bytes in memory of all rows, once they are there."""
        return sum(one.size_bytes for one in self.filled)

    def pieces(self, slices: Slices, spread: Spread) -> Iterator[Piece]:
        """Rows of some runs as pieces of a unit."""
        for which, begin, end in slices.tolist():
            size = spread.bytes_of(which, begin, end)
            yield from self.filled[which].slice(begin, end, size)

    def whole(self) -> pa.Table:
        """All rows as one table, run after run."""
        pieces = (piece for one in self.filled for piece in one.slice(0, one.num_rows))
        table = unpacked(concat_packed(list(Unit(tuple(pieces)).blocks())))
        assert isinstance(table, pa.Table)
        return table


class Schemas:
    """Notes the schemas of blocks that pass."""

    def __init__(self) -> None:
        self.found: list[pa.Schema] = []
        """Those of tables."""

    def of(self, handles: Iterable[BlockHandle]) -> Iterator[BlockHandle]:
        """The same blocks."""
        for handle in handles:
            if isinstance(handle.metadata.schema, pa.Schema):
                self.found.append(unpacked_schema(handle.metadata.schema))
            yield handle

    def common(self) -> pa.Schema:
        """The schema that all of these can be brought to, of which there must be one."""
        return unify(self.found)


def wait_as_runs(handles: Iterable[BlockHandle], budget: int | None, files: SpillDirectory) -> Runs:
    """All runs that :class:`SortRuns` gave; see :func:`wait_as_rows`.

    Samples do not take more than a share of the same memory.
    """
    samples = FewSamples(None if budget is None else budget // _SAMPLES_SHARE)

    def noted() -> Iterator[BlockHandle]:
        for handle in handles:
            assert handle.metadata.samples is not None  # runs tell them
            samples.add(handle.metadata.samples, handle.num_rows)
            yield handle

    rows = wait_as_rows(noted(), budget, files)
    both = [(one, own) for one, own in zip(rows, samples.found, strict=True) if one.num_rows]
    held = [one.held for one in rows[:1] if isinstance(one.held, BlockHandle)]
    return Runs([one for one, _ in both], [own for _, own in both], [] if both else held)
