"""What follows the blocks of a plan, so that it is known which of them are kept.

A unit of the input has a key. What the first stage makes of it goes through the others block by
block, each of which has the key with its number and rows behind it: its *lineage*. What the last
stage makes of one piece of work is a file that has its name. A unit is done when there is a note of
what each stage but the last made of it, and all the files that these lead to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pyarrow import fs

from air.data.blocks.block import Block
from air.data.checkpointing.files import BlockFile, read_block_file, write_whole
from air.data.execution.exchange.marks import Marked
from air.data.transforms import BlockFunction, Transform
from air.data.udf.functions import TaskContext

NOTE = ".parts"
BLOCKS = ".blocks"


@dataclass(frozen=True)
class NoteParts(Transform):
    """Gives each block its lineage, and in the end notes how many rows each had."""

    filesystem: Any
    directory: str

    @property
    def name(self) -> str:
        return ""

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Marked]:
            sizes: list[int] = []
            for block in blocks:
                sizes.append(len(block))
                yield Marked(block, lineage=lineages(context.lineage, sizes)[-1])
            note = json.dumps(sizes).encode()
            write_whole(self.filesystem, self.directory, context.lineage + NOTE, note)

        return cast(BlockFunction, run)


@dataclass(frozen=True)
class SaveBlocks(Transform):
    """Writes what comes of a piece of work to a file, or reads it there without making it again."""

    filesystem: Any
    directory: str

    @property
    def name(self) -> str:
        return f"checkpointed({self.directory!r})"

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Marked]:
            name = context.lineage + BLOCKS
            path = f"{self.directory}/{name}"
            taken = context.skipped.taken if context.skipped is not None else tuple
            if self.filesystem.get_file_info(path).type == fs.FileType.File:
                taken()  # it is in the file as well
                for block, metadata in read_block_file(self.filesystem, path):
                    yield Marked(block, lineage=context.lineage, rejected=metadata.rejected)
                return
            file = BlockFile(self.filesystem, self.directory, name)
            done = False
            try:
                for block in blocks:
                    rejected = taken()
                    file.write(block, context.source, rejected)
                    yield Marked(block, lineage=context.lineage, rejected=rejected)
                file.finish()
                done = True
            finally:
                if not done:
                    file.discard()

        return cast(BlockFunction, run)


def lineages(lineage: str, sizes: Sequence[int]) -> list[str]:
    """Of each block that a stage made of *lineage*, by their numbers of rows."""
    made = []
    start = 0
    for number, size in enumerate(sizes):
        made.append(f"{lineage}.{number}-{start}-{size}")
        start += size
    return made


def key_of(lineage: str) -> str:
    """The key of the unit that it all came from."""
    return lineage.partition(".")[0]


def finished_files(
    key: str, stages: int, names: set[str], sizes_in: Callable[[str], list[int]]
) -> list[str] | None:
    """The files that hold all that *stages* stages made of a unit, in order; ``None`` if one lacks.

    Args:
        names: of all files.
        sizes_in: what a note says.
    """
    level = [key]
    for _ in range(stages - 1):
        if any(lineage + NOTE not in names for lineage in level):
            return None
        level = [part for lineage in level for part in lineages(lineage, sizes_in(lineage + NOTE))]
    found = [lineage + BLOCKS for lineage in level]
    return found if names.issuperset(found) else None
