"""Rows that a function failed for, written beside the result: Parquet files with the reasons.

Tasks write to a hidden directory; a file is moved to where it can be seen when the block that its
rows were left out of is given out. So what is there has been left out, once, however often a task
was tried. A file is named by its rows and their place in the plan, so that running a plan again
gives the same files again, and equal rows of two operators, or of two parts of a dataset, have two.

Where results are kept (``checkpointed``) the files are, too, beside the blocks: a program that goes
on after another was killed copies those that the other could not.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from pyarrow import fs

from air.data.blocks.block import Block, accessor, concat
from air.data.datasources.filesystems import filesystem_of
from air.data.errors import UnsupportedValue
from air.data.writing.staging.moves import remove
from air.errors import InvalidOption
from air.executor.pickling import dumps

ERROR_COLUMN = "_error"
PICKLE_COLUMN = "pickle"
SUFFIX = ".parquet"

_ERROR = pa.struct(
    {
        "operator": pa.string(),
        "type": pa.string(),
        "message": pa.string(),
        "source": pa.string(),
        "row": pa.int64(),
        "column": pa.string(),
    }
)


@dataclass(frozen=True, slots=True)
class Letter:
    """One row, as a block, and why it was left out.

    Attributes:
        source, number: where it comes from, and which row it is there; ``None`` if not known.
        column: the columns that the failing expression speaks of, if known.
    """

    row: Block
    operator: str
    kind: str
    message: str
    source: str
    number: int | None
    column: str | None

    @property
    def error(self) -> dict[str, Any]:
        """Everything but the row."""
        return {
            "operator": self.operator,
            "type": self.kind,
            "message": self.message.encode(errors="replace").decode(),
            "source": self.source,
            "row": self.number,
            "column": self.column,
        }


@dataclass(frozen=True)
class DeadLetters:
    """A directory for rows that were left out; picklable.

    Attributes:
        staging: the hidden directory of a run; empty until the plan runs.
        prefix: begins the names of files: which operator of which plan it is.
        kept_in: the file system of *staging* if files stay there.
    """

    filesystem: Any
    directory: str
    staging: str = ""
    prefix: str = ""
    kept_in: Any = None

    @classmethod
    def checked(cls, operator: str, path: object) -> DeadLetters:
        """The directory that an operator was given.

        Raises:
            InvalidOption: it is no path, or a file.
        """
        try:
            system, directory = filesystem_of(path, None)  # type: ignore[arg-type]
        except TypeError as error:
            raise InvalidOption(f"{operator}: dead_letter: {error}") from None
        if system.get_file_info(directory).type == fs.FileType.File:
            raise InvalidOption(f"{operator}: dead_letter={directory!r} is a file, not a directory")
        return cls(system, directory)

    def of_run(self, token: str, prefix: str) -> DeadLetters:
        """The same with a hidden directory beside it, named by *token*."""
        above, slash, name = self.directory.rstrip("/").rpartition("/")
        return replace(self, staging=f"{above}{slash}.{name}-{token}", prefix=prefix)

    def kept(self, filesystem: Any, directory: str, prefix: str) -> DeadLetters:
        """The same whose files are written to *directory*, and stay there."""
        return replace(self, staging=directory, prefix=prefix, kept_in=filesystem)

    def write(self, part: str, letters: Sequence[Letter]) -> list[str]:
        """Write to the hidden directory; the names of the files."""
        from pyarrow import parquet

        system = self.kept_in or self.filesystem
        system.create_dir(self.staging, recursive=True)
        names = []
        for number, table in enumerate(tables_of(letters)):
            names.append(f"{self.prefix}{part}-{number:02d}-{_digest(table)}{SUFFIX}")
            with system.open_output_stream(f"{self.staging}/{names[-1]}") as file:
                parquet.write_table(table, file)
        return names

    def publish(self, names: Sequence[str]) -> None:
        """Move files to where they can be seen, or copy them if they are kept."""
        if names:
            self.filesystem.create_dir(self.directory, recursive=True)
        for name in names:
            there = f"{self.directory}/{name}"
            if self.kept_in is None:
                self.filesystem.move(f"{self.staging}/{name}", there)
                continue
            hidden = f"{self.directory}/.{name}"
            with (
                self.kept_in.open_input_stream(f"{self.staging}/{name}") as file,
                self.filesystem.open_output_stream(hidden) as copy,
            ):
                copy.write(file.read())
            self.filesystem.move(hidden, there)

    def clean(self) -> None:
        """Remove the hidden directory with all that was not published."""
        if self.kept_in is None:
            remove(self.filesystem, self.staging)


def _digest(table: pa.Table) -> str:
    """A name for rows, whatever was said of them: that may hold addresses, or times."""
    rows = pa.BufferOutputStream()
    with pa.ipc.new_stream(rows, table.drop_columns(ERROR_COLUMN).schema) as writer:
        writer.write_table(table.drop_columns(ERROR_COLUMN))
    return hashlib.blake2b(rows.getvalue(), digest_size=8).hexdigest()


def tables_of(letters: Sequence[Letter]) -> Iterator[pa.Table]:
    """The rows with a column that says why they are here, in order, by kinds of rows.

    Raises:
        UnsupportedValue: they have a column of that name themselves.
    """
    for _, group in itertools.groupby(letters, key=_kind):
        some = list(group)
        table = _rows([letter.row for letter in some])
        if ERROR_COLUMN in table.column_names:
            raise UnsupportedValue(
                f"{some[0].operator}: rows for the dead letter have a column {ERROR_COLUMN!r}"
                " already; drop or rename it before"
            )
        errors = pa.array([letter.error for letter in some], _ERROR)
        yield table.append_column(ERROR_COLUMN, errors)


def _kind(letter: Letter) -> Any:
    return letter.row.schema if isinstance(letter.row, pa.Table) else None


def _rows(blocks: Sequence[Block]) -> pa.Table:
    whole = concat(blocks)
    try:
        return accessor(whole).to_arrow()
    except UnsupportedValue:
        stored = [dumps(item) for item in whole]
        return pa.table({PICKLE_COLUMN: pa.array(stored, pa.large_binary())})
