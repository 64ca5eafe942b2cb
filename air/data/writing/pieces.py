"""Writing datasets: whatever makes the rows gives them to a sink, and the program says when all
are there."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from air.data.batching.regrouping import joined
from air.data.blocks.block import Block, accessor
from air.data.datasink import Datasink, WriteContext
from air.data.execution.execute import execute
from air.data.plan import Map
from air.data.transforms import BlockFunction, Transform
from air.data.udf.functions import TaskContext
from air.errors import InvalidOption

if TYPE_CHECKING:
    from air.data.consumption import Consumption

_TABLE_BYTES = 64 << 20
_BLOCKS = 4
"""So many blocks become one table at most: it is held twice while they are put together."""


@dataclass(frozen=True)
class _WriteBlocks(Transform):
    """Each piece that has rows to the sink; a row for each with what the sink makes of it."""

    sink: Datasink
    write_args: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"write_{self.sink.name}"

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return None

    def open(self) -> BlockFunction:
        return self._run

    def _run(self, blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
        together = min(_TABLE_BYTES, _BLOCKS * context.block_bytes)
        filled = (block for block in joined(blocks, together, at_once=False) if len(block))
        tables: Iterator[pa.Table] = (accessor(block).to_arrow() for block in filled)
        first = next(tables, None)
        if first is not None:
            piece = WriteContext(context.index, context.source)
            # In a tuple, which no block takes for a record.
            yield [(self.sink.write(chain([first], tables), piece, **self.write_args),)]


def write_to(
    dataset: Consumption, sink: Datasink, write_args: Mapping[str, Any] | None = None
) -> None:
    """Write *dataset* to *sink*, which hears of it in the end, however that ends.

    Args:
        write_args: what :meth:`air.data.Datasink.write` is given besides.

    Raises:
        InvalidOption: it takes no such arguments.
    """
    given = write_args or {}
    try:
        inspect.signature(sink.write).bind(None, None, **given)
    except TypeError as error:
        raise InvalidOption(f"{type(sink).__name__}.write: {error}") from None
    sink.on_write_start()
    results: list[Any] = []
    step = Map(dataset.plan, _WriteBlocks(sink, given))
    try:
        with closing(execute(step, stats=dataset.new_stats())) as handles:
            for handle in handles:
                results += [result for (result,) in handle.get()]
        sink.on_write_complete(results)
    except BaseException as error:
        sink.on_write_failed(results, error)
        raise
