"""Writing text, a line for each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
from pyarrow import compute as pc

from air.data.arguments import STREAM_CODECS
from air.data.errors import WriteError
from air.data.formats import cannot_hold, column_for
from air.data.grouping.keys import plain

_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class TextFormat:
    """One column as lines of UTF-8."""

    name: ClassVar[str] = "text"
    column: str | None = None
    compression: str | None = None

    @property
    def extension(self) -> str:
        return "txt" if self.compression is None else f"txt{STREAM_CODECS[self.compression]}"

    def write(self, table: pa.Table, file: Any) -> None:
        lines = lines_of(table, self.column)
        for start in range(0, len(lines), _ROWS):
            some = lines.slice(start, _ROWS).to_pylist()
            file.write("".join(f"{line}\n" for line in some).encode())


def lines_of(table: pa.Table, name: str | None) -> pa.ChunkedArray:
    """The texts of a column, by default of the only one, each of which is a line.

    Raises:
        WriteError: it has other values, nulls, or texts that would be read as something else.
        ColumnNotFound: there is no such column.
    """
    field = column_for("write_text", table, name)
    column = plain(table[field.name])
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise cannot_hold("write_text", field, "a file of text", "or turn it into text")
    if column.null_count:
        raise cannot_hold("write_text", field, "a file of text", "for there are nulls: fill them")
    if pc.any(pc.match_substring_regex(column, r"\n|\r$")).as_py():
        raise WriteError(
            f"write_text: column {field.name!r} holds text with ends of lines in it (\\n, or \\r at"
            " its end), so that one row would be read as several: replace them, or use"
            " write_parquet"
        )
    return column
