"""What a function returned for small batches, kept as it is until that of many is one table."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from air.data.batching.batch_format import is_pandas_frame
from air.data.blocks.block import Block
from air.data.blocks.convert import check_batch, table_from_columns
from air.data.blocks.frames import table_from_pandas, with_named_index
from air.data.blocks.infer import column_from_values
from air.data.blocks.making import block_from_batch
from air.data.blocks.restoring import hides, type_in
from air.executor.extras import import_pandas

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = "iuf"
_WIDEST = 8
_KINDS = {
    np.dtype(name): pa.from_numpy_dtype(name)
    for name in (
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64"),
    )
}


_MOST_BYTES = 2**31
"""Offsets of 32 bits do not reach further: such a column stays in several chunks."""

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


def returned(
    result: Any, like: pa.Schema | None = None, wanted: Sequence[str] | None = None
) -> Block | Returned:
    """What a function on batches returned, as it is or as a block.

    Args:
        like: of the rows that it was given, as for
            :func:`~air.data.blocks.making.block_from_batch`.
        wanted: columns that somebody looks at, where others may be left out; ``None`` for all.

    Raises:
        UnsupportedValue: as :func:`~air.data.blocks.making.block_from_batch` does.
    """
    if isinstance(result, Mapping):
        return Columns(result, like, wanted)
    if is_pandas_frame(result) and 0 < len(result) < _SMALL_ROWS:
        kept = Frame.of(with_named_index(result), like)
        if kept is not None:
            return kept
    return block_from_batch(result, like)


class Columns(Returned):
    """A dictionary of columns that a function returned, kept as arrays for a while."""

    __slots__ = ("_values",)

    def __init__(
        self,
        batch: Mapping[str, Any],
        like: pa.Schema | None = None,
        wanted: Sequence[str] | None = None,
    ) -> None:
        """Raises :class:`UnsupportedValue` as :func:`table_from_columns` does.

        With *wanted* other columns are left out, if all of these are there: if not, somebody will
        say which columns there are. What Arrow may refuse is looked at all the same.
        """
        check_batch(batch)
        chosen = frozenset(wanted or ())
        chooses = bool(chosen) and chosen <= batch.keys()
        self._values: list[Any] = []
        kinds: list[tuple[str, Any]] = []
        size = rows = 0
        for name, values in batch.items():
            if not _is_plain(values) or hides(type_in(like, name)):
                values = column_from_values(name, values, type_in(like, name))
                kind: Any = values.type
            else:
                shape = values.shape[1:]
                kind = (values.dtype, shape) if shape else _KINDS[values.dtype]
            rows = len(values)
            if chooses and name not in chosen:
                continue
            kinds.append((name, kind))
            self._values.append(values)
            size += values.nbytes
        super().__init__(tuple(kinds), rows, size)

    @staticmethod
    def together(parts: Sequence[Columns]) -> pa.Table:
        columns = zip(*(part._values for part in parts), strict=True)
        names = [name for name, _ in parts[0].kinds]
        return table_from_columns(dict(zip(names, map(_one, columns), strict=True)))


class Frame(Returned):
    """A small DataFrame that a function returned, kept as it is for a while."""

    __slots__ = ("_frame", "_like")

    def __init__(
        self,
        frame: pd.DataFrame,
        like: pa.Schema | None,
        kinds: tuple[Any, ...],
        size_bytes: int,
    ) -> None:
        super().__init__(kinds, len(frame), size_bytes)
        self._frame, self._like = frame, like

    @classmethod
    def of(cls, frame: pd.DataFrame, like: pa.Schema | None = None) -> Self | None:
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
            elif dtype.kind in "iu" and str(dtype).lower() == str(dtype.numpy_dtype):  # nullable
                width += dtype.itemsize + 1
                dtypes[place] = dtype.numpy_dtype  # with nulls or without is the same to Arrow
            elif dtype == "str":
                width += frame.iloc[:, place].array.nbytes // len(frame)
                dtypes[place] = (dtype, type_in(like, names[place]))
            else:
                return None
        kinds = ("DataFrame", *zip(names, dtypes, strict=True))
        return cls(frame, like, kinds, width * len(frame))

    @staticmethod
    def together(parts: Sequence[Frame]) -> pa.Table:
        frame, like = parts[0]._frame, parts[0]._like
        if len(parts) > 1:
            frames = [part._frame for part in parts]
            frame = import_pandas("a DataFrame").concat(frames, ignore_index=True)
        return table_from_pandas(frame, like)


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
    if all(isinstance(part, np.ndarray) for part in values):
        return np.concatenate(values)
    chunks: list[pa.Array] = []
    for part in values:
        column = pa.array(part) if isinstance(part, np.ndarray) else part
        chunks += column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    whole = pa.chunked_array(chunks, chunks[0].type)
    return whole if whole.nbytes >= _MOST_BYTES else whole.combine_chunks()
