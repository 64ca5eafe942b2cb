"""Reading Avro files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pyarrow as pa

from air.data.avro.types import arrow_schema
from air.data.datasources.files import FileDatasource, Fragment
from air.data.errors import ReadError
from air.executor.extras import import_extra

_PIECE_BYTES = 4 << 20
_HELD = 12
"""Bytes that are held for each byte of records, which are objects for a while."""
_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class AvroDatasource(FileDatasource):
    """The records of Avro files, whose schemas say what columns there are."""

    @property
    def name(self) -> str:
        return f"Avro({self.files.describe()})"

    @property
    def expansion(self) -> float:
        return 2.0

    def look(self, path: str) -> pa.Schema:
        with self._opened(path) as blocks:
            return arrow_schema(blocks.writer_schema)

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        with self._opened(fragment.path) as blocks:
            schema = arrow_schema(blocks.writer_schema)
            if self.selected is not None:
                schema = pa.schema([c for c in schema if c.name in self.selected])
            records: list[dict[str, Any]] = []
            size = 0
            piece_bytes = self.portion(_PIECE_BYTES, _HELD)
            for block in blocks:
                records += block
                size += block.size
                if size >= piece_bytes:
                    yield _table(records, schema)
                    records, size = [], 0
            yield _table(records, schema)

    @contextmanager
    def _opened(self, path: str) -> Iterator[Any]:
        """The blocks of a file.

        Raises:
            ReadError: it is no Avro file, or damaged; names it.
        """
        fastavro = import_extra("fastavro", "read_avro", "airloom[avro]")
        opened = self.files.filesystem.open_input_stream(path, None, buffer_size=_BUFFER_BYTES)
        with opened as file:
            try:
                yield fastavro.block_reader(_Forward(file))
            except OSError as error:
                if error.errno is not None:
                    raise
                raise ReadError(f"{path} cannot be read as Avro: {error}") from None
            except Exception as error:  # fastavro raises errors of any kind for damaged files
                why = str(error) or type(error).__name__
                raise ReadError(f"{path} cannot be read as Avro: {why}") from None


class _Forward:
    """A file that is read from its beginning to its end, and knows where it is."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._place = 0

    def read(self, size: int) -> bytes:
        content: bytes = self._file.read(size)
        self._place += len(content)
        return content

    def tell(self) -> int:
        return self._place


def _table(records: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    arrays = [pa.array([_plain(r[c.name]) for r in records], c.type) for c in schema]
    if not arrays:
        return pa.table({"": pa.nulls(len(records))}).select([])
    return pa.table(arrays, schema)


def _plain(value: Any) -> Any:
    """A value with text in place of UUIDs, which Arrow does not take for text."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return str(value) if isinstance(value, UUID) else value
