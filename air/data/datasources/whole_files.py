"""Files of bytes and of text: each line, or each file, is a row."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from air.data.datasources.files import FileDatasource, Fragment
from air.data.errors import ReadError

_PIECE_BYTES = 4 << 20
_HELD = 16
"""Bytes that are held for each byte of short lines, which are objects for a while."""


@dataclass(frozen=True)
class BinaryDatasource(FileDatasource):
    """The content of each file as a row, in the column ``bytes``.

    ``opening`` are arguments of ``open_input_stream``.
    """

    opening: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"Binary({self.files.describe()})"

    def look(self, path: str) -> pa.Schema:
        return pa.schema({"bytes": pa.binary()})

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        with self.files.filesystem.open_input_stream(fragment.path, **self.opening) as file:
            content = file.read()
        yield pa.table({"bytes": pa.array([content], pa.binary())})


@dataclass(frozen=True)
class TextDatasource(FileDatasource):
    """Lines of text, in the column ``text``.

    ``opening`` are arguments of ``open_input_stream``; ``encoding`` and ``errors`` those of
    ``bytes.decode``.
    """

    SCHEMA: ClassVar[pa.Schema] = pa.schema({"text": pa.string()})

    encoding: str = "utf-8"
    errors: str = "ignore"
    drops_empty: bool = True
    opening: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"Text({self.files.describe()})"

    @property
    def reads_every_row(self) -> bool:
        return not self.drops_empty

    def look(self, path: str) -> pa.Schema:
        return self.SCHEMA

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        decoder = codecs.getincrementaldecoder(self.encoding)(self.errors)
        rest: list[str] = []
        piece_bytes = self.portion(_PIECE_BYTES, _HELD)
        try:
            with self.files.filesystem.open_input_stream(fragment.path, **self.opening) as file:
                while content := file.read(piece_bytes):
                    lines = decoder.decode(content).split("\n")
                    rest.append(lines[0])
                    if len(lines) > 1:
                        yield self._table(["".join(rest), *lines[1:-1]])
                        rest = [lines[-1]]
            last = "".join(rest) + decoder.decode(b"", final=True)
        except UnicodeError as error:
            raise ReadError(
                f"{fragment.path} is no text in {self.encoding!r}: {error}; name its encoding:"
                " encoding=..., or leave out what is none: errors='ignore'"
            ) from None
        # What follows the last end of a line is a line only if there is something.
        yield self._table([last] if last else [])

    def _table(self, lines: list[str]) -> pa.Table:
        ended = (line.removesuffix("\r") for line in lines)
        wanted = [line for line in ended if line or not self.drops_empty]
        return pa.table({"text": pa.array(wanted, pa.string())})
