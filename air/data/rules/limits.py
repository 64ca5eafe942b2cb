"""Limits go under operators that give one row for one row, towards the source."""

from __future__ import annotations

from dataclasses import replace

from air.data.blocks.handle import BlockHandle
from air.data.plan import InputBlocks, Limit, Map, Node


def push_limit(node: Node) -> Node | None:
    """A limit nearer to the source; blocks that exist already are cut at once."""
    if not isinstance(node, Limit):
        return None
    below = node.input
    if isinstance(below, Map) and below.transform.keeps_rows:
        return replace(below, input=Limit(below.input, node.count))
    if isinstance(below, Limit):
        return Limit(below.input, min(node.count, below.count))
    if isinstance(below, InputBlocks):
        return replace(below, handles=_first_rows(below.handles, node.count))
    return None


def _first_rows(handles: tuple[BlockHandle, ...], count: int) -> tuple[BlockHandle, ...]:
    kept: list[BlockHandle] = []
    for handle in handles:
        if not count and kept:
            break
        kept.append(handle.slice(0, count))
        count -= kept[-1].num_rows
    return tuple(kept)
