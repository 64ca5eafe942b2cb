"""The column to predict: that it is there, and that every row has a value."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from air.errors import InvalidOption
from air.executor.validation import listing, nearest


def check_named(
    column: str, available: Sequence[str], dataset: str, *, role: str = "label_column"
) -> None:
    """Raise `InvalidOption` if a column that an option names is not there."""
    if column not in available:
        raise InvalidOption(
            f"{role} is {column!r}, but the dataset {dataset!r} has no such column."
            f"{nearest(column, available)} It has {listing(available)}."
        )


def check_labels(table: pa.Table, label: str, dataset: str) -> None:
    """Raise `InvalidOption` if a row has no label: nothing can be learnt from it."""
    column = table.column(label)
    is_missing = pc.is_null(column, nan_is_null=True)
    if pc.any(is_missing).as_py():
        raise InvalidOption(
            f"label_column is {label!r}, which has missing values in the dataset {dataset!r}: "
            "leave these rows out with filter, or fill them in."
        )
