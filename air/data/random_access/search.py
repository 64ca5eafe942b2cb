"""Binary search in sorted Arrow arrays, for many keys at a time."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

_FEW = 8
"""Keys for which Arrow's functions would take longer to call than steps one by one."""


def first_at_least(values: pa.Array, keys: pa.Array) -> np.ndarray:
    """For each key how many of *values* are smaller: where its first row would be.

    Args:
        values: ascending, without nulls.
        keys: of the same type; what is found for nulls means nothing.
    """
    if not len(values):
        return np.zeros(len(keys), np.int64)
    numbers, wanted = _numbers(values), _numbers(pc.fill_null(keys, values[0]))
    if numbers is not None and wanted is not None:
        return np.searchsorted(numbers, wanted, "left")
    if len(keys) <= _FEW:
        return np.array([_place(values, key) for key in keys.to_pylist()], np.int64)
    low = np.zeros(len(keys), np.int64)
    high = np.full(len(keys), len(values), np.int64)
    # All searches take a step at a time, so there are as many steps as one of them has.
    while (is_open := low < high).any():
        middle = (low + high) // 2
        at = values.take(pa.array(np.where(is_open, middle, 0)))
        is_less = pc.fill_null(pc.less(at, keys), False).to_numpy(zero_copy_only=False)
        low = np.where(is_open & is_less, middle + 1, low)
        high = np.where(is_open & ~is_less, middle, high)
    return low


def found_at(values: pa.Array, keys: pa.Array) -> pa.Array:
    """For each key the number of the first row that has it; null if there is none.

    Args:
        values, keys: as for :func:`first_at_least`, but there is one value at least.
    """
    places = first_at_least(values, keys)
    at = pa.array(np.minimum(places, len(values) - 1))
    is_it = pc.equal(values.take(at), keys)
    return pc.if_else(pc.fill_null(is_it, False), at, pa.scalar(None, at.type))


def _place(values: pa.Array, key: Any) -> int:
    if key is None:
        return 0
    return bisect_left(range(len(values)), key, key=lambda place: values[place].as_py())


def _numbers(values: pa.Array) -> np.ndarray | None:
    """Values as numbers in the same order, where there are such."""
    kind = values.type
    if pa.types.is_boolean(kind):
        return values.to_numpy(zero_copy_only=False)
    if pa.types.is_temporal(kind):
        values = values.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    numbers: np.ndarray = values.to_numpy()
    return numbers
