"""JSON files: objects one after the other, or one array of them; parsed by Arrow."""

from __future__ import annotations

import io
import json as standard
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from pyarrow import json

from air.data.blocks.convert import table_from_rows
from air.data.datasources.files import FileDatasource, Fragment
from air.data.errors import ReadError, UnsupportedValue

_EXPANSION = 1.5


@dataclass(frozen=True)
class JSONDatasource(FileDatasource):
    """Rows of JSON files (RFC 8259), of lines of objects or of one array.

    ``opening`` are arguments of ``open_input_stream``; ``*_options`` are pyarrow's, ``None`` for
    its defaults. A file is read whole, because any row may have columns of its own.
    """

    opening: Mapping[str, Any] = field(default_factory=dict)
    read_options: Any = None
    parse_options: Any = None

    @property
    def name(self) -> str:
        return f"JSON({self.files.describe()})"

    @property
    def expansion(self) -> float:
        return _EXPANSION

    def look(self, path: str) -> pa.Schema:
        return self._table(path).schema

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        table = self._table(fragment.path)
        if self.selected is not None:
            table = table.select([n for n in table.column_names if n in self.selected])
        yield table

    def _table(self, path: str) -> pa.Table:
        """All of a file.

        Raises:
            ReadError: it is no JSON, or its rows are no objects; names the file.
        """
        try:
            with self.files.filesystem.open_input_stream(path, **self.opening) as file:
                content = file.read()
            start = content.lstrip(b"\xef\xbb\xbf \t\r\n")
            if not start:
                return pa.table({})
            if start.startswith(b"["):
                return _of_array(start)
            options = self.read_options
            if options is None:
                # A block that holds all: the columns and types are those of all rows.
                options = json.ReadOptions(block_size=min(len(start) + 1, (1 << 31) - 1))
            table = json.read_json(io.BytesIO(start), options, self.parse_options)
            exact = pa.schema([(column.name, _with_text(column.type)) for column in table.schema])
            if self.parse_options is None and exact != table.schema:
                as_text = json.ParseOptions(explicit_schema=exact)
                table = json.read_json(io.BytesIO(start), options, as_text)
            return table
        except (pa.ArrowException, UnsupportedValue, ValueError) as error:
            raise ReadError(f"{path} cannot be read as JSON: {error}") from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise ReadError(f"{path} cannot be read as JSON: {error}") from None


def _with_text(kind: pa.DataType) -> pa.DataType:
    """The type with text where Arrow takes text for times, which JSON does not have."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_with_text(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(part.name, _with_text(part.type)) for part in kind])
    return kind


def _of_array(content: bytes) -> pa.Table:
    rows = standard.loads(content)
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise UnsupportedValue(f"item {number} of the array is no object: {row!r:.80}")
    names = dict.fromkeys(name for row in rows for name in row)
    return table_from_rows([{name: row.get(name) for name in names} for row in rows])
