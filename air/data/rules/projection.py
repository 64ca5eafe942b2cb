"""Columns that nobody looks at are not read, nor made tables of what functions return."""

from __future__ import annotations

from dataclasses import replace

from air.data.expressions.operators import FilterExpression
from air.data.plan import Map, Node, RandomShuffle, Read, Repartition, Sort, TopOf
from air.data.transforms import DropColumns, SelectColumns, Summarize
from air.data.udf.batches import MapBatches


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
    """Columns that are neither kept nor looked at by conditions are dropped before these."""
    if not isinstance(node, Map) or not isinstance(node.transform, SelectColumns):
        return None
    needed = set(node.transform.names)
    conditions: list[Map] = []
    below = node.input
    while isinstance(below, Map) and isinstance(below.transform, FilterExpression):
        needed |= below.transform.condition.columns()
        conditions.append(below)
        below = below.input
    available = below.columns()
    if not conditions or available is None or not needed < set(available):
        return None
    kept = tuple(name for name in available if name in needed)
    if isinstance(below, Read):
        source = below.source.with_columns(kept)
        if source is None:
            return None
        below = replace(below, source=source)
    else:
        below = Map(below, SelectColumns(kept), conditions[-1].compute)
    for one in reversed(conditions):
        below = replace(one, input=below)
    return replace(node, input=below)


def narrow_summary(node: Node) -> Node | None:
    """Columns that a summary does not look at are dropped before it."""
    if not isinstance(node, Map) or not isinstance(node.transform, Summarize):
        return None
    available, names = node.input.columns(), node.transform.names
    if available is None or names is None or not set(names) < set(available):
        return None
    kept = SelectColumns(tuple(name for name in available if name in names))
    return replace(node, input=Map(node.input, kept, node.compute))


def narrow_returned(node: Node) -> Node | None:
    """Columns of what a function returns that are dropped right after it are not kept."""
    if not isinstance(node, Map) or not isinstance(node.transform, (SelectColumns, Summarize)):
        return None
    names, below = node.transform.names, node.input
    if names is None or not isinstance(below, Map) or not isinstance(below.transform, MapBatches):
        return None
    # Rows are left out if what is returned of them cannot be kept: all of it has to be looked at.
    if below.transform.skips is not None or below.transform.wanted is not None:
        return None
    return replace(node, input=replace(below, transform=replace(below.transform, wanted=names)))


def narrow_exchange(node: Node) -> Node | None:
    """Rows that are brought into another order, or other blocks, take wanted columns along only."""
    if not isinstance(node, Map) or not isinstance(node.transform, SelectColumns):
        return None
    below = node.input
    if isinstance(below, (Sort, TopOf)):
        keys = {key.column for key in below.keys}
    elif isinstance(below, (RandomShuffle, Repartition)):
        keys = set()
    else:
        return None
    available = below.input.columns()
    needed = {*node.transform.names, *keys}
    if available is None or not needed < set(available):
        return None
    kept = SelectColumns(tuple(name for name in available if name in needed))
    return replace(node, input=replace(below, input=Map(below.input, kept)))
