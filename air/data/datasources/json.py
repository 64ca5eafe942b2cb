"""JSON files: objects one after the other, or one array of them; parsed by Arrow.

Any row may have columns of its own, so what a file looks like is known when it has been parsed.
What was parsed for that is kept if it is little, so that it is read once.
"""

from __future__ import annotations

import io
import json as standard
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import pyarrow as pa
from pyarrow import json

from air.data.blocks.convert import table_from_rows
from air.data.blocks.schemas import conform
from air.data.budget import current_budget
from air.data.datasource import ReadTask
from air.data.datasources.files import FileDatasource, Fragment
from air.data.datasources.json_layouts import LAYOUTS, check_objects, layouts_of
from air.data.datasources.json_types import (
    as_schema,
    check_whole_numbers,
    has_lists,
    with_text,
    with_values,
)
from air.data.datasources.paths import is_compressed
from air.data.datasources.portions import is_taken_whole
from air.data.errors import ReadError, UnsupportedValue

KEPT_BYTES = 16 << 20
"""So much of what was looked at is kept, and a single file that is larger is not looked at."""

_LOOKED_AT_BYTES = 64 << 20
_EXPANSION = 1.5
_PARSING = 8
"""Bytes that are held for each byte of a file that is parsed whole, or of its lines."""
_OBJECTS = 16
"""Bytes that are held for each byte of the items of an array."""

_PIECE_BYTES = 4 << 20
_START_BYTES = 64


@dataclass(frozen=True)
class JSONDatasource(FileDatasource):
    """Rows of JSON files (RFC 8259), of lines of objects or of one array.

    Attributes:
        opening: arguments of ``open_input_stream``.
        read_options, parse_options: pyarrow's, ``None`` for its defaults.
        kept: rows of files that have been parsed already.
        layouts: how rows lie in files that have been streamed already, and the schema of each.

    A file is parsed whole, if the budget lets it (:func:`is_taken_whole`). Otherwise some rows are
    parsed at a time, and twice, first for the columns and types of all; unless there are options
    of the parser.
    """

    opening: Mapping[str, Any] = field(default_factory=dict)
    read_options: Any = None
    parse_options: Any = None
    kept: dict[str, pa.Table] = field(default_factory=dict, repr=False)
    layouts: dict[str, tuple[str, pa.Schema]] = field(default_factory=dict, repr=False)

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
        if not found.has_seen_all:
            return replace(found, kept={})
        # The first ones, in the order of the files, whichever was there first.
        kept: dict[str, pa.Table] = {}
        left = KEPT_BYTES
        for path in self.files.paths:
            left -= self.kept[path].nbytes if path in self.kept else KEPT_BYTES + 1
            if left < 0:
                break
            kept[path] = self.kept[path]
        return replace(found, kept=kept)

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
            self.layouts[path] = streamed
            return streamed[1]
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
        paths = [one.path for one in group]
        kept = {path: self.kept[path] for path in paths if path in self.kept}
        layouts = {path: self.layouts[path] for path in paths if path in self.layouts}
        told = replace(self, kept=kept, layouts=layouts)
        return super(JSONDatasource, told)._read_task(group)

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        for table in self._tables(fragment.path):
            if self.selected is not None:
                table = table.select([n for n in table.column_names if n in self.selected])
            yield table

    def _tables(self, path: str) -> Iterator[pa.Table]:
        if path in self.kept:
            yield self.kept[path]
            return
        streamed = self.layouts.get(path) or self._streamed(path)
        if streamed is None:
            yield self._table(path)
            return
        layout, schema = streamed
        with self._told(path), self._open(path) as file:
            yield from LAYOUTS[layout].tables(file, self._piece_bytes(layout), schema)

    def _streamed(self, path: str) -> tuple[str, pa.Schema] | None:
        """How rows lie in a file that is not held whole, and its schema; ``None`` for others."""
        budget, size = self.budget or current_budget(), self._size(path)
        is_packed = is_compressed(path) or self.opening.get("compression") not in (None, "detect")
        if self.read_options is not None or self.parse_options is not None:
            return None
        if is_taken_whole(budget, size, _PARSING, is_compressed=is_packed):
            return None
        with self._told(path), self._open(path) as file:
            start = file.read(_START_BYTES)
        for layout in layouts_of(start):
            with self._told(path), self._open(path) as file:
                found = LAYOUTS[layout].schema(file, self._piece_bytes(layout))
            if found is not None:
                exact = [(column.name, with_text(column.type)) for column in found]
                return layout, pa.schema(exact)
        return None

    def _piece_bytes(self, layout: str) -> int:
        return self.portion(_PIECE_BYTES, _OBJECTS if layout == "array" else _PARSING)

    def _size(self, path: str) -> int:
        return self.files.sizes[self.files.paths.index(path)]

    def _open(self, path: str) -> Any:
        return self.files.filesystem.open_input_stream(path, **self.opening)

    def _table(self, path: str) -> pa.Table:
        """All of a file.

        Raises:
            ReadError: it is no JSON, or its rows are no objects; names the file.
        """
        with self._told(path):
            with self._open(path) as file:
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
                check_whole_numbers(start, table)
                exact = pa.schema([(column.name, with_text(column.type)) for column in exact])
            # Arrow (26) moves nulls at the beginning of lists, unless it is told the types.
            are_misplaced = b"null" in start and any(has_lists(kind) for kind in exact.types)
            if exact != table.schema or are_misplaced:
                told = pa.schema([(column.name, with_values(column.type)) for column in exact])
                parse = _telling(self.parse_options, told)
                table = as_schema(exact, json.read_json(io.BytesIO(start), options, parse))
            return table

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Errors about the content of a file as ones that name it."""
        try:
            yield
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
    check_objects(rows)
    names = dict.fromkeys(name for row in rows for name in row)
    known = _all_columns(options)
    if known is not None:
        more = [name for name in names if name not in known.names]
        if more and options.unexpected_field_behavior == "error":
            raise UnsupportedValue(f"there is a field {more[0]!r}, which is not in explicit_schema")
        names = dict.fromkeys(known.names)
    table = table_from_rows([{name: row.get(name) for name in names} for row in rows])
    return table if known is None or not rows else conform(table, known)
