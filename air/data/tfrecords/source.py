"""Reading files of TFRecords."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from air.data.blocks.kinds import is_list
from air.data.datasources.files import FileDatasource, Fragment
from air.data.datasources.labels import PATH_COLUMN
from air.data.errors import ReadError
from air.data.tfrecords.decoding import KINDS, BadMessage, Column, columns_of
from air.data.tfrecords.framing import Record, records

_PIECE_BYTES = 4 << 20
_HELD = 16
"""Bytes that are held for each byte of records while they become rows."""

_LOOK_BYTES = 64 << 20
_LEAST_LOOK = 1 << 20


@dataclass(frozen=True)
class TFRecordsDatasource(FileDatasource):
    """Rows of ``Example`` messages.

    A feature is a column of lists, or of single values if no message that was looked at has
    several. The columns are those of the messages that were looked at, or ``schema``, if it is
    given. ``opening`` are arguments of ``open_input_stream``.
    """

    schema_given: pa.Schema | None = None
    opening: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"TFRecords({self.files.describe()})"

    def look(self, path: str) -> pa.Schema:
        if self.schema_given is not None:
            return self.schema_given
        kinds: dict[str, int] = {}
        repeated: set[str] = set()
        seen = 0
        for batch in self._records(path):
            for name, column in self._columns(path, batch, None, kinds).items():
                longest = pc.max(pc.list_value_length(column.values(len(batch)))).as_py()
                if (longest or 0) > 1:
                    repeated.add(name)
            seen += sum(len(content) for _, content in batch)
            if seen >= max(_LOOK_BYTES // len(self.files.paths), _LEAST_LOOK):
                break
        types = {n: KINDS[kind] for n, kind in kinds.items()}
        return pa.schema({n: pa.list_(t) if n in repeated else t for n, t in types.items()})

    def schema(self) -> pa.Schema | None:
        if self.common is None or not self.has_seen_all:
            return None
        names = self.common.names if self.selected is None else self.selected
        return pa.schema([self.common.field(n) for n in names if n in self.common.names])

    def together(self, schemas: Sequence[pa.Schema], places: Sequence[str]) -> pa.Schema:
        # A single value in one file is a list of one where others have lists.
        lists = {c.name for schema in schemas for c in schema if pa.types.is_list(c.type)}
        brought = [
            pa.schema([_as_list(c) if c.name in lists else c for c in schema]) for schema in schemas
        ]
        return super().together(brought, places)

    @property
    def remedy(self) -> str:
        return "; or say what columns there are: schema=pyarrow.schema(...)"

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        assert self.common is not None
        path = fragment.path
        labels = set(self._label_types) | ({PATH_COLUMN} if self.includes_path else set())
        fields = [c for c in self.common if c.name not in labels]
        if self.selected is not None:
            fields = [column for column in fields if column.name in self.selected]
        # A feature that was not there when files were looked at must not go unnoticed.
        is_all = self.schema_given is None and self.selected is None
        wanted = None if is_all else frozenset(column.name for column in fields)
        kinds: dict[str, int] = {}
        for batch in self._records(path):
            found = self._columns(path, batch, wanted, kinds)
            unknown = next((n for n in found if is_all and n not in self.common.names), None)
            if unknown is not None:
                offset = batch[found[unknown].rows[0]][0]
                raise ReadError(
                    f"{path}, record at byte {offset}: it has the feature {unknown!r}, which none"
                    f" has that was looked at before reading{self.remedy}"
                )
            arrays = [self._array(path, batch, c, found.get(c.name)) for c in fields]
            table = pa.table(arrays, pa.schema(fields))
            if not fields:
                table = pa.table({"": pa.nulls(len(batch))}).select([])
            yield table

    def _array(
        self, path: str, batch: list[Record], column: pa.Field, found: Column | None
    ) -> pa.Array:
        if found is None:
            return pa.nulls(len(batch), column.type)
        lists = found.values(len(batch))
        try:
            if is_list(column.type):
                return lists.cast(column.type)
            sizes = pc.list_value_length(lists)
            several = pc.index(pc.greater(sizes, 1), True).as_py()
            if several >= 0:
                raise ReadError(
                    f"{path}, record at byte {batch[several][0]}: its feature {column.name!r} has"
                    f" {sizes[several]} values, and none that was looked at before reading has"
                    f" several{self.remedy}, with pyarrow.list_(...) for this one"
                )
            # Where there is none, the place of the first item is that of another row.
            places = pc.if_else(pc.equal(sizes, 1), lists.offsets[:-1], None)
            return lists.values.take(places).cast(column.type)
        except pa.ArrowInvalid as error:
            raise ReadError(
                f"{path}, one of the records from byte {batch[0][0]}: feature {column.name!r} is no"
                f" {column.type}: {error}"
            ) from None

    def _columns(
        self,
        path: str,
        batch: list[Record],
        wanted: frozenset[str] | None,
        kinds: dict[str, int],
    ) -> dict[str, Column]:
        try:
            return columns_of(batch, wanted, kinds)
        except BadMessage as error:
            raise ReadError(f"{path}, record at byte {error.offset}: {error}") from None

    def _records(self, path: str) -> Iterator[list[Record]]:
        try:
            with self.files.filesystem.open_input_stream(path, **self.opening) as file:
                yield from records(file, path, self.portion(_PIECE_BYTES, _HELD))
        except OSError as error:
            if error.errno is not None:
                raise
            raise ReadError(f"{path} cannot be read: {error}") from None


def _as_list(column: pa.Field) -> pa.Field:
    if pa.types.is_list(column.type) or pa.types.is_null(column.type):
        return column
    return pa.field(column.name, pa.list_(column.type))
