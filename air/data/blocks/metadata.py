"""What is known of a block without looking at it; it travels where the block itself does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from air.data.blocks.origins import Runs

if TYPE_CHECKING:
    from air.data.blocks.block import Block, Schema


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rows that an operator has left out because its function failed for them.

    Attributes:
        key: which operator of the run it was.
        count: how many rows.
        first: what it said of the first one, and where that was.
        files: names of files with the rows, if they are kept.
    """

    key: int
    count: int
    first: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Sampled:
    """Some rows of a sorted run, the first one among them, by which it is divided.

    Attributes:
        keys: what they are sorted by.
        rows: which rows they are; ``None`` if they are evenly spread.
        before: bytes before each of them, and last of the whole run; ``None`` if all rows are of
            one size.
    """

    keys: Block
    rows: np.ndarray | range | None = None
    before: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class BlockMetadata:
    """What is known of a block, or of what a read will give, without looking at it.

    Attributes:
        num_rows: rows, or ``None`` if not known yet.
        size_bytes: bytes in memory, or an estimate; ``None`` if not known.
        schema: columns and types, or the class of plain objects; ``None`` if not known.
        source: where the rows come from, for messages: ``"data.csv"``, ``"rows 0-99 of ..."``.
        first_row: which row of ``source``, from 0, the first one is, if the rows are neighbours
            there; ``None`` otherwise, or if not known.
        runs: how many rows come from which places, if they are from several.
        rejected: what was left out since the block before, and has not been counted yet.
        bounds: where each part of a scattered block begins, and last its rows; ``None`` otherwise.
        samples: some rows of a sorted run; ``None`` otherwise.
        lineage: what it is made from, where that is kept track of; see
            :mod:`air.data.checkpointing.keepers`.
    """

    num_rows: int | None = None
    size_bytes: int | None = None
    schema: Schema | None = None
    source: str = ""
    first_row: int | None = None
    runs: Runs = ()
    rejected: tuple[Rejected, ...] = ()
    bounds: tuple[int, ...] | None = None
    samples: Sampled | None = None
    lineage: str = ""
