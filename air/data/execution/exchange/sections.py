"""Files for what waits between scatter and gather while memory is short.

A file is written once, a *section* after the other, and each can be read by itself: Arrow's stream
format for tables, pickled objects otherwise. Where only some rows of a section will be wanted, they
are in batches, whose places are known: who wants some rows reads the stream's head and the batches
in which they are. Files are read with plain reads, because pages of mapped ones would count as
memory again.
"""

from __future__ import annotations

import io
import itertools
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.block import Block, Schema, accessor, compact, split_large
from air.data.blocks.handle import BlockHandle, cut
from air.data.blocks.metadata import BlockMetadata
from air.data.blocks.weights import bytes_before, varies
from air.data.datasource import ReadTask
from air.data.execution.exchange.directory import OwnDirectory
from air.data.execution.exchange.packing import concat_packed
from air.data.execution.stats import ExecutionStats
from air.executor.serialization import dumps, loads

_OBJECTS_BYTES = 256 << 10
_BATCHES = 512
_BATCH_BYTES = 16 << 10, 64 << 10
"""A section whose rows are read apart is divided into so many batches, of no less and no more."""

_COLUMN_BYTES = 256
"""What a batch has of each column at least: Arrow describes each of them, in about 50 bytes."""

_BUFFER_BYTES = 1 << 20
_LEAST_ROOM = 4


@dataclass(frozen=True, slots=True)
class Section:
    """Rows in a file.

    Attributes:
        offset: where in the file it begins.
        head: bytes of the schema and all else that every batch needs; 0 if all is read.
        batches: where the batches are that hold the rows, from the first byte to behind the last.
        metadata: of the rows that are meant.
        is_table: whether rows are records.
        start: the first row that is meant, among those of the batches; ``None`` if all are meant.
        index: for each batch, and for the end, the first row and where in the file; ``None``
            if there is one batch.
    """

    path: str
    offset: int
    head: int
    batches: tuple[int, int]
    metadata: BlockMetadata
    is_table: bool
    start: int | None = None
    index: np.ndarray | None = field(default=None, compare=False)

    @property
    def num_rows(self) -> int:
        """The number of rows that are meant."""
        return self.metadata.num_rows or 0

    def slice(self, start: int, stop: int, size_bytes: int | None = None) -> Section:
        """Rows ``start <= i < stop``; they are cut out after reading.

        Args:
            size_bytes: of these rows; their share of all by default.
        """
        if start == 0 and stop == self.num_rows:
            return self
        size = size_bytes
        if size is None:
            size = (self.metadata.size_bytes or 0) * (stop - start) // max(self.num_rows, 1)
        metadata = replace(self.metadata, num_rows=stop - start, size_bytes=size)
        if self.index is None:
            return replace(self, metadata=metadata, start=(self.start or 0) + start)
        rows, places = self.index
        first = int(np.searchsorted(rows, start, side="right")) - 1
        last = max(int(np.searchsorted(rows, stop)), first)
        return replace(
            self,
            batches=(int(places[first]), int(places[last])),
            metadata=metadata,
            start=start - int(rows[first]),
            index=None,
        )

    def read(self) -> Iterator[Block]:
        """The rows."""
        begin, end = self.batches
        with open(self.path, "rb", buffering=0) as file:
            data = _read(file, (self.offset, self.offset + self.head), (begin, end))
        if self.is_table:
            table = pa.ipc.open_stream(data).read_all()
            if self.start is not None:
                table = table.slice(self.start, self.num_rows)
            if self.head:
                # Many batches become one: what describes each would take more than a third of what
                # is in it, and also the rows around those that are meant are let go of.
                table = compact(table.combine_chunks())
            elif self.start is not None:
                table = compact(table)
            yield table
        else:
            stream, buffers = pickle.loads(data)
            yield cut(loads(stream, [bytearray(b) for b in buffers]), self.start, self.num_rows)

    def task(self) -> ReadTask:
        """The section as a piece of a unit."""
        return ReadTask(self.read, self.metadata)


class SpillDirectory:
    """Files of sections, in a directory that is made when the first file is."""

    def __init__(
        self, stats: ExecutionStats | None = None, beside: list[SpillDirectory] | None = None
    ) -> None:
        """*stats* are told of what is written; among *beside* it is until it is closed."""
        self.held_bytes = 0
        """Bytes of the blocks that are not in files and wait with those that are."""
        self._beside = [] if beside is None else beside
        self._beside.append(self)
        self._stats = stats
        self._directory: OwnDirectory | None = None
        self._files = 0
        self._schema: Schema | None = None

    def room(self, most: int) -> int:
        """How much of *most* is left for blocks that wait here, beside those of others.

        What waits while others take all of it has a share all the same.
        """
        others = sum(one.held_bytes for one in self._beside if one is not self)
        return max(most - others, most // _LEAST_ROOM)

    def write_parts(self, handles: Sequence[BlockHandle]) -> list[Section]:
        """Scattered blocks as a section for each part, which holds its rows of all of them."""
        bounds = [_bounds(handle) for handle in handles]
        blocks = [handle.get() for handle in handles]
        parts = (
            concat_packed(
                [accessor(b).slice(at[p], at[p + 1]) for b, at in zip(blocks, bounds, strict=True)]
            )
            for p in range(len(bounds[0]) - 1)
        )
        row_bytes = None
        if not any(isinstance(block, list) or varies(block) for block in blocks):
            # To ask each of many parts takes as long as writing them where columns are many.
            rows = sum(handle.num_rows for handle in handles)
            row_bytes = sum(handle.size_bytes for handle in handles) / max(rows, 1)
        source = handles[0].metadata.source
        return self._write(parts, source, is_divided=False, row_bytes=row_bytes)

    def write_block(self, handle: BlockHandle) -> list[Section]:
        """A block as sections of which a few rows can be read."""
        block = handle.get()
        parts = iter([block])
        if isinstance(block, list):
            parts = split_large(block, _OBJECTS_BYTES)
        return self._write(parts, handle.metadata.source, is_divided=True)

    def close(self) -> None:
        """Remove the directory with all files; the second time does nothing."""
        if self in self._beside:
            self._beside.remove(self)
        if self._directory is not None:
            self._directory.remove()

    def _write(
        self,
        blocks: Iterator[Block],
        source: str,
        *,
        is_divided: bool,
        row_bytes: float | None = None,
    ) -> list[Section]:
        if self._directory is None:
            self._directory = OwnDirectory()
        self._files += 1
        path = self._directory.file(self._files)
        sections = []
        with (
            pa.OSFile(path, "wb") as raw,
            pa.BufferedOutputStream(raw, _BUFFER_BYTES) as file,
        ):
            for block in blocks:
                offset = file.tell()
                head, index = 0, None
                if isinstance(block, pa.Table):
                    head, index = _write_table(file, block, is_divided=is_divided)
                else:
                    copy = dumps(block)
                    file.write(pickle.dumps((copy.stream, [bytes(b) for b in copy.buffers])))
                known = accessor(block)
                size = known.size_bytes() if row_bytes is None else round(len(block) * row_bytes)
                schema = self._shared(known.schema())
                sections.append(
                    Section(
                        path,
                        offset,
                        head,
                        (offset + head, file.tell()),
                        BlockMetadata(len(block), size, schema, source),
                        isinstance(block, pa.Table),
                        index=index,
                    )
                )
        if self._stats is not None:
            self._stats.spilled(sections[-1].batches[1] if sections else 0)
        return sections

    def _shared(self, schema: Schema | None) -> Schema | None:
        """An equal schema that other sections have: of many that travel together one is sent."""
        last = self._schema
        if not (
            isinstance(schema, pa.Schema)
            and isinstance(last, pa.Schema)
            and schema.equals(last, check_metadata=True)
        ):
            self._schema = schema
        return self._schema


def _write_table(file: Any, table: pa.Table, *, is_divided: bool) -> tuple[int, np.ndarray | None]:
    """Write a stream; the length of its head, and for each batch its first row and its place."""
    table = table.combine_chunks().unify_dictionaries()
    begin = file.tell()
    with pa.ipc.new_stream(file, table.schema) as writer:
        least, most = (max(size, table.num_columns * _COLUMN_BYTES) for size in _BATCH_BYTES)
        if not is_divided or table.nbytes <= least:
            writer.write_table(table)
            return 0, None
        batches = _batches(table, min(max(table.nbytes // _BATCHES, least), most))
        writer.write_batch(batches[0].slice(0, 0))  # dictionaries go along with the first
        head = file.tell() - begin
        rows, places = [0], [file.tell()]
        for batch in batches:
            writer.write_batch(batch)
            rows.append(rows[-1] + batch.num_rows)
            places.append(file.tell())
    return head, np.array([rows, places])


def _batches(table: pa.Table, size: int) -> list[pa.RecordBatch]:
    """The rows of a table of one chunk, about so many bytes together, however they are spread."""
    (whole,) = table.to_batches()
    rows = table.num_rows
    if varies(table):
        before = bytes_before(table, np.arange(rows + 1))
        wanted = np.arange(size, before[-1], size)
        edges = np.unique(np.append(np.searchsorted(before, wanted, side="right") - 1, [0, rows]))
    else:
        edges = np.append(np.arange(0, rows, max(rows * size // table.nbytes, 1)), rows)
    pairs = itertools.pairwise(edges.tolist())
    return [whole.slice(begin, end - begin) for begin, end in pairs]


def _read(file: io.FileIO, *ranges: tuple[int, int]) -> bytearray:
    """The bytes of a file from one place to another, and those of the next range behind them."""
    data = bytearray(sum(end - begin for begin, end in ranges))
    left = memoryview(data)
    for begin, end in ranges:
        file.seek(begin)
        while begin < end:
            count = file.readinto(left[: end - begin])
            if not count:
                raise EOFError(f"{file.name} ends at byte {begin}, before {end}")
            begin += count
            left = left[count:]
    return data


def _bounds(handle: BlockHandle) -> tuple[int, ...]:
    assert handle.metadata.bounds is not None  # scatters tell them
    return handle.metadata.bounds
