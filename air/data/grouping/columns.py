"""Numbers about the groups of one column, each an array with a value for every group."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.errors import UnsupportedValue
from air.data.grouping.keys import Groups, plain

_HALF_BITS = 32
_DIGITS, _WIDE_DIGITS = 38, 76
_ROWS_AT_A_TIME = 1 << 20
"""So many halves of whole numbers add up exactly in a float."""


def present(column: pa.ChunkedArray) -> np.ndarray:
    """Which values are there: neither null nor NaN."""
    valid = pc.is_valid(column)
    if pa.types.is_floating(column.type):
        valid = pc.and_(valid, pc.invert(pc.fill_null(pc.is_nan(column), True)))
    return valid.to_numpy()


def counts(groups: Groups, chosen: np.ndarray | None = None) -> np.ndarray:
    """Rows of each group, of those that are *chosen*."""
    rows = groups.of_row if chosen is None else groups.of_row[chosen]
    return np.bincount(rows, minlength=len(groups)).astype(np.int64)


def float_sums(values: np.ndarray, groups: Groups) -> np.ndarray:
    """The sum of each group's floats, added in the order of the rows."""
    return np.bincount(groups.of_row, weights=values, minlength=len(groups))


def whole_sums(values: np.ndarray, groups: Groups) -> tuple[np.ndarray, np.ndarray]:
    """The sums of the high and of the low halves of whole numbers, both exact.

    The sum of a group is ``high * 2**32 + low``.
    """
    high = np.zeros(len(groups), np.int64)
    low = np.zeros(len(groups), np.int64)
    for start in range(0, len(values), _ROWS_AT_A_TIME):
        some = values[start : start + _ROWS_AT_A_TIME]
        rows = groups.of_row[start : start + _ROWS_AT_A_TIME]
        halves = (some >> _HALF_BITS, some & ((1 << _HALF_BITS) - 1))
        for total, half in zip((high, low), halves, strict=True):
            total += np.bincount(rows, weights=half, minlength=len(groups)).astype(np.int64)
    return high, low


def carried(high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same numbers ``high * 2**32 + low`` with low halves from 0 to ``2**32 - 1``."""
    return high + (low >> _HALF_BITS), low & ((1 << _HALF_BITS) - 1)


def quotients(high: np.ndarray, low: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Whole numbers ``high * 2**32 + low`` by counts, rounded toward 0, as int64.

    Divided 16 bits at a time, so nothing is rounded before the end; counts may be up to 2**47.
    """
    rest, digits = carried(high, low)
    found = rest // count
    rest = rest % count
    for shift in (16, 0):
        rest = (rest << 16) + ((digits >> shift) & 0xFFFF)
        found = (found << 16) + rest // count
        rest = rest % count
    return found + ((found < 0) & (rest > 0))


def decimal_sums(column: pa.ChunkedArray, groups: Groups) -> pa.Array:
    """The exact sum of each group's decimals, with as many digits as the type may have.

    Null without values. Arrow's own sums run over without saying so.

    Raises:
        ArrowInvalid: a sum has more digits.
    """
    kind = column.type
    wide = pa.decimal256(_WIDE_DIGITS, kind.scale)
    if kind.precision + len(str(len(column))) > _WIDE_DIGITS:
        largest = float_sums(np.abs(filled(column.cast(pa.float64()))), groups)
        if (largest >= 10.0 ** (_WIDE_DIGITS - 1 - kind.scale)).any():
            raise pa.ArrowInvalid(f"a sum may have more than {_WIDE_DIGITS} digits")
    summed = by_group(column.cast(wide), groups, "sum")
    if pa.types.is_decimal256(kind):
        return summed
    return summed.cast(pa.decimal128(_DIGITS, kind.scale))


def filled(column: pa.ChunkedArray) -> np.ndarray:
    """Floats, with 0 for nulls; NaN stays."""
    return np.asarray(pc.fill_null(column, 0.0).to_numpy())


def by_group(column: pa.ChunkedArray, groups: Groups, which: str) -> pa.Array:
    """What a kernel of Arrow gives for each group: ``"min"``, ``"max"``, ``"sum"``."""
    if pa.types.is_null(column.type):
        return pa.nulls(len(groups), column.type)
    column = plain(column)
    kind = column.type
    if pa.types.is_duration(kind):
        column = column.cast(pa.int64())
    table = pa.table({"group": groups.of_row, "value": column})
    # Groups are numbered by their first rows, so they come out in the order of their numbers.
    found = table.group_by("group", use_threads=False).aggregate([("value", which)])
    values = found[f"value_{which}"].combine_chunks()
    return values.cast(kind) if pa.types.is_duration(kind) else values


def floats(column: pa.ChunkedArray, name: str, what: str) -> np.ndarray:
    """The values as floats; 0 where they are missing.

    Raises:
        UnsupportedValue: they are no numbers.
    """
    if pa.types.is_null(column.type):
        return np.zeros(len(column))
    if not is_number(column.type):
        raise no_number(column.type, name, what)
    return np.nan_to_num(
        pc.fill_null(column.cast(pa.float64(), safe=False), 0.0).to_numpy(),
        nan=0.0,
        posinf=np.inf,
        neginf=-np.inf,
    )


def wholes(column: pa.ChunkedArray) -> np.ndarray:
    """Whole numbers or truth values of up to 64 bits; 0 where they are missing."""
    kind = pa.uint64() if pa.types.is_uint64(column.type) else pa.int64()
    return pc.fill_null(column.cast(kind), 0).to_numpy()


def is_number(kind: pa.DataType) -> bool:
    """Whether values can be added up."""
    return is_whole(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def is_whole(kind: pa.DataType) -> bool:
    """Whether values are whole numbers or truth values."""
    return pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def no_number(kind: pa.DataType, name: str, what: str) -> UnsupportedValue:
    """The error for a column that cannot be added up."""
    return UnsupportedValue(
        f"{what}: column {name!r} has the type {kind}, of which there is no such number; name the"
        " columns that are wanted with on="
    )
