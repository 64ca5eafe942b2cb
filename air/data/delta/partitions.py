"""Values that a table is divided by, as its log holds them."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from air.data.delta.types import WHAT
from air.data.errors import WriteError

_KINDS = (
    pa.types.is_string,
    pa.types.is_integer,
    pa.types.is_boolean,
    pa.types.is_date,
    pa.types.is_timestamp,
    pa.types.is_decimal,
    pa.types.is_null,
)


def check_partition_type(column: pa.Field) -> None:
    """Complain about a column that a table cannot be divided by.

    Raises:
        WriteError: names it.
    """
    if not any(check(column.type) for check in _KINDS):
        raise WriteError(
            f"{WHAT}: column {column.name!r} has the type {column.type}: partition_cols takes"
            " columns of text, whole numbers, decimals, booleans, dates or times"
        )


def partition_value(name: str, value: Any) -> str | None:
    """A value as text, after
    https://github.com/delta-io/delta/blob/master/PROTOCOL.md#partition-value-serialization.

    Raises:
        WriteError: an empty text, which is null there; names the column.
    """
    if value is None:
        return None
    if value == "":
        raise WriteError(
            f"{WHAT}: column {name!r} has an empty text, which a Delta table that is divided by it"
            " does not tell from null: replace it, or leave the column out of partition_cols"
        )
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None).isoformat(" ", timespec="microseconds")
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)
