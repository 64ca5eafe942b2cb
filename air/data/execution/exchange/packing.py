"""Many columns as one, for as long as their rows are only moved.

Each piece of a table costs Arrow some microseconds and some hundred bytes for every column, however
few rows there are in it. An exchange makes as many pieces as runs times parts, so with hundreds of
columns that is most of its work. All columns of numbers and times become one whose values are whole
rows, one behind the other, and come out again where the rows are put together.

What was packed is noted in the schema, so tables of several schemas can be told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.block import Block, concat

FEWEST_COLUMNS = 24
MOST_ROWS = 1 << 14
"""With fewer columns that can be packed, or more rows, each piece has enough of every column."""

_NAME = "\0packed"
_NOTE = b"air.packed"
_WIDTHS: dict[int, np.dtype[Any]] = {
    16: np.dtype("V16"),
    8: np.dtype(np.uint64),
    4: np.dtype(np.uint32),
    2: np.dtype(np.uint16),
    1: np.dtype(np.uint8),
}
"""Bytes of the values that are packed, wide ones first, so that all are aligned."""


@dataclass(frozen=True)
class _Layout:
    """Where each column of a table is among the bytes of a row: by width, and then whether it is
    not null, a bit for each column.

    Attributes:
        schema: of the table.
    """

    schema: pa.Schema

    @cached_property
    def columns(self) -> dict[int, list[int]]:
        """The numbers of the columns of each width."""
        found: dict[int, list[int]] = {width: [] for width in _WIDTHS}
        for number, kind in enumerate(self.schema.types):
            width = _width(kind)
            if width:
                found[width].append(number)
        return found

    @cached_property
    def packed(self) -> list[int]:
        """The numbers of the columns that are packed, in their order in a row."""
        return [number for columns in self.columns.values() for number in columns]

    @property
    def left(self) -> list[int]:
        """The numbers of all others."""
        return sorted(set(range(len(self.schema))) - set(self.packed))

    @cached_property
    def starts(self) -> list[int]:
        """The first byte of the columns of each width, and last of the bits."""
        sizes = (width * len(columns) for width, columns in self.columns.items())
        return list(accumulate(sizes, initial=0))

    @property
    def row_bytes(self) -> int:
        """Bytes of a row, with some at the end so that those of the next are aligned as well."""
        bits = -(-len(self.packed) // 8)
        return -(-(self.starts[-1] + bits) // 16) * 16

    def values(self, rows: np.ndarray) -> Iterator[tuple[list[int], np.ndarray]]:
        """The values in some *rows* of bytes, a column beside the other, for each width."""
        for (width, columns), start in zip(self.columns.items(), self.starts, strict=False):
            if columns:
                inside = rows[:, start : start + width * len(columns)]
                yield columns, inside.view(_WIDTHS[width])

    def bits(self, rows: np.ndarray) -> np.ndarray:
        """The bits in some *rows* of bytes, eight columns in each."""
        return rows[:, self.starts[-1] : self.starts[-1] + -(-len(self.packed) // 8)]


def _width(kind: pa.DataType) -> int:
    """Bytes of a value that can be packed; 0 if it cannot."""
    is_plain = pa.types.is_primitive(kind) or pa.types.is_decimal(kind)
    if not is_plain or pa.types.is_boolean(kind):
        return 0
    width = kind.bit_width // 8
    return width if width in _WIDTHS else 0


def packed(block: Block) -> Block:
    """*block* with its many columns as one, if that is worth while; otherwise as it is."""
    if not isinstance(block, pa.Table) or not 0 < block.num_rows <= MOST_ROWS:
        return block
    layout = _Layout(block.schema)
    if len(layout.packed) < FEWEST_COLUMNS:
        return block
    rows = np.empty((block.num_rows, layout.row_bytes), np.uint8)
    rows[:, layout.starts[-1] :] = 0xFF
    for columns, values in layout.values(rows):
        for place, number in enumerate(columns):
            _fill(values[:, place], block.column(number))
    _note_nulls(layout, block, rows)
    kind = pa.binary(layout.row_bytes)
    array = pa.Array.from_buffers(kind, len(rows), [None, pa.py_buffer(rows)])
    rest = block.select(layout.left)
    fields = [*rest.schema, pa.field(_NAME, kind)]
    schema = pa.schema(fields, metadata={_NOTE: block.schema.serialize().to_pybytes()})
    return pa.table([*rest.columns, array], schema=schema)


def _fill(values: np.ndarray, column: pa.ChunkedArray) -> None:
    begin = 0
    for chunk in column.chunks:
        if len(chunk):
            start = chunk.offset * values.itemsize
            data = np.frombuffer(chunk.buffers()[1], values.dtype, len(chunk), start)
            values[begin : begin + len(chunk)] = data
            begin += len(chunk)


def _note_nulls(layout: _Layout, table: pa.Table, rows: np.ndarray) -> None:
    """Clear the bits of values that are null."""
    bits = layout.bits(rows)
    for place, number in enumerate(layout.packed):
        column = table.column(number)
        if column.null_count:
            missing = column.is_null().to_numpy()
            bits[:, place // 8] ^= missing.astype(np.uint8) << (place % 8)


def unpacked_schema(schema: pa.Schema) -> pa.Schema:
    """The schema that a table had before it was packed, if it was."""
    note = (schema.metadata or {}).get(_NOTE)
    return schema if note is None else pa.ipc.read_schema(pa.py_buffer(note))


def unpacked(block: Block) -> Block:
    """*block* with its own columns again, each in one piece, if it is packed."""
    if not isinstance(block, pa.Table) or _NOTE not in (block.schema.metadata or {}):
        return block
    schema = unpacked_schema(block.schema)
    layout = _Layout(schema)
    packs = block.column(_NAME)
    pieces = [_rows_of(chunk) for chunk in packs.chunks or [pa.nulls(0, packs.type)]]
    columns: list[Any] = [None] * len(schema)
    for place, number in enumerate(layout.left):
        columns[number] = block.column(place)
    validity = _validity(layout, pieces)
    for numbers, values in _values(layout, pieces, block.num_rows):
        for number, own in zip(numbers, values, strict=True):
            kind, buffers = schema.field(number).type, [validity.get(number), pa.py_buffer(own)]
            columns[number] = pa.Array.from_buffers(kind, block.num_rows, buffers)
    return pa.table(columns, schema=schema)


def _rows_of(chunk: pa.Array) -> np.ndarray:
    width = chunk.type.byte_width
    data = np.frombuffer(chunk.buffers()[1], np.uint8, len(chunk) * width, chunk.offset * width)
    return data.reshape(len(chunk), width)


def _values(
    layout: _Layout, pieces: Sequence[np.ndarray], num_rows: int
) -> list[tuple[list[int], np.ndarray]]:
    """For each width the numbers of its columns, and their values, a column behind the other.

    These are one piece of memory: thousands of small ones take longer to be had.
    """
    found = [
        (columns, np.empty((len(columns), num_rows), _WIDTHS[width]))
        for width, columns in layout.columns.items()
        if columns
    ]
    begin = 0
    for rows in pieces:
        for (_, values), (_, inside) in zip(found, layout.values(rows), strict=True):
            values[:, begin : begin + len(rows)] = inside.T
        begin += len(rows)
    return found


def _validity(layout: _Layout, pieces: Sequence[np.ndarray]) -> dict[int, pa.Buffer]:
    """For each column that has nulls the bits of its values that are none."""
    bits = np.concatenate([layout.bits(rows) for rows in pieces])
    found = {}
    for at in np.flatnonzero(np.bitwise_and.reduce(bits, axis=0) != 0xFF).tolist():
        for place in range(8 * at, min(8 * at + 8, len(layout.packed))):
            is_there = bits[:, at] >> (place % 8) & 1
            if not is_there.all():
                found[layout.packed[place]] = pa.py_buffer(np.packbits(is_there, bitorder="little"))
    return found


def concat_packed(blocks: Sequence[Block]) -> Block:
    """As :func:`concat`; packed if all *blocks* with rows are, in the same way."""
    filled = [block for block in blocks if len(block)]
    notes = {_note_of(block) for block in filled}
    if len(notes) > 1:
        return concat([unpacked(block) for block in filled])
    return concat(blocks)


def _note_of(block: Block) -> bytes | None:
    return (block.schema.metadata or {}).get(_NOTE) if isinstance(block, pa.Table) else None
