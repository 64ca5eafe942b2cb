"""Blocks handed out behind references, for a program's own tasks and for other libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from air.core.api import remote
from air.data.batching.batch_format import NUMPY, PANDAS
from air.data.blocks.block import accessor
from air.data.blocks.handle import BlockHandle
from air.data.errors import require_columns
from air.executor.current import get_executor
from air.executor.handles import ObjectRef


def arrow_refs(handles: Iterable[BlockHandle]) -> list[ObjectRef[Any]]:
    """A reference to an Arrow table for each block; those that are stored already stay."""
    return [_converted(handle, _as_arrow) for handle in handles]


def pandas_refs(handles: Iterable[BlockHandle]) -> list[ObjectRef[Any]]:
    """A reference to a DataFrame for each block."""
    return [_converted(handle, _as_pandas) for handle in handles]


def numpy_refs(handles: Iterable[BlockHandle], column: str | None) -> list[ObjectRef[Any]]:
    """A reference to arrays for each block; to one column's only where there is a *column*."""
    return [_converted(handle, _as_numpy, column) for handle in handles]


def _converted(handle: BlockHandle, convert: Callable[..., Any], *args: object) -> ObjectRef[Any]:
    if handle.is_here:
        return get_executor().put(convert(handle, *args))
    schema = handle.metadata.schema
    is_table = isinstance(schema, pa.Schema) and len(schema) > 0
    if convert is _as_arrow and is_table and handle.offset is None:
        return handle.ref()
    name = f"data: {convert.__name__.removeprefix('_')}"
    ref: ObjectRef[Any] = remote(convert).options(name=name).remote(handle, *args)
    return ref


def _as_arrow(handle: BlockHandle) -> pa.Table:
    return accessor(handle.get()).to_arrow()


def _as_pandas(handle: BlockHandle) -> Any:
    return accessor(handle.get()).to_batch(PANDAS)


def _as_numpy(handle: BlockHandle, column: str | None) -> Any:
    arrays = accessor(handle.get()).to_batch(NUMPY)
    if column is None:
        return arrays
    require_columns([column], list(arrays), "to_numpy_refs")
    return arrays[column]
