"""Types that Arrow's parser of JSON infers, and those that it must be told."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pyarrow as pa
from pyarrow import compute as pc

from air.data.errors import UnsupportedValue

_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_BEGIN = re.compile(r"\s*")


class TooLargeNumbers(UnsupportedValue):
    """A column has whole numbers that its type cannot hold."""


def has_lists(kind: pa.DataType) -> bool:
    """Whether there are lists in values of *kind*."""
    if pa.types.is_struct(kind):
        return any(has_lists(part.type) for part in kind)
    return bool(pa.types.is_list(kind))


def with_values(kind: pa.DataType, *, is_inside: bool = False) -> pa.DataType:
    """The type with flags in lists that have nothing but nulls, which Arrow (26) miscounts."""
    if pa.types.is_list(kind):
        return pa.list_(with_values(kind.value_type, is_inside=True))
    if pa.types.is_struct(kind):
        parts = [(part.name, with_values(part.type, is_inside=is_inside)) for part in kind]
        return pa.struct(parts)
    return pa.bool_() if is_inside and pa.types.is_null(kind) else kind


def as_schema(schema: pa.Schema, table: pa.Table) -> pa.Table:
    """*table* without the flags that :func:`with_values` has put there for nothing."""
    columns = {
        name: column if column.type == kind else pa.array(column.to_pylist(), kind)
        for name, kind, column in zip(schema.names, schema.types, table.columns, strict=True)
    }
    return pa.table(columns)


def with_text(kind: pa.DataType) -> pa.DataType:
    """The type with text where Arrow takes text for times, which JSON does not have."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(with_text(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(part.name, with_text(part.type)) for part in kind])
    return kind


def check_whole_numbers(content: bytes, table: pa.Table) -> None:
    """Refuse whole numbers beyond 64 bits that floats would round: Arrow makes such of them.

    Args:
        content: objects one after the other.
        table: what was made of them with inferred types.

    Raises:
        TooLargeNumbers: there are such numbers; names one, and columns that may have them.
    """
    doubtful = [name for name in table.column_names if _has_large_floats(table[name])]
    if not doubtful or not _LONG_NUMBER.search(content):
        return
    decoder = json.JSONDecoder(parse_int=lambda text: _checked(text, doubtful))
    text, at = content.decode(), 0
    while (begin := _end_of_space(text, at)) < len(text):
        _, at = decoder.raw_decode(text, begin)


def _has_large_floats(column: pa.ChunkedArray) -> bool:
    kind = column.type
    if pa.types.is_list(kind):
        return _has_large_floats(pc.list_flatten(column))
    if pa.types.is_struct(kind):
        return any(_has_large_floats(pc.struct_field(column, i)) for i in range(len(kind)))
    if not pa.types.is_floating(kind):
        return False
    return bool(pc.any(pc.greater_equal(pc.abs(column), 2.0**63)).as_py())


def _checked(text: str, columns: list[str]) -> int:
    number = int(text)
    # Other programs write large floats without an exponent.
    if -(2**63) <= number < 2**63 or Decimal(repr(float(text))) == number:
        return number
    raise TooLargeNumbers(
        f"column {' or '.join(map(repr, columns))} holds whole numbers that 64 bits cannot hold, as"
        f" {text:.40}: write them as text, or have floats made of them by"
        " parse_options=pyarrow.json.ParseOptions(explicit_schema=...)"
    )


def _end_of_space(text: str, at: int) -> int:
    found = _BEGIN.match(text, at)
    assert found is not None  # it may be of nothing
    return found.end()
