"""CSV files, parsed by Arrow."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv

from air.data.block import Block
from air.data.datasources.files import FileDatasource, Fragment
from air.data.errors import ReadError
from air.errors import InvalidOption
from air.executor.validation import listing

_WHOLE_FILE_BYTES = 128 << 20
_STREAM_BLOCK_BYTES = 32 << 20
_HEADER_BYTES = 64 << 10
_CHECKED_BYTES = 4 << 20


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

    def read_fragment(self, fragment: Fragment) -> Iterator[Block]:
        size = self.files.sizes[self.files.paths.index(fragment.path)]
        try:
            if 0 <= size <= _WHOLE_FILE_BYTES:
                yield self._read_whole(fragment.path, self.read_options)
            else:
                yield from self._stream(fragment.path)
        except pa.ArrowInvalid as error:
            raise ReadError(self._complaint(fragment.path, error)) from None

    def check_start(self) -> None:
        """Parse the first file (of a large one the beginning), and complain now if it is wrong.

        Raises:
            ReadError: it cannot be parsed; names the file and the row.
        """
        path, size = self.files.paths[0], self.files.sizes[0]
        try:
            if 0 <= size <= _CHECKED_BYTES:
                self._read_whole(path, self.read_options)
                return
            options = self._options(use_threads=False, block_size=_HEADER_BYTES)
            with (
                self._open(path) as file,
                csv.open_csv(file, options, self.parse_options, self.convert_options),
            ):
                return
        except pa.ArrowInvalid as error:
            raise ReadError(self._complaint(path, error)) from None

    @cached_property
    def _names(self) -> list[str] | None:
        try:
            options = self._options(use_threads=False, block_size=_HEADER_BYTES)
            with (
                self._open(self.files.paths[0]) as file,
                csv.open_csv(file, options, self.parse_options, self.convert_options) as reader,
            ):
                return self._distinct(self.files.paths[0], reader.schema.names)
        except pa.ArrowInvalid:
            return None  # reading it will say what is wrong

    def columns(self) -> list[str] | None:
        return list(self.selected) if self.selected is not None else self._names

    def _read_whole(self, path: str, read_options: Any) -> pa.Table:
        with self._open(path) as file:
            table = csv.read_csv(file, read_options, self.parse_options, self._conversion())
        self._distinct(path, table.column_names)
        return self._with_missing(table)

    def _stream(self, path: str) -> Iterator[pa.Table]:
        options = self._options(block_size=_STREAM_BLOCK_BYTES)
        with (
            self._open(path) as file,
            csv.open_csv(file, options, self.parse_options, self._conversion()) as reader,
        ):
            self._distinct(path, reader.schema.names)
            for batch in reader:
                yield self._with_missing(pa.Table.from_batches([batch]))

    def _distinct(self, path: str, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ReadError(
                f"{path} has several columns named {listing(twice)}; rename them in the file, or"
                " give names: read_options=pyarrow.csv.ReadOptions(column_names=[...],"
                " skip_rows=1)"
            )
        return names

    def _with_missing(self, table: pa.Table) -> pa.Table:
        """Empty fields as missing values in columns of text too, as they are in all others.

        Left to ``convert_options`` where they are given. Arrow's own setting would take texts
        such as "NA" for missing as well.
        """
        if self.convert_options is not None:
            return table
        for index, column in enumerate(table.columns):
            if pa.types.is_string(column.type):
                empty = pc.equal(column, "")
                if pc.any(empty).as_py():
                    filled = pc.if_else(empty, pa.scalar(None, column.type), column)
                    table = table.set_column(index, table.field(index), filled)
        return table

    def _open(self, path: str) -> Any:
        # Decompresses by the file's extension.
        return self.files.filesystem.open_input_stream(path)

    def _options(self, **defaults: Any) -> Any:
        return self.read_options or csv.ReadOptions(**defaults)

    def _conversion(self) -> Any:
        if self.selected is None:
            return self.convert_options
        options = copy.copy(self.convert_options or csv.ConvertOptions())
        options.include_columns = list(self.selected)
        return options

    def _complaint(self, path: str, error: Exception) -> str:
        text = str(error)
        if "Row #" not in text and not self._is_huge(path):
            # Arrow counts rows only when it parses in one thread: once more, for the message.
            single = copy.copy(self._options())
            single.use_threads = False
            try:
                self._read_whole(path, single)
            except pa.ArrowInvalid as again:
                text = str(again)
        if "Empty CSV file" in text:
            return f"{path} is empty: a CSV file needs at least a line with the columns' names"
        if "conversion error" in text:
            text += (
                "; name the column's type to read it otherwise:"
                " convert_options=pyarrow.csv.ConvertOptions(column_types={...})"
            )
        return f"{path} cannot be read as CSV: {text}"

    def _is_huge(self, path: str) -> bool:
        return self.files.sizes[self.files.paths.index(path)] > _WHOLE_FILE_BYTES
