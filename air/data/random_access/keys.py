"""Keys that somebody asks for, as values of the column that is asked; a decision without I/O.

They are compared as Python compares values: exactly, so 1.0 is the key 1 and 0.5 is none of a
column of whole numbers, and a number that a column's type would have to round is none of its keys.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Number
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.errors import UnsupportedValue
from air.data.grouping.keys import plain

_WIDE = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
_LOSSES = (pa.ArrowException, OverflowError, ValueError)
"""What conversions raise for a value that the type does not have."""


@dataclass(frozen=True, slots=True)
class _Family:
    """Types of columns whose keys are objects of some classes."""

    name: str
    has: tuple[Callable[[pa.DataType], bool], ...]
    takes: tuple[type, ...]
    never: tuple[type, ...] = ()

    def accepts(self, kind: type) -> bool:
        return issubclass(kind, self.takes) and not issubclass(kind, self.never)


_FAMILIES = (
    _Family("a bool", (pa.types.is_boolean,), (bool, np.bool_)),
    _Family(
        "a number",
        (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal),
        (Number,),
        (bool, complex, np.timedelta64),
    ),
    _Family("text", (pa.types.is_large_string,), (str,)),
    _Family("bytes", (pa.types.is_large_binary,), (bytes,)),
    _Family("a datetime", (pa.types.is_timestamp,), (datetime.datetime, np.datetime64)),
    _Family("a date", (pa.types.is_date,), (datetime.date,), (datetime.datetime,)),
    _Family("a time of day", (pa.types.is_time,), (datetime.time,)),
    _Family("a timedelta", (pa.types.is_duration,), (datetime.timedelta, np.timedelta64)),
)


def searchable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same keys in a type that can be searched, and whose offsets are wide enough for any."""
    column = plain(column)
    kind = column.type
    if pa.types.is_fixed_size_binary(kind):
        column, kind = column.cast(pa.binary()), pa.binary()
    return column.cast(_WIDE.get(kind, kind))


def keys_as(keys: Sequence[Any], kind: pa.DataType, column: str, what: str) -> pa.Array:
    """*keys* in the type *kind* of a searchable column; null where no row can have that key.

    That is so for keys that are missing themselves (``None``, NaN, NaT), which are nobody's.

    Args:
        column: what it is called, for messages; *what* says who asks.

    Raises:
        UnsupportedValue: keys are of another kind than the column; names it and the types.
    """
    given = keys
    if any(map(_can_be_missing, set(map(type, keys)))):
        given = [None if _is_missing(key) else key for key in keys]
    family = next((each for each in _FAMILIES if any(has(kind) for has in each.has)), None)
    if family is None:  # of a column without a value
        return pa.nulls(len(given), kind)
    for found in set(map(type, given)) - {type(None)}:
        if not family.accepts(found):
            key = next(key for key in given if type(key) is found)
            raise UnsupportedValue(
                f"{what}: keys are in the column {column!r} of the type {kind}, got {key!r:.80} of"
                f" the type {found.__name__}; give {family.name}"
            )
    if pa.types.is_timestamp(kind):
        _check_zones(given, kind, column, what)
    try:
        return _together(given, kind)
    except _LOSSES:
        return pa.array([_alone(key, kind) for key in given], kind)


def _can_be_missing(kind: type) -> bool:
    can_be = (float, np.floating, np.datetime64, np.timedelta64, datetime.datetime, Decimal)
    return issubclass(kind, can_be) or kind.__name__ == "NAType"  # of pandas


def _is_missing(key: Any) -> bool:
    kind = type(key)
    return _can_be_missing(kind) and (kind.__name__ == "NAType" or key != key)


def _check_zones(keys: Sequence[Any], kind: pa.DataType, column: str, what: str) -> None:
    for key in keys:
        has_zone = getattr(key, "tzinfo", None) is not None
        if key is not None and has_zone != (kind.tz is not None):
            has = "no zone" if kind.tz is None else f"the zone {kind.tz}"
            given = "one" if has_zone else "none"
            raise UnsupportedValue(
                f"{what}: times in the column {column!r}, {kind}, have {has}, and {key!r:.80} has"
                f" {given}"
            )


def _together(keys: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """All in one conversion; raises one of the losses if it would change one of them."""
    if pa.types.is_timestamp(kind):
        return _spans(keys, kind, "datetime64", lambda unit: pa.timestamp(unit, kind.tz))
    if pa.types.is_duration(kind):
        return _spans(keys, kind, "timedelta64", pa.duration)
    made = pa.array(keys)
    if pa.types.is_decimal(made.type) != pa.types.is_decimal(kind):
        raise ValueError("conversions between decimals and others round")
    converted = made.cast(kind)
    if pa.types.is_floating(kind):
        # Of floats the conversion to fewer bits is said to be safe.
        exact = pc.equal(converted.cast(pa.float64()), made.cast(pa.float64()))
        return pc.if_else(exact, converted, pa.scalar(None, kind))
    return converted


def _spans(
    keys: Sequence[Any], kind: pa.DataType, numpy_kind: str, unit: Callable[[str], pa.DataType]
) -> pa.Array:
    """Times, or spans of time, in the unit of *kind*."""
    if any(isinstance(key, (np.datetime64, np.timedelta64)) for key in keys):
        array = np.array(keys, numpy_kind)
        if np.datetime_data(array.dtype)[0] not in ("s", "ms", "us", "ns"):
            array = array.astype(f"{numpy_kind}[s]")
        return pa.array(array).cast(kind)
    try:
        # Those of pandas have nanoseconds, which Arrow drops unless it is told to keep them.
        return pa.array(keys, unit("ns")).cast(kind)
    except _LOSSES:
        if len(keys) > 1:
            raise
    return pa.array(keys, unit("us")).cast(kind)  # too far away for nanoseconds


def _alone(key: Any, kind: pa.DataType) -> Any:
    """One key as an object that becomes a value of *kind* without loss; ``None`` if none does."""
    try:
        if key is None:
            return None
        if pa.types.is_integer(kind):
            made = pa.scalar(int(key), kind)
        elif pa.types.is_floating(kind):
            made = pa.scalar(float(key), kind)
        elif pa.types.is_decimal(kind):
            made = pa.scalar(Decimal(key), kind)
        else:
            return _together([key], kind)[0]
    except _LOSSES:
        return None
    return made if made.as_py() == key else None
