"""What is done to the result of a join is done to its sides where that is the same."""

from __future__ import annotations

from dataclasses import replace

from air.data.expressions.operators import FilterExpression
from air.data.joining.spec import Column
from air.data.plan import Join, Map, Node
from air.data.transforms import SelectColumns

_LEFT = ("inner", "left", "semi", "anti")
"""Joins in which a row of the left side comes out as it is, or not at all."""

_RIGHT = ("inner", "right")


def filter_sides(node: Node) -> Node | None:
    """A condition on columns of one side is looked at before rows are joined."""
    if not isinstance(node, Map) or not isinstance(node.transform, FilterExpression):
        return None
    below = node.input
    if not isinstance(below, Join):
        return None
    columns = _columns(below)
    condition = node.transform.condition
    needed = [column for column in columns if column.name in condition.columns()]
    if not needed or len(needed) < len(condition.columns()):
        return None
    from_left = {column.name: column.left for column in needed if column.left is not None}
    if below.spec.how in _LEFT and len(from_left) == len(needed):
        moved = FilterExpression(condition.renamed(from_left))
        return replace(below, left=replace(node, input=below.left, transform=moved))
    from_right = {c.name: c.right for c in needed if c.left is None and c.right is not None}
    if below.spec.how in _RIGHT and len(from_right) == len(needed):
        moved = FilterExpression(condition.renamed(from_right))
        return replace(below, right=replace(node, input=below.right, transform=moved))
    return None


def narrow_sides(node: Node) -> Node | None:
    """Columns that are not kept are left out before rows are joined."""
    if not isinstance(node, Map) or not isinstance(node.transform, SelectColumns):
        return None
    below = node.input
    if not isinstance(below, Join):
        return None
    columns = _columns(below)
    wanted = [column for column in columns if column.name in node.transform.names]
    if len(wanted) < len(node.transform.names):
        return None  # the operator will say which column there is not
    left = {column.left for column in wanted} | {*below.spec.left_on}
    right = {column.right for column in wanted} | {*below.spec.right_on}
    # A column has a suffix because of the one with its name on the other side, so that stays.
    alike = {c.left or c.right for c in wanted if c.name not in (c.left, c.right)}
    narrow = replace(
        below,
        left=_with(below.left, left | alike),
        right=_with(below.right, right | alike),
    )
    return None if narrow.inputs == below.inputs else replace(node, input=narrow)


def _columns(join: Join) -> list[Column]:
    left, right = join.left.columns(), join.right.columns()
    return [] if left is None or right is None else join.spec.columns(left, right)


def _with(node: Node, wanted: set[str | None]) -> Node:
    available = node.columns() or []
    kept = tuple(name for name in available if name in wanted)
    return node if len(kept) == len(available) else Map(node, SelectColumns(kept))
