"""Writing Parquet files that a table's log is then told of, all in one version."""

from __future__ import annotations

import datetime
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import fs, parquet

from air.data.blocks.schemas import empty_table
from air.data.datasink import Datasink, WriteContext
from air.data.delta.partitions import check_partition_type, partition_value
from air.data.delta.statistics import statistics
from air.data.delta.tables import deltalake, filesystem_of_table, opened
from air.data.delta.target import Target, check_times, commit
from air.data.delta.types import TYPES, WHAT, check_distinct, one_schema
from air.data.errors import WriteError, require_columns
from air.data.writing.partitions import label_of, rows_by_values
from air.data.writing.staging import WriteMode, missing_directories
from air.executor.validation import listing

if TYPE_CHECKING:
    from air.data.consumption import Consumption


@dataclass(frozen=True, slots=True)
class _Written:
    """A file.

    Attributes:
        path: inside the table.
        size: in bytes.
        values, stats: what the log says of it.
        schema: of its rows, with the columns that the table is divided by.
        names: the columns that the rows had; those without values have no type.
        source: where the rows come from.
    """

    path: str
    size: int
    values: dict[str, str | None]
    stats: str
    schema: pa.Schema
    names: tuple[str, ...]
    source: str


class DeltaSink(Datasink):
    """A directory of its own inside of a table, for the files of one write."""

    def __init__(
        self, target: Target, mode: WriteMode, adds_columns: bool, dataset: Consumption
    ) -> None:
        self._target = target
        self._dataset = dataset
        self._mode = mode
        self._adds_columns = adds_columns
        self._columns = target.columns
        self._partition_cols = target.partition_cols
        self._required = target.required
        now = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S%f}"
        self._directory = f"{now}-{secrets.token_hex(4)}"
        self._place = (target.location, target.options)
        self._made: list[str] = []
        self._told = False

    def __getstate__(self) -> dict[str, Any]:
        # The log is for the program alone.
        return {n: v for n, v in self.__dict__.items() if n not in ("_target", "_dataset")}

    @property
    def name(self) -> str:
        return "delta"

    @property
    def _is_local(self) -> bool:
        return "://" not in self._target.location

    def on_write_start(self) -> None:
        if self._is_local:
            self._made = missing_directories(fs.LocalFileSystem(), self._target.location)

    def write(self, tables: Iterator[pa.Table], context: WriteContext) -> list[_Written]:
        system = filesystem_of_table(WHAT, *self._place)
        written = []
        for number, table in enumerate(tables):
            rows = self._fitted(table)
            part = f"{context.index:06d}-{number:03d}.parquet"
            for directories, values, inside in self._divided(rows):
                path = "/".join((self._directory, *directories, part))
                size = _write(system, path, inside)
                stats = statistics(inside)
                names = tuple(table.column_names)
                written.append(
                    _Written(path, size, values, stats, rows.schema, names, context.source)
                )
        return written

    def _fitted(self, table: pa.Table) -> pa.Table:
        if self._columns is not None and not self._adds_columns:
            require_columns(table.column_names, self._columns.names, f"{WHAT}: the table")
        check_distinct(table.column_names)
        made = TYPES.adapted(table)
        if self._columns is not None:
            made = TYPES.fitted(made, self._columns)
        TYPES.check_not_null(made, self._required)
        if set(made.column_names) <= set(self._partition_cols):
            raise WriteError(
                f"{WHAT}: no column with a value is left for the files: the rows have"
                f" {listing(table.column_names)}, and the table is divided by"
                f" {listing(self._partition_cols) or 'none'}"
            )
        return made

    def _divided(
        self, table: pa.Table
    ) -> Iterator[tuple[list[str], dict[str, str | None], pa.Table]]:
        """Rows by the columns that the table is divided by: directories, values, the others."""
        if not self._partition_cols:
            yield [], {}, table
            return
        for name in self._partition_cols:
            if name not in table.column_names:
                kind = pa.null() if self._columns is None else self._columns.field(name).type
                table = table.append_column(name, pa.nulls(table.num_rows, kind))
            check_partition_type(table.schema.field(name))
        for values, rows in rows_by_values(table, self._partition_cols):
            texts = {name: partition_value(name, value) for name, value in values.items()}
            names = [f"{quote(name, safe='')}={label_of(text)}" for name, text in texts.items()]
            yield names, texts, rows

    def on_write_complete(self, write_results: list[Any]) -> None:
        written: list[_Written] = [file for result in write_results for file in result]
        schema = self._schema_of(written)
        check_times(self._target, schema)
        actions = _actions(written)
        # From now on the files may be in the log, and must not be removed.
        self._told = True
        commit(self._target, schema, actions, self._mode)

    def _schema_of(self, written: list[_Written]) -> pa.Schema:
        """The columns of the table afterwards."""
        if not written:
            return self._without_rows()
        known = [] if self._columns is None else [self._columns]
        schema = one_schema(
            [*known, *(file.schema for file in written)],
            [*("the table" for _ in known), *(file.source for file in written)],
        )
        for name in dict.fromkeys(name for file in written for name in file.names):
            if name not in schema.names:
                raise WriteError(
                    f"{WHAT}: column {name!r} has no values, so that it is not known of which type"
                    " it is in the table: give it one, as with_column(name, col(name).cast(...))"
                    " does, or leave it out"
                )
        require_columns(self._partition_cols, schema.names, f"{WHAT}: partition_cols")
        return schema

    def _without_rows(self) -> pa.Schema:
        """The same where nothing was written."""
        if self._columns is not None:
            return self._columns
        known = self._dataset.schema()
        if not isinstance(known, pa.Schema):
            raise WriteError(
                f"{WHAT}: there are no rows, and it is not known which columns they would have, so"
                " that no table can be made"
            )
        schema = TYPES.adapted(empty_table(known)).schema
        require_columns(known.names, schema.names, f"{WHAT}: columns with a type")
        require_columns(self._partition_cols, schema.names, f"{WHAT}: partition_cols")
        return schema

    def on_write_failed(self, write_results: list[Any], error: BaseException) -> None:
        if self._told and self._may_be_in_log():
            return
        system = filesystem_of_table(WHAT, *self._place)
        selector = fs.FileSelector(self._directory, allow_not_found=True, recursive=True)
        for info in system.get_file_info(selector):
            if info.type == fs.FileType.File:
                system.delete_file(info.path)
        if self._is_local:
            with suppress(FileNotFoundError):
                system.delete_dir(self._directory)
            for directory in self._made:
                with suppress(OSError):
                    os.rmdir(directory)

    def _may_be_in_log(self) -> bool:
        """Whether the table has the files, or cannot be asked."""
        library = deltalake(WHAT)
        try:
            if not library.DeltaTable.is_deltatable(*self._place):
                return False
            actions = pa.table(opened(WHAT, *self._place).get_add_actions())
        except Exception:  # they are not seen, and vacuum removes them
            return True
        return bool(pc.any(pc.starts_with(actions["path"], self._directory)).as_py())


def _actions(written: list[_Written]) -> list[Any]:
    """What the log is told of files, which all have one time, so that their names order them."""
    library = deltalake(WHAT)
    now = time.time_ns() // 1_000_000
    return [
        library.transaction.AddAction(f.path, f.size, f.values, now, True, f.stats) for f in written
    ]


def _write(system: Any, path: str, table: pa.Table) -> int:
    """Write one file; gives its size."""
    system.create_dir(path.rpartition("/")[0], recursive=True)
    with system.open_output_stream(path) as file:
        parquet.write_table(table, file, store_schema=False)
    return int(system.get_file_info(path).size)
