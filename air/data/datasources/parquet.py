"""Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from air.data.block import Block, Schema
from air.data.datasources.files import FileDatasource, Fragment, open_file
from air.data.errors import ReadError

_FOOTERS = 256
_STREAM_ROW_GROUP_BYTES = 256 << 20
_STREAM_ROWS = 1 << 16
_EXPANSION = 3.0


@dataclass(frozen=True)
class ParquetDatasource(FileDatasource):
    """Rows of Parquet files; only the selected columns are read from disk.

    Row groups are read independently. Up to 256 files their footers are read first, which
    gives the number of rows and even pieces; of more files each is one piece.
    """

    @property
    def name(self) -> str:
        return f"Parquet({self.files.describe()})"

    @property
    def expansion(self) -> float:
        return _EXPANSION

    def fragments(self) -> list[Fragment]:
        if len(self.files.paths) > _FOOTERS:
            return super().fragments()
        made = []
        for path, footer in zip(self.files.paths, self._footers, strict=True):
            groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
            made += [
                Fragment(path, (index,), self._size(group), group.num_rows)
                for index, group in enumerate(groups)
            ] or [Fragment(path, (), 0, 0)]
        return made

    def read_fragment(self, fragment: Fragment) -> Iterator[Block]:
        columns = None if self.selected is None else list(self.selected)
        try:
            with open_file(self.files, fragment.path) as source:
                file = parquet.ParquetFile(source)
                parts = fragment.parts
                groups = range(file.num_row_groups) if parts is None else parts
                if not groups:
                    yield _plain(file.read(columns=columns))
                for index in groups:
                    size = file.metadata.row_group(index).total_byte_size
                    if size <= _STREAM_ROW_GROUP_BYTES:
                        yield _plain(file.read_row_group(index, columns=columns))
                        continue
                    for batch in file.iter_batches(
                        _STREAM_ROWS, row_groups=[index], columns=columns
                    ):
                        yield _plain(pa.Table.from_batches([batch]))
        except (pa.ArrowInvalid, pa.ArrowIOError) as error:
            raise _unreadable(fragment.path, error) from None

    def num_rows(self) -> int | None:
        if len(self.files.paths) > _FOOTERS:
            return None
        return sum(footer.num_rows for footer in self._footers)

    def schema(self) -> Schema | None:
        whole = self._whole_schema
        if self.selected is None:
            return whole
        return pa.schema([whole.field(name) for name in self.selected if name in whole.names])

    @cached_property
    def _whole_schema(self) -> pa.Schema:
        path = self.files.paths[0]
        try:
            with open_file(self.files, path) as source:
                return parquet.read_schema(source).remove_metadata()
        except (pa.ArrowInvalid, pa.ArrowIOError) as error:
            raise _unreadable(path, error) from None

    @cached_property
    def _footers(self) -> list[Any]:
        footers = []
        for path in self.files.paths:
            try:
                with open_file(self.files, path) as source:
                    footers.append(parquet.read_metadata(source))
            except (pa.ArrowInvalid, pa.ArrowIOError) as error:
                raise _unreadable(path, error) from None
        return footers

    def _size(self, group: Any) -> int:
        if self.selected is None:
            size: int = group.total_byte_size
            return size
        columns = (group.column(index) for index in range(group.num_columns))
        wanted = set(self.selected)
        return sum(
            column.total_uncompressed_size
            for column in columns
            if column.path_in_schema.partition(".")[0] in wanted
        )

    def __getstate__(self) -> dict[str, Any]:
        # What was read for planning is not needed where the data is read.
        return {k: v for k, v in self.__dict__.items() if k not in ("_footers", "_whole_schema")}


def _plain(table: pa.Table) -> pa.Table:
    """Without what other programs noted in the schema, so that blocks of files agree."""
    return table.replace_schema_metadata(None)


def _unreadable(path: str, error: Exception) -> ReadError:
    return ReadError(f"{path} cannot be read as Parquet: {error}")
