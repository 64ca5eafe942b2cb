"""Datasets as data frames of Dask."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from air.core.api import remote
from air.data.batching.batch_format import PANDAS
from air.data.blocks.block import VALUE_COLUMN, accessor, column_names
from air.data.blocks.handle import BlockHandle
from air.data.blocks.schemas import unify
from air.data.dask.dtypes import Facts, dtypes_of, facts_of
from air.data.plan import InputBlocks
from air.errors import InvalidOption
from air.executor.current import get_executor
from air.executor.extras import import_extra, import_pandas
from air.executor.validation import listing

_AS_THEY_ARE = {"dataframe.convert-string": False}


def frame_of(handles: Sequence[BlockHandle], meta: Any) -> Any:
    """A data frame with a partition for each block that has rows.

    Args:
        handles: blocks of one schema.
        meta: what partitions are to be like, as Dask takes it; found out if ``None``.

    Raises:
        InvalidOption: *meta* has other columns than the blocks.
    """
    frames = import_extra("dask.dataframe", "to_dask", "airloom[dask]")
    pd = import_pandas("to_dask")
    filled = [handle for handle in handles if handle.num_rows]
    if meta is None:
        dtypes = _dtypes(filled or list(handles[:1]))
        like = pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in dtypes.items()})
    else:
        like = frames.utils.make_meta(meta)
        _check_columns(like, handles)
    # Dask makes text of all objects otherwise, of arrays as well, and other text of text.
    with import_extra("dask", "to_dask", "airloom[dask]").config.set(_AS_THEY_ARE):
        if not filled:
            return frames.from_pandas(like, npartitions=1)
        starts = list(itertools.accumulate((handle.num_rows for handle in filled), initial=0))
        identity = uuid.uuid4().hex
        parts = [
            Partition(handle, start, like, identity)
            for handle, start in zip(filled, starts, strict=False)
        ]
        divisions = (*starts[:-1], starts[-1] - 1)
        return frames.from_map(
            Partition.frame, parts, meta=like, divisions=divisions, enforce_metadata=True
        )


class Partition:
    """One block, which becomes a DataFrame when Dask asks for it.

    Args:
        handle: the block.
        start: the number of its first row, where its index begins.
        like: a frame without rows, of the columns and types that it is to have.
        identity: of the whole frame, for the names that Dask gives to partitions.
    """

    def __init__(self, handle: BlockHandle, start: int, like: Any, identity: str) -> None:
        self._handle = handle
        self._start = start
        self._like = like
        self._identity = identity

    def frame(self) -> Any:
        """The rows."""
        pd = import_pandas("to_dask")
        frame = accessor(self._handle.get()).to_batch(PANDAS)[list(self._like.columns)]
        others = {n: kind for n, kind in self._like.dtypes.items() if frame[n].dtype != kind}
        frame = frame.astype(others) if others else frame
        return frame.set_axis(pd.RangeIndex(self._start, self._start + len(frame)))

    def __dask_tokenize__(self) -> tuple[str, int]:
        return self._identity, self._start


def _check_columns(like: Any, handles: Sequence[BlockHandle]) -> None:
    known = InputBlocks(tuple(handles)).schema()
    names = [VALUE_COLUMN] if isinstance(known, type) else column_names(known)
    if names is not None and set(names) != set(like.columns):
        raise InvalidOption(
            f"to_dask: meta has the columns {listing(like.columns, limit=40)}, but the dataset has"
            f" {listing(names, limit=40)}"
        )


def _dtypes(handles: Sequence[BlockHandle]) -> dict[str, Any]:
    """The types of the columns in pandas; looks at blocks where they are."""
    look = remote(_look).options(name="data: to_dask")
    elsewhere = [look.remote(handle) for handle in handles if not handle.is_here]
    looked = iter(get_executor().get(elsewhere, None) if elsewhere else ())
    found = [_look(handle) if handle.is_here else next(looked) for handle in handles]
    # Blocks of plain objects have no common types yet.
    schema = unify([schema for schema, _ in found]) if found else pa.schema([])
    return dtypes_of(schema, [facts for _, facts in found])


def _look(handle: BlockHandle) -> tuple[pa.Schema, dict[str, Facts]]:
    table = accessor(handle.get()).to_arrow()
    return table.schema, facts_of(table)
