"""Blocks as plans and results hold them: in this process, or behind a reference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from air.data.blocks.block import Block, accessor, compact, owned
from air.data.blocks.metadata import BlockMetadata
from air.data.blocks.origins import cut_runs
from air.data.blocks.schemas import without_columns
from air.executor.current import get_executor

if TYPE_CHECKING:
    from air.executor.handles import ObjectRef
    from air.executor.interface import Executor

BY_VALUE_BYTES = 1 << 20
"""A block up to this size travels inside what refers to it; larger ones are put and shared."""


class BlockHandle:
    """A block, or a range of rows of one, that may be elsewhere.

    Handles are values: they can be sliced without touching the block, and sent to tasks and
    actors, where they refer to the same stored block.
    """

    __slots__ = ("_block", "_executor", "_is_kept", "_offset", "_ref", "metadata")

    def __init__(
        self,
        metadata: BlockMetadata,
        *,
        block: Block | None = None,
        ref: ObjectRef[Any] | None = None,
        offset: int | None = None,
        is_kept: bool = False,
    ) -> None:
        """Use :meth:`of_block` or :meth:`of_ref`.

        ``offset`` is where the rows of this handle start in the referenced block; ``None`` for
        the whole of it. What is held in ``block`` is sliced already. For ``is_kept`` see
        :meth:`keep`.
        """
        self.metadata = metadata
        self._block = block
        self._ref = ref
        self._offset = offset
        self._is_kept = is_kept
        self._executor: Executor | None = None

    @classmethod
    def of_block(cls, block: Block, source: str = "") -> BlockHandle:
        """A handle to a block in this process."""
        return cls(accessor(block).metadata(source), block=block)

    @classmethod
    def of_ref(cls, ref: ObjectRef[Any], metadata: BlockMetadata) -> BlockHandle:
        """A handle to a stored block that *metadata* describes."""
        return cls(metadata, ref=ref)

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        rows = self.metadata.num_rows
        assert rows is not None  # every block that exists has been counted
        return rows

    @property
    def size_bytes(self) -> int:
        """Bytes in memory, or an estimate."""
        return self.metadata.size_bytes or 0

    @property
    def offset(self) -> int | None:
        """Where the rows start in the block behind :meth:`ref`; ``None`` for all of it."""
        return self._offset

    @property
    def travels_by_value(self) -> bool:
        """Whether sending the handle sends the rows themselves."""
        return self._block is not None and self.size_bytes <= BY_VALUE_BYTES

    @property
    def is_here(self) -> bool:
        """Whether :meth:`get` needs no backend."""
        return self._block is not None

    def keep(self) -> None:
        """From now on :meth:`get` gives objects that may be changed, as a dataset needs it."""
        self._is_kept = True

    def get(self) -> Block:
        """The block; read-only where it shares memory with the store."""
        if self._block is not None:
            return owned(self._block) if self._is_kept else self._block
        assert self._ref is not None
        return cut(get_executor().get([self._ref], None)[0], self._offset, self.num_rows)

    def slice(self, start: int, stop: int, size_bytes: int | None = None) -> BlockHandle:
        """The rows ``start <= i < stop`` of this handle; no data moves.

        Args:
            size_bytes: of these rows; their share of all by default.
        """
        stop = min(stop, self.num_rows)
        if start == 0 and stop == self.num_rows:
            return self
        share = (stop - start) / max(self.num_rows, 1)
        size = round(self.size_bytes * share) if size_bytes is None else size_bytes
        rows = stop - start
        # Marks are about the whole block.
        metadata = replace(self.metadata, num_rows=rows, size_bytes=size, bounds=None, samples=None)
        if metadata.first_row is not None:
            metadata = replace(metadata, first_row=metadata.first_row + start)
        if metadata.runs:
            metadata = replace(metadata, runs=cut_runs(metadata.runs, start, stop))
        if self._block is not None:
            block = accessor(self._block).slice(start, stop)
            return BlockHandle(metadata, block=block, is_kept=self._is_kept)
        return BlockHandle(metadata, ref=self._ref, offset=(self._offset or 0) + start)

    def ref(self, *, is_kept: bool = True) -> ObjectRef[Any]:
        """A reference to a stored block that holds this handle's rows; see :func:`cut`.

        Args:
            is_kept: a block in this process is put once for as long as the backend runs, and not
                each time anew, so that it is in memory twice.
        """
        if self._block is None:
            assert self._ref is not None
            return self._ref
        executor = get_executor()
        if self._ref is None or self._executor is not executor:
            stored = executor.put(compact(self._block))
            if not is_kept:
                return stored
            self._ref, self._executor = stored, executor
        return self._ref

    def __reduce__(self) -> tuple[Any, ...]:
        if self._block is not None and self.travels_by_value:
            return _of_value, (self.metadata, compact(self._block), self._is_kept)
        return _of_stored, (self.metadata, self.ref(), self._offset)

    def __repr__(self) -> str:
        where = "here" if self.is_here else "stored"
        return f"BlockHandle({self.num_rows} rows, {self.size_bytes} bytes, {where})"


def cut(block: Block, offset: int | None, num_rows: int) -> Block:
    """The rows of a handle, out of the block behind its reference."""
    if isinstance(block, pa.Table) and not block.num_columns:
        return without_columns(num_rows)  # how many rows there are did not travel with them
    return block if offset is None else accessor(block).slice(offset, offset + num_rows)


def _of_value(metadata: BlockMetadata, block: Block, is_kept: bool) -> BlockHandle:
    whole = cut(block, None, metadata.num_rows or 0)
    return BlockHandle(metadata, block=whole, is_kept=is_kept)


def _of_stored(metadata: BlockMetadata, ref: ObjectRef[Any], offset: int | None) -> BlockHandle:
    return BlockHandle(metadata, ref=ref, offset=offset)
