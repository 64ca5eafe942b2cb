"""How datasets are made of what is in memory: numbers, Python objects, frames, tables, arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from air.data.batching.batch_format import is_pandas_frame
from air.data.blocks.block import owned
from air.data.blocks.convert import checked_table, table_from_columns
from air.data.blocks.frames import table_from_pandas
from air.data.blocks.making import block_from_rows
from air.data.dataset import Dataset
from air.data.datasources.range import ARRAY_COLUMN, RangeDatasource
from air.data.reading.datasets import divided, from_each, read_datasource
from air.errors import InvalidOption
from air.executor.keywords import refuses, suggests_keywords
from air.executor.validation import check_number

if TYPE_CHECKING:
    import pandas as pd


@suggests_keywords
def range(n: int, *, parallelism: int = -1) -> Dataset:
    """The ints ``0 <= i < n``, as plain objects.

    Args:
        parallelism: blocks; -1 chooses.
    """
    return read_datasource(RangeDatasource(_count("range", n)), parallelism=parallelism)


@suggests_keywords
def range_table(n: int, *, parallelism: int = -1) -> Dataset:
    """The ints ``0 <= i < n``, as records with the column ``value``."""
    source = RangeDatasource(_count("range_table", n), "table")
    return read_datasource(source, parallelism=parallelism)


@suggests_keywords
def range_tensor(n: int, *, shape: Sequence[int] = (1,), parallelism: int = -1) -> Dataset:
    """Records whose column ``data`` holds arrays of *shape* filled with ``0 <= i < n``."""
    if not isinstance(shape, (tuple, list)) or not shape:
        raise InvalidOption(f"range_tensor: shape must be a tuple of sizes, got {shape!r}")
    sizes = tuple(
        int(check_number(size, "range_tensor: sizes in shape", minimum=1, integer=True))
        for size in shape
    )
    source = RangeDatasource(_count("range_tensor", n), "tensor", sizes)
    return read_datasource(source, parallelism=parallelism)


@suggests_keywords
@refuses(output_arrow_format="dictionaries become columns, all other items stay what they are")
def from_items(items: Iterable[Any], *, parallelism: int = -1) -> Dataset:
    """A row for each item: records if they are dictionaries, plain objects otherwise.

    Args:
        items: any iterable; it is gone through at the call.
        parallelism: blocks; -1 chooses.

    Raises:
        TypeError: *items* is text or a dictionary, or no iterable.
        UnsupportedValue: dictionaries are mixed with others, or a column's values have no
            common type.
    """
    if is_pandas_frame(items) or isinstance(items, (pa.Table, pa.RecordBatch)):
        instead = "from_pandas" if is_pandas_frame(items) else "from_arrow"
        raise TypeError(f"from_items takes a list of items, got a table: use {instead}")
    if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Iterable):
        raise TypeError(f"from_items takes a list of items, got {type(items).__name__}")
    # One block first, so that all rows are looked at together: what does not go together is found
    # now, and a column has one type.
    return divided(owned(block_from_rows(list(items))), "from_items", parallelism)


@suggests_keywords
def from_pandas(dfs: pd.DataFrame | Sequence[pd.DataFrame]) -> Dataset:
    """The rows of a DataFrame, or of several in turn; a block for each.

    An index with a name is a column, the first; one without is dropped.

    Raises:
        TypeError: something else is given.
        UnsupportedValue: a column is there twice or has values without a common type, also
            in different frames.
    """

    def table(frame: pd.DataFrame) -> pa.Table:
        # Arrow may share memory with the frame, which its owner may change.
        return table_from_pandas(frame.copy())

    return from_each("from_pandas", dfs, is_pandas_frame, table, "a DataFrame")


@suggests_keywords
def from_arrow(tables: pa.Table | Sequence[pa.Table]) -> Dataset:
    """The rows of an Arrow table, or of several in turn; a block for each, not copied.

    Raises:
        TypeError: something else is given.
        UnsupportedValue: a column is there twice, or in two tables with types that do not go
            together.
    """

    def is_table(value: object) -> bool:
        return isinstance(value, pa.Table)

    return from_each("from_arrow", tables, is_table, checked_table, "a pyarrow.Table")


@suggests_keywords
def from_numpy(ndarrays: np.ndarray | Sequence[np.ndarray]) -> Dataset:
    """Records with the column ``data``: the items of an array along its first dimension.

    Several arrays give their items in turn; a block for each.

    Raises:
        TypeError: something else is given.
    """

    def is_array(value: object) -> bool:
        return isinstance(value, np.ndarray) and value.ndim > 0

    def table(array: np.ndarray) -> pa.Table:
        # Arrow may share memory with the array, which its owner may change.
        return table_from_columns({ARRAY_COLUMN: array.copy()})

    return from_each("from_numpy", ndarrays, is_array, table, "a numpy.ndarray with a dimension")


def _count(what: str, n: object) -> int:
    return int(check_number(n, f"{what}: n", minimum=0, integer=True))
