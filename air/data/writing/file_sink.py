"""Writing datasets to files: some for each piece, all of them or none.

Whatever makes the blocks writes the files, to a hidden directory; they are seen when all are
there, and a failure leaves nothing behind. See :mod:`air.data.writing.staging`.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from air.data.blocks.schemas import empty_table, unify
from air.data.datasink import Datasink, WriteContext
from air.data.datasources.paths import PathLike, filesystem_of
from air.data.formats import FileFormat
from air.data.formats.binary import RowNames
from air.data.writing.partitions import check_partition_columns, divided
from air.data.writing.pieces import write_to
from air.data.writing.staging import (
    Staging,
    WriteMode,
    is_filled,
    missing_directories,
    refuse_filled,
    settle,
)
from air.data.writing.staging.moves import has_directories

if TYPE_CHECKING:
    from air.data.consumption import Consumption


class FileSink(Datasink):
    """A directory of files of one format."""

    def __init__(
        self,
        system: Any,
        staging: Staging,
        stem: str,
        file_format: FileFormat,
        partition_cols: tuple[str, ...],
        dataset: Consumption,
        rows_per_file: int | None = None,
        row_names: RowNames | None = None,
    ) -> None:
        self._system = system
        self._hidden = staging.path
        self._stem = stem
        self._format = file_format
        self._partition_cols = partition_cols
        self._staging = staging
        self._dataset = dataset
        self._rows_per_file = rows_per_file
        self._row_names = row_names

    def __getstate__(self) -> dict[str, Any]:
        # Publishing is for the program alone.
        ours = ("_staging", "_dataset")
        return {name: value for name, value in self.__dict__.items() if name not in ours}

    @property
    def name(self) -> str:
        return self._format.name

    def on_write_start(self) -> None:
        self._staging.__enter__()

    def write(
        self, tables: Iterator[pa.Table], context: WriteContext
    ) -> list[tuple[str, pa.Schema, str]]:
        """Write a file for each table; gives their names, and the schema and source of each."""
        written = []
        for number, table in enumerate(tables):
            part = f"{context.index:06d}-{number:03d}"
            if self._row_names is not None:
                rows = (table.slice(row, 1) for row in range(table.num_rows))
                names = [self._write_as(self._row_names.of_row(row), row) for row in rows]
            elif self._rows_per_file is None:
                names = [self._write(part, rows, inside) for inside, rows in self._divided(table)]
            else:
                names = [
                    self._write(f"{part}-{start:07d}", table.slice(start, self._rows_per_file))
                    for start in range(0, table.num_rows, self._rows_per_file)
                ]
            written += [(name, table.schema, context.source) for name in names]
        return written

    def _divided(self, table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        if not self._partition_cols:
            yield "", table
            return
        check_partition_columns(f"write_{self.name}", table.schema, self._partition_cols)
        yield from divided(table, self._partition_cols)

    def _write(self, part: str, table: pa.Table, inside: str = "") -> str:
        """Write one file and return its name; the same part gives the same name again."""
        name = f"{self._stem}-{part}.{self._format.extension}"
        return self._write_as(f"{inside}/{name}" if inside else name, table)

    def _write_as(self, name: str, table: pa.Table) -> str:
        """Write one file of this name, which may be in a directory, and return the name."""
        inside = name.rpartition("/")[0]
        if inside and has_directories(self._system):
            self._system.create_dir(f"{self._hidden}/{inside}", recursive=True)
        path, compression = f"{self._hidden}/{name}", self._format.compression
        try:
            with self._system.open_output_stream(path, compression=compression) as file:
                self._format.write(table, file)
        except OSError as error:  # such as that of a full disk, which tells no path
            error.add_note(f"while write_{self.name} wrote {path}")
            raise
        return name

    def on_write_complete(self, write_results: list[Any]) -> None:
        written = [file for result in write_results for file in result]
        names = [name for name, _, _ in written]
        if self._row_names is not None:
            self._row_names.check_distinct(names)
            self._staging.refuse_existing(names)
        if written:
            unify([schema for _, schema, _ in written], [source for _, _, source in written])
        else:
            known = self._dataset.schema()
            # Directories are named by rows, of which there are none, or there is a file for each.
            by_rows = self._partition_cols or self._rows_per_file or self._row_names
            if isinstance(known, pa.Schema) and not by_rows:
                names = [self._write("000000-000", empty_table(known))]
        self._staging.publish(names)
        self._staging.__exit__(None, None, None)

    def on_write_failed(self, write_results: list[Any], error: BaseException) -> None:
        self._staging.__exit__(type(error), error, error.__traceback__)


def write_files(
    dataset: Consumption,
    path: PathLike,
    filesystem: Any,
    file_format: FileFormat,
    *,
    make_directory: bool = True,
    mode: WriteMode = WriteMode.APPEND,
    partition_cols: tuple[str, ...] = (),
    rows_per_file: int | None = None,
    row_names: RowNames | None = None,
) -> None:
    """Write *dataset* into the directory *path*.

    Names begin with the time of the write, so that the files of several writes to one directory
    do not clash and are read in the order in which they were written. A dataset without rows
    gives one file, if its columns are known.

    Args:
        make_directory: whether to make the directory if it is not there.
        mode: what to do if it holds something.
        partition_cols: columns that become directories below it.
        rows_per_file: how many rows each file has, in place of about as many as fit 64 MiB.
        row_names: a file for each row, with a name that a column gives.

    Raises:
        FileExistsError: the directory holds something, and *mode* is ``"error"``; or a file that
            a row is to be written to, and *mode* is not ``"overwrite"``.
        NotADirectoryError: *path* or something that it is in is a file.
        FileNotFoundError: the directory is not there, and is not to be made.
        WriteError: the format cannot hold a column.
        UnsupportedValue: columns of different blocks do not go together, so that the files could
            not be read as one dataset.
    """
    system, directory = filesystem_of(path, filesystem)
    settle(system, directory)
    missing = missing_directories(system, directory)
    if mode is WriteMode.IGNORE and is_filled(system, directory):
        return
    if mode is WriteMode.ERROR:
        refuse_filled(system, directory)
    if missing and not make_directory:
        raise FileNotFoundError(
            f"write_{file_format.name}: directory {directory!r} does not exist, and"
            " try_create_dir=False says not to make it"
        )
    stem = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
    staging = Staging(system, directory, stem, missing, mode)
    write_to(
        dataset,
        FileSink(
            system, staging, stem, file_format, partition_cols, dataset, rows_per_file, row_names
        ),
    )
