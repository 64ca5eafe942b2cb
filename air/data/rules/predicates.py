"""Conditions go towards the source, which may then read less."""

from __future__ import annotations

from dataclasses import replace

from air.data.expressions.operators import FilterExpression, WithColumn
from air.data.plan import Join, Map, Node, Read, Union
from air.data.rules.joins import filter_sides
from air.data.transforms import DropColumns, RenameColumns, SelectColumns


def push_predicate(node: Node) -> Node | None:
    """A condition nearer to the source: below what it does not depend on."""
    if not isinstance(node, Map) or not isinstance(node.transform, FilterExpression):
        return None
    below = node.input
    if isinstance(below, Union):
        return _into_parts(node, node.transform, below)
    if not isinstance(below, Map):
        return None
    moved = _before(node.transform, below)
    if moved is None:
        return None
    if _picks_columns(below) and not _gets_further(moved, below.input):
        return None  # fewer columns are the better ones to look for rows in
    return replace(below, input=replace(node, transform=moved, input=below.input))


def tell_source(node: Node) -> Node | None:
    """A read that leaves out what a condition will drop anyway; the condition stays."""
    if not isinstance(node, Map) or not isinstance(node.transform, FilterExpression):
        return None
    between: list[Map] = []
    below = node.input
    while isinstance(below, Map) and isinstance(below.transform, FilterExpression):
        between.append(below)
        below = below.input
    if not isinstance(below, Read):
        return None
    source = below.source.with_filter(node.transform.condition)
    if source is None:
        return None
    rebuilt: Node = replace(below, source=source)
    for one in reversed(between):
        rebuilt = replace(one, input=rebuilt)
    return replace(node, input=rebuilt)


def _picks_columns(below: Map) -> bool:
    return isinstance(below.transform, (SelectColumns, DropColumns))


def _gets_further(step: FilterExpression, node: Node) -> bool:
    """Whether a condition on the result of *node* can be moved below it, or told to a source."""
    if isinstance(node, Map):
        if isinstance(node.transform, FilterExpression):
            return _gets_further(step, node.input)
        moved = _before(step, node)
        if moved is None:
            return False
        return not _picks_columns(node) or _gets_further(moved, node.input)
    if isinstance(node, Union):
        return _into_parts(Map(node, step), step, node) is not None
    if isinstance(node, Join):
        return filter_sides(Map(node, step)) is not None
    return isinstance(node, Read)


def _before(step: FilterExpression, below: Map) -> FilterExpression | None:
    """*step* as it would have to be before *below*; ``None`` if it cannot be there."""
    needed = step.condition.columns()
    transform = below.transform
    if isinstance(transform, SelectColumns):
        return step if needed <= set(transform.names) else None
    if isinstance(transform, DropColumns):
        return None if needed & set(transform.names) else step
    if isinstance(transform, WithColumn):
        return None if transform.column in needed else step
    if isinstance(transform, RenameColumns):
        former = {new: old for old, new in transform.pairs}
        if any(name in transform.mapping and name not in former for name in needed):
            return None  # it is not there any more, as the operator will say
        return FilterExpression(step.condition.renamed(former))
    return None


def _into_parts(node: Map, step: FilterExpression, below: Union) -> Node | None:
    needed = step.condition.columns()
    known = [part.columns() for part in below.parts]
    if any(columns is None or not needed <= set(columns) for columns in known):
        return None
    return Union(tuple(replace(node, input=part) for part in below.parts))
