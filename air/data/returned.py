"""Dictionaries of columns that a function returned, kept as they are until many are one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.convert import check_batch, table_from_columns
from air.data.infer import column_from_values

_NUMBERS = "iuf"
_WIDEST = 8


class Columns:
    """A dictionary of columns that a function returned, kept as arrays for a while.

    Attributes:
        kinds: what the columns are; those of equal kinds can be put together.
    """

    __slots__ = ("_values", "kinds", "num_rows", "size_bytes")

    def __init__(self, batch: Mapping[str, Any]) -> None:
        """Raises :class:`UnsupportedValue` as :func:`table_from_columns` does."""
        check_batch(batch)
        self._values: list[Any] = []
        kinds: list[tuple[str, Any]] = []
        size = rows = 0
        for name, values in batch.items():
            if not _is_plain(values):
                values = column_from_values(name, values)
                kinds.append((name, values.type))
            else:
                kinds.append((name, (values.dtype, values.shape[1:])))
            self._values.append(values)
            size += values.nbytes
            rows = len(values)
        self.kinds = tuple(kinds)
        self.size_bytes = size
        self.num_rows = rows

    def __len__(self) -> int:
        return self.num_rows

    @staticmethod
    def together(parts: Sequence[Columns]) -> pa.Table:
        """One table of all rows of *parts*, which have the same kinds of columns."""
        columns = zip(*(part._values for part in parts), strict=True)
        names = [name for name, _ in parts[0].kinds]
        return table_from_columns(dict(zip(names, map(_one, columns), strict=True)))


def _is_plain(values: Any) -> bool:
    """Whether Arrow takes over *values* as they are."""
    return (
        type(values) is np.ndarray
        and values.dtype.kind in _NUMBERS
        and values.dtype.itemsize <= _WIDEST
        and values.dtype.isnative
    )


def _one(values: Sequence[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    if isinstance(values[0], np.ndarray):
        return np.concatenate(values)
    chunks: list[pa.Array] = []
    for part in values:
        chunks += part.chunks if isinstance(part, pa.ChunkedArray) else [part]
    return pa.chunked_array(chunks, values[0].type).combine_chunks()
