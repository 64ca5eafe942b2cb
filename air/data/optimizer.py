"""Rewrites of a plan that change how it is computed, never what comes out.

Each rule is a function in :mod:`air.data.rules`. Operators are fused in
:mod:`air.data.execution.stages`.
"""

from __future__ import annotations

from collections.abc import Callable

from air.data.plan import Node
from air.data.rules.block_order import push_block_order
from air.data.rules.joins import filter_sides, narrow_sides
from air.data.rules.limits import push_limit
from air.data.rules.predicates import push_predicate, tell_source
from air.data.rules.projection import (
    narrow_exchange,
    narrow_filter,
    narrow_returned,
    narrow_summary,
    push_projection,
)
from air.data.rules.topk import take_top

RULES: tuple[Callable[[Node], Node | None], ...] = (
    push_limit,
    push_block_order,
    push_predicate,
    tell_source,
    push_projection,
    narrow_filter,
    narrow_summary,
    narrow_returned,
    narrow_exchange,
    filter_sides,
    narrow_sides,
    take_top,
)
"""Each gives what to put in the place of a step whose inputs are optimized; ``None`` leaves it."""


def optimize(node: Node) -> Node:
    """The plan to execute for *node*: no rule changes it any more."""
    below = tuple(optimize(one) for one in node.inputs)
    if below != node.inputs:
        node = node.with_inputs(below)
    for rule in RULES:
        changed = rule(node)
        if changed is not None:
            return optimize(changed)
    return node
