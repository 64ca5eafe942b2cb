"""Reading files: what the formats have in common."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import pyarrow as pa
from pyarrow import fs

from air.data.batching.regrouping import JOINED_BYTES, joined
from air.data.blocks.block import Block
from air.data.blocks.metadata import BlockMetadata
from air.data.blocks.origins import Origin, Origins
from air.data.blocks.schemas import ValuesDoNotFit, conform, empty_table, unify
from air.data.budget import Budget, current_budget
from air.data.datasource import Datasource, NotedRead, ReadTask
from air.data.datasources.labels import (
    PATH_COLUMN,
    add_labels,
    label_types,
    label_values,
    with_path,
)
from air.data.datasources.paths import FileSet, is_compressed
from air.data.datasources.portions import portion
from air.data.errors import ReadError, UnsupportedValue

_LOOKS_AT_ONCE = 16

LOOKED_AT = 256
"""Files that are looked at before any is read; of more, the others are found out about later."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a file that can be read by itself.

    Attributes:
        path: the file.
        parts: which parts of it, as the format counts them; ``None`` for the whole file.
        size_bytes: in memory, roughly; for dividing work evenly.
        num_rows: if known.
        first_row: which row of the file, from 0, its first one is; ``None`` if not known, save
            that a whole file begins with its first row.
    """

    path: str
    parts: tuple[int, ...] | None = None
    size_bytes: int = 0
    num_rows: int | None = None
    first_row: int | None = None


@dataclass(frozen=True)
class FileDatasource(Datasource):
    """Base of sources that read files, each by itself, in the order of :attr:`files`.

    A format says what a file's rows look like and how to read a fragment, and may say how a
    large file divides into several. Files may differ: their rows get the columns of all of
    them, and types that hold the values of each. Directories named ``name=value`` give a column.

    Attributes:
        files: what to read.
        includes_path: whether a column ``path`` tells the file of each row.
        selected: the columns to read, ``None`` for all.
        common: the schema of all files together, as far as it is known; see :meth:`checked`.
        origins: for each of its columns the types that it has in files, each with the first
            file, for messages.
        budget: what memory there is for reading; known when reading begins, ``None`` before.
    """

    files: FileSet
    includes_path: bool = False
    selected: tuple[str, ...] | None = None
    common: pa.Schema | None = None
    origins: Mapping[str, Mapping[pa.DataType, str]] = field(default_factory=dict, repr=False)
    budget: Budget | None = field(default=None, repr=False, compare=False)

    @abc.abstractmethod
    def look(self, path: str) -> pa.Schema:
        """What rows of a file look like, as well as can be said without reading all of it.

        Raises:
            ReadError: it cannot be parsed; names the file.
        """

    @abc.abstractmethod
    def read_fragment(self, fragment: Fragment) -> Iterable[pa.Table]:
        """The rows of *fragment*, with those of the selected columns that the file has.

        Raises:
            ReadError: it cannot be parsed; names the file.
        """

    def checked(self) -> Self:
        """This source, after a look at its files (the first 256 of very many).

        Raises:
            ReadError: one of them cannot be parsed, or two have columns of one name that do not
                go together; names the files.
        """
        looked_at = self.files.paths[:LOOKED_AT]
        found = self._looks(looked_at)
        schemas = [
            self._labelled(empty_table(schema), path).schema
            for path, schema in zip(looked_at, found, strict=True)
        ]
        try:
            common = self.together(schemas, looked_at)
        except UnsupportedValue as error:
            raise ReadError(f"{error}{self.remedy}") from None
        origins: dict[str, dict[pa.DataType, str]] = {}
        for path, schema in zip(looked_at, schemas, strict=True):
            for column in schema:
                if not pa.types.is_null(column.type):
                    origins.setdefault(column.name, {}).setdefault(column.type, path)
        return replace(self, common=common, origins=origins)

    def _looks(self, paths: Sequence[str]) -> list[pa.Schema]:
        """What :meth:`look` says of each; the error of the first of which it raises one."""
        threads = min(self.looks_at_once, len(paths))
        if threads <= 1:
            return [self.look(path) for path in paths]
        with ThreadPoolExecutor(threads) as pool:
            looks = [pool.submit(self.look, path) for path in paths]
            try:
                return [each.result() for each in looks]
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    @property
    def looks_at_once(self) -> int:
        """How many files to look at in threads: with those of a server waiting takes the time."""
        return 1 if isinstance(self.files.filesystem, fs.LocalFileSystem) else _LOOKS_AT_ONCE

    def together(self, schemas: Sequence[pa.Schema], places: Sequence[str]) -> pa.Schema:
        """The schema that files with any of *schemas* are brought to.

        Raises:
            UnsupportedValue: there is none; names the column and *places*.
        """
        return unify(schemas, places)

    @property
    def remedy(self) -> str:
        """What to do about files that do not go together, as the end of a message."""
        return ""

    @property
    def has_seen_all(self) -> bool:
        """Whether :attr:`common` speaks of every file."""
        return self.common is not None and len(self.files.paths) <= LOOKED_AT

    def columns(self) -> list[str] | None:
        if self.selected is not None:
            return list(self.selected)
        return list(self.common.names) if self.common is not None and self.has_seen_all else None

    def conformed(self, table: pa.Table, path: str) -> pa.Table:
        """Rows of the file *path* with the columns and types that all files have.

        Raises:
            ReadError: they do not go together with those of another file; names both.
        """
        table = self._labelled(table, path)
        if self.common is None or (len(self.files.paths) == 1 and not self._label_types):
            return self._in_order(table)
        wanted = self.common.names if self.selected is None else self.selected
        known = [self.common.field(name) for name in wanted if name in self.common.names]
        if table.schema.equals(pa.schema(known)):
            return table
        # It may be wider here than what the look at it had shown.
        parts = [pa.schema([column]) for column in known]
        places = [next(iter(self.origins.get(column.name, {}).values()), "") for column in known]
        try:
            return conform(table, self.together([*parts, table.schema], [*places, path]))
        except ValuesDoNotFit as error:
            raise ReadError(self._does_not_fit(error, path)) from None
        except UnsupportedValue as error:
            raise ReadError(
                f"{path} does not go with the files before it: {error}{self.remedy}"
            ) from None

    def _does_not_fit(self, error: ValuesDoNotFit, path: str) -> str:
        found = self.origins.get(error.column, {})
        others = [f"{kind} in {place}" for kind, place in found.items() if kind != error.kind]
        return (
            f"column {error.column!r} has the types {error.kind} in {path} and"
            f" {' and '.join(others) or 'another one elsewhere'}, and {error.common}, which they"
            f" become together, does not hold all values ({error.why}): make it one type"
            f"{self.remedy}"
        )

    def _in_order(self, table: pa.Table) -> pa.Table:
        names = [name for name in self.selected or () if name in table.column_names]
        return table if names in ([], table.column_names) else table.select(names)

    @cached_property
    def _label_types(self) -> dict[str, pa.DataType]:
        return label_types(self.files.labels)

    def labels_of(self, path: str) -> dict[str, Any]:
        """What the directories of a file say, with nothing for a label that only others have."""
        labels = self.files.labels[self.files.paths.index(path)]
        return label_values(labels, self._label_types)

    def _labelled(self, table: pa.Table, path: str) -> pa.Table:
        if self._label_types:
            labels = self.files.labels[self.files.paths.index(path)]
            table = add_labels(table, labels, self._label_types, self.selected)
        if self.includes_path and (self.selected is None or PATH_COLUMN in self.selected):
            table = with_path(table, path)
        return table

    def fragments(self) -> list[Fragment]:
        """The parts that can be read independently, in order."""
        sizes = (max(size, 0) for size in self.files.sizes)
        return [
            Fragment(path, size_bytes=round(size * self.expansion))
            for path, size in zip(self.files.paths, sizes, strict=True)
        ]

    @property
    def reads_every_row(self) -> bool:
        """Whether no row of a file is left out, so that rows can be counted."""
        return True

    @property
    def gives_portions(self) -> bool:
        """Whether tables are as small as :meth:`portion` says, and worth putting together."""
        return True

    @property
    def parts_are(self) -> str:
        """How the parts of a file are called that fragments count."""
        return "row groups"

    @property
    def expansion(self) -> float:
        """Bytes in memory for each byte on disk, as a rule."""
        return 1.0

    def get_read_tasks(self, parallelism: int) -> list[ReadTask]:
        ready = self if self.budget is not None else replace(self, budget=current_budget())
        return [ready._read_task(group) for group in balanced(ready.fragments(), parallelism)]

    def portion(self, usual: int, held: int) -> int:
        """How many bytes of a file to take at a time; see :func:`portion`."""
        return portion(self.budget or current_budget(), usual, held)

    def estimate_inmemory_data_size(self) -> int | None:
        total = self.files.total_bytes
        return None if total is None else round(total * self.expansion)

    def pushed(self) -> str:
        return "" if self.selected is None else f"only columns {', '.join(self.selected)}"

    def files_to_read(self) -> FileSet:
        return self.files

    def with_columns(self, columns: tuple[str, ...]) -> Self:
        return replace(self, selected=columns)

    def _read_task(self, group: Sequence[Fragment]) -> ReadTask:
        rows = [fragment.num_rows for fragment in group]
        metadata = BlockMetadata(
            num_rows=sum(n for n in rows if n is not None) if None not in rows else None,
            size_bytes=sum(fragment.size_bytes for fragment in group),
            source=describe_fragments(group, self.parts_are),
        )
        return ReadTask(_ReadFragments(self, tuple(group)), metadata)


@dataclass(frozen=True, slots=True)
class _ReadFragments(NotedRead):
    """A read function that can be pickled."""

    source: FileDatasource
    group: tuple[Fragment, ...]

    def noting(self, origins: Origins) -> Iterator[Block]:
        blocks = (table for fragment in self.group for table in self._read(fragment, origins))
        budget = self.source.budget
        if self.source.gives_portions and budget is not None and budget.is_tight:
            return joined(blocks, min(JOINED_BYTES, budget.block_bytes), at_once=False)
        return blocks if len(self.group) == 1 else joined(blocks, at_once=False)

    def _read(self, fragment: Fragment, origins: Origins) -> Iterator[pa.Table]:
        begin = fragment.first_row
        if begin is None and fragment.parts is None and self.source.reads_every_row:
            begin = 0
        origin = Origin(fragment.path, begin)
        for table in self.source.read_fragment(fragment):
            origins.note(table.num_rows, origin)
            yield self.source.conformed(table, fragment.path)
            origin = origin.after(table.num_rows)


def balanced(fragments: Sequence[Fragment], parallelism: int) -> list[list[Fragment]]:
    """Neighbours put together into at most *parallelism* groups of about the same size."""
    groups: list[list[Fragment]] = []
    total = sum(max(fragment.size_bytes, 1) for fragment in fragments)
    before = 0
    current = -1
    for fragment in fragments:
        group = before * parallelism // total
        if group != current:
            groups.append([])
            current = group
        groups[-1].append(fragment)
        before += max(fragment.size_bytes, 1)
    return groups


def describe_fragments(group: Sequence[Fragment], parts_are: str) -> str:
    """Neighbours in a few words.

    Args:
        parts_are: how the parts of a file are called.
    """
    paths = list(dict.fromkeys(fragment.path for fragment in group))
    if len(paths) > 1:
        return f"{paths[0]} to {paths[-1]} ({len(paths)} files)"
    parts = group[0].parts
    if not parts:
        return paths[0]
    last = group[-1].parts or parts
    return f"{paths[0]} ({parts_are} {parts[0]}-{last[-1]})"


def open_file(files: FileSet, path: str) -> Any:
    """The file opened for reading anywhere in it."""
    return files.filesystem.open_input_file(path)


def open_unpacked(files: FileSet, path: str) -> Any:
    """The same, of what is in the file if its ending says that it is compressed as a whole."""
    if not is_compressed(path):
        return open_file(files, path)
    with files.filesystem.open_input_stream(path) as stream:
        return pa.BufferReader(stream.read())
