"""How rows lie in files of JSON, and how some of them are parsed at a time.

A file is cut into pieces of whole rows: behind ends of lines where each row has a line, behind
objects that are written over several, or at the commas between the items of one array.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.convert import table_from_rows
from air.data.blocks.schemas import conform, unify
from air.data.datasources.json_lines import SPACE, lines_of, parsed
from air.data.datasources.json_types import TooLargeNumbers
from air.data.errors import UnsupportedValue

_QUOTE, _BACKSLASH, _COMMA = b'"\\,'
_DEEPER = np.zeros(256, np.int8)
_DEEPER[list(b"[{")] = 1
_DEEPER[list(b"]}")] = -1
_IS_STRUCTURE = _DEEPER != 0
_IS_STRUCTURE[_COMMA] = True


@dataclass(frozen=True, slots=True)
class Layout:
    """One way in which rows lie in a file.

    Attributes:
        cut: gives the content of a file in pieces of whole rows, each of about so many bytes or
            one row.
        parse: the table of a piece, with a schema that is inferred if it is ``None``, for the
            number of the piece's first row; ``None`` if it has no rows.
    """

    cut: Callable[[Any, int], Iterator[bytes]]
    parse: Callable[[bytes, pa.Schema | None, int], pa.Table | None]

    def tables(self, file: Any, size: int, schema: pa.Schema | None) -> Iterator[pa.Table]:
        """The rows of an open file, some at a time."""
        rows = 0
        for content in self.cut(file, size):
            table = self.parse(content, schema, rows)
            if table is not None:
                rows += table.num_rows
                yield table

    def schema(self, file: Any, size: int) -> pa.Schema | None:
        """The schema that all rows of an open file have together.

        ``None`` if they do not lie in this way, do not go together, or have no columns.

        Raises:
            TooLargeNumbers: there are whole numbers beyond 64 bits.
        """
        found: list[pa.Schema] = []
        try:
            for table in self.tables(file, size, None):
                if table.schema not in found:
                    found.append(table.schema)
            together = unify(found) if found else None
            return together if together is not None and together.names else None
        except TooLargeNumbers:
            raise
        except (pa.ArrowException, UnsupportedValue, ValueError):
            return None


def layouts_of(start: bytes) -> tuple[str, ...]:
    """The names of layouts that a file may have which begins with these bytes.

    Arrays may be in UTF-16 or UTF-32, as long as all of them is decoded at once.
    """
    begin = start.lstrip(SPACE)
    if b"\0" in start or not begin:
        return ()
    return ("array",) if begin.startswith(b"[") else ("lines", "objects")


def _parse_some(content: bytes, schema: pa.Schema | None, first: int) -> pa.Table | None:
    return parsed(content, schema)


def objects_of(file: Any, size: int) -> Iterator[bytes]:
    """Objects one after the other, cut behind the last that has its end in a piece."""
    rest, step = b"", size
    while more := file.read(step):
        rest += more
        places, depths = structure(rest)
        ends = places[depths == 0]
        ends = ends[_DEEPER[np.frombuffer(rest, np.uint8)[ends]] < 0]
        if len(ends):
            end = int(ends[-1]) + 1
            yield rest[:end]
            rest = rest[end:]
        step = max(size, len(rest))  # twice as much is looked at if there was no end
    if rest:
        yield rest


def items_of(file: Any, size: int) -> Iterator[bytes]:
    """The items of an array with the commas between them, cut at the last comma in a piece.

    Raises:
        ValueError: it does not end, ends with a comma, or there is something behind it.
    """
    rest, step = b"", size
    while not rest and (more := file.read(step)):
        rest = more.lstrip(SPACE)
    rest = rest[1:]
    cuts = 0
    while True:
        places, depths = structure(rest)
        ends = places[depths < 0]
        if len(ends):
            break
        commas = places[(depths == 0) & (np.frombuffer(rest, np.uint8)[places] == _COMMA)]
        if len(commas):
            end = int(commas[-1])
            yield rest[:end]
            rest = rest[end + 1 :]
            cuts += 1
        step = max(size, len(rest))
        more = file.read(step)
        if not more:
            raise ValueError("the array has no end")
        rest += more
    last, behind = rest[: ends[0]], rest[ends[0] + 1 :]
    if cuts and not last.strip():
        raise ValueError("the array has no item behind its last comma")
    yield last
    while behind or (behind := file.read(size)):
        if behind.strip():
            raise ValueError(f"there is something behind the array: {behind.strip()!r:.80}")
        behind = b""


def structure(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where brackets, braces and commas are outside of texts, and how deep it is behind each.

    *content* begins outside of a text.
    """
    codes = np.frombuffer(content, np.uint8)
    quotes = np.flatnonzero(codes == _QUOTE)
    behind = quotes[1:] if len(quotes) and quotes[0] == 0 else quotes
    doubtful = behind[codes[behind - 1] == _BACKSLASH].tolist()
    escaped = [place for place in doubtful if _is_escaped(content, place)]
    quotes = np.setdiff1d(quotes, escaped, assume_unique=True)
    places = np.flatnonzero(_IS_STRUCTURE[codes])
    places = places[np.searchsorted(quotes, places) % 2 == 0]
    return places, np.cumsum(_DEEPER[codes[places]], dtype=np.int64)


def _is_escaped(content: bytes, place: int) -> bool:
    before = place
    while before and content[before - 1] == _BACKSLASH:
        before -= 1
    return (place - before) % 2 == 1


def _parse_items(content: bytes, schema: pa.Schema | None, first: int) -> pa.Table | None:
    rows = json.loads(b"[%b]" % content)
    check_objects(rows, first)
    if schema is not None:
        rows = [{name: row.get(name) for name in schema.names} for row in rows]
        return conform(table_from_rows(rows), schema) if rows else None
    return table_from_rows(rows) if any(rows) else None


def check_objects(rows: list[Any], first: int = 0) -> None:
    """Refuse items of an array, of which *first* are before these, that are no objects."""
    for number, row in enumerate(rows, first):
        if not isinstance(row, dict):
            raise UnsupportedValue(f"item {number} of the array is no object: {row!r:.80}")


LAYOUTS = {
    "lines": Layout(lines_of, _parse_some),
    "objects": Layout(objects_of, _parse_some),
    "array": Layout(items_of, _parse_items),
}
