"""Writing bytes, a file for each row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from air.data.errors import WriteError, require_columns
from air.data.formats import cannot_hold
from air.data.grouping.keys import plain

WHAT = "write_binary_files"

_HELD = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_string,
    pa.types.is_large_string,
)


@dataclass(frozen=True, slots=True)
class BinaryFormat:
    """The bytes of one row, text as UTF-8.

    Files whose ending says that they are compressed are, because readers unpack them.
    """

    name: ClassVar[str] = "binary_files"
    column: str
    extension: str = "bin"
    compression: str | None = "detect"

    def write(self, table: pa.Table, file: Any) -> None:
        require_columns([self.column], table.column_names, WHAT)
        column = plain(table[self.column])
        field = table.schema.field(self.column)
        if not any(check(column.type) for check in _HELD):
            raise cannot_hold(WHAT, field, "a file of bytes", "or turn it into bytes")
        value = column[0]
        if not value.is_valid:
            raise cannot_hold(WHAT, field, "a file of bytes", "for there is a null: fill it")
        file.write(value.as_buffer())


@dataclass(frozen=True, slots=True)
class RowNames:
    """Names of files that a column gives.

    Attributes:
        base: the directory below which names that are whole paths are, as file systems spell it;
            ``""`` if there are none.
    """

    column: str
    base: str = ""

    def of_row(self, table: pa.Table) -> str:
        """The name of the file of the only row, below the directory that is written to.

        Raises:
            WriteError: it is null or no text, leads out of the directory, or is one that readers
                of directories leave out.
            ColumnNotFound: there is no such column.
        """
        require_columns([self.column], table.column_names, f"{WHAT}: names")
        name = table[self.column][0].as_py()
        if isinstance(name, str) and self.base:
            below = name.removeprefix(f"{self.base}/")
            if below == name:
                raise self._wrong(name, f"is not below base_dir={self.base!r}")
            name = below
        if not isinstance(name, str):
            raise self._wrong(name, "is no text")
        parts = name.split("/")
        if not all(parts) or ".." in parts:
            raise self._wrong(
                name,
                "is no name below the directory: leave out slashes at its ends, or say with"
                " base_dir=... below which directory it is",
            )
        hidden = next((part for part in parts if part.startswith((".", "_"))), None)
        if hidden is not None:
            raise self._wrong(name, "would be hidden: names begin with neither '.' nor '_'")
        return name

    def check_distinct(self, names: Iterable[str]) -> None:
        """Complain about a name that two rows have.

        Raises:
            WriteError: there is one.
        """
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise self._wrong(name, "is there twice: each file has one row")
            seen.add(name)

    def _wrong(self, name: object, why: str) -> WriteError:
        return WriteError(f"{WHAT}: the name {name!r:.120} in the column {self.column!r} {why}")
