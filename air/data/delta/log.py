"""What the log of a table says of its files."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from air.data.errors import ReadError
from air.data.expressions.pruning import Bounds
from air.data.lakes.files import FileStatistics, LakeFile, RowsAt, named

_MILLISECOND = datetime.timedelta(milliseconds=1)


def files_of(what: str, table: Any, in_files: Mapping[str, str]) -> tuple[LakeFile, ...]:
    """The files of a version, in the order in which they were written: by their times, those of
    one time by their names.

    Args:
        in_files: the name of each column in files.

    Raises:
        ReadError: a file lies outside of the table.
    """
    actions = pa.table(table.get_add_actions(flatten=True))
    removed = _removed_rows(table)
    partitions = {
        name: actions[f"partition.{name}"].to_pylist()
        for name in table.metadata().partition_columns
    }
    common = [actions[n].to_pylist() for n in ("path", "size_bytes", "num_records")]
    made = []
    for row, (path, size, rows) in enumerate(zip(*common, strict=True)):
        inside = unquote(path)
        if "://" in path or inside.startswith("/"):
            raise ReadError(
                f"{what}: the file {inside!r} lies outside of the table, as in a shallow clone,"
                " which is not supported: read the table that it was cloned from"
            )
        gone = removed.get(inside)
        made.append(
            LakeFile(
                inside,
                size,
                rows if rows is None or gone is None else rows - len(gone),
                {name: values[row] for name, values in partitions.items()},
                None if gone is None else RowsAt(gone),
                _RowOfLog(actions, row, in_files),
            )
        )
    times = actions["modification_time"].to_pylist()
    order = sorted(range(len(made)), key=lambda row: (times[row], *named(made[row].path)))
    return tuple(made[row] for row in order)


def _removed_rows(table: Any) -> dict[str, np.ndarray]:
    """For each file with a deletion vector the rows that it removes."""
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return {}
    vectors = pa.table(table.deletion_vectors())
    root = table.table_uri.rstrip("/") + "/"
    found = {}
    for path, keeps in zip(vectors["filepath"], vectors["selection_vector"], strict=True):
        inside = unquote(path.as_py())
        for start in (root, f"file://{root}"):
            inside = inside.removeprefix(start)
        found[inside] = np.flatnonzero(~keeps.values.to_numpy(zero_copy_only=False))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _RowOfLog(FileStatistics):
    """The statistics in a row of a table of actions; columns there are named as in files."""

    actions: pa.Table
    row: int
    in_files: Mapping[str, str]

    def bounds(self, names: frozenset[str]) -> Mapping[str, Bounds]:
        rows = self._value("num_records")
        if rows is None:
            return {}
        found = {}
        for name in names & self.in_files.keys():
            inside = self.in_files[name]
            # With a point in a name it is not known whether it is of a field inside a column.
            if "." not in inside:
                smallest, largest = (self._value(f"{which}.{inside}") for which in ("min", "max"))
                if isinstance(largest, datetime.datetime):
                    largest = _after(largest)
                nulls = self._value(f"null_count.{inside}")
                found[name] = Bounds(smallest, largest, nulls, rows)
        return found

    def _value(self, column: str) -> Any:
        if column not in self.actions.column_names:
            return None
        return self.actions[column][self.row].as_py()


def _after(largest: datetime.datetime) -> datetime.datetime | None:
    """Times are cut off after milliseconds in the log, the largest one too."""
    try:
        return largest + _MILLISECOND
    except OverflowError:
        return None
