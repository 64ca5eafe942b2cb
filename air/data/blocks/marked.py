"""Arrays of numpy that remember which of their values are nulls, which numpy has none of.

Where a column has nulls, functions see floats with NaN, as pandas shows them. An array of
:class:`WithNulls` is one of these in every respect, and knows the column's type beside. What moves
its values keeps that: slices, masks, indices, copies, ``np.take``, ``np.concatenate`` and a few
more. So a function that selects, sorts or passes on gives the nulls and the type back. What
computes with it gives plain arrays, where NaN is a number as any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.restoring import cast

_MARKS: dict[np.dtype, Any] = {
    np.dtype(np.float16): np.uint16(0x7E05),
    np.dtype(np.float32): np.uint32(0x7FC0_0A1E),
    np.dtype(np.float64): np.uint64(0x7FF8_0000_0000_0A1E),
}
"""The bits of the NaN that stands for a null: others are values. IEEE 754 leaves them free."""

_MOVES = frozenset(
    (np.compress, np.concatenate, np.copy, np.delete, np.flip, np.repeat, np.roll, np.sort, np.take)
)


class WithNulls(np.ndarray):
    """An array of a column with nulls.

    Attributes:
        kind: the column's type; ``None`` if it is an array like others by now.
    """

    kind: pa.DataType | None = None

    def __array_finalize__(self, source: Any) -> None:
        self.kind = getattr(source, "kind", None)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if "out" in options:
            options["out"] = tuple(map(_plain, options["out"]))
        return getattr(ufunc, method)(*map(_plain, inputs), **options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        made = super().__array_function__(function, types, args, kwargs)
        return made if function in _MOVES else _plain(made)


def with_nulls(column: pa.ChunkedArray, values: np.ndarray) -> np.ndarray:
    """*values* of *column* as functions see them: marked where numpy could not tell nulls.

    They are what :func:`~air.data.blocks.convert.column_to_numpy` gives, and the caller's own.
    """
    if not column.null_count or values.ndim != 1:
        return values
    if values.dtype == object:
        if column.null_count < len(column):
            return values
    elif values.dtype not in _MARKS:
        return values  # times, which are NaT
    marked = values.view(WithNulls)
    marked.kind = column.type
    if pa.types.is_floating(column.type):
        bits = values.view(_MARKS[values.dtype].dtype)
        bits[column.is_null().to_numpy()] = _MARKS[values.dtype]
    return marked


def column_of(values: WithNulls) -> pa.Array | None:
    """The column that *values* are of; ``None`` if they have become something else."""
    kind, plain = values.kind, values.view(np.ndarray)
    if kind is None or plain.ndim != 1:
        return None
    if plain.dtype == object:
        return pa.nulls(len(plain), kind) if all(item is None for item in plain) else None
    if plain.dtype not in _MARKS:
        return None
    if pa.types.is_floating(kind):
        if kind != pa.from_numpy_dtype(plain.dtype):
            return None
        bits = np.ascontiguousarray(plain).view(_MARKS[plain.dtype].dtype)
        return pa.array(plain, mask=bits == _MARKS[plain.dtype])
    try:
        return cast(pa.array(plain, from_pandas=True), kind)
    except pa.ArrowInvalid:
        return None  # a fraction was put into it


def _plain(values: Any) -> Any:
    return values.view(np.ndarray) if isinstance(values, WithNulls) else values
