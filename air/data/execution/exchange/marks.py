"""What a scatter tells of a block, beside the block."""

from __future__ import annotations

from dataclasses import dataclass, replace

from air.data.block import Block, BlockMetadata, accessor


@dataclass(frozen=True, slots=True)
class Marked:
    """A block with marks for its metadata; only the last transform of a stage may give it.

    It is never divided, because the marks are about all of it.

    Attributes:
        bounds: where each part begins, and last the number of rows.
        samples: rows of it to go by, evenly spread from the first on.
    """

    block: Block
    bounds: tuple[int, ...] | None = None
    samples: Block | None = None


def described(given: Block | Marked, source: str) -> tuple[BlockMetadata, Block]:
    """What came out of a stage, as metadata and block."""
    if not isinstance(given, Marked):
        return accessor(given).metadata(source), given
    metadata = accessor(given.block).metadata(source)
    return replace(metadata, bounds=given.bounds, samples=given.samples), given.block
