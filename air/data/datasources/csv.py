"""CSV files, parsed by Arrow."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv

from air.data.arguments import STREAM_CODECS
from air.data.convert import check_distinct
from air.data.datasources.files import FileDatasource, Fragment
from air.data.errors import ReadError, UnsupportedValue, require_columns
from air.data.schemas import unify
from air.errors import InvalidOption

T = TypeVar("T")

_WHOLE_FILE_BYTES = 128 << 20
_STREAM_BLOCK_BYTES = 32 << 20
_START_BYTES = 64 << 10
_CHECKED_BYTES = 4 << 20
_INT64_END = 2.0**63
_WHOLE_NUMBER = "^[+-]?[0-9]+$"
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
    b"PAR1": "parquet",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class CSVDatasource(FileDatasource):
    """Rows of CSV files; ``*_options`` are pyarrow's, ``None`` for its defaults.

    ``opening`` are arguments of ``open_input_stream``.

    The types of columns are inferred from a whole file up to 128 MiB. Larger files are read as
    a stream, with the types that the first 32 MiB suggest. An empty field is a missing value.
    """

    opening: Mapping[str, Any] = field(default_factory=dict)
    read_options: Any = None
    parse_options: Any = None
    convert_options: Any = None

    @property
    def name(self) -> str:
        return f"CSV({self.files.describe()})"

    def __post_init__(self) -> None:
        for name, kind in (
            ("read_options", csv.ReadOptions),
            ("parse_options", csv.ParseOptions),
            ("convert_options", csv.ConvertOptions),
        ):
            given = getattr(self, name)
            if given is not None and not isinstance(given, kind):
                raise InvalidOption(
                    f"read_csv: {name} must be a pyarrow.csv.{kind.__name__}, got {given!r:.80}"
                )

    def look(self, path: str) -> pa.Schema:
        """The columns of a file, with the types of all of it if it is small.

        Raises:
            ReadError: what was looked at cannot be parsed; names the file and the row.
            ColumnNotFound: ``convert_options`` speaks of a column that the file lacks.
        """
        self._check_conversion(path)
        is_first = path == self.files.paths[0]
        if 0 <= self._size(path) <= (_CHECKED_BYTES if is_first else _START_BYTES):
            return self._told(path, lambda: self._read_whole(path)).schema
        start = self._told(path, lambda: self._start_of(path, self.convert_options))
        return self._told(path, lambda: self._as_text(self._exact(path, start)).schema)

    def together(self, schemas: Sequence[pa.Schema], places: Sequence[str]) -> pa.Schema:
        # Files have unsigned numbers only where they need them, so others must become unsigned.
        large = {column.name for schema in schemas for column in schema if _is_uint64(column)}
        return unify([_with_unsigned(schema, large) for schema in schemas], places)

    @property
    def remedy(self) -> str:
        return (
            ", or say how to read it:"
            " convert_options=pyarrow.csv.ConvertOptions(column_types={...})"
        )

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        path = fragment.path
        if 0 <= self._size(path) <= _WHOLE_FILE_BYTES:
            yield self._told(path, lambda: self._read_whole(path))
            return
        batches = self._stream(path)
        while True:
            batch = self._told(path, lambda: next(batches, None))
            if batch is None:
                return
            yield batch

    # Parsing ------------------------------------------------------------------------------

    def _read_whole(self, path: str, **read_options: Any) -> pa.Table:
        conversion = self._conversion()
        try:
            table = self._parsed(path, conversion, **read_options)
        except pa.ArrowInvalid as error:
            if "cannot infer number of columns" in str(error):
                table = self._header_alone(path, conversion)
            elif "straddling object" in str(error) and "block_size" not in read_options:
                # A row that is longer than the blocks in which Arrow reads.
                longest = max(self._size(path), _WHOLE_FILE_BYTES) + 1
                return self._read_whole(path, block_size=longest, **read_options)
            else:
                raise
        table = self._with_large_numbers(
            table, lambda conversion: self._parsed(path, conversion, **read_options)
        )
        return self._as_text(table)

    def _parsed(self, path: str, conversion: Any, **read_options: Any) -> pa.Table:
        with self._open(path) as file:
            table = csv.read_csv(
                file, self._reading(**read_options), self.parse_options, conversion
            )
        check_distinct(table.column_names, "it")
        return table

    def _header_alone(self, path: str, conversion: Any) -> pa.Table:
        """A file of one line without an end, which Arrow takes for an empty one."""
        with self._open(path) as file:
            text = file.read()
        if not text.strip():
            raise pa.ArrowInvalid("Empty CSV file")
        lines = pa.BufferReader(text + b"\n")
        return csv.read_csv(lines, self.read_options, self.parse_options, conversion)

    def _start_of(self, path: str, conversion: Any, block_size: int = _START_BYTES) -> pa.Table:
        """The first block of a file, of which more than the types is not looked at."""
        reading = self._reading(use_threads=False, block_size=block_size)
        try:
            with (
                self._open(path) as file,
                csv.open_csv(file, reading, self.parse_options, conversion) as reader,
            ):
                check_distinct(reader.schema.names, "it")
                batch = next(reader, None)
                start = reader.schema.empty_table()
                return start if batch is None else pa.Table.from_batches([batch])
        except pa.ArrowInvalid:
            if block_size == _STREAM_BLOCK_BYTES:
                raise
            # The first line may be longer than that.
            return self._start_of(path, conversion, _STREAM_BLOCK_BYTES)

    def _stream(self, path: str) -> Iterator[pa.Table]:
        size = {} if self.read_options else {"block_size": _STREAM_BLOCK_BYTES}
        conversion = self._conversion()
        start = self._start_of(path, conversion, _STREAM_BLOCK_BYTES)
        exact = self._exact(path, start, _STREAM_BLOCK_BYTES).schema
        if exact != start.schema:
            conversion = conversion or csv.ConvertOptions()
            conversion.column_types = {
                column.name: column.type for column in exact if column not in start.schema
            }
        with (
            self._open(path) as file,
            csv.open_csv(file, self._reading(**size), self.parse_options, conversion) as reader,
        ):
            for batch in reader:
                yield self._as_text(pa.Table.from_batches([batch]))

    # Types --------------------------------------------------------------------------------

    def _as_text(self, table: pa.Table) -> pa.Table:
        """Empty fields as missing values in columns of text too, as they are in all others.

        Left to ``convert_options`` where they are given. Arrow's own setting would take texts
        such as "NA" for missing as well; and it gives bytes where text is in another encoding.
        """
        if self.convert_options is not None:
            return table
        columns = []
        for name, column in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_binary(column.type):
                raise UnicodeError(f"column {name!r} is no text in UTF-8")
            if pa.types.is_string(column.type):
                empty = pc.equal(column, "")
                if pc.any(empty).as_py():
                    column = pc.if_else(empty, pa.scalar(None, column.type), column)
            columns.append(column)
        return pa.table(columns, schema=table.schema)

    def _exact(self, path: str, start: pa.Table, block_size: int = _START_BYTES) -> pa.Table:
        """The first block of a file with its large numbers; see :meth:`_with_large_numbers`."""
        return self._with_large_numbers(
            start, lambda conversion: self._start_of(path, conversion, block_size)
        )

    def _with_large_numbers(self, table: pa.Table, parse: Callable[[Any], pa.Table]) -> pa.Table:
        """Whole numbers beyond 63 bits, which Arrow rounds to floats, as they are in the file.

        They are unsigned numbers if 64 bits can hold them all, and text otherwise. Left to
        ``convert_options`` where they are given.

        Args:
            parse: the same rows once more, with other options for the conversion.
        """
        if self.convert_options is not None:
            return table
        for name in [name for name in table.column_names if _may_be_rounded(table[name])]:
            as_text = csv.ConvertOptions(
                column_types={name: pa.string()}, include_columns=[name], strings_can_be_null=True
            )
            texts = parse(as_text)[name]
            if not pc.all(pc.match_substring_regex(texts, _WHOLE_NUMBER)).as_py():
                continue  # there are floats among them
            try:
                exact = texts.cast(pa.uint64())
            except pa.ArrowInvalid:
                exact = texts
            table = table.set_column(table.column_names.index(name), name, exact)
        return table

    # Options ------------------------------------------------------------------------------

    def _check_conversion(self, path: str) -> None:
        """Arrow ignores types of columns that are not there."""
        given = self.convert_options
        if given is None or not (given.column_types or given.include_columns):
            return
        start = self._told(path, lambda: self._start_of(path, csv.ConvertOptions()))
        present = start.column_names
        require_columns(given.column_types, present, "read_csv: column_types")
        if not given.include_missing_columns:
            require_columns(given.include_columns, present, "read_csv: include_columns")

    def _reading(self, **changes: Any) -> Any:
        options = copy.copy(self.read_options or csv.ReadOptions())
        for name, value in changes.items():
            setattr(options, name, value)
        return options

    def _conversion(self) -> Any:
        if self.selected is None:
            return self.convert_options
        options = copy.copy(self.convert_options or csv.ConvertOptions())
        options.include_columns = list(self.selected)
        options.include_missing_columns = True
        return options

    # Files and complaints -----------------------------------------------------------------

    def _open(self, path: str) -> Any:
        # Decompresses by the file's extension, unless it is told otherwise.
        return self.files.filesystem.open_input_stream(path, **self.opening)

    def _size(self, path: str) -> int:
        return self.files.sizes[self.files.paths.index(path)]

    def _told(self, path: str, parse: Callable[[], T]) -> T:
        """What *parse* gives; its errors as ones that name the file.

        Raises:
            ReadError: the content is wrong.
        """
        try:
            return parse()
        except pa.ArrowInvalid as error:
            raise ReadError(self._complaint(path, error)) from None
        except UnsupportedValue as error:
            raise ReadError(
                f"{path} cannot be read as CSV: {error}; rename them in the file, or give names:"
                " read_options=pyarrow.csv.ReadOptions(column_names=[...], skip_rows=1)"
            ) from None
        except UnicodeError as error:
            raise ReadError(self._no_text(path, error)) from None
        except OSError as error:
            if error.errno is not None:  # out of reach, which the error says itself
                raise
            raise ReadError(f"{path} cannot be read as CSV: {error}") from None

    def _no_text(self, path: str, error: UnicodeError) -> str:
        """What to say of a file that is no text in the encoding that was expected."""
        with self._open(path) as file:
            start = file.read(4)
        kind = next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)
        if kind == "zip":
            return f"{path} cannot be read as CSV: it is a zip archive; unpack it first"
        if kind == "parquet":
            return f"{path} cannot be read as CSV: it is a Parquet file; use read_parquet"
        if kind is not None:
            return (
                f"{path} cannot be read as CSV: it is compressed with {kind}; let its name end with"
                f" {STREAM_CODECS[kind]!r}, or say so:"
                f" arrow_open_stream_args={{'compression': {kind!r}}}"
            )
        encoding = "utf-16" if start[:2] in _UTF16 else "latin-1"
        return (
            f"{path} cannot be read as CSV: {error}; name the encoding:"
            f" read_options=pyarrow.csv.ReadOptions(encoding={encoding!r})"
        )

    def _complaint(self, path: str, error: Exception) -> str:
        text = str(error)
        if "Row #" not in text and self._size(path) <= _WHOLE_FILE_BYTES:
            # Arrow counts rows only when it parses in one thread: once more, for the message.
            try:
                self._read_whole(path, use_threads=False)
            except (pa.ArrowInvalid, UnicodeError, UnsupportedValue) as again:
                text = str(again)
        if "Empty CSV file" in text:
            return f"{path} is empty: a CSV file needs at least a line with the columns' names"
        if "conversion error" in text:
            text += (
                "; name the column's type to read it otherwise:"
                " convert_options=pyarrow.csv.ConvertOptions(column_types={...})"
            )
        if "straddling object" in text:
            text = (
                "a row is longer than the blocks in which it is read; give larger ones:"
                " read_options=pyarrow.csv.ReadOptions(block_size=...)"
            )
        return f"{path} cannot be read as CSV: {text}"


def _may_be_rounded(column: pa.ChunkedArray) -> bool:
    """Whether these floats look like whole numbers of which 63 bits cannot hold some."""
    if not pa.types.is_float64(column.type):
        return False
    bounds = pc.min_max(column).as_py()
    if bounds["max"] is None or max(bounds["max"], -bounds["min"]) < _INT64_END:
        return False
    return bool(pc.all(pc.equal(pc.floor(column), column)).as_py())


def _is_uint64(column: pa.Field) -> bool:
    return bool(pa.types.is_uint64(column.type))


def _with_unsigned(schema: pa.Schema, names: set[str]) -> pa.Schema:
    """*schema* with unsigned whole numbers in place of signed ones in the columns *names*."""
    return pa.schema(
        [
            column.with_type(pa.uint64())
            if column.name in names and pa.types.is_int64(column.type)
            else column
            for column in schema
        ]
    )
