"""Parquet files."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import pyarrow as pa
from pyarrow import fs, parquet

from air.data.blocks.allocation import give_back
from air.data.blocks.block import Schema
from air.data.blocks.convert import check_distinct
from air.data.blocks.schemas import without_columns
from air.data.budget import Budget
from air.data.datasources.files import FileDatasource, Fragment, open_file
from air.data.datasources.labels import PATH_COLUMN
from air.data.errors import ReadError, UnsupportedValue
from air.data.expressions.expr import Expression
from air.data.expressions.pruning import Bounds, bounds_of, may_match

_STREAM_ROW_GROUP_BYTES = 256 << 20
_DECODED_TOGETHER = 2 << 20
"""Bytes of small columns that are decoded in one go where memory is short."""

_STREAM_ROWS = 1 << 16
_STREAM_BYTES = 32 << 20
_EXPANSION = 3.0
_READ_BYTES = 256 << 10
_WIDE_NUMBERS = ("INT64", "DOUBLE")


@dataclass(frozen=True)
class ParquetDatasource(FileDatasource):
    """Rows of Parquet files; only the selected columns are read from disk.

    Row groups are read independently. Up to 256 files their footers are read first, which
    gives the number of rows and even pieces; of more files each is one piece.
    """

    footers: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """What was seen of the files so far, by path; it stays where the planning is done."""
    conditions: tuple[Expression, ...] = field(default=(), compare=False)
    """Row groups that cannot have a row for which all are true are left out."""
    int96_unit: str | None = None
    """The unit of times that are written as Parquet once did it, if not nanoseconds."""

    @property
    def name(self) -> str:
        return f"Parquet({self.files.describe()})"

    @property
    def expansion(self) -> float:
        return _EXPANSION

    @property
    def gives_portions(self) -> bool:
        return False

    def look(self, path: str) -> pa.Schema:
        with self.opened(path) as file:
            self.footers[path] = file.metadata
            check_distinct(file.schema_arrow.names, "it")
            return file.schema_arrow.remove_metadata()

    @contextmanager
    def opened(self, path: str) -> Iterator[parquet.ParquetFile]:
        """The file, whose footer is read.

        Raises:
            ReadError: it is no Parquet file, or what is read of it is damaged; names it.
        """
        try:
            with open_file(self.files, path) as source:
                file = parquet.ParquetFile(
                    source,
                    coerce_int96_timestamp_unit=self.int96_unit,
                    pre_buffer=self._reads_ahead,
                )
                yield self._by_pages(source, file) if self._has_large_groups(file) else file
        except (pa.ArrowInvalid, UnsupportedValue) as error:
            raise _unreadable(path, error) from None
        except OSError as error:
            raise _of_content(path, error) from None

    @property
    def _reads_ahead(self) -> bool:
        """Whether other threads read what will be decoded: with a server that saves requests.

        Where memory is short that is too much: allocators keep for such a thread what it had.
        """
        is_tight = self.budget is not None and self.budget.is_tight
        return not (is_tight and isinstance(self.files.filesystem, fs.LocalFileSystem))

    def _has_large_groups(self, file: parquet.ParquetFile) -> bool:
        """Whether there is a row group of which memory must not hold all at a time."""
        budget, names = self.budget, file.schema_arrow.names
        if budget is None or not budget.is_tight:
            return False
        if self.selected is not None:
            names = [name for name in names if name in self.selected]
        groups = range(file.metadata.num_row_groups)
        return not all(self._decodes_whole(budget, file.metadata, one, names) for one in groups)

    def _decodes_whole(
        self, budget: Budget, footer: Any, index: int, columns: Sequence[str]
    ) -> bool:
        """Whether memory may hold all of some columns of a row group at a time."""
        size = self._size(footer.row_group(index))
        return budget.decodes_whole(size, _largest_varying(footer, index, columns))

    def _by_pages(self, source: Any, file: parquet.ParquetFile) -> parquet.ParquetFile:
        """The same file, read a page after the other instead of all pages of a column at once."""
        return parquet.ParquetFile(
            source,
            metadata=file.metadata,
            coerce_int96_timestamp_unit=self.int96_unit,
            pre_buffer=False,
            buffer_size=_READ_BYTES,
        )

    def fragments(self) -> list[Fragment]:
        if not self.has_seen_all:
            return super().fragments()
        return [
            fragment
            for path in self.files.paths
            for fragment in self.fragments_of(path, self.footers[path])
            or (
                []
                if self._labels_rule_out(path, self.footers[path])
                else [Fragment(path, (), 0, 0)]
            )
        ] or [Fragment(path, (), 0, 0) for path in self.files.paths[:1]]

    def fragments_of(self, path: str, footer: Any) -> list[Fragment]:
        """The row groups that are wanted of the file *path*, whose footer is known."""
        groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
        starts = list(itertools.accumulate((g.num_rows for g in groups), initial=0))
        return [
            Fragment(path, (i,), self._size(groups[i]), groups[i].num_rows, starts[i])
            for i in self.wanted(path, footer, range(len(groups)))
        ]

    @property
    def reads_every_row(self) -> bool:
        return not self.conditions

    def pushed(self) -> str:
        told = [super().pushed()]
        if self.conditions:
            conditions = " and ".join(map(repr, self.conditions))
            told.append(f"only row groups that may have {conditions}")
        return "; ".join(filter(None, told))

    def with_filter(self, condition: Expression) -> Self | None:
        if any(known is condition for known in self.conditions):
            return None
        return replace(self, conditions=(*self.conditions, condition))

    def wanted(self, path: str, footer: Any, groups: Iterable[int]) -> list[int]:
        """Those of *groups* that may have rows for which the conditions are true."""
        names = frozenset().union(*(condition.columns() for condition in self.conditions))
        if self._labels_rule_out(path, footer):
            return []
        # What is told of the whole file stands in the place of such columns.
        names -= {*self._label_types, PATH_COLUMN}
        if not names:
            return list(groups)
        found = ((index, bounds_of(footer, index, names)) for index in groups)
        return [i for i, b in found if all(may_match(one, b) for one in self.conditions)]

    def _labels_rule_out(self, path: str, footer: Any) -> bool:
        """Whether no row of a file can be wanted, by what its directories say."""
        names = frozenset().union(*(condition.columns() for condition in self.conditions))
        if names.isdisjoint(self._label_types):
            return False
        known = {
            name: Bounds(value, value, int(value is None), 1)
            for name, value in self.labels_of(path).items()
            if name in names
        }
        for name in footer.schema.to_arrow_schema().names:
            known.pop(name, None)  # a column of the file itself goes before
        return not all(may_match(condition, known) for condition in self.conditions)

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        with self.opened(fragment.path) as file:
            columns = None
            if self.selected is not None:
                present = set(file.schema_arrow.names)
                columns = [name for name in self.selected if name in present]
            groups = fragment.parts
            if groups is None:
                footer = file.metadata
                groups = tuple(self.wanted(fragment.path, footer, range(footer.num_row_groups)))
            if not groups:
                yield _plain(file.read_row_groups([], columns=columns))
            for index in groups:
                yield from self.row_group(file, index, columns)

    def row_group(
        self, file: parquet.ParquetFile, index: int, columns: list[str] | None
    ) -> Iterator[pa.Table]:
        """The rows of a row group, all of them or some after others, with some of the columns."""
        group = file.metadata.row_group(index)
        if columns == []:
            yield without_columns(group.num_rows)
        else:
            yield from map(_plain, self._row_group(file, index, columns, self._size(group)))

    def _row_group(
        self, file: parquet.ParquetFile, index: int, columns: list[str] | None, size: int
    ) -> Iterator[pa.Table]:
        """The rows of a row group that takes *size* bytes, all of them or some after others."""
        budget = self.budget
        together = _STREAM_BYTES
        if budget is None or not budget.is_tight:
            if size <= _STREAM_ROW_GROUP_BYTES:
                yield file.read_row_group(index, columns=columns)
                return
        else:
            names = file.schema_arrow.names if columns is None else columns
            if names and self._decodes_whole(budget, file.metadata, index, names):
                yield _column_by_column(file, index, names)
                return
            together = budget.block_bytes
        rows = _rows_at_once(file.metadata.row_group(index).num_rows, size, together)
        threads = budget is None or not budget.is_tight  # each holds pages of a column
        for batch in file.iter_batches(
            rows, row_groups=[index], columns=columns, use_threads=threads
        ):
            yield pa.Table.from_batches([batch])

    def num_rows(self) -> int | None:
        if not self.has_seen_all or self.conditions:
            return None
        return sum(self.footers[path].num_rows for path in self.files.paths)

    def schema(self) -> Schema | None:
        if self.common is None or not self.has_seen_all:
            return None
        if self.selected is None:
            return self.common
        names = self.common.names
        return pa.schema([self.common.field(name) for name in self.selected if name in names])

    def _size(self, group: Any) -> int:
        """Bytes of a row group in memory, as far as one can tell."""
        columns = [group.column(index) for index in range(group.num_columns)]
        if self.selected is not None:
            wanted = set(self.selected)
            columns = [c for c in columns if c.path_in_schema.partition(".")[0] in wanted]
        return sum(map(_decoded_bytes, columns))

    def __getstate__(self) -> dict[str, Any]:
        # What was read for planning is not needed where the data is read.
        return {**self.__dict__, "footers": {}}


def _column_by_column(file: parquet.ParquetFile, group: int, columns: list[str]) -> pa.Table:
    """A row group, of which one large column at a time is decoded: that takes the least memory.

    Decoding together holds pages of all columns, as they are in the file and as values.
    """
    arrays: list[pa.ChunkedArray] = []
    fields: list[pa.Field] = []
    for names in _together(file.metadata.row_group(group), columns):
        table = file.read_row_group(group, columns=names, use_threads=False)
        arrays += [table[name] for name in names]
        fields += [table.schema.field(name) for name in names]
        give_back()
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _together(group: Any, columns: Sequence[str]) -> Iterator[list[str]]:
    """Columns of a row group that are worth decoding together, because they are small."""
    sizes = dict.fromkeys(columns, 0)
    for column in (group.column(index) for index in range(group.num_columns)):
        name = column.path_in_schema.partition(".")[0]
        if name in sizes:
            sizes[name] += _decoded_bytes(column)
    names: list[str] = []
    held = 0
    for name, size in sizes.items():
        if names and held + size > _DECODED_TOGETHER:
            yield names
            names, held = [], 0
        names.append(name)
        held += size
    if names:
        yield names


def _largest_varying(footer: Any, group: int, columns: Sequence[str]) -> int:
    """Bytes of the largest of *columns* whose values are not all as long, in a row group."""
    wanted, found = set(columns), 0
    for index in range(footer.num_columns):
        column = footer.row_group(group).column(index)
        varies = column.physical_type == "BYTE_ARRAY"
        varies = varies or footer.schema.column(index).max_repetition_level > 0
        if varies and column.path_in_schema.partition(".")[0] in wanted:
            found = max(found, _decoded_bytes(column))
    return found


def _decoded_bytes(column: Any) -> int:
    """Bytes of a column of a row group in memory, as far as one can tell.

    What is told is its size with each different value once, which may be a small part of that: the
    smallest and the largest text tell how long texts are.
    """
    told: int = column.total_uncompressed_size
    kind = column.physical_type
    if kind in _WIDE_NUMBERS:
        return max(told, 8 * column.num_values)
    if kind != "BYTE_ARRAY" or "RLE_DICTIONARY" not in column.encodings:
        return told
    bounds = column.statistics
    if bounds is None or not bounds.has_min_max:
        return told
    lengths = [len(one) for one in (bounds.min_raw, bounds.max_raw) if one is not None]
    return max(told, column.num_values * (4 + sum(lengths) // max(len(lengths), 1)))


def _rows_at_once(num_rows: int, size_bytes: int, together_bytes: int) -> int:
    """How many rows of a large row group are decoded together: fewer where they are wide."""
    return max(1, min(_STREAM_ROWS, num_rows * together_bytes // max(size_bytes, 1)))


def _plain(table: pa.Table) -> pa.Table:
    """Without what other programs noted in the schema, so that blocks of files agree."""
    return table.replace_schema_metadata(None)


def _unreadable(path: str, error: Exception) -> ReadError:
    return ReadError(f"{path} cannot be read as Parquet: {error}")


def _of_content(path: str, error: OSError) -> Exception:
    """What to say of *error*: Arrow has one class for files that are broken or out of reach."""
    return error if error.errno is not None else _unreadable(path, error)
