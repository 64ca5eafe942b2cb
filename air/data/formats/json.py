"""Writing JSON: an object a line."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from air.data.arguments import STREAM_CODECS
from air.data.blocks.kinds import TEXTS, is_list_in_order, is_one
from air.data.errors import WriteError
from air.data.formats import cannot_hold

_ROWS = 4096
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class JSONFormat:
    """A JSON object (RFC 8259) on each line, in UTF-8; ``null`` where there is no value."""

    name: ClassVar[str] = "json"
    compression: str | None = None

    @property
    def extension(self) -> str:
        return "json" + (STREAM_CODECS[self.compression] if self.compression else "")

    def write(self, table: pa.Table, file: Any) -> None:
        for column in table.schema:
            if not _is_held(column.type):
                raise cannot_hold(
                    "write_json", column, "JSON", "turn it into text, or use write_parquet"
                )
        unsigned = [column.name for column in table.schema if _has_unsigned(column.type)]
        for batch in table.to_batches(max_chunksize=_ROWS):
            rows = _rows_of(batch)
            _check_exact(rows, unsigned)
            lines = (self._line(row) for row in rows)
            file.write("".join(lines).encode())

    def _line(self, row: dict[str, Any]) -> str:
        try:
            return json.dumps(row, ensure_ascii=False, allow_nan=False, default=_as_text) + "\n"
        except ValueError:
            bad = next(name for name, value in row.items() if not _is_finite(value))
            raise WriteError(
                f"write_json: column {bad!r} holds NaN or an infinite number, which JSON cannot"
                " hold; replace it, by None for instance, or use write_parquet"
            ) from None


def _rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except (ValueError, OverflowError) as error:  # nanoseconds without pandas, years after 9999
        raise WriteError(f"write_json: {error}; cast the column, or use write_parquet") from None
    return rows


def _as_text(value: object) -> str:
    """A value that JSON has no type for as text that says all of it: ISO 8601, zones as UTC."""
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        # Offsets of old times have seconds, which few readers know.
        return value.astimezone(datetime.UTC).isoformat()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    raise TypeError(f"write_json: no text for {type(value).__name__}")


def _is_held(kind: pa.DataType) -> bool:
    """Whether JSON has values of this type, or text that they can be made from again."""
    if isinstance(kind, pa.BaseExtensionType):
        return False
    if pa.types.is_dictionary(kind):
        return _is_held(kind.value_type)
    if pa.types.is_struct(kind):
        return all(_is_held(part.type) for part in kind)
    if is_list_in_order(kind):
        return _is_held(kind.value_type)
    fits = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating)
    as_text = (pa.types.is_date, pa.types.is_time, pa.types.is_timestamp, pa.types.is_decimal)
    return is_one(kind, (*fits, *as_text, *TEXTS, pa.types.is_null))


def _has_unsigned(kind: pa.DataType) -> bool:
    """Whether there are numbers of 64 bits without a sign in it."""
    if pa.types.is_dictionary(kind):
        return _has_unsigned(kind.value_type)
    if pa.types.is_nested(kind):
        return any(_has_unsigned(kind.field(index).type) for index in range(kind.num_fields))
    return bool(pa.types.is_uint64(kind))


def _check_exact(rows: list[dict[str, Any]], columns: list[str]) -> None:
    """Complain about whole numbers that readers take for floats, and round.

    Raises:
        WriteError: there is one; names the column.
    """
    for name in columns:
        if any(number > _LARGEST for row in rows for number in _numbers(row[name])):
            raise WriteError(
                f"write_json: column {name!r} holds whole numbers above {_LARGEST}, which readers"
                " of JSON round: turn it into text, or use write_parquet"
            )


def _is_finite(value: object) -> bool:
    return all(math.isfinite(number) for number in _numbers(value))


def _numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, (int, float)):
        yield value
