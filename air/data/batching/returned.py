"""What a function returned for small batches, kept as it is until that of many is one table."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from air.data.batching.batch_format import is_pandas_frame
from air.data.blocks.block import Block, block_from_batch
from air.data.blocks.convert import check_batch, table_from_columns
from air.data.blocks.frames import table_from_pandas
from air.data.blocks.infer import column_from_values
from air.executor.extras import import_pandas

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = "iuf"
_WIDEST = 8


_SMALL_ROWS = 1_024
"""A DataFrame of as many rows is made a table in about the time that it takes to keep it."""


class Returned(abc.ABC):
    """What a function returned, as it is.

    Attributes:
        kinds: what the columns are; those of equal kinds can be put together.
    """

    __slots__ = ("kinds", "num_rows", "size_bytes")

    def __init__(self, kinds: tuple[Any, ...], num_rows: int, size_bytes: int) -> None:
        self.kinds, self.num_rows, self.size_bytes = kinds, num_rows, size_bytes

    def __len__(self) -> int:
        return self.num_rows

    @staticmethod
    @abc.abstractmethod
    def together(parts: Sequence[Any]) -> pa.Table:
        """One table of all rows of *parts*, which have the same kinds of columns."""


def returned(result: Any) -> Block | Returned:
    """What a function on batches returned, as it is or as a block.

    Raises:
        UnsupportedValue: as :func:`~air.data.blocks.block.block_from_batch` does.
    """
    if isinstance(result, Mapping):
        return Columns(result)
    if is_pandas_frame(result) and 0 < len(result) < _SMALL_ROWS:
        kept = Frame.of(result)
        if kept is not None:
            return kept
    return block_from_batch(result)


class Columns(Returned):
    """A dictionary of columns that a function returned, kept as arrays for a while."""

    __slots__ = ("_values",)

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
        super().__init__(tuple(kinds), rows, size)

    @staticmethod
    def together(parts: Sequence[Columns]) -> pa.Table:
        columns = zip(*(part._values for part in parts), strict=True)
        names = [name for name, _ in parts[0].kinds]
        return table_from_columns(dict(zip(names, map(_one, columns), strict=True)))


class Frame(Returned):
    """A small DataFrame that a function returned, kept as it is for a while."""

    __slots__ = ("_frame",)

    def __init__(self, frame: pd.DataFrame, kinds: tuple[Any, ...], size_bytes: int) -> None:
        super().__init__(kinds, len(frame), size_bytes)
        self._frame = frame

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Self | None:
        """*frame*, unless it must be looked at as it is by itself.

        Values that are objects are: what they are together may be another type.
        """
        names, dtypes = frame.columns.tolist(), frame.dtypes.tolist()
        if not names or len(set(names)) < len(names) or not all(isinstance(n, str) for n in names):
            return None
        width = 0
        for place, dtype in enumerate(dtypes):
            if dtype.kind in "iufbmM" and isinstance(dtype, np.dtype):
                width += dtype.itemsize
            elif dtype == "str":
                width += frame.iloc[:, place].array.nbytes // len(frame)
            else:
                return None
        return cls(frame, ("DataFrame", *zip(names, dtypes, strict=True)), width * len(frame))

    @staticmethod
    def together(parts: Sequence[Frame]) -> pa.Table:
        frames = [part._frame for part in parts]
        if len(frames) == 1:
            return table_from_pandas(frames[0])
        return table_from_pandas(import_pandas("a DataFrame").concat(frames, ignore_index=True))


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
