"""Datasets made from frames of Polars."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from air.data.dataset import Dataset
from air.data.polars.frames import INSTALL, table_from_polars
from air.data.reading.datasets import from_each
from air.executor.extras import import_extra
from air.executor.keywords import suggests_keywords


@suggests_keywords
def from_polars(dfs: Any) -> Dataset:
    """The rows of a ``polars.DataFrame``, or of several in turn; a block for each, not copied.

    ``Array`` becomes a column of arrays, ``Categorical`` and ``Enum`` a dictionary.

    Raises:
        TypeError: something else is given; a ``LazyFrame`` has to be collected first.
        UnsupportedValue: a column is of a type that Arrow does not have (``Object``,
            ``Int128``), or has types in two frames that do not go together.
    """
    polars = import_extra("polars", "from_polars", INSTALL)

    def is_frame(value: object) -> bool:
        return isinstance(value, polars.DataFrame)

    def table(frame: Any) -> pa.Table:
        return table_from_polars("from_polars", frame)

    return from_each("from_polars", dfs, is_frame, table, "a polars.DataFrame")
