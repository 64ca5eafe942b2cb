"""Blocks of what functions return: rows, and batches in any format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.batching.batch_format import is_pandas_frame, is_polars_frame
from air.data.blocks import convert, frames
from air.data.blocks.block import Block, of_polars
from air.data.errors import UnsupportedValue


def block_from_rows(rows: Sequence[Any], like: pa.Schema | None = None) -> Block:
    """A table if the rows are dictionaries, otherwise a block of plain objects.

    Args:
        like: as for :func:`block_from_batch`.

    Raises:
        UnsupportedValue: dictionaries are mixed with other objects, a column's values have no
            Arrow type, or what a function made of a record is ``None``.
    """
    if rows and isinstance(rows[0], Mapping):
        return convert.table_from_rows(rows, like)
    for index, row in enumerate(rows):
        if row is None and like is not None:
            raise UnsupportedValue(
                f"row {index} is None: a function that is given dictionaries returns one for each"
                " (is a return missing?)"
            )
        if isinstance(row, Mapping):
            raise UnsupportedValue(
                f"row {index} is a dictionary where the rows before it are"
                f" {type(rows[0]).__name__}: make all rows of a dataset of one kind"
            )
    return list(rows)


def block_from_batch(batch: Any, like: pa.Schema | None = None) -> Block:
    """The block for what a function on batches returned.

    Takes a DataFrame of pandas or Polars, an Arrow table or record batch, a dictionary of arrays
    or lists, a list of rows, or a one-dimensional array of plain values.

    Args:
        like: of the rows that the function was given, if they were records: a column that comes
            back by the name of one of theirs has its type, where only Arrow has that.

    Raises:
        UnsupportedValue: it is none of these, or holds what no block can.
    """
    if isinstance(batch, pa.Table):
        return convert.checked_table(batch)
    if isinstance(batch, Mapping):
        return convert.table_from_columns(batch, like)
    if is_pandas_frame(batch):
        return frames.table_from_pandas(batch, like)
    if is_polars_frame(batch):
        table: pa.Table = of_polars().from_batch(batch, like)
        return table
    if isinstance(batch, list):
        return block_from_rows(batch, like)
    if isinstance(batch, pa.RecordBatch):
        return convert.checked_table(pa.Table.from_batches([batch]))
    if isinstance(batch, np.ndarray) and batch.ndim == 1:
        return batch.tolist()
    shape = f" of shape {batch.shape}" if isinstance(batch, np.ndarray) else ""
    hint = '; for a column of arrays return {"name": array}' if shape else ""
    hint = "; does the function return its result?" if batch is None else hint
    hint = "; collect() it" if type(batch).__name__ == "LazyFrame" else hint
    raise UnsupportedValue(
        "a batch must be a pandas.DataFrame, a pyarrow.Table, a dictionary of arrays or a list"
        f" of rows, got {type(batch).__name__}{shape}{hint}"
    )
