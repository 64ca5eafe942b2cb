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

from air.data.arguments import STREAM_CODECS, check_opening
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


REFUSED = {
    "ray_remote_args": "writing takes what making the rows takes: give num_cpus and others there",
    "block_path_provider": "files are named by the time of the write and their place in the rows",
    "index": "rows have no index",
}
"""Options of other toolkits, each with what to do instead."""

_REFUSED_BY_PARQUET = {
    **REFUSED,
    "arrow_open_stream_args": "Parquet files are compressed inside: give compression",
    "arrow_parquet_args_fn": "give the options themselves, such as compression",
}
_ATTEMPTS = 20
_FILE_BYTES = 64 << 20


class FileFormat(Protocol):
    """How a table is written to a file; instances are picklable.

    Attributes:
        name: the format's, which the operator that writes is called after.
    """

    name: ClassVar[str]

    @property
    def compression(self) -> str | None:
        """Of files as a whole, as ``open_output_stream`` takes it."""
        ...

    @property
    def extension(self) -> str:
        """What names of files end with, after the dot."""
        ...

    def write(self, table: pa.Table, file: Any) -> None:
        """Write the table to an open binary file.

        Raises:
            WriteError: the format cannot hold a column; names it.
        """
        ...


@dataclass(frozen=True, slots=True)
class ParquetFormat:
    """Parquet; the options are those of ``pyarrow.parquet.write_table``."""

    name: ClassVar[str] = "parquet"
    options: Mapping[str, Any]
    compression: str | None = None

    @property
    def extension(self) -> str:
        return "parquet"

    @classmethod
    def checked(cls, options: Mapping[str, Any]) -> ParquetFormat:
        """Refuse unknown options at the call."""
        from pyarrow import parquet

        known = inspect.signature(parquet.write_table).parameters
        names = {n for n, p in known.items() if p.kind is not inspect.Parameter.VAR_KEYWORD}
        writer = inspect.signature(parquet.ParquetWriter.__init__).parameters
        names |= set(writer) - {"self", "schema", "options"}
        for name in options:
            if name in _REFUSED_BY_PARQUET:
                raise InvalidOption(
                    f"write_parquet has no option {name!r}: {_REFUSED_BY_PARQUET[name]}"
                )
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

    name: ClassVar[str] = "csv"
    options: Mapping[str, Any]
    compression: str | None = None

    @property
    def extension(self) -> str:
        return "csv" + (STREAM_CODECS[self.compression] if self.compression else "")

    @classmethod
    def of(cls, write_options: Any, opening: object) -> CSVFormat:
        """The format for a ``WriteOptions`` (which cannot be pickled), ``None`` for defaults.

        Args:
            opening: how files are opened, such as ``{"compression": "gzip"}``.
        """
        from pyarrow import csv

        compression = check_opening("write_csv", opening).get("compression")
        if compression == "detect":
            raise InvalidOption("write_csv: files get names of their own: name the compression")
        if write_options is None:
            return cls({}, compression)
        if not isinstance(write_options, csv.WriteOptions):
            raise InvalidOption(
                "write_csv: write_options must be a pyarrow.csv.WriteOptions, got"
                f" {write_options!r:.80}"
            )
        given = {n: getattr(write_options, n) for n in dir(write_options) if n[0] != "_"}
        options = {name: value for name, value in given.items() if not callable(value)}
        return cls(options, compression)

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
            yield [(self.write(part, table), table.schema)]

    def write(self, part: str, table: pa.Table) -> str:
        """Write one file and return its name; the same part gives the same name again."""
        name = f"{self.stem}-{part}.{self.format.extension}"
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
) -> None:
    """Write *dataset* into the directory *path*.

    Names begin with the time of the write, so that the files of several writes to one directory
    do not clash and are read in the order in which they were written. A dataset without rows
    gives one file, if its columns are known.

    Args:
        make_directory: whether to make the directory if it is not there.

    Raises:
        NotADirectoryError: *path* or something that it is in is a file.
        FileNotFoundError: the directory is not there, and is not to be made.
        WriteError: the format cannot hold a column.
        UnsupportedValue: columns of different blocks do not go together, so that the files could
            not be read as one dataset.
    """
    system, directory = filesystem_of(path, filesystem)
    missing = _missing_directories(system, directory)
    if missing and not make_directory:
        raise FileNotFoundError(
            f"write_{file_format.name}: directory {directory!r} does not exist, and"
            " try_create_dir=False says not to make it"
        )
    stem = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
    with _Staging(system, directory, stem, missing) as staging:
        step = _WriteBlocks(system, staging.path, stem, file_format)
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
        staging.publish(names)


class _Staging:
    """A hidden directory to write to, which is gone in the end, whatever happens.

    A new target appears by the rename of the whole of it; into one that is there already files
    move one by one.
    """

    def __init__(self, system: Any, directory: str, stem: str, missing: list[str]) -> None:
        parent = directory.rpartition("/")[0] if missing else directory
        self.path = f"{parent}/.{stem}" if parent or directory.startswith("/") else f".{stem}"
        self._system = system
        self._directory = directory
        self._missing = missing
        self._moved: list[str] = []

    def __enter__(self) -> _Staging:
        try:
            self._system.create_dir(self.path, recursive=True)
        except BaseException:
            self._take_back()
            raise
        return self

    def publish(self, names: list[str]) -> None:
        """Move all files to where they can be seen."""
        if self._missing and self._moved_whole():
            return
        self._system.create_dir(self._directory, recursive=True)
        for name in names:
            target = f"{self._directory}/{name}"
            self._system.move(f"{self.path}/{name}", target)
            self._moved.append(target)
        self._system.delete_dir(self.path)

    def _moved_whole(self) -> bool:
        try:
            self._system.move(self.path, self._directory)
        except (OSError, pa.ArrowException):
            # Object stores move files only; or another write has made the directory by now.
            return False
        return True

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is not None:
            self._take_back()

    def _take_back(self) -> None:
        for file in self._moved:
            self._system.delete_file(file)
        _remove(self._system, self.path)
        for made in self._missing:
            if not self._system.get_file_info(fs.FileSelector(made, allow_not_found=True)):
                _remove(self._system, made)


def _missing_directories(system: Any, directory: str) -> list[str]:
    """*directory* and those that it is in, as far as they are not there, the innermost first.

    Raises:
        NotADirectoryError: *directory* or one of those is a file.
    """
    missing = []
    above = directory
    while above and (kind := system.get_file_info(above).type) != fs.FileType.Directory:
        if kind == fs.FileType.File:
            raise NotADirectoryError(
                f"{directory!r} cannot be a directory, because {above!r} is a file; datasets are"
                " written as directories of files"
            )
        missing.append(above)
        above = above.rpartition("/")[0]
    return missing


def _remove(system: Any, directory: str) -> None:
    for _ in range(_ATTEMPTS):
        if system.get_file_info(directory).type != fs.FileType.Directory:
            return
        # A task that has been told to end may be writing its last file.
        with contextlib.suppress(OSError):
            system.delete_dir(directory)
