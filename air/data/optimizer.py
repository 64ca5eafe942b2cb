"""Rewrites of a plan that change how it is computed, never what comes out.

* *limit*: under operators that give one row for one row, towards the source; blocks that exist
  already are cut at once.
* *projection*: columns that are picked or dropped right after a read are the only ones read.

Operators are fused in :mod:`air.data.execution.stages`.
"""

from __future__ import annotations

from dataclasses import replace

from air.data.handle import BlockHandle
from air.data.plan import InputBlocks, Limit, Map, Node, Read, Union
from air.data.transforms import DropColumns, SelectColumns


def optimize(node: Node) -> Node:
    """The plan to execute for *node*."""
    node = _rebuilt(node)
    if isinstance(node, Limit):
        return _push_limit(node)
    if isinstance(node, Map) and isinstance(node.input, Read):
        return _push_projection(node, node.input)
    return node


def _rebuilt(node: Node) -> Node:
    """*node* on top of its optimized inputs."""
    if isinstance(node, Union):
        parts = tuple(optimize(part) for part in node.parts)
        return node if parts == node.parts else replace(node, parts=parts)
    if not node.inputs:
        return node
    below = optimize(node.inputs[0])
    # Every node with one input calls it so.
    return node if below is node.inputs[0] else replace(node, input=below)  # type: ignore[call-arg]


def _push_limit(limit: Limit) -> Node:
    below = limit.input
    if isinstance(below, Map) and below.transform.keeps_rows:
        return optimize(replace(below, input=Limit(below.input, limit.count)))
    if isinstance(below, Limit):
        return optimize(Limit(below.input, min(limit.count, below.count)))
    if isinstance(below, InputBlocks):
        kept: list[BlockHandle] = []
        missing = limit.count
        for handle in below.handles:
            if not missing and kept:
                break
            kept.append(handle.slice(0, missing))
            missing -= kept[-1].num_rows
        return replace(below, handles=tuple(kept))
    return limit


def _push_projection(node: Map, read: Read) -> Node:
    if not isinstance(node.transform, (SelectColumns, DropColumns)):
        return node
    available = read.columns()
    wanted = node.transform.columns(available)
    if available is None or wanted is None or not wanted:
        return node
    if not set(node.transform.names) <= set(available):
        return node  # the operator will say which column there is not
    narrow = read.source.with_columns(tuple(wanted))
    if narrow is None:
        return node
    # The read may give the columns in the order of the file, so the operator stays.
    return Map(replace(read, source=narrow), SelectColumns(tuple(wanted)), node.compute)
