"""JSON files: objects one after the other, or one array of them; parsed by Arrow.

Any row may have columns of its own, so what a file looks like is known when it has been parsed.
What was parsed for that is kept if it is little, so that it is read once.
"""

from __future__ import annotations

import io
import json as standard
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import pyarrow as pa
from pyarrow import json

from air.data.blocks.convert import table_from_rows
from air.data.blocks.schemas import conform
from air.data.budget import Budget, current_budget
from air.data.datasource import ReadTask
from air.data.datasources.files import FileDatasource, Fragment
from air.data.datasources.json_lines import lines_of, parsed, schema_of
from air.data.datasources.json_types import as_schema, has_lists, with_text, with_values
from air.data.errors import ReadError, UnsupportedValue

KEPT_BYTES = 16 << 20
"""Files that have more than this together are not kept, and a single one is not looked at."""

_LOOKED_AT_BYTES = 64 << 20
_EXPANSION = 1.5
_PARSING = 8
"""Bytes that are held for each byte of lines while they are parsed."""

_LINES_BYTES = 128 << 10


@dataclass(frozen=True)
class JSONDatasource(FileDatasource):
    """Rows of JSON files (RFC 8259), of lines of objects or of one array.

    Attributes:
        opening: arguments of ``open_input_stream``.
        read_options, parse_options: pyarrow's, ``None`` for its defaults.
        kept: rows of files that have been parsed already.
        budget: what memory there is for reading; it is known when reading begins.

    A file is parsed whole; where memory is short (:attr:`Budget.is_tight`) some lines at a time,
    and twice, first for the columns and types of all rows.
    """

    opening: Mapping[str, Any] = field(default_factory=dict)
    read_options: Any = None
    parse_options: Any = None
    kept: dict[str, pa.Table] = field(default_factory=dict, repr=False)
    budget: Budget | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"JSON({self.files.describe()})"

    @property
    def expansion(self) -> float:
        return _EXPANSION

    def checked(self) -> Self:
        """This source, after a look at its files where that is needed.

        Of a single large file the rows tell when they are read.
        """
        if len(self.files.paths) == 1 and self.files.sizes[0] > KEPT_BYTES:
            return self
        found = super().checked()
        size = sum(table.nbytes for table in self.kept.values())
        if size > KEPT_BYTES or not found.has_seen_all:
            return replace(found, kept={})
        # In the order of the files, whichever was there first.
        paths = [path for path in self.files.paths if path in self.kept]
        return replace(found, kept={path: self.kept[path] for path in paths})

    @property
    def looks_at_once(self) -> int:
        largest = max(*self.files.sizes, 1)  # each is in memory as a whole
        return max(min(super().looks_at_once, _LOOKED_AT_BYTES // largest), 1)

    def look(self, path: str) -> pa.Schema:
        known = _all_columns(self.parse_options)
        if known is not None:
            return known
        streamed = self._streamed(path)
        if streamed is not None:
            return streamed
        table = self._table(path)
        # Other threads may add to it meanwhile: a list is made of it in one step.
        if sum(one.nbytes for one in list(self.kept.values())) <= KEPT_BYTES:
            self.kept[path] = table
        return table.schema

    def num_rows(self) -> int | None:
        if not all(path in self.kept for path in self.files.paths):
            return None
        return sum(self.kept[path].num_rows for path in self.files.paths)

    def fragments(self) -> list[Fragment]:
        return [self._measured(fragment) for fragment in super().fragments()]

    def _measured(self, fragment: Fragment) -> Fragment:
        table = self.kept.get(fragment.path)
        if table is None:
            return fragment
        return replace(fragment, num_rows=table.num_rows, size_bytes=table.nbytes)

    def _read_task(self, group: Sequence[Fragment]) -> ReadTask:
        kept = {one.path: self.kept[one.path] for one in group if one.path in self.kept}
        budget = self.budget or current_budget()
        return super(JSONDatasource, replace(self, kept=kept, budget=budget))._read_task(group)

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        for table in self._tables(fragment.path):
            if self.selected is not None:
                table = table.select([n for n in table.column_names if n in self.selected])
            yield table

    def _tables(self, path: str) -> Iterator[pa.Table]:
        if path in self.kept:
            yield self.kept[path]
            return
        schema = self._streamed(path)
        if schema is None:
            yield self._table(path)
            return
        for content in self._lines(path):
            table = parsed(content, schema)
            if table is not None:
                yield table

    def _streamed(self, path: str) -> pa.Schema | None:
        """The schema of a file that is not held whole; ``None`` for one that is."""
        budget = self.budget or current_budget()
        is_large = self.files.sizes[self.files.paths.index(path)] > budget.block_bytes
        has_options = self.read_options is not None or self.parse_options is not None
        if has_options or not (budget.is_tight and is_large):
            return None
        found = schema_of(self._lines(path))
        return found and pa.schema([(one.name, with_text(one.type)) for one in found])

    def _lines(self, path: str) -> Iterator[bytes]:
        budget = self.budget or current_budget()
        with self.files.filesystem.open_input_stream(path, **self.opening) as file:
            yield from lines_of(file, max(budget.block_bytes // _PARSING, _LINES_BYTES))

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
                return _of_array(start, self.parse_options)
            options = self.read_options
            if options is None:
                # A block that holds all: the columns and types are those of all rows.
                options = json.ReadOptions(block_size=min(len(start) + 1, (1 << 31) - 1))
            table = json.read_json(io.BytesIO(start), options, self.parse_options)
            exact = table.schema
            if self.parse_options is None:
                exact = pa.schema([(column.name, with_text(column.type)) for column in exact])
            # Arrow (26) moves nulls at the beginning of lists, unless it is told the types.
            are_misplaced = b"null" in start and any(has_lists(kind) for kind in exact.types)
            if exact != table.schema or are_misplaced:
                told = pa.schema([(column.name, with_values(column.type)) for column in exact])
                parse = _telling(self.parse_options, told)
                table = as_schema(exact, json.read_json(io.BytesIO(start), options, parse))
            return table
        except (pa.ArrowException, UnsupportedValue, ValueError) as error:
            raise ReadError(f"{path} cannot be read as JSON: {error}") from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise ReadError(f"{path} cannot be read as JSON: {error}") from None


def _telling(options: Any, schema: pa.Schema) -> json.ParseOptions:
    """*options* of the parser, with all columns and types."""
    if options is None:
        return json.ParseOptions(explicit_schema=schema)
    return json.ParseOptions(
        explicit_schema=schema,
        newlines_in_values=options.newlines_in_values,
        unexpected_field_behavior=options.unexpected_field_behavior,
    )


def _all_columns(options: Any) -> pa.Schema | None:
    """The schema that options of the parser give, if there can be no other columns."""
    if options is None or options.unexpected_field_behavior == "infer":
        return None
    schema: pa.Schema | None = options.explicit_schema
    return schema


def _of_array(content: bytes, options: Any) -> pa.Table:
    rows = standard.loads(content)
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise UnsupportedValue(f"item {number} of the array is no object: {row!r:.80}")
    names = dict.fromkeys(name for row in rows for name in row)
    known = _all_columns(options)
    if known is not None:
        more = [name for name in names if name not in known.names]
        if more and options.unexpected_field_behavior == "error":
            raise UnsupportedValue(f"there is a field {more[0]!r}, which is not in explicit_schema")
        names = dict.fromkeys(known.names)
    table = table_from_rows([{name: row.get(name) for name in names} for row in rows])
    return table if known is None or not rows else conform(table, known)
