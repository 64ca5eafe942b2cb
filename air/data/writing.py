"""Writing datasets: files for each piece, all of them or none.

Whatever makes the blocks writes the files, to a hidden directory; they are seen when all are
there, and a failure leaves nothing behind. See :mod:`air.data.staging`.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from air.data.batching import joined
from air.data.block import Block, accessor
from air.data.datasources.paths import PathLike, filesystem_of
from air.data.execution.execute import execute
from air.data.formats import FileFormat
from air.data.functions import TaskContext
from air.data.partitions import check_partition_columns, divided
from air.data.plan import Map
from air.data.schemas import unify
from air.data.staging import (
    Staging,
    WriteMode,
    is_filled,
    missing_directories,
    refuse_filled,
    settle,
)
from air.data.staging.moves import has_directories
from air.data.transforms import BlockFunction, Transform

if TYPE_CHECKING:
    from air.data.consumption import Consumption

_FILE_BYTES = 64 << 20


@dataclass(frozen=True)
class _WriteBlocks(Transform):
    """Each piece that has rows to a file, or several; gives their names and schemas."""

    filesystem: Any
    directory: str
    stem: str
    format: FileFormat
    partition_cols: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"write_{self.format.name}"

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return None

    def open(self) -> BlockFunction:
        return self._run

    def _run(self, blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
        filled = (block for block in joined(blocks, _FILE_BYTES, at_once=False) if len(block))
        for number, block in enumerate(filled):
            part = f"{context.index:06d}-{number:03d}"
            table = accessor(block).to_arrow()
            if not self.partition_cols:
                yield [(self.write(part, table), table.schema)]
                continue
            check_partition_columns(self.name, table.schema, self.partition_cols)
            names = [
                self.write(part, rows, inside)
                for inside, rows in divided(table, self.partition_cols)
            ]
            yield [(name, table.schema) for name in names]

    def write(self, part: str, table: pa.Table, inside: str = "") -> str:
        """Write one file and return its name; the same part gives the same name again."""
        name = f"{self.stem}-{part}.{self.format.extension}"
        if inside:
            if has_directories(self.filesystem):
                self.filesystem.create_dir(f"{self.directory}/{inside}", recursive=True)
            name = f"{inside}/{name}"
        path, compression = f"{self.directory}/{name}", self.format.compression
        with self.filesystem.open_output_stream(path, compression=compression) as file:
            self.format.write(table, file)
        return name


def write_files(
    dataset: Consumption,
    path: PathLike,
    filesystem: Any,
    file_format: FileFormat,
    *,
    make_directory: bool = True,
    mode: WriteMode = WriteMode.APPEND,
    partition_cols: tuple[str, ...] = (),
) -> None:
    """Write *dataset* into the directory *path*.

    Names begin with the time of the write, so that the files of several writes to one directory
    do not clash and are read in the order in which they were written. A dataset without rows
    gives one file, if its columns are known.

    Args:
        make_directory: whether to make the directory if it is not there.
        mode: what to do if it holds something.
        partition_cols: columns that become directories below it.

    Raises:
        FileExistsError: the directory holds something, and *mode* is ``"error"``.
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
    with Staging(system, directory, stem, missing, mode) as staging:
        step = _WriteBlocks(system, staging.path, stem, file_format, partition_cols)
        names: list[str] = []
        schemas: list[pa.Schema] = []
        sources: list[str] = []
        with closing(execute(Map(dataset.plan, step))) as handles:
            for handle in handles:
                for name, schema in handle.get():
                    names.append(name)
                    schemas.append(schema)
                    sources.append(handle.metadata.source)
        if names:
            unify(schemas, sources)
        else:
            known = dataset.schema()
            # Directories are named by rows, of which there are none.
            if isinstance(known, pa.Schema) and not partition_cols:
                names = [step.write("000000-000", known.empty_table())]
        staging.publish(names)
