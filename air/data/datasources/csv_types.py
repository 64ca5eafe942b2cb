"""The types that Arrow would infer from a whole CSV file, found while the file is streamed.

Arrow takes for a column the first type of :data:`KINDS` that all its values can be read as. A
stream has the types of its first block, so it is read with these until a value does not fit; then
with the next type that the value can have, until all fit.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator

import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import csv

from air.data.datasources.csv_parsing import WHOLE_NUMBER, is_beyond_int64

KINDS: tuple[pa.DataType, ...] = (
    pa.null(),
    pa.int64(),
    pa.bool_(),
    pa.date32(),
    pa.time32("s"),
    pa.timestamp("s"),
    pa.timestamp("ns"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ns", "UTC"),
    pa.float64(),
    pa.string(),
)
"""In the order in which Arrow tries them."""

Types = dict[str, pa.DataType]

_MISFIT = re.compile(
    r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to [^:]*"
    r"(?:: invalid value '(.*)')?",
    re.DOTALL,
)


def types_of(
    names: list[str],
    blocks: Callable[[Types], Iterator[pa.Table]],
    texts: Callable[[str], Iterator[pa.ChunkedArray]] | None,
) -> Types:
    """The types of those columns of a file that are not what the first block has.

    Args:
        names: of the columns in the file.
        blocks: of the file, with the types that are told, and for other columns those of the first.
        texts: of one column, block by block, with nulls where values are missing; ``None`` leaves
            whole numbers of more than 63 bits as floats.

    Raises:
        pa.ArrowInvalid: it cannot be parsed, whatever the types are.
    """
    told: Types = {}
    while True:
        first: Types = {}
        try:
            large = _large_numbers(blocks(told), first)
        except pa.ArrowInvalid as error:
            found = _MISFIT.search(str(error))
            if found is None:
                raise
            name = names[int(found[1])]
            known = told.get(name) or first.get(name, pa.null())
            wider = _wider(known, found[2])
            if wider is None:
                raise
            told[name] = wider
        else:
            return {**told, **{name: _exact(texts(name)) for name in large if texts is not None}}


def _wider(known: pa.DataType, value: str | None) -> pa.DataType | None:
    """The next type to try in place of *known*, which does not have *value*, if that is told."""
    if known not in KINDS[:-1]:
        return None
    if value is None:
        return KINDS[KINDS.index(known) + 1]
    quoted = value.replace('"', '""')
    table = csv.read_csv(io.BytesIO(f'value\n"{quoted}"\n'.encode()))
    return KINDS[max(KINDS.index(known) + 1, KINDS.index(table.schema.field(0).type))]


def _large_numbers(blocks: Iterator[pa.Table], first: Types) -> list[str]:
    """Columns of floats that may be whole numbers of more than 63 bits; fills *first*."""
    is_whole: dict[str, bool] = {}
    is_large: set[str] = set()
    for block in blocks:
        if not first:
            first.update(zip(block.column_names, block.schema.types, strict=True))
        for name, column in zip(block.column_names, block.columns, strict=True):
            if pa.types.is_float64(column.type) and is_whole.get(name, True):
                whole = pc.all(pc.equal(pc.floor(column), column)).as_py()
                is_whole[name] = whole is not False
                if is_beyond_int64(column):
                    is_large.add(name)
    return [name for name in first if name in is_large and is_whole[name]]


def _exact(texts: Iterator[pa.ChunkedArray]) -> pa.DataType:
    """The type of a column of floats that look like whole numbers of more than 63 bits."""
    kind = pa.uint64()
    for block in texts:
        if pc.all(pc.match_substring_regex(block, WHOLE_NUMBER)).as_py() is False:
            return pa.float64()
        try:
            block.cast(pa.uint64())
        except pa.ArrowInvalid:
            kind = pa.string()
    return kind
