"""What the metadata of a snapshot says of its files."""

from __future__ import annotations

import datetime
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import DecimalException
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import parquet

from air.data.errors import ReadError
from air.data.expressions.pruning import Bounds
from air.data.iceberg.tables import filesystem_of_files, pyiceberg
from air.data.lakes.files import FileStatistics, LakeFile, RemovedRows, named

_EPOCH = datetime.datetime(1970, 1, 1)
_REWRITE = "compact the table with another program (rewrite_data_files)"


def files_of(
    what: str, table: Any, snapshot: Any, schema: Any, row_filter: Any
) -> tuple[Any, tuple[LakeFile, ...]]:
    """The file system, and the files of a snapshot that may have rows for *row_filter*.

    They come in the order of the commits that added them, those of one commit by name.

    Args:
        snapshot: ``None`` for a table without one.
        schema: the columns.

    Raises:
        ReadError: rows were removed in a way that is not supported, or a file is no Parquet file.
    """
    if snapshot is None:
        return filesystem_of_files(what, table, ())[0], ()
    commits: dict[str, int] = {}

    def noted(entry: Any) -> bool:
        commits[entry.data_file.file_path] = entry.sequence_number or 0
        return True

    planner = pyiceberg(what, "table").ManifestGroupPlanner(table.metadata, table.io, row_filter)
    try:
        tasks = list(planner.plan_files(snapshot.manifests(table.io), noted))
    except ValueError as error:
        if "equality deletes" not in str(error):
            raise
        raise ReadError(
            f"{what}: rows were removed from the table by their values (equality deletes), which is"
            f" not supported: {_REWRITE}"
        ) from None
    tasks.sort(key=lambda task: (commits[task.file.file_path], *named(task.file.file_path)))
    system, paths = filesystem_of_files(what, table, [task.file.file_path for task in tasks])
    types = _types(schema)
    made = []
    for task, path in zip(tasks, paths, strict=True):
        if task.file.file_format.name != "PARQUET":
            raise ReadError(
                f"{what}: {path} is {task.file.file_format.name}, and only Parquet is read"
            )
        removed = _removed(what, table, task)
        rows = task.file.record_count if removed is None else None
        statistics = _OfManifest.of(task.file, types)
        size = task.file.file_size_in_bytes
        made.append(LakeFile(path, size, rows, {}, removed, statistics))
    return system, tuple(made)


def _types(schema: Any) -> dict[str, tuple[int, Any]]:
    """Columns that are no structs, lists or maps, with their numbers and types."""
    return {
        field.name: (field.field_id, field.field_type)
        for field in schema.fields
        if field.field_type.is_primitive
    }


def _removed(what: str, table: Any, task: Any) -> RemovedRows | None:
    if not task.delete_files:
        return None
    others = sorted({f.file_format.name for f in task.delete_files} - {"PARQUET"})
    if others:
        raise ReadError(
            f"{what}: rows were removed from the table by files of the format {', '.join(others)},"
            f" which is not supported: {_REWRITE}"
        )
    locations = sorted(file.file_path for file in task.delete_files)
    _, paths = filesystem_of_files(what, table, locations)
    return _RowsInFiles(task.file.file_path, tuple(paths))


@dataclass(frozen=True, slots=True)
class _RowsInFiles(RemovedRows):
    """Rows whose positions are in files of their own.

    Attributes:
        location: the file with the rows, as the others call it.
        deletes: those files.
    """

    location: str
    deletes: tuple[str, ...]

    def positions(self, filesystem: Any, path: str) -> np.ndarray:
        found = [np.zeros(0, np.int64)]
        for name in self.deletes:
            with filesystem.open_input_file(name) as file:
                table = parquet.read_table(file, columns=["file_path", "pos"])
            mine = pc.equal(table["file_path"], pa.scalar(self.location, pa.string()))
            found.append(table["pos"].filter(mine).to_numpy())
        return np.unique(np.concatenate(found))


@dataclass(frozen=True, slots=True)
class _OfManifest(FileStatistics):
    """What a manifest says of the columns of a file, by their numbers.

    Attributes:
        types: the numbers and types of columns.
    """

    rows: int
    lower: Mapping[int, bytes]
    upper: Mapping[int, bytes]
    nulls: Mapping[int, int]
    types: Mapping[str, tuple[int, Any]]

    @classmethod
    def of(cls, file: Any, types: Mapping[str, tuple[int, Any]]) -> _OfManifest:
        notes = (file.lower_bounds, file.upper_bounds, file.null_value_counts)
        lower, upper, nulls = (dict(note or {}) for note in notes)
        return cls(file.record_count, lower, upper, nulls, types)

    def bounds(self, names: frozenset[str]) -> Mapping[str, Bounds]:
        found = {}
        for name in names & self.types.keys():
            number, kind = self.types[name]
            low, high = (_value(kind, held.get(number)) for held in (self.lower, self.upper))
            found[name] = Bounds(low, high, self.nulls.get(number), self.rows)
        return found


def _value(kind: Any, held: bytes | None) -> Any:
    """A bound as Python has it; ``None`` for what is not known to compare as Arrow does."""
    if held is None:
        return None
    try:
        value = pyiceberg("read_iceberg", "conversions").from_bytes(kind, held)
    except (struct.error, ValueError, DecimalException):
        return None  # of a narrower type, which the column had before
    name = str(kind)
    try:
        if name == "date":
            return _EPOCH.date() + datetime.timedelta(days=value)
        if name == "timestamp":
            return _EPOCH + datetime.timedelta(microseconds=value)
        if name == "timestamptz":
            return _EPOCH.replace(tzinfo=datetime.UTC) + datetime.timedelta(microseconds=value)
    except OverflowError:
        return None
    compares = ("int", "long", "float", "double", "string", "boolean")
    return value if name in compares or name.startswith("decimal") else None
