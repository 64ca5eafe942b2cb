"""Writing datasets: files for each piece, all of them or none.

Files are written to a hidden directory inside the target by whatever makes the blocks, and move
to their places when all are there. Readers skip hidden directories, so nobody sees half a
dataset, and a failure leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import datetime
import inspect
import io
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import pyarrow as pa
from pyarrow import fs

from air.data.batching import joined
from air.data.block import Block, accessor
from air.data.datasources.paths import PathLike, filesystem_of
from air.data.errors import WriteError
from air.data.execution.execute import execute
from air.data.functions import TaskContext
from air.data.plan import Map
from air.data.schemas import unify
from air.data.transforms import BlockFunction, Transform
from air.errors import InvalidOption
from air.executor.validation import reject_unknown

if TYPE_CHECKING:
    from air.data.consumption import Consumption


_ATTEMPTS = 20
_FILE_BYTES = 64 << 20


class FileFormat(Protocol):
    """How a table is written to a file; instances are picklable."""

    extension: ClassVar[str]

    def write(self, table: pa.Table, file: Any) -> None:
        """Write the table to an open binary file.

        Raises:
            WriteError: the format cannot hold a column; names it.
        """
        ...


@dataclass(frozen=True, slots=True)
class ParquetFormat:
    """Parquet; the options are those of ``pyarrow.parquet.write_table``."""

    extension: ClassVar[str] = "parquet"
    options: Mapping[str, Any]

    @classmethod
    def checked(cls, options: Mapping[str, Any]) -> ParquetFormat:
        """Refuse unknown options at the call."""
        from pyarrow import parquet

        known = inspect.signature(parquet.write_table).parameters
        names = {n for n, p in known.items() if p.kind is not inspect.Parameter.VAR_KEYWORD}
        writer = inspect.signature(parquet.ParquetWriter.__init__).parameters
        names |= set(writer) - {"self", "schema", "options"}
        reject_unknown(options, names - {"table", "where", "filesystem"}, what="write_parquet")
        # Others, such as lists, speak of columns, which this table does not have.
        alone = {n: v for n, v in options.items() if isinstance(v, (str, int, float))}
        try:
            parquet.write_table(pa.table({}), io.BytesIO(), **alone)
        except (pa.ArrowException, TypeError, ValueError) as error:
            given = ", ".join(f"{name}={value!r:.40}" for name, value in alone.items())
            raise InvalidOption(f"write_parquet({given}): {error}") from None
        return cls(dict(options))

    def write(self, table: pa.Table, file: Any) -> None:
        from pyarrow import parquet

        parquet.write_table(table, file, **self.options)


@dataclass(frozen=True, slots=True)
class CSVFormat:
    """CSV with a line of names; the options are those of ``pyarrow.csv.WriteOptions``."""

    extension: ClassVar[str] = "csv"
    options: Mapping[str, Any]

    @classmethod
    def of(cls, write_options: Any) -> CSVFormat:
        """The format for a ``WriteOptions`` (which cannot be pickled), ``None`` for defaults."""
        from pyarrow import csv

        if write_options is None:
            return cls({})
        if not isinstance(write_options, csv.WriteOptions):
            raise InvalidOption(
                "write_csv: write_options must be a pyarrow.csv.WriteOptions, got"
                f" {write_options!r:.80}"
            )
        given = {n: getattr(write_options, n) for n in dir(write_options) if n[0] != "_"}
        return cls({name: value for name, value in given.items() if not callable(value)})

    def write(self, table: pa.Table, file: Any) -> None:
        from pyarrow import csv

        if not table.num_columns:
            raise WriteError("write_csv: the rows have no columns; use write_parquet")
        for field in table.schema:
            kind = field.type
            if pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType):
                raise _cannot_hold(field)
        if table.num_columns == 1 and table.column(0).null_count:
            # A line with nothing in it is no row: quotes must tell that there is one.
            texts = table.column(0).cast(pa.string()).fill_null("")
            table = pa.table({table.column_names[0]: texts})
        try:
            csv.write_csv(table, file, csv.WriteOptions(**self.options))
        except pa.ArrowInvalid as error:
            binary = (f for f in table.schema if pa.types.is_binary(f.type))
            for field in binary:
                raise _cannot_hold(field) from None
            raise WriteError(f"write_csv: {error}") from None


def _cannot_hold(field: pa.Field) -> WriteError:
    return WriteError(
        f"write_csv: column {field.name!r} has the type {field.type}, which CSV cannot hold; drop"
        " it, turn it into text, or use write_parquet"
    )


@dataclass(frozen=True)
class _WriteBlocks(Transform):
    """Each piece that has rows to a file, or several; gives their names and schemas."""

    filesystem: Any
    directory: str
    stem: str
    format: FileFormat

    @property
    def name(self) -> str:
        return f"write_{self.format.extension}"

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return None

    def open(self) -> BlockFunction:
        return self._run

    def _run(self, blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
        filled = (block for block in joined(blocks, _FILE_BYTES, at_once=False) if len(block))
        for number, block in enumerate(filled):
            part = f"{context.index:06d}-{number:03d}"
            table = accessor(block).to_arrow()
            yield [(self.write(part, table), table.schema)]

    def write(self, part: str, table: pa.Table) -> str:
        """Write one file and return its name; the same part gives the same name again."""
        name = f"{self.stem}-{part}.{self.format.extension}"
        with self.filesystem.open_output_stream(f"{self.directory}/{name}", compression=None) as f:
            self.format.write(table, f)
        return name


def write_files(
    dataset: Consumption, path: PathLike, filesystem: Any, file_format: FileFormat
) -> list[str]:
    """Write *dataset* into the directory *path*, which is made if need be.

    Names begin with the time of the write, so that the files of several writes to one directory
    do not clash and are read in the order in which they were written.

    Returns:
        The files in the order of the rows. A dataset without rows gives one file, if its
        columns are known.

    Raises:
        NotADirectoryError: *path* is a file.
        WriteError: the format cannot hold a column.
        UnsupportedValue: columns of different blocks do not go together, so that the files could
            not be read as one dataset.
    """
    system, directory = filesystem_of(path, filesystem)
    missing = _missing_directories(system, directory)
    stem = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
    staging = f"{directory}/.{stem}"
    step = _WriteBlocks(system, staging, stem, file_format)
    moved: list[str] = []
    try:
        system.create_dir(staging, recursive=True)
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
            if isinstance(known, pa.Schema):
                names = [step.write("000000-000", known.empty_table())]
        for name in names:
            system.move(f"{staging}/{name}", f"{directory}/{name}")
            moved.append(f"{directory}/{name}")
        system.delete_dir(staging)
    except BaseException:
        for file in moved:
            system.delete_file(file)
        _remove(system, staging)
        for made in missing:
            if not system.get_file_info(fs.FileSelector(made, allow_not_found=True)):
                _remove(system, made)
        raise
    return moved


def _missing_directories(system: Any, directory: str) -> list[str]:
    """*directory* and those that it is in, as far as they are not there, the innermost first.

    Raises:
        NotADirectoryError: *directory* is a file.
    """
    if system.get_file_info(directory).type == fs.FileType.File:
        raise NotADirectoryError(
            f"{directory!r} is a file: datasets are written as a directory of files"
        )
    missing = []
    while directory and system.get_file_info(directory).type == fs.FileType.NotFound:
        missing.append(directory)
        directory = directory.rpartition("/")[0]
    return missing


def _remove(system: Any, directory: str) -> None:
    for _ in range(_ATTEMPTS):
        if system.get_file_info(directory).type != fs.FileType.Directory:
            return
        # A task that has been told to end may be writing its last file.
        with contextlib.suppress(OSError):
            system.delete_dir(directory)
