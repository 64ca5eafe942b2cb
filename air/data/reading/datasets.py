"""How a dataset is made of a source, or of blocks that are here: into how many pieces."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa

from air.data.blocks.block import Block, accessor
from air.data.blocks.handle import BlockHandle
from air.data.blocks.schemas import conform, empty_table, unify
from air.data.context import DataContext
from air.data.dataset import Dataset
from air.data.datasource import Datasource
from air.data.execution.exchange.partitioners import equal_edges
from air.data.plan import InputBlocks, Read
from air.errors import InvalidOption
from air.executor.keywords import suggests_keywords
from air.executor.validation import check_number

AUTO_BLOCKS = 16
"""Blocks that a dataset gets at least when ``parallelism`` is -1 and it has as many rows or
files. It does not depend on the machine, so that results do not either."""

_MAX_AUTO_BLOCKS = 4096
"""Beyond so many pieces planning them would take longer than reading some of them in parts."""


@suggests_keywords
def read_datasource(datasource: Datasource, *, parallelism: int = -1) -> Dataset:
    """The rows of a source of one's own; see :class:`air.data.Datasource`.

    Raises:
        TypeError: *datasource* is no ``Datasource``.
    """
    if not isinstance(datasource, Datasource):
        raise TypeError(f"read_datasource takes an air.data.Datasource, got {datasource!r:.80}")
    size = datasource.estimate_inmemory_data_size()
    return Dataset(Read(datasource, pieces_of(parallelism, size)))


def divided(block: Block, what: str, parallelism: int) -> Dataset:
    """The rows of a block that is here, in about equally large parts of it.

    Args:
        what: the function that has been called.
        parallelism: parts; -1 chooses.
    """
    rows = accessor(block)
    blocks = min(pieces_of(parallelism, None), max(rows.num_rows(), 1))
    handles = [
        BlockHandle.of_block(rows.slice(first, last), f"{what}, items {first}-{last - 1}")
        for first, last in itertools.pairwise(equal_edges(rows.num_rows(), blocks))
    ]
    return Dataset(InputBlocks(tuple(handles), what))


def from_each(what: str, given: Any, fits: Any, make: Any, wanted: str) -> Dataset:
    """The rows of a table of some kind, or of a list of them in turn; a block for each.

    Args:
        what: the function that has been called, for messages.
        fits: whether something is such a table, of which *make* makes one of Arrow's.
        wanted: what such a table is called.
    """
    items = list(given) if isinstance(given, (list, tuple)) else [given]
    for item in items:
        if not fits(item):
            raise TypeError(f"{what} takes {wanted} or a list of them, got {type(item).__name__}")
    if not items:
        raise InvalidOption(f"{what} was given an empty list")
    named = [what] if len(items) == 1 else [f"{what}, item {i}" for i, _ in enumerate(items)]
    tables: list[pa.Table] = [make(item) for item in items]
    # Items without rows do not decide: an empty frame's columns have any type.
    deciding = [pair for pair in zip(tables, named, strict=True) if len(pair[0])]
    if deciding:
        schema = unify([table.schema for table, _ in deciding], [name for _, name in deciding])
        tables = [conform(t, schema) if len(t) else empty_table(schema) for t in tables]
    handles = map(BlockHandle.of_block, tables, named)
    return Dataset(InputBlocks(tuple(handles), what))


def pieces_of(given: int, size_bytes: int | None) -> int:
    """How many pieces to read apart, or blocks to make; a *given* -1 chooses."""
    if given != -1:
        return int(check_number(given, "parallelism (-1 chooses)", minimum=1, integer=True))
    by_size = -(-(size_bytes or 0) // DataContext.get_current().target_max_block_size)
    return min(max(AUTO_BLOCKS, by_size), _MAX_AUTO_BLOCKS)
