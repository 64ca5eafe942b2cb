"""What a log says of the values in a file, so that others need not read it: counts, and bounds."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyarrow import compute as pc

_COLUMNS = 32
"""So many columns, the first ones, have statistics, unless a table says otherwise."""
_TEXT = 32
_LAST = "\U0010ffff"
_EXACT_DIGITS = 15
"""Numbers with a point are read as floats by some."""


def statistics(table: pa.Table) -> str:
    """The statistics of a file with the rows of *table*, whose types are those of Delta Lake.

    Bounds are those of https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics:
    texts are cut off, the largest upwards, and times to whole milliseconds. Columns with NaN or
    infinite numbers have none.
    """
    lowest: dict[str, Any] = {}
    highest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for column in list(table.schema)[:_COLUMNS]:
        if pa.types.is_nested(column.type):
            continue
        values = table[column.name]
        nulls[column.name] = values.null_count
        if pa.types.is_boolean(column.type) or pa.types.is_binary(column.type):
            continue
        if pa.types.is_floating(column.type) and not pc.all(pc.is_finite(values)).as_py():
            continue
        bounds = pc.min_max(values).as_py()
        low, high = _written(bounds["min"], False), _written(bounds["max"], True)
        if low is not None and high is not None:
            lowest[column.name], highest[column.name] = low, high
    return json.dumps(
        {
            "numRecords": table.num_rows,
            "minValues": lowest,
            "maxValues": highest,
            "nullCount": nulls,
        },
        ensure_ascii=False,  # deltalake reads signs outside of the first plane wrongly as escapes
    )


def _written(value: Any, is_largest: bool) -> Any:
    """A bound as JSON holds it; ``None`` for one that it does not."""
    if isinstance(value, str) and len(value) > _TEXT:
        if not is_largest:
            return value[:_TEXT]
        return None if value[_TEXT] == _LAST else value[:_TEXT] + _LAST
    if isinstance(value, datetime.datetime):
        try:
            return _time(value, is_largest)
        except OverflowError:
            return None
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value) if len(value.as_tuple().digits) <= _EXACT_DIGITS else None
    return value


def _time(value: datetime.datetime, is_largest: bool) -> str:
    whole = value.replace(microsecond=value.microsecond // 1000 * 1000)
    if is_largest and whole < value:
        whole += datetime.timedelta(milliseconds=1)
    text = whole.replace(tzinfo=None).isoformat(timespec="milliseconds")
    return text if value.tzinfo is None else f"{text}Z"
