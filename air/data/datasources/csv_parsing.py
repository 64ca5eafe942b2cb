"""Arrow's parser of CSV, kept from what it would get wrong without a word.

Where it divides a file into blocks, it may take the end of a line inside quotes for the end of a
row, and it drops the second character of one that lies between two blocks. Whole numbers beyond 63
bits it rounds to floats.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv

from air.data.blocks.convert import check_distinct
from air.data.blocks.schemas import empty_table

_INT64_END = 2.0**63
_PARSING = ("delimiter", "quote_char", "double_quote", "escape_char", "ignore_empty_lines")
WHOLE_NUMBER = "^[+-]?[0-9]+$"


@dataclass(frozen=True, slots=True)
class Parser:
    """Parses with the given options of pyarrow's, ``None`` for its defaults.

    ``conversion`` is a ``ConvertOptions`` or ``None`` everywhere.

    All raise ``pa.ArrowInvalid`` and ``UnicodeError`` for what cannot be parsed, and
    ``UnsupportedValue`` for two columns of one name.
    """

    read_options: Any = None
    parse_options: Any = None

    def whole(self, content: bytes, conversion: Any, **read_options: Any) -> pa.Table:
        """All rows of a file's *content*, in one block, so that nothing is divided."""
        reading = self._reading(block_size=len(content) + 1, **read_options)
        parsing = self._parsing(over_lines=False)
        try:
            table = csv.read_csv(pa.BufferReader(content), reading, parsing, conversion)
        except pa.ArrowInvalid as error:
            if "cannot infer number of columns" not in str(error):
                raise
            if not content.strip():
                raise pa.ArrowInvalid("Empty CSV file") from None
            # One line without an end, which Arrow takes for an empty file.
            lines = pa.BufferReader(content + b"\n")
            table = csv.read_csv(lines, self.read_options, parsing, conversion)
        check_distinct(table.column_names, "it")
        return table

    def start(self, file: Any, conversion: Any, block_bytes: int) -> pa.Table:
        """The first block of a file, of which more than the types is not looked at."""
        with self._opened(file, conversion, block_bytes, use_threads=False) as reader:
            batch = next(reader, None)
            empty = empty_table(reader.schema)
            return empty if batch is None else pa.Table.from_batches([batch])

    def blocks(
        self, file: Any, conversion: Any, block_bytes: int, **read_options: Any
    ) -> Iterator[pa.Table]:
        """The rows of a file of any size, block by block, with the types of the first block.

        A size of blocks in the options goes before *block_bytes*.
        """
        size = block_bytes if self.read_options is None else self.read_options.block_size
        with self._opened(file, conversion, size, **read_options) as reader:
            for batch in reader:
                yield pa.Table.from_batches([batch])

    @contextmanager
    def _opened(
        self, file: Any, conversion: Any, block_size: int, **read_options: Any
    ) -> Iterator[Any]:
        lines = pa.PythonFile(_WholeLineEnds(file), mode="r")
        reading = self._reading(block_size=block_size, **read_options)
        with csv.open_csv(lines, reading, self._parsing(over_lines=True), conversion) as reader:
            check_distinct(reader.schema.names, "it")
            yield reader

    def _parsing(self, *, over_lines: bool) -> Any:
        """The options for parsing.

        Args:
            over_lines: look for ends of lines inside quotes where the file is divided.
        """
        given = self.parse_options or csv.ParseOptions()
        # A copy, such as one that was sent, has a handler of invalid rows that cannot be called.
        options = csv.ParseOptions(**{name: getattr(given, name) for name in _PARSING})
        options.newlines_in_values = over_lines and bool(given.quote_char)
        if given.invalid_row_handler is not None:
            options.invalid_row_handler = given.invalid_row_handler
        return options

    def _reading(self, **changes: Any) -> Any:
        options = copy.copy(self.read_options or csv.ReadOptions())
        for name, value in changes.items():
            setattr(options, name, value)
        return options


class _WholeLineEnds:
    """A file that is read in pieces which never end between carriage return and line feed."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._held = b""  # a carriage return, until it is known what follows

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def read(self, size: int) -> bytes:
        """Up to *size* bytes, at least 2; fewer than there are, perhaps."""
        piece = self._held + self._file.read(size - len(self._held))
        self._held = b""
        if piece == b"\r":
            piece += self._file.read(1)
        if piece.endswith(b"\r") and len(piece) > 1:
            self._held = b"\r"
            return piece[:-1]
        return piece

    def close(self) -> None:
        self._file.close()


def with_large_numbers(table: pa.Table, parse: Callable[[Any], pa.Table]) -> pa.Table:
    """*table* with whole numbers beyond 63 bits as they are in the file.

    They are unsigned numbers if 64 bits can hold all of a column, and text otherwise.

    Args:
        parse: gives the same rows once more, for another ``ConvertOptions``.
    """
    for name in [name for name in table.column_names if _may_be_rounded(table[name])]:
        texts = parse(as_text(name))[name]
        if not pc.all(pc.match_substring_regex(texts, WHOLE_NUMBER)).as_py():
            continue  # there are floats among them
        try:
            exact = texts.cast(pa.uint64())
        except pa.ArrowInvalid:
            exact = texts
        table = table.set_column(table.column_names.index(name), name, exact)
    return table


def as_text(name: str) -> Any:
    """How to convert nothing but one column, to text with nulls where values are missing."""
    return csv.ConvertOptions(
        column_types={name: pa.string()}, include_columns=[name], strings_can_be_null=True
    )


def with_unsigned(schemas: Sequence[pa.Schema]) -> list[pa.Schema]:
    """*schemas* of files, signed whole numbers made unsigned where other files need it.

    A file has unsigned ones only for numbers that signed ones cannot hold.
    """
    large = {column.name for schema in schemas for column in schema if _is_uint64(column)}
    return [
        pa.schema(
            [
                column.with_type(pa.uint64())
                if column.name in large and pa.types.is_int64(column.type)
                else column
                for column in schema
            ]
        )
        for schema in schemas
    ]


def _may_be_rounded(column: pa.ChunkedArray) -> bool:
    """Whether these floats look like whole numbers of which 63 bits cannot hold some."""
    if not pa.types.is_float64(column.type) or not is_beyond_int64(column):
        return False
    return bool(pc.all(pc.equal(pc.floor(column), column)).as_py())


def is_beyond_int64(column: pa.ChunkedArray) -> bool:
    """Whether some of these floats are larger than whole numbers of 64 bits with a sign."""
    bounds = pc.min_max(column).as_py()
    return bounds["max"] is not None and max(bounds["max"], -bounds["min"]) >= _INT64_END


def _is_uint64(column: pa.Field) -> bool:
    return bool(pa.types.is_uint64(column.type))
