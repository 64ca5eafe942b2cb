"""Computes the steps that only choose rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from air.data.blocks.handle import BlockHandle
from air.data.execution.run import Run
from air.data.plan import InputBlocks, Limit, Union


def given(_run: Run, node: InputBlocks, _limit: int | None) -> Iterator[BlockHandle]:
    """Blocks that exist."""
    return iter(node.handles)


def union(run: Run, node: Union, limit: int | None) -> Iterator[BlockHandle]:
    """One part after the other."""
    return itertools.chain.from_iterable(run.run(part, limit) for part in node.parts)


def limit(run: Run, node: Limit, _limit: int | None) -> Iterator[BlockHandle]:
    """The first rows; what is behind them is not asked for."""
    missing = node.count
    for handle in run.run(node.input, node.count):
        kept = handle.slice(0, min(missing, handle.num_rows))
        yield kept  # also without rows: it carries the schema
        missing -= kept.num_rows
        if missing <= 0:
            return
