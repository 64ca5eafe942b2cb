"""How tables are written to files: a module for each format."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import pyarrow as pa

from air.data.errors import WriteError, require_columns

_FILES = "there is a file for each block: .repartition(n) makes n blocks of equally many rows"

REFUSED = {
    "ray_remote_args": "writing takes what making the rows takes: give num_cpus and others there",
    "block_path_provider": "files are named by the time of the write and their place in the rows",
    "index": "rows have no index",
    **dict.fromkeys(("num_rows_per_file", "min_rows_per_file", "max_rows_per_file"), _FILES),
}
"""Options of other toolkits, each with what to do instead."""


class FileFormat(Protocol):
    """How a table is written to a file; instances are picklable.

    Attributes:
        name: the format's, which the operator that writes is called after.
    """

    name: ClassVar[str]

    @property
    def compression(self) -> str | None:
        """Of files as a whole, as ``open_output_stream`` takes it."""
        ...

    @property
    def extension(self) -> str:
        """What names of files end with, after the dot."""
        ...

    def write(self, table: pa.Table, file: Any) -> None:
        """Write the table to an open binary file.

        Raises:
            WriteError: the format cannot hold a column; names it.
        """
        ...


def cannot_hold(what: str, field: pa.Field, kind: str, remedy: str) -> WriteError:
    """What to raise for a column that a format has no way to write.

    Args:
        what: the method that writes.
        kind: how the format is called.
        remedy: what to do instead of dropping the column.
    """
    return WriteError(
        f"{what}: column {field.name!r} has the type {field.type}, which {kind} cannot hold; drop"
        f" it, {remedy}"
    )


def column_for(what: str, table: pa.Table, name: str | None) -> pa.Field:
    """The column that a format of one column writes: the one of that name, or the only one.

    Raises:
        WriteError: there are several, and none is named.
        ColumnNotFound: there is no such column.
    """
    if name is None:
        if table.num_columns != 1:
            raise WriteError(
                f"{what}: the rows have {table.num_columns} columns"
                f" ({', '.join(table.column_names)}), and a file holds one: name it, column=..."
            )
        name = table.column_names[0]
    require_columns([name], table.column_names, what)
    return table.schema.field(name)
