"""CSV files, parsed by Arrow."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv

from air.data.blocks.schemas import unify
from air.data.budget import current_budget
from air.data.datasources.csv_errors import complaint, no_text
from air.data.datasources.csv_parsing import Parser, as_text, with_large_numbers, with_unsigned
from air.data.datasources.csv_types import Types, types_of
from air.data.datasources.files import FileDatasource, Fragment
from air.data.datasources.paths import is_compressed
from air.data.datasources.portions import is_taken_whole
from air.data.errors import ReadError, UnsupportedValue, require_columns
from air.errors import InvalidOption

T = TypeVar("T")

_WHOLE_FILE_BYTES = 128 << 20
_STREAM_BLOCK_BYTES = 32 << 20
_START_BYTES = 64 << 10
_CHECKED_BYTES = 4 << 20
_LARGEST_CONTENT = 1 << 30
_PIECE_BYTES = 16 << 20
_PARSING = 4
"""Bytes that are held for each byte of a file that is parsed whole."""
_AHEAD = 40
"""Bytes that are held for each byte of a block of a stream: Arrow reads 32 of them ahead."""


@dataclass(frozen=True)
class CSVDatasource(FileDatasource):
    """Rows of CSV files; ``*_options`` are pyarrow's, ``None`` for its defaults.

    ``opening`` are arguments of ``open_input_stream``.

    The types of columns are inferred from a whole file up to 128 MiB. Larger files are read as
    a stream, with the types that the first 32 MiB suggest. An empty field is a missing value.
    A file that the budget does not let be parsed whole (:func:`is_taken_whole`) is streamed twice
    instead, first for the types of all its values; any larger one where memory is short.
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
            content = self._told(path, lambda: self._content(path))
            if content is not None:
                return self._told(path, lambda: self._read_whole(content)).schema
        start = self._told(path, lambda: self._start_of(path, self.convert_options))
        return self._told(path, lambda: self._as_text(self._exact(path, start)).schema)

    def together(self, schemas: Sequence[pa.Schema], places: Sequence[str]) -> pa.Schema:
        return unify(with_unsigned(schemas), places)

    @property
    def remedy(self) -> str:
        return (
            ", or say how to read it:"
            " convert_options=pyarrow.csv.ConvertOptions(column_types={...})"
        )

    def read_fragment(self, fragment: Fragment) -> Iterator[pa.Table]:
        path, budget = fragment.path, self.budget or current_budget()
        is_packed = is_compressed(path) or self.opening.get("compression") not in (None, "detect")
        is_small = 0 <= self._size(path) <= _WHOLE_FILE_BYTES
        fits = is_taken_whole(budget, self._size(path), _PARSING, is_compressed=is_packed)
        content = self._told(path, lambda: self._content(path)) if is_small and fits else None
        if content is not None:
            yield self._told(path, lambda: self._read_whole(content))
            return
        if budget.is_tight or (is_small and not fits):
            block_bytes, types = self._told(path, lambda: self._types_of_all(path))
            conversion = self._with_types(types)
            batches = self._blocks(path, conversion, block_bytes, use_threads=False)
        else:
            batches = self._stream(path)
        while True:
            batch = self._told(path, lambda: next(batches, None))
            if batch is None:
                return
            yield batch

    # Parsing ------------------------------------------------------------------------------

    @property
    def _parser(self) -> Parser:
        return Parser(self.read_options, self.parse_options)

    def _content(self, path: str) -> bytes | None:
        """All of a file; ``None`` if it is much more than it takes on the disk."""
        pieces: list[bytes] = []
        left = _LARGEST_CONTENT
        with self._open(path) as file:
            while left >= 0 and (piece := file.read(_PIECE_BYTES)):
                pieces.append(piece)
                left -= len(piece)
        return b"".join(pieces) if left >= 0 else None

    def _read_whole(self, content: bytes, **read_options: Any) -> pa.Table:
        def parse(conversion: Any) -> pa.Table:
            return self._parser.whole(content, conversion, **read_options)

        table = parse(self._conversion())
        # Left to convert_options where they are given.
        return self._as_text(with_large_numbers(table, parse) if self._infers else table)

    def _start_of(self, path: str, conversion: Any, block_size: int = _START_BYTES) -> pa.Table:
        """The first block of a file, of which more than the types is not looked at."""
        try:
            with self._open(path) as file:
                return self._parser.start(file, conversion, block_size)
        except pa.ArrowInvalid:
            if block_size == _STREAM_BLOCK_BYTES:
                raise
            # The first line may be longer than that.
            return self._start_of(path, conversion, _STREAM_BLOCK_BYTES)

    def _exact(self, path: str, start: pa.Table, block_size: int = _START_BYTES) -> pa.Table:
        """The first block of a file with its large numbers as they are."""
        if not self._infers:
            return start
        return with_large_numbers(
            start, lambda conversion: self._start_of(path, conversion, block_size)
        )

    def _stream(self, path: str) -> Iterator[pa.Table]:
        start = self._start_of(path, self._conversion(), _STREAM_BLOCK_BYTES)
        start = self._exact(path, start, _STREAM_BLOCK_BYTES)
        types = dict(zip(start.column_names, start.schema.types, strict=True))
        given = start.num_rows
        yield self._as_text(start)  # who wants no more does not wait for these to be parsed again
        del start
        conversion, size = self._with_types(types), self._block_bytes
        while True:
            before = 0
            try:
                for block in self._blocks(path, conversion, size):
                    before += block.num_rows
                    if before > given:
                        new = block.slice(max(block.num_rows - (before - given), 0))
                        given = before
                        yield new
                return
            except pa.ArrowInvalid as error:
                if not self._may_be_larger(error, path, size):
                    raise
                size *= 4

    @property
    def _block_bytes(self) -> int:
        """How large the blocks are in which a stream is parsed."""
        budget = self.budget or current_budget()
        return min(max(budget.piece_bytes // _AHEAD, _START_BYTES), _STREAM_BLOCK_BYTES)

    def _may_be_larger(self, error: pa.ArrowInvalid, path: str, block_bytes: int) -> bool:
        """Whether *error* is that a row is longer than blocks, which may have another size."""
        is_told = self.read_options is not None  # blocks have the size that was asked for
        size = self._size(path)
        return "straddl" in str(error) and not is_told and not 0 <= size < block_bytes

    def _blocks(
        self, path: str, conversion: Any, block_bytes: int, **read_options: Any
    ) -> Iterator[pa.Table]:
        with self._open(path) as file:
            for block in self._parser.blocks(file, conversion, block_bytes, **read_options):
                yield self._as_text(block)

    def _types_of_all(self, path: str) -> tuple[int, Types]:
        """The types of columns by all values of a file, and blocks in which it can be read.

        The same types as if all had been read at once, for the price of reading it twice.
        """
        block_bytes = self._block_bytes
        names = self._start_of(path, None).column_names
        while True:

            def blocks(types: Types, size: int = block_bytes) -> Iterator[pa.Table]:
                with self._open(path) as file:
                    conversion = self._with_types(types)
                    yield from self._parser.blocks(file, conversion, size, use_threads=False)

            def texts(name: str, size: int = block_bytes) -> Iterator[pa.ChunkedArray]:
                with self._open(path) as file:
                    for block in self._parser.blocks(file, as_text(name), size, use_threads=False):
                        yield block[name]

            try:
                return block_bytes, types_of(names, blocks, texts if self._infers else None)
            except pa.ArrowInvalid as error:
                if not self._may_be_larger(error, path, block_bytes):
                    raise
                block_bytes *= 4

    def _with_types(self, types: Types) -> Any:
        """The options for converting, with the types of some columns told."""
        if not types:
            return self._conversion()
        conversion = copy.copy(self._conversion() or csv.ConvertOptions())
        conversion.column_types = {**types, **dict(conversion.column_types or {})}
        return conversion

    @property
    def _infers(self) -> bool:
        """Whether the types of columns are found out, rather than told."""
        return self.convert_options is None

    # Types --------------------------------------------------------------------------------

    def _as_text(self, table: pa.Table) -> pa.Table:
        """Empty fields as missing values in columns of text too, as they are in all others.

        Left to ``convert_options`` where they are given. Arrow's own setting would take texts
        such as "NA" for missing as well; and it gives bytes where text is in another encoding.
        """
        if not self._infers:
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
            with self._open(path) as file:
                start = file.read(4)
            raise ReadError(no_text(path, start, error)) from None
        except OSError as error:
            if error.errno is not None:  # out of reach, which the error says itself
                raise
            raise ReadError(f"{path} cannot be read as CSV: {error}") from None

    def _complaint(self, path: str, error: Exception) -> str:
        text = str(error)
        if "Row #" not in text and self._size(path) <= _WHOLE_FILE_BYTES:
            # Arrow counts rows only when it parses in one thread: once more, for the message.
            try:
                self._read_whole(self._content(path) or b"", use_threads=False)
            except (pa.ArrowInvalid, UnicodeError, UnsupportedValue) as again:
                text = str(again)
        return complaint(path, text)
