"""Files for what waits between scatter and gather while memory is short.

A file is written once, a *section* after the other, and each can be read by itself: Arrow's stream
format for tables, pickled objects otherwise. It is read with plain reads, because pages of mapped
files would count as memory again.
"""

from __future__ import annotations

import pickle
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from air.data.block import Block, BlockMetadata, accessor, concat, split_large
from air.data.datasource import ReadTask
from air.data.execution.stats import ExecutionStats
from air.data.handle import BlockHandle, cut
from air.executor.serialization import dumps, loads

_SECTION_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class Section:
    """Rows in a file.

    Attributes:
        offset: where in the file it begins.
        length: bytes in the file.
        metadata: of the rows that are meant.
        start: the first of these among those of the section; ``None`` if all are meant.
        is_table: whether rows are records.
    """

    path: str
    offset: int
    length: int
    metadata: BlockMetadata
    is_table: bool
    start: int | None = None

    @property
    def num_rows(self) -> int:
        """The number of rows that are meant."""
        return self.metadata.num_rows or 0

    def slice(self, start: int, stop: int) -> Section:
        """Rows ``start <= i < stop``; they are cut out after reading."""
        if start == 0 and stop == self.num_rows:
            return self
        size = (self.metadata.size_bytes or 0) * (stop - start) // max(self.num_rows, 1)
        metadata = replace(self.metadata, num_rows=stop - start, size_bytes=size)
        return replace(self, metadata=metadata, start=(self.start or 0) + start)

    def read(self) -> Iterator[Block]:
        """The rows."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            data = file.read(self.length)
        if self.is_table:
            yield cut(pa.ipc.open_stream(data).read_all(), self.start, self.num_rows)
        else:
            stream, buffers = pickle.loads(data)
            yield cut(loads(stream, [bytearray(b) for b in buffers]), self.start, self.num_rows)

    def task(self) -> ReadTask:
        """The section as a piece of a unit."""
        return ReadTask(self.read, self.metadata)


class SpillDirectory:
    """A directory that is made when the first file is, and removed by :meth:`close`."""

    def __init__(self, stats: ExecutionStats | None = None) -> None:
        """*stats* are told of what is written."""
        self._stats = stats
        self._path: Path | None = None
        self._files = 0

    def write_parts(self, handles: Sequence[BlockHandle]) -> list[Section]:
        """Scattered blocks as a section for each part, which holds its rows of all of them."""
        bounds = [_bounds(handle) for handle in handles]
        blocks = [handle.get() for handle in handles]
        parts = (
            concat(
                [accessor(b).slice(at[p], at[p + 1]) for b, at in zip(blocks, bounds, strict=True)]
            )
            for p in range(len(bounds[0]) - 1)
        )
        return self._write(parts, handles[0].metadata.source)

    def write_block(self, handle: BlockHandle) -> list[Section]:
        """A block as sections that are small enough to be read for a few of their rows."""
        return self._write(split_large(handle.get(), _SECTION_BYTES), handle.metadata.source)

    def close(self) -> None:
        """Remove it with all files."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)

    def _write(self, blocks: Iterator[Block], source: str) -> list[Section]:
        if self._path is None:
            self._path = Path(tempfile.mkdtemp(prefix="air-data-"))
        self._files += 1
        path = self._path / f"{self._files}.sections"
        sections = []
        with pa.OSFile(str(path), "wb") as file:
            for block in blocks:
                offset = file.tell()
                if isinstance(block, pa.Table):
                    with pa.ipc.new_stream(file, block.schema) as writer:
                        writer.write_table(block)
                else:
                    copy = dumps(block)
                    file.write(pickle.dumps((copy.stream, [bytes(b) for b in copy.buffers])))
                sections.append(
                    Section(
                        str(path),
                        offset,
                        file.tell() - offset,
                        accessor(block).metadata(source),
                        isinstance(block, pa.Table),
                    )
                )
        if self._stats is not None:
            self._stats.spilled(sections[-1].offset + sections[-1].length if sections else 0)
        return sections


def _bounds(handle: BlockHandle) -> tuple[int, ...]:
    assert handle.metadata.bounds is not None  # scatters tell them
    return handle.metadata.bounds
