"""Which parts of files cannot have a row that a condition is true for, by their statistics alone.

Every answer errs on the side of reading.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa

from air.data.expressions.expr import Call, Column, Expression, Literal

_MIRRORED = {
    "less": "greater",
    "less_equal": "greater_equal",
    "greater": "less",
    "greater_equal": "less_equal",
    "equal": "equal",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is known of the values of a column in one part of a file.

    Attributes:
        smallest, largest: of those that are no NaN; ``None`` if not known.
        nulls: how many are missing; ``None`` if not known.
        rows: how many there are, missing ones with them.
    """

    smallest: Any
    largest: Any
    nulls: int | None
    rows: int


def may_match(condition: Expression, bounds: Mapping[str, Bounds]) -> bool:
    """Whether *condition* may be true for some row of a part with these *bounds*."""
    if isinstance(condition, Column):
        return _may_be(condition, "equal", True, bounds)
    if not isinstance(condition, Call):
        return True
    if condition.function == "invert" and isinstance(condition.parts[0], Column):
        return _may_be(condition.parts[0], "equal", False, bounds)
    if condition.function == "and_kleene":
        return all(may_match(part, bounds) for part in condition.parts)
    if condition.function == "or_kleene":
        return any(may_match(part, bounds) for part in condition.parts)
    if condition.function == "is_in":
        values = condition.options["items"]
        (of,) = condition.parts
        return None in values or any(_may_be(of, "equal", value, bounds) for value in values)
    if condition.function in _MIRRORED:
        left, right = condition.parts
        if isinstance(right, Literal):
            return _may_be(left, condition.function, right.value, bounds)
        if isinstance(left, Literal):
            return _may_be(right, _MIRRORED[condition.function], left.value, bounds)
    return True


def _may_be(of: Expression, comparison: str, value: Any, bounds: Mapping[str, Bounds]) -> bool:
    known = bounds.get(of.name) if isinstance(of, Column) else None
    if known is None:
        return True
    if known.nulls == known.rows:
        return False  # comparing with nothing is never true
    low, high = known.smallest, known.largest
    if low is None or high is None or not _compares_alike(value, low, high):
        return True
    if isinstance(value, float):
        low, high = float(low), float(high)  # as Arrow does
    if comparison == "equal":
        return bool(low <= value <= high)
    if comparison in ("less", "less_equal"):
        return bool(low < value if comparison == "less" else low <= value)
    return bool(high > value if comparison == "greater" else high >= value)


def _compares_alike(*values: Any) -> bool:
    """Whether Python compares these as Arrow does.

    That is numbers, whole ones with decimals, or all of exactly one other type.
    """
    kinds = {type(value) for value in values}
    if kinds <= {int, float}:
        return all(value == value for value in values)
    if kinds <= {int, Decimal}:
        return all(value == value for value in values)
    if kinds == {datetime.datetime}:
        return len({value.tzinfo is None for value in values}) == 1
    return kinds in ({str}, {bytes}, {bool}, {datetime.date})


def bounds_of(footer: Any, group: int, names: frozenset[str]) -> dict[str, Bounds]:
    """What the footer of a Parquet file says of some columns in a row group."""
    schema = footer.schema.to_arrow_schema()
    row_group = footer.row_group(group)
    found: dict[str, Bounds] = {}
    for index in range(row_group.num_columns):
        column = row_group.column(index)
        name = column.path_in_schema
        if name not in names or name in found or not column.is_stats_set:
            continue
        position = schema.get_field_index(name)
        if position < 0 or not _is_exact(schema.field(position).type):
            continue
        stats = column.statistics
        has_both = stats.has_min_max
        found[name] = Bounds(
            stats.min if has_both else None,
            stats.max if has_both else None,
            stats.null_count if stats.has_null_count else None,
            row_group.num_rows,
        )
    return found


def _is_exact(kind: pa.DataType) -> bool:
    """Whether statistics of this type are in the order in which Arrow compares."""
    return bool(
        pa.types.is_signed_integer(kind)
        or pa.types.is_float32(kind)
        or pa.types.is_float64(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_date32(kind)
        or pa.types.is_decimal(kind)
        # Python's times have no nanoseconds.
        or (pa.types.is_timestamp(kind) and kind.unit != "ns")
    )
