"""Columns that nobody wants are not read by what chooses rows, or puts those of plans together."""

from __future__ import annotations

from dataclasses import replace

from air.data.plan import Limit, Map, Node, RandomSample, Union
from air.data.rules.projection import (
    narrow_exchange,
    narrow_filter,
    narrow_returned,
    push_projection,
)
from air.data.transforms import SelectColumns


def narrow_union(node: Node) -> Node | None:
    """Each of several plans gives the wanted columns only, if all of them have these."""
    if not isinstance(node, Map) or not isinstance(node.transform, SelectColumns):
        return None
    if not isinstance(node.input, Union):
        return None
    names = node.transform.names
    parts = []
    for part in node.input.parts:
        columns = part.columns()
        if columns is None or not set(names) <= set(columns):
            return None
        fewer = set(names) < set(columns)
        parts.append(Map(part, SelectColumns(names)) if fewer else part)
    if all(new is old for new, old in zip(parts, node.input.parts, strict=True)):
        return None
    return replace(node, input=Union(tuple(parts)))


_NARROWING = (push_projection, narrow_filter, narrow_returned, narrow_exchange, narrow_union)


def narrow_choice(node: Node) -> Node | None:
    """What is below a limit or a sample gives fewer columns, as it would without them.

    A choice of columns does not go below a limit itself: limits go below it.
    """
    if not isinstance(node, Map) or not isinstance(node.input, (Limit, RandomSample)):
        return None
    choices: list[Limit | RandomSample] = []
    below: Node = node.input
    while isinstance(below, (Limit, RandomSample)):
        choices.append(below)
        below = below.input
    for rule in _NARROWING:
        narrow = rule(replace(node, input=below))
        if isinstance(narrow, Map):
            below = narrow.input
            for choice in reversed(choices):
                below = replace(choice, input=below)
            return replace(narrow, input=below)
    return None
