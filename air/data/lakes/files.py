"""The files of a table, with what the table says of each."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.expressions.expr import Expression
from air.data.expressions.pruning import Bounds, may_match

_NOWHERE = "\0 {}"
"""A name that no column has."""


class FileStatistics(abc.ABC):
    """What a table notes of the values in one of its files."""

    @abc.abstractmethod
    def bounds(self, names: frozenset[str]) -> Mapping[str, Bounds]:
        """What is known of some columns, as the table calls them; those without are left out."""


class RemovedRows(abc.ABC):
    """Rows that are in a file, and no longer in the table."""

    @abc.abstractmethod
    def positions(self, filesystem: Any, path: str) -> np.ndarray:
        """Which rows of the file these are, from 0, in rising order."""


@dataclass(frozen=True, eq=False, slots=True)
class RowsAt(RemovedRows):
    """Rows of known positions, in rising order."""

    rows: np.ndarray

    def positions(self, filesystem: Any, path: str) -> np.ndarray:
        return self.rows


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A file of a table.

    Attributes:
        path: in the file system of the table.
        size_bytes: of the file.
        num_rows: that it has and that are in the table; ``None`` if not known.
        constants: columns, as the table calls them, that have one value in all rows, which is
            not read from the file.
        removed: rows of it that are not in the table any more.
        statistics: for planning; it stays where that is done.
    """

    path: str
    size_bytes: int
    num_rows: int | None
    constants: Mapping[str, Any] = field(default_factory=dict)
    removed: RemovedRows | None = None
    statistics: FileStatistics | None = field(default=None, compare=False, repr=False)

    def may_match(self, conditions: tuple[Expression, ...]) -> bool:
        """Whether it may have a row for which all *conditions* are true."""
        if not conditions:
            return True
        names = frozenset().union(*(condition.columns() for condition in conditions))
        bounds = dict(self.statistics.bounds(names) if self.statistics is not None else {})
        for name in names & self.constants.keys():
            value = self.constants[name]
            bounds[name] = Bounds(value, value, int(value is None), 1)
        return all(may_match(condition, bounds) for condition in conditions)


class ColumnsInFiles(abc.ABC):
    """How columns of a table are found in its files."""

    @abc.abstractmethod
    def names(self, schema: pa.Schema, path: str) -> Mapping[str, str]:
        """For each column of the table that a file with *schema* has, its name there.

        Raises:
            ReadError: the file cannot be brought to the table's columns; names it and the column.
        """


@dataclass(frozen=True, slots=True)
class ByName(ColumnsInFiles):
    """Columns that are found by their name, or by another one that they have in all files."""

    in_files: Mapping[str, str]

    def names(self, schema: pa.Schema, path: str) -> Mapping[str, str]:
        present = set(schema.names)
        return {name: inside for name, inside in self.in_files.items() if inside in present}


def of_file(condition: Expression, names: Mapping[str, str]) -> Expression:
    """*condition* on the columns of the table as one on those of a file.

    A column that the file lacks must not be taken for another one that has its name there.
    """
    return condition.renamed(
        {name: names.get(name, _NOWHERE.format(name)) for name in condition.columns()}
    )


def named(path: str) -> tuple[str, str]:
    """What files of one time are ordered by: their own names, then their directories.

    Neighbouring rows may be in several directories.
    """
    directory, _, name = path.rpartition("/")
    return name, directory
