"""Columns that are picked or dropped right after a read are the only ones that are read."""

from __future__ import annotations

from dataclasses import replace

from air.data.expressions.operators import FilterExpression
from air.data.plan import Map, Node, Read
from air.data.transforms import DropColumns, SelectColumns


def push_projection(node: Node) -> Node | None:
    """A read of fewer columns."""
    if not isinstance(node, Map) or not isinstance(node.input, Read):
        return None
    if not isinstance(node.transform, (SelectColumns, DropColumns)):
        return None
    read = node.input
    available = read.columns()
    wanted = node.transform.columns(available)
    if available is None or not wanted or set(wanted) == set(available):
        return None
    if not set(node.transform.names) <= set(available):
        return None  # the operator will say which column there is not
    narrow = read.source.with_columns(tuple(wanted))
    if narrow is None:
        return None
    # The read may give the columns in the order of the file, so the operator stays.
    return Map(replace(read, source=narrow), SelectColumns(tuple(wanted)), node.compute)


def narrow_filter(node: Node) -> Node | None:
    """Columns that are neither kept nor looked at by a condition are dropped before it."""
    if not isinstance(node, Map) or not isinstance(node.transform, SelectColumns):
        return None
    below = node.input
    if not isinstance(below, Map) or not isinstance(below.transform, FilterExpression):
        return None
    available = below.input.columns()
    if available is None:
        return None
    needed = {*node.transform.names, *below.transform.condition.columns()}
    if not needed < set(available):
        return None
    kept = SelectColumns(tuple(name for name in available if name in needed))
    return replace(node, input=replace(below, input=Map(below.input, kept, below.compute)))
