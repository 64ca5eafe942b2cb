"""What is told of a block that comes out of a stage, beside the block."""

from __future__ import annotations

from dataclasses import dataclass, replace

from air.data.blocks.block import Block, accessor
from air.data.blocks.metadata import BlockMetadata, Rejected, Sampled
from air.data.blocks.origins import Origin, Runs


@dataclass(frozen=True, slots=True)
class Marked:
    """A block with marks for its metadata; of transforms, only the last of a stage may give it.

    It is never divided, because the marks are about all of it.

    Attributes:
        bounds: where each part begins, and last the number of rows.
        samples: rows of it to go by.
        runs: where its rows come from; noted by the stage.
        lineage: what it is made from, where that is kept track of.
        rejected: what was left out since the block before; noted by the stage.
    """

    block: Block
    bounds: tuple[int, ...] | None = None
    samples: Sampled | None = None
    runs: Runs = ()
    lineage: str = ""
    rejected: tuple[Rejected, ...] = ()


def described(given: Block | Marked, source: str) -> tuple[BlockMetadata, Block]:
    """What came out of a stage, as metadata and block."""
    if not isinstance(given, Marked):
        return accessor(given).metadata(source), given
    is_one = len(given.runs) == 1
    origin = given.runs[0][1] if is_one else Origin(source)
    metadata = replace(
        accessor(given.block).metadata(origin.source),
        first_row=origin.first_row,
        runs=() if is_one else given.runs,
        rejected=given.rejected,
        bounds=given.bounds,
        samples=given.samples,
        lineage=given.lineage,
    )
    return metadata, given.block
