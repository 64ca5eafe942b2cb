"""CSV files, parsed by Arrow."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv

from air.data.convert import check_distinct
from air.data.datasources.files import FileDatasource, Fragment
from air.data.errors import ReadError, UnsupportedValue, require_columns
from air.errors import InvalidOption

T = TypeVar("T")

_WHOLE_FILE_BYTES = 128 << 20
_STREAM_BLOCK_BYTES = 32 << 20
_START_BYTES = 64 << 10
_CHECKED_BYTES = 4 << 20
_INT64_END = 2.0**63


@dataclass(frozen=True)
class CSVDatasource(FileDatasource):
    """Rows of CSV files; ``*_options`` are pyarrow's, ``None`` for its defaults.

    The types of columns are inferred from a whole file up to 128 MiB. Larger files are read as
    a stream, with the types that the first 32 MiB suggest. An empty field is a missing value.
    """

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
        return self._told(path, lambda: self._start_of(path, self.convert_options))

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
        if self.convert_options is None:
            table = self._with_large_numbers(path, table, **read_options)
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

    def _start_of(self, path: str, conversion: Any, block_size: int = _START_BYTES) -> pa.Schema:
        reading = self._reading(use_threads=False, block_size=block_size)
        try:
            with (
                self._open(path) as file,
                csv.open_csv(file, reading, self.parse_options, conversion) as reader,
            ):
                check_distinct(reader.schema.names, "it")
                return self._as_text(reader.schema.empty_table()).schema
        except pa.ArrowInvalid:
            if block_size == _STREAM_BLOCK_BYTES:
                raise
            # The first line may be longer than that.
            return self._start_of(path, conversion, _STREAM_BLOCK_BYTES)

    def _stream(self, path: str) -> Iterator[pa.Table]:
        size = {} if self.read_options else {"block_size": _STREAM_BLOCK_BYTES}
        with (
            self._open(path) as file,
            csv.open_csv(
                file, self._reading(**size), self.parse_options, self._conversion()
            ) as reader,
        ):
            check_distinct(reader.schema.names, "it")
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

    def _with_large_numbers(self, path: str, table: pa.Table, **read_options: Any) -> pa.Table:
        """Whole numbers from 2**63 to 2**64 as such; Arrow rounds them to floats."""
        large = [name for name in table.column_names if _may_be_large(table[name])]
        for name in large:
            conversion = csv.ConvertOptions(
                column_types={name: pa.uint64()}, include_columns=[name]
            )
            try:
                column = self._parsed(path, conversion, **read_options)[name]
            except pa.ArrowInvalid:
                continue  # they were floats
            table = table.set_column(table.column_names.index(name), name, column)
        return table

    # Options ------------------------------------------------------------------------------

    def _check_conversion(self, path: str) -> None:
        """Arrow ignores types of columns that are not there."""
        given = self.convert_options
        if given is None or not (given.column_types or given.include_columns):
            return
        present = self._told(path, lambda: self._start_of(path, csv.ConvertOptions())).names
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
        # Decompresses by the file's extension.
        return self.files.filesystem.open_input_stream(path)

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
            raise ReadError(
                f"{path} cannot be read as CSV: {error}; name the encoding:"
                " read_options=pyarrow.csv.ReadOptions(encoding='latin-1')"
            ) from None
        except OSError as error:
            if error.errno is not None:  # out of reach, which the error says itself
                raise
            raise ReadError(f"{path} cannot be read as CSV: {error}") from None

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


def _may_be_large(column: pa.ChunkedArray) -> bool:
    """Whether these floats look like whole numbers that 63 bits cannot hold."""
    if not pa.types.is_float64(column.type):
        return False
    bounds = pc.min_max(column).as_py()
    if bounds["max"] is None or not (bounds["min"] >= 0 and bounds["max"] >= _INT64_END):
        return False
    return bool(pc.all(pc.equal(pc.floor(column), column)).as_py())
