"""Columns whose values are one for each file: what its directories say, or its path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import pyarrow as pa

from air.data.errors import ReadError

PATH_COLUMN = "path"

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, as text, of the directories that a file is in."""

NULL_LABEL = "__HIVE_DEFAULT_PARTITION__"
_WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})")


def label_types(found: Iterable[Labels]) -> dict[str, pa.DataType]:
    """For each label of any file its type: whole numbers if all its values are, text otherwise."""
    types: dict[str, pa.DataType] = {}
    for labels in set(found):
        for name, value in labels:
            is_number = value == NULL_LABEL or _WHOLE_NUMBER.fullmatch(value) is not None
            types[name] = types.get(name, pa.int64()) if is_number else pa.string()
    return types


def label_values(labels: Labels, types: Mapping[str, pa.DataType]) -> dict[str, Any]:
    """The value of each label that is in *types*, ``None`` for those that a file lacks."""
    found: dict[str, Any] = {}
    for name, text in (dict.fromkeys(types, NULL_LABEL) | dict(labels)).items():
        is_number = pa.types.is_integer(types[name])
        found[name] = None if text == NULL_LABEL else int(text) if is_number else text
    return found


def add_labels(
    table: pa.Table, labels: Labels, types: Mapping[str, pa.DataType], wanted: Iterable[str] | None
) -> pa.Table:
    """*table* with a column for each label, save those that it has itself.

    Args:
        types: of all labels; one that this table's file lacks is null.
        wanted: the columns that are wanted, ``None`` for all.
    """
    values = label_values(labels, types)
    names = set(types if wanted is None else wanted)
    for name, kind in types.items():
        position = table.schema.get_field_index(name)
        if name not in names or (
            position >= 0 and not pa.types.is_null(table.field(position).type)
        ):
            continue
        column = pa.repeat(pa.scalar(values[name], kind), table.num_rows)
        if position >= 0:
            table = table.set_column(position, name, column)
        else:
            table = table.append_column(name, column)
    return table


def with_path(table: pa.Table, path: str) -> pa.Table:
    """*table* with a column that says where it is from.

    Raises:
        ReadError: it has a column of that name itself.
    """
    position = table.schema.get_field_index(PATH_COLUMN)
    if position >= 0 and not pa.types.is_null(table.field(position).type):
        raise ReadError(
            f"{path} has a column {PATH_COLUMN!r} itself, which include_paths would add: leave"
            " include_paths out"
        )
    column = pa.repeat(pa.scalar(path), table.num_rows)
    if position >= 0:  # a reader makes columns that are wanted and not in the file
        table = table.remove_column(position)
    return table.append_column(PATH_COLUMN, column)
