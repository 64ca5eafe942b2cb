"""Reading tables whose files are known: no directory is listed, no file is opened to plan it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa

from air.data.batching.regrouping import joined
from air.data.blocks.block import Block, Schema
from air.data.blocks.choosing import kept
from air.data.blocks.metadata import BlockMetadata
from air.data.blocks.origins import Origin, Origins
from air.data.blocks.schemas import ValuesDoNotFit, conform, empty_table, without_columns
from air.data.budget import current_budget
from air.data.datasource import Datasource, NotedRead, ReadTask
from air.data.datasources.files import Fragment, balanced, describe_fragments
from air.data.datasources.parquet import ParquetDatasource
from air.data.datasources.paths import FileSet
from air.data.errors import ReadError
from air.data.expressions.expr import Expression
from air.data.lakes.files import ColumnsInFiles, LakeFile, of_file

_EXPANSION = 3.0
_DIVIDED_BYTES = 4 << 20
"""Files below this are read whole, however few there are."""


@dataclass(frozen=True)
class LakeDatasource(Datasource):
    """The rows of a table in the order of :attr:`files`.

    Attributes:
        label: how messages call the table.
        filesystem: the ``pyarrow.fs.FileSystem`` that its files are in.
        files: those that may have rows that are wanted.
        table: its columns, in their order.
        columns_in_files: how they are found in files.
        selected: the columns to read, ``None`` for all.
        conditions: files and row groups that cannot have a row for which all are true are left out.
        row_filter: leaves only some rows of a table with the columns :attr:`filtered_by`.
    """

    label: str
    filesystem: Any
    files: tuple[LakeFile, ...]
    table: pa.Schema
    columns_in_files: ColumnsInFiles
    selected: tuple[str, ...] | None = None
    conditions: tuple[Expression, ...] = ()
    row_filter: Callable[[pa.Table], pa.Table] | None = None
    filtered_by: tuple[str, ...] = ()
    footers: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.label

    def schema(self) -> Schema | None:
        names = self.table.names if self.selected is None else self.selected
        return pa.schema([self.table.field(name) for name in names])

    def num_rows(self) -> int | None:
        counts = [file.num_rows for file in self.files]
        if self.conditions or self.row_filter is not None or None in counts:
            return None
        return sum(count for count in counts if count is not None)

    def estimate_inmemory_data_size(self) -> int | None:
        return round(sum(file.size_bytes for file in self.files) * _EXPANSION)

    def pushed(self) -> str:
        told = [] if self.selected is None else [f"only columns {', '.join(self.selected)}"]
        if self.conditions:
            wanted = sum(file.may_match(self.conditions) for file in self.files)
            told.append(f"only {wanted} of {len(self.files)} files, and row groups that may have")
            told[-1] += f" {' and '.join(map(repr, self.conditions))}"
        return "; ".join(told)

    def files_to_read(self) -> FileSet | None:
        if not self.files:
            return None
        return _file_set(self.filesystem, self.files)

    def with_columns(self, columns: tuple[str, ...]) -> Self:
        return replace(self, selected=columns)

    def with_filter(self, condition: Expression) -> Self | None:
        if any(known is condition for known in self.conditions):
            return None
        return replace(self, conditions=(*self.conditions, condition))

    def get_read_tasks(self, parallelism: int) -> list[ReadTask]:
        wanted = {f.path: f for f in self.files if f.may_match(self.conditions)}
        reader = self._reader()
        fragments: list[Fragment] = []
        for file in wanted.values():
            if len(wanted) < parallelism and file.size_bytes >= _DIVIDED_BYTES:
                fragments += reader.fragments_of(file, self.footers)
            else:
                size = round(file.size_bytes * _EXPANSION)
                fragments.append(Fragment(file.path, None, size, file.num_rows))
        tasks = []
        for group in balanced(fragments, parallelism):
            paths = dict.fromkeys(fragment.path for fragment in group)
            files = {path: replace(wanted[path], statistics=None) for path in paths}
            rows = None if self.conditions or self.row_filter is not None else _rows(group, files)
            size = sum(fragment.size_bytes for fragment in group)
            metadata = BlockMetadata(rows, size, None, describe_fragments(group, "row groups"))
            tasks.append(ReadTask(_ReadFragments(reader, files, tuple(group)), metadata))
        # Somebody has to say which columns there are.
        return tasks or [ReadTask(_ReadFragments(reader, {}, ()), BlockMetadata(num_rows=0))]

    def _reader(self) -> _Reader:
        schema = self.schema()
        assert isinstance(schema, pa.Schema)
        needed = tuple(dict.fromkeys((*schema.names, *self.filtered_by)))
        return _Reader(
            ParquetDatasource(
                FileSet(self.filesystem, (), (), ()), budget=current_budget(), int96_unit="us"
            ),
            pa.schema([self.table.field(name) for name in needed]),
            tuple(schema.names),
            self.columns_in_files,
            self.conditions,
            self.row_filter,
        )

    def __getstate__(self) -> dict[str, Any]:
        # What was read for planning is not needed where the data is read.
        return {**self.__dict__, "footers": {}}


@dataclass(frozen=True)
class _Reader:
    """What it takes to read files of a table, without the list of them.

    Attributes:
        parquet: reads files.
        needed: the columns to read.
        given: the names of those to give.
    """

    parquet: ParquetDatasource
    needed: pa.Schema
    given: tuple[str, ...]
    columns_in_files: ColumnsInFiles
    conditions: tuple[Expression, ...]
    row_filter: Callable[[pa.Table], pa.Table] | None

    @cached_property
    def schema(self) -> pa.Schema:
        """Of what is given."""
        return pa.schema([self.needed.field(name) for name in self.given])

    def fragments_of(self, file: LakeFile, footers: dict[str, Any]) -> list[Fragment]:
        """The row groups of a file that may have rows that are wanted."""
        if file.path not in footers:
            with self.parquet.opened(file.path) as opened:
                footers[file.path] = opened.metadata
        footer = footers[file.path]
        _, parquet = self._inside(footer.schema.to_arrow_schema(), file)
        return parquet.fragments_of(file.path, footer)

    def read(self, file: LakeFile, fragment: Fragment, origins: Origins) -> Iterator[pa.Table]:
        """The rows of a part of a file that are in the table, and where they are from."""
        path = file.path
        with self.parquet.opened(path) as opened:
            names, parquet = self._inside(opened.schema_arrow, file)
            parts = parquet.fragments_of(path, opened.metadata)
            if fragment.parts is not None:
                parts = [part for part in parts if part.parts == fragment.parts]
            removed = None
            if file.removed is not None and parts:
                removed = file.removed.positions(self.parquet.files.filesystem, path)
            for part in parts:
                assert part.parts is not None
                row = part.first_row or 0
                for table in parquet.row_group(opened, part.parts[0], list(names.values())):
                    whole = self._of_table(table, names, file)
                    rows = whole if removed is None else _without(whole, row, removed)
                    if self.row_filter is not None:
                        rows = self.row_filter(rows)
                    is_whole = rows.num_rows == table.num_rows
                    origins.note(rows.num_rows, Origin(path, row if is_whole else None))
                    row += table.num_rows
                    yield self._given(rows)

    def _inside(
        self, schema: pa.Schema, file: LakeFile
    ) -> tuple[dict[str, str], ParquetDatasource]:
        """The columns to read from a file, with their names there, and what reads them."""
        found = self.columns_in_files.names(schema, file.path)
        names = {
            name: found[name]
            for name in self.needed.names
            if name in found and name not in file.constants
        }
        conditions = tuple(of_file(condition, found) for condition in self.conditions)
        return names, replace(self.parquet, selected=tuple(names.values()), conditions=conditions)

    def _of_table(self, table: pa.Table, names: dict[str, str], file: LakeFile) -> pa.Table:
        """Rows of a file with the columns of the table."""
        if not self.needed.names:
            return table
        columns = {name: table[inside] for name, inside in names.items()}
        for column in self.needed:
            if column.name in file.constants:
                value = pa.scalar(file.constants[column.name], column.type)
                columns[column.name] = pa.chunked_array([pa.repeat(value, table.num_rows)])
            elif column.name not in names:
                columns[column.name] = pa.chunked_array([pa.nulls(table.num_rows, column.type)])
        made = pa.table({name: columns[name] for name in self.needed.names})
        try:
            made = conform(made, self.needed)
        except ValuesDoNotFit as error:
            raise ReadError(
                f"{file.path}: column {error.column!r} is {error.kind} there and {error.common} in"
                f" the table, which does not hold all values: {error.why}"
            ) from None
        # Without what files note of single columns.
        return pa.Table.from_arrays(made.columns, schema=self.needed)

    def _given(self, table: pa.Table) -> pa.Table:
        if not self.given:
            return without_columns(table.num_rows)
        return table if len(self.given) == len(self.needed) else table.select(list(self.given))


@dataclass(frozen=True, slots=True)
class _ReadFragments(NotedRead):
    """A read function that can be pickled."""

    reader: _Reader
    files: dict[str, LakeFile]
    group: tuple[Fragment, ...]

    def noting(self, origins: Origins) -> Iterator[Block]:
        if not self.group:
            return iter([empty_table(self.reader.schema)])
        blocks = (
            table
            for fragment in self.group
            for table in self.reader.read(self.files[fragment.path], fragment, origins)
        )
        return self._some(blocks if len(self.group) == 1 else joined(blocks, at_once=False))

    def _some(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """*blocks*, or one without rows: files may turn out to have none that are wanted."""
        first = next(blocks, None)
        yield empty_table(self.reader.schema) if first is None else first
        yield from blocks


def _file_set(filesystem: Any, files: Sequence[LakeFile]) -> FileSet:
    return FileSet(
        filesystem,
        tuple(file.path for file in files),
        tuple(file.size_bytes for file in files),
        tuple(() for _ in files),
    )


def _rows(group: Sequence[Fragment], files: dict[str, LakeFile]) -> int | None:
    """How many rows parts of files give, if that is known."""
    counts = [
        None if f.parts is not None and files[f.path].removed is not None else f.num_rows
        for f in group
    ]
    return None if None in counts else sum(count for count in counts if count is not None)


def _without(table: pa.Table, first: int, removed: np.ndarray) -> pa.Table:
    """Rows *first* and after of a file, without those at the positions *removed*."""
    begin, end = np.searchsorted(removed, [first, first + table.num_rows])
    if begin == end:
        return table
    mask = np.ones(table.num_rows, dtype=bool)
    mask[removed[begin:end] - first] = False
    if not table.column_names:
        return without_columns(int(mask.sum()))
    return kept(table, pa.array(mask))
