"""Tables divided by the values of columns, which become directories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from air.data.blocks.choosing import combined
from air.data.datasources.labels import NULL_LABEL
from air.data.errors import WriteError, require_columns


def check_partition_columns(what: str, table: pa.Schema, columns: Sequence[str]) -> None:
    """Complain about columns that directories cannot stand for.

    Raises:
        ColumnNotFound: there is no such column; names the nearest.
        WriteError: no column would be left, or one is neither text nor of whole numbers, which
            is all that a directory's name says.
    """
    require_columns(columns, table.names, f"{what}: partition_cols")
    if len(columns) == len(table.names):
        raise WriteError(f"{what}: partition_cols names all columns, and leaves none for the files")
    for name in columns:
        kind = table.field(name).type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if not (is_text or pa.types.is_integer(kind) or pa.types.is_null(kind)):
            raise WriteError(
                f"{what}: column {name!r} has the type {kind}, which names of directories do not"
                " keep: partition_cols takes columns of text or whole numbers"
            )


def divided(table: pa.Table, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each combination of values, with its directory, such as ``year=2024/month=5``."""
    for values, rows in rows_by_values(table, columns):
        names = (f"{quote(name, safe='')}={label_of(value)}" for name, value in values.items())
        yield "/".join(names), rows


def rows_by_values(
    table: pa.Table, columns: Sequence[str]
) -> Iterator[tuple[dict[str, Any], pa.Table]]:
    """The rows of each combination of values of *columns*, without these columns.

    Combinations come in the order of their first rows, and rows of each in the order in which
    they were.
    """
    codes = np.zeros(table.num_rows, np.int64)
    found: list[tuple[str, list[Any], np.ndarray]] = []
    for name in columns:
        encoded = combined(table[name]).dictionary_encode(null_encoding="encode")
        values = encoded.dictionary.to_pylist()
        indices = encoded.indices.to_numpy()
        found.append((name, values, indices))
        codes = codes * len(values) + indices
        # Codes made dense again, so that many columns do not make them overflow.
        _, codes = np.unique(codes, return_inverse=True)
    _, first, codes = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    bounds = np.append(np.searchsorted(codes[order], np.arange(len(first))), len(order))
    rest = table.drop_columns(list(columns))
    for group in np.argsort(first):
        row = first[group]
        of_group = rest.take(pa.array(order[bounds[group] : bounds[group + 1]]))
        yield {name: values[indices[row]] for name, values, indices in found}, of_group


def label_of(value: object) -> str:
    """How a directory's name says *value*."""
    return NULL_LABEL if value is None else quote(str(value), safe="")
