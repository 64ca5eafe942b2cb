"""Of sorted rows of which only the first few are wanted, no others are put in order."""

from __future__ import annotations

from air.data.plan import Limit, Node, Sort, TopOf

_MOST_ROWS = 1 << 16
"""Every block gives so many; for more a sort whose later parts nobody asks for is as good."""


def take_top(node: Node) -> Node | None:
    """The first rows by their keys in one pass."""
    if not isinstance(node, Limit) or not isinstance(node.input, Sort) or node.count > _MOST_ROWS:
        return None
    return TopOf(node.input.input, node.input.keys, node.count)
