"""How many bytes the rows of a table take, from offsets: no values are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.block import Block
from air.data.blocks.kinds import is_list

_OFFSETS: tuple[tuple[Callable[[Any], bool], int], ...] = (
    (pa.types.is_string, 4),
    (pa.types.is_binary, 4),
    (pa.types.is_list, 4),
    (pa.types.is_map, 4),
    (pa.types.is_large_string, 8),
    (pa.types.is_large_binary, 8),
    (pa.types.is_large_list, 8),
)
"""Types with offsets, and how wide these are."""


def varies(block: Block) -> bool:
    """Whether rows may take more memory than others."""
    return isinstance(block, pa.Table) and not all(_is_fixed(field.type) for field in block.schema)


def bytes_before(table: pa.Table, rows: np.ndarray) -> np.ndarray:
    """Bytes of the values that stand before each of *rows*, numbers from 0 to that of all rows.

    Dictionaries do not count, because they come with any number of rows.
    """
    found = np.zeros(len(rows), np.int64)
    for column in table.columns:
        begin = 0
        for chunk in column.chunks:
            found += _before(chunk, np.clip(rows - begin, 0, len(chunk)))
            begin += len(chunk)
    return found


def _is_fixed(kind: pa.DataType) -> bool:
    if isinstance(kind, pa.BaseExtensionType):
        return _is_fixed(kind.storage_type)
    if pa.types.is_fixed_size_list(kind):
        return _is_fixed(kind.value_type)
    if pa.types.is_struct(kind):
        return all(_is_fixed(part.type) for part in kind)
    return bool(pa.types.is_primitive(kind) or pa.types.is_null(kind)) or _has_width(kind)


def _has_width(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_dictionary(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _before(array: pa.Array, rows: np.ndarray) -> np.ndarray:
    """The same of an array."""
    kind = array.type
    if not len(array) or pa.types.is_null(kind):
        return np.zeros(len(rows), np.int64)
    if isinstance(kind, pa.BaseExtensionType):
        return _before(array.storage, rows)
    if pa.types.is_dictionary(kind):
        return _before(array.indices, rows)
    if pa.types.is_struct(kind):
        return _sum(0 * rows, (_before(array.field(i), rows) for i in range(kind.num_fields)))
    if pa.types.is_fixed_size_list(kind):
        first = array.offset * kind.list_size
        return _between(array.values, first, first + rows * kind.list_size)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        lengths = pc.fill_null(pc.binary_length(array.cast(_plain(kind))), 0).to_numpy()
        return np.concatenate([[0], np.cumsum(lengths)])[rows] + 16 * rows
    width = next((width for is_kind, width in _OFFSETS if is_kind(kind)), 0)
    if not width:
        if pa.types.is_primitive(kind) or _has_width(kind):
            width = kind.bit_width
            return rows * width // 8
        size: int = array.nbytes
        return rows * size // len(array)
    dtype = np.dtype(np.int32 if width == 4 else np.int64)
    offsets = np.frombuffer(array.buffers()[1], dtype)[array.offset :].astype(np.int64)[rows]
    first = int(np.frombuffer(array.buffers()[1], dtype)[array.offset])
    if pa.types.is_map(kind):
        values = [array.keys, array.items]
    elif is_list(kind):
        values = [array.values]
    else:
        return offsets - first + width * rows
    return _sum(width * rows, (_between(each, first, offsets) for each in values))


def _sum(total: np.ndarray, parts: Iterable[np.ndarray]) -> np.ndarray:
    for part in parts:
        total = total + part
    return total


def _between(values: pa.Array, first: int, places: np.ndarray) -> np.ndarray:
    """Bytes of values from *first* to each of *places*."""
    both = _before(values, np.append(places, first))
    return both[:-1] - both[-1]


def _plain(kind: pa.DataType) -> Any:
    return pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary()
