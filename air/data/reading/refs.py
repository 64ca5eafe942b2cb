"""Datasets of what is behind references."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from air.core.api import remote
from air.data.batching.batch_format import is_pandas_frame
from air.data.blocks.block import Block, accessor
from air.data.blocks.convert import checked_table, table_from_columns
from air.data.blocks.frames import table_from_pandas
from air.data.blocks.handle import BlockHandle
from air.data.blocks.metadata import BlockMetadata
from air.data.dataset import Dataset
from air.data.datasources.range import ARRAY_COLUMN
from air.data.plan import InputBlocks, Map, Node
from air.data.transforms import Conform
from air.errors import InvalidOption
from air.executor.current import get_executor
from air.executor.extras import check_pandas
from air.executor.handles import ObjectRef
from air.executor.keywords import suggests_keywords


@suggests_keywords
def from_arrow_refs(tables: ObjectRef[pa.Table] | Sequence[ObjectRef[pa.Table]]) -> Dataset:
    """The rows of Arrow tables behind references, in turn; a block for each, which stays there.

    The tables are looked at where they are, and waited for.

    Raises:
        TypeError: anything but references is given, or something else is behind one.
        UnsupportedValue: a column is there twice, or in two tables with types that do not go
            together.
    """
    return _from_refs("from_arrow_refs", tables, _checked_arrow)


@suggests_keywords
def from_pandas_refs(dfs: ObjectRef[Any] | Sequence[ObjectRef[Any]]) -> Dataset:
    """The rows of DataFrames behind references, in turn; a block for each, made there.

    The index is dropped. Raises what :func:`from_arrow_refs` does.
    """
    check_pandas("from_pandas_refs")
    return _from_refs("from_pandas_refs", dfs, _table_of_frame)


@suggests_keywords
def from_numpy_refs(ndarrays: ObjectRef[Any] | Sequence[ObjectRef[Any]]) -> Dataset:
    """Records with the column ``data``: the items of arrays behind references.

    Raises what :func:`from_arrow_refs` does.
    """
    return _from_refs("from_numpy_refs", ndarrays, _table_of_array)


def _from_refs(what: str, given: Any, make: Callable[[Any], pa.Table]) -> Dataset:
    refs = list(given) if isinstance(given, (list, tuple)) else [given]
    for ref in refs:
        if not isinstance(ref, ObjectRef):
            raise TypeError(
                f"{what} takes references, such as air.put gives, or a list of them; got"
                f" {type(ref).__name__}"
            )
    if not refs:
        raise InvalidOption(f"{what} was given an empty list")
    look = remote(_look).options(num_returns=2, name=f"data: {what}")
    named = [what] if len(refs) == 1 else [f"{what}, item {number}" for number in range(len(refs))]
    looked = [look.remote(ref, make, source) for ref, source in zip(refs, named, strict=True)]
    known = get_executor().get([metadata for metadata, _ in looked], None)
    blocks = InputBlocks(
        tuple(
            BlockHandle.of_ref(ref if make is _checked_arrow else made, metadata)
            for ref, (_, made), metadata in zip(refs, looked, known, strict=True)
        ),
        what,
    )
    common = blocks.common_schema()
    plan: Node = blocks if common is None else Map(blocks, Conform(common))
    return Dataset(plan)


def _look(value: Any, make: Callable[[Any], pa.Table], source: str) -> tuple[BlockMetadata, Block]:
    """What is known of a block; and the block, where it is another one than was given."""
    table = make(value)
    return accessor(table).metadata(source), [] if table is value else table


def _checked_arrow(value: Any) -> pa.Table:
    if not isinstance(value, pa.Table):
        raise TypeError(f"from_arrow_refs: a Table was expected, got {type(value).__name__}")
    checked_table(value)
    return value


def _table_of_frame(value: Any) -> pa.Table:
    if not is_pandas_frame(value):
        raise TypeError(f"from_pandas_refs: a DataFrame was expected, got {type(value).__name__}")
    return table_from_pandas(value)


def _table_of_array(value: Any) -> pa.Table:
    if not isinstance(value, np.ndarray) or not value.ndim:
        raise TypeError(
            "from_numpy_refs: a numpy.ndarray with a dimension was expected, got"
            f" {type(value).__name__}"
        )
    return table_from_columns({ARRAY_COLUMN: value})
