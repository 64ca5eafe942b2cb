"""Files of blocks: each holds what came of one piece of work, and is there whole or not at all.

A file has a section for each block (Arrow's stream format, or pickled objects), then a pickled list
of where they are, then the length of that and a mark. Any file system that Arrow knows will do.
"""

from __future__ import annotations

import pickle
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from air.data.blocks.block import Block, accessor
from air.data.blocks.handle import cut
from air.data.blocks.metadata import BlockMetadata, Rejected
from air.data.errors import ReadError
from air.executor.serialization import dumps, loads

_MARK = b"airblok1"
_TAIL = struct.Struct("<Q8s")
UNFINISHED = ".unfinished-"
"""How names of files begin that are being written."""


@dataclass(frozen=True, slots=True)
class _Section:
    offset: int
    length: int
    is_table: bool
    metadata: BlockMetadata


class BlockFile:
    """Writes one file; it appears by :meth:`finish`, and is given up by :meth:`discard`."""

    def __init__(self, system: Any, directory: str, name: str) -> None:
        self._system = system
        self._path = f"{directory}/{name}"
        self._hidden = f"{directory}/{UNFINISHED}{secrets.token_hex(8)}"
        self._file = system.open_output_stream(self._hidden)
        self._sections: list[_Section] = []

    def write(self, block: Block, source: str, rejected: tuple[Rejected, ...] = ()) -> None:
        """Add a block, and what was left out before the end of it."""
        offset = self._file.tell()
        is_table = isinstance(block, pa.Table)
        if isinstance(block, pa.Table):
            with pa.ipc.new_stream(self._file, block.schema) as writer:
                writer.write_table(block)
        else:
            copy = dumps(block)
            self._file.write(pickle.dumps((copy.stream, [bytes(b) for b in copy.buffers])))
        # The class of plain objects may be one that only pickles of the whole can name.
        metadata = replace(accessor(block).metadata(source), schema=None, rejected=rejected)
        self._sections.append(_Section(offset, self._file.tell() - offset, is_table, metadata))

    def finish(self) -> None:
        """Let it be seen under its name."""
        index = pickle.dumps(self._sections)
        self._file.write(index)
        self._file.write(_TAIL.pack(len(index), _MARK))
        self._file.close()
        self._system.move(self._hidden, self._path)

    def discard(self) -> None:
        """Leave nothing."""
        self._file.close()
        self._system.delete_file(self._hidden)


def read_block_file(system: Any, path: str) -> Iterator[tuple[Block, BlockMetadata]]:
    """Its blocks in order, each with where its rows came from, and what was left out.

    Raises:
        ReadError: it was harmed after it was written.
    """
    with system.open_input_file(path) as file:
        size = file.size()
        file.seek(max(size - _TAIL.size, 0))
        tail = file.read()
        length, mark = _TAIL.unpack(tail) if len(tail) == _TAIL.size else (0, b"")
        if mark != _MARK or length > size - _TAIL.size:
            raise ReadError(
                f"{path} is not as it was written: it was cut short or changed; remove it, and its"
                " rows are made again"
            )
        file.seek(size - _TAIL.size - length)
        for section in pickle.loads(file.read(length)):
            file.seek(section.offset)
            data = file.read(section.length)
            rows = section.metadata.num_rows
            if section.is_table:
                block = cut(pa.ipc.open_stream(data).read_all(), None, rows)
            else:
                stream, buffers = pickle.loads(data)
                block = loads(stream, [bytearray(buffer) for buffer in buffers])
            yield block, section.metadata


def write_whole(system: Any, directory: str, name: str, content: bytes) -> None:
    """A small file, there whole or not at all."""
    hidden = f"{directory}/{UNFINISHED}{secrets.token_hex(8)}"
    with system.open_output_stream(hidden) as file:
        file.write(content)
    system.move(hidden, f"{directory}/{name}")
