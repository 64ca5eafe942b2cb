"""Which rows of a block belong together: those with equal keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.choosing import combined
from air.data.errors import UnsupportedValue, require_columns
from air.data.execution.exchange.partitioners import from_zero

_MOST_CODES = 1 << 62
_PLACES_PER_ROW = 8
_KNOWN = {
    pa.float16(): pa.float32(),
    pa.string_view(): pa.string(),
    pa.binary_view(): pa.binary(),
}


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups of a block's rows, in the order in which each appears first.

    Attributes:
        of_row: for each row the number of its group, as int64.
        first_row: for each group the number of its first row.
    """

    of_row: np.ndarray
    first_row: np.ndarray

    def __len__(self) -> int:
        return len(self.first_row)


def groups_of(table: pa.Table, names: Sequence[str], what: str) -> Groups:
    """The groups by the values of the columns *names*; all rows are one group if there are none.

    Missing values, NaN among them, are equal to each other.

    Raises:
        ColumnNotFound: there is no such column.
        UnsupportedValue: a column's values cannot be compared.
    """
    check_keys(table, names, what)
    rows = len(table)
    if not names:
        return all_of(rows)
    codes, count = _codes(table[names[0]])
    for name in names[1:]:
        more, size = _codes(table[name])
        if count * size > _MOST_CODES:
            codes, count = _dense(codes)
        codes, count = codes * size + more, count * size
    if len(names) > 1:
        codes, count = _dense(codes)
    groups = int(codes.max()) + 1 if rows else 0
    first = np.empty(groups, np.int64)
    first[codes[::-1]] = np.arange(rows - 1, -1, -1)
    return Groups(codes, first)


def all_of(rows: int) -> Groups:
    """One group of all *rows* rows."""
    return Groups(np.zeros(rows, np.int64), np.zeros(1 if rows else 0, np.int64))


def key_columns(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The columns to group by, with one kind of missing value and plain types."""
    columns = {name: comparable(table[name]) for name in names}
    return pa.table(columns) if columns else table.select([])


def as_given(column: pa.ChunkedArray, keys: pa.ChunkedArray, groups: Groups) -> pa.ChunkedArray:
    """The keys of *groups* in the type of the column that they are from, as that of categories."""
    if keys.type == column.type:
        return keys
    if pa.types.is_dictionary(column.type):
        return column.take(pa.array(groups.first_row))
    return keys.cast(column.type)


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, int]:
    """For each row a number for its value, in order of appearance; and how many there are."""
    if pa.types.is_null(column.type):
        return np.zeros(len(column), np.int64), 1
    if pa.types.is_integer(column.type) and not column.null_count:
        codes = _codes_of_near(column.to_numpy())
        if codes is not None:
            return codes
    encoded = combined(comparable(column)).dictionary_encode(null_encoding="encode")
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, max(len(encoded.dictionary), 1)


def _codes_of_near(numbers: np.ndarray) -> tuple[np.ndarray, int] | None:
    """:func:`_codes` of whole numbers that are not far apart, in tables with a place for each.

    With many keys that takes a third of the time of looking for each among those before it.
    ``None`` if the tables would be larger than what is in them is worth.
    """
    rows = len(numbers)
    places = from_zero(numbers, _PLACES_PER_ROW * rows)
    if places is None or not rows:
        return None
    kind = np.int32 if rows < 1 << 31 else np.int64
    number = np.arange(rows, dtype=kind)
    table = np.empty(int(places.max()) + 1, kind)
    table[places[::-1]] = number[::-1]  # of rows with the same place the last that is put stays
    first = np.flatnonzero(table[places] == number)
    table[places[first]] = number[: len(first)]
    return table[places].astype(np.int64), len(first)


def _dense(codes: np.ndarray) -> tuple[np.ndarray, int]:
    found = _codes_of_near(codes)
    if found is not None:
        return found
    encoded = pa.array(codes).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), max(len(encoded.dictionary), 1)


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values in a type that Arrow's kernels know."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    known = _KNOWN.get(kind)
    if pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):
        known = pa.decimal128(kind.precision, kind.scale)
    return column if known is None else column.cast(known)


def comparable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values in a type that kernels know, those that are equal as keys made equal."""
    column = plain(column)
    kind = column.type
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
        column = pc.add(column, pa.scalar(0.0, kind))  # there are two zeros
    return column


def has_order(kind: pa.DataType) -> bool:
    """Whether values of the type can be compared with each other."""
    is_known = not (pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType))
    return is_known and not pa.types.is_interval(kind)


def check_keys(table: pa.Table, names: Sequence[str], what: str) -> None:
    """Complain about columns by whose values rows cannot be grouped.

    Raises:
        ColumnNotFound: there is no such column.
        UnsupportedValue: a column's values cannot be compared.
    """
    require_columns(names, table.column_names, what)
    for name in names:
        kind = table[name].type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not has_order(kind):
            raise UnsupportedValue(
                f"{what}: column {name!r} has the type {kind}, whose values cannot be keys; use"
                " columns of numbers, texts or times"
            )
