"""What an expression calls: Arrow's functions, and what Arrow has none for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc


def call(function: str, values: list[Any], options: Mapping[str, Any]) -> Any:
    """*function* of *values*: columns, arrays or scalars.

    Raises:
        pa.ArrowException, TypeError, ValueError: it is not defined for their types.
    """
    special = _SPECIAL.get(function)
    return (special or getattr(pc, function))(*values, **options)


def as_type_of(number: pa.Scalar, kind: pa.DataType) -> pa.Scalar:
    """A number of Python as one of *kind*, if that is a type of numbers that holds it."""
    whole = pa.types.is_integer(number.type)
    if pa.types.is_floating(kind) or (whole and pa.types.is_integer(kind)):
        try:
            return pa.scalar(number.as_py(), kind)
        except (pa.ArrowInvalid, OverflowError):
            return number  # and the result has the type that holds both
    return number


def _divide(left: Any, right: Any) -> Any:
    """As in pandas. Arrow divides whole numbers to whole ones, and refuses zero."""
    if pa.types.is_integer(left.type) and pa.types.is_integer(right.type):
        left, right = left.cast(pa.float64()), right.cast(pa.float64())
    return pc.divide(left, right)


def _is_in(values: Any, *, items: list[Any]) -> Any:
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    return pc.is_in(values, value_set=pa.array(items, kind))


def _floor_divide(left: Any, right: Any) -> Any:
    return _by_numpy(np.floor_divide, left, right)


def _remainder(left: Any, right: Any) -> Any:
    return _by_numpy(np.remainder, left, right)


def _by_numpy(function: Callable[..., Any], left: Any, right: Any) -> Any:
    """*function* of numbers; missing where one is, or where a whole number is divided by zero."""
    for each in (left, right):
        if not (pa.types.is_integer(each.type) or pa.types.is_floating(each.type)):
            raise TypeError("it takes whole numbers and floats only")
    one = isinstance(left, pa.Scalar) and isinstance(right, pa.Scalar)
    (a, a_missing), (b, b_missing) = _numbers(left), _numbers(right)
    missing = a_missing | b_missing
    if a.dtype.kind in "iu" and b.dtype.kind in "iu":
        missing = missing | (b == 0)
    with np.errstate(all="ignore"):
        made = np.atleast_1d(function(a, b))
    made = pa.array(made, mask=np.broadcast_to(missing, made.shape))
    return made[0] if one else made


def _numbers(values: Any) -> tuple[Any, Any]:
    """As numpy, with which of them are missing."""
    if isinstance(values, pa.Scalar):
        missing = not values.is_valid
        return values.type.to_pandas_dtype()(0 if missing else values.as_py()), np.bool_(missing)
    if not values.null_count:
        return values.to_numpy(), np.bool_(False)
    filled = pc.fill_null(values, pa.scalar(0, values.type))
    return filled.to_numpy(), pc.is_null(values).to_numpy(zero_copy_only=False)


_SPECIAL: Mapping[str, Callable[..., Any]] = {
    "divide": _divide,
    "floor_divide": _floor_divide,
    "remainder": _remainder,
    "is_in": _is_in,
}
