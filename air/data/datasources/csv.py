"""CSV files, parsed by Arrow."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from pyarrow import csv

from air.data.block import Block
from air.data.datasources.files import FileDatasource, Fragment
from air.data.errors import ReadError

_WHOLE_FILE_BYTES = 128 << 20
_STREAM_BLOCK_BYTES = 32 << 20
_HEADER_BYTES = 64 << 10


@dataclass(frozen=True)
class CSVDatasource(FileDatasource):
    """Rows of CSV files; ``*_options`` are pyarrow's, ``None`` for its defaults.

    The types of columns are inferred from a whole file up to 128 MiB. Larger files are read as
    a stream, with the types that the first 32 MiB suggest.
    """

    read_options: Any = None
    parse_options: Any = None
    convert_options: Any = None

    @property
    def name(self) -> str:
        return f"CSV({self.files.describe()})"

    def read_fragment(self, fragment: Fragment) -> Iterator[Block]:
        size = self.files.sizes[self.files.paths.index(fragment.path)]
        try:
            if 0 <= size <= _WHOLE_FILE_BYTES:
                yield self._read_whole(fragment.path, self.read_options)
            else:
                yield from self._stream(fragment.path)
        except pa.ArrowInvalid as error:
            raise ReadError(self._complaint(fragment.path, error)) from None

    @cached_property
    def _names(self) -> list[str] | None:
        try:
            options = self._options(use_threads=False, block_size=_HEADER_BYTES)
            with (
                self._open(self.files.paths[0]) as file,
                csv.open_csv(file, options, self.parse_options, self.convert_options) as reader,
            ):
                return list(reader.schema.names)
        except pa.ArrowInvalid:
            return None  # reading it will say what is wrong

    def columns(self) -> list[str] | None:
        return list(self.selected) if self.selected is not None else self._names

    def _read_whole(self, path: str, read_options: Any) -> pa.Table:
        with self._open(path) as file:
            return csv.read_csv(file, read_options, self.parse_options, self._conversion())

    def _stream(self, path: str) -> Iterator[pa.Table]:
        options = self._options(block_size=_STREAM_BLOCK_BYTES)
        with (
            self._open(path) as file,
            csv.open_csv(file, options, self.parse_options, self._conversion()) as reader,
        ):
            for batch in reader:
                yield pa.Table.from_batches([batch])

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
