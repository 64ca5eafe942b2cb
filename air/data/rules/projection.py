"""Columns that are picked or dropped right after a read are the only ones that are read."""

from __future__ import annotations

from dataclasses import replace

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
