"""From Arrow tables to what estimators are fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.block import accessor
from air.data.blocks.convert import column_to_numpy
from air.errors import InvalidOption
from air.train.labels import check_labels


def labels(table: pa.Table, label: str | None, dataset: str) -> np.ndarray | None:
    """The values of the label; ``None`` where there is none.

    Raises:
        InvalidOption: a row has none.
    """
    if label is None:
        return None
    check_labels(table, label, dataset)
    return column_to_numpy(table.column(label))


def features(table: pa.Table, names: Sequence[str]) -> Any:
    """These columns as a DataFrame; as one array of numbers if there are arrays among them.

    In that, each column of arrays has as many columns as its arrays have values.

    Raises:
        InvalidOption: beside columns of arrays there are others than numbers, or arrays of
            different shapes.
    """
    chosen = table.select(list(names))
    columns = {name: chosen.column(name) for name in names}
    if not any(_is_array(column.type) for column in columns.values()):
        return accessor(chosen).to_batch("pandas")
    parts = []
    for name, column in columns.items():
        values = column_to_numpy(column)
        if values.dtype == object:
            raise InvalidOption(
                f"The column {name!r} ({column.type}) beside columns of arrays must hold numbers,"
                " or arrays of one shape: estimators take all of these as one array."
            )
        parts.append(values.reshape(len(values), -1))
    return np.hstack(parts)


def _is_array(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.BaseExtensionType) or pa.types.is_nested(kind)
