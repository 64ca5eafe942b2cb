"""Rewrites of a plan that change how it is computed, never what comes out.

Each rule is a function in :mod:`air.data.rules`. Operators are fused in
:mod:`air.data.execution.stages`.
"""

from __future__ import annotations

from collections.abc import Callable

from air.data.plan import Node, rewritten
from air.data.rules.block_order import push_block_order
from air.data.rules.choices import narrow_choice, narrow_union
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
    narrow_choice,
    narrow_union,
    filter_sides,
    narrow_sides,
    take_top,
)
"""Each gives what to put in the place of a step whose inputs are optimized; ``None`` leaves it."""


def optimize(plan: Node) -> Node:
    """The plan to execute for *plan*: no rule changes it any more."""
    return rewritten(plan, _changed)


def _changed(node: Node) -> Node | None:
    for rule in RULES:
        changed = rule(node)
        if changed is not None:
            return changed
    return None
