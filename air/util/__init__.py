"""Utilities on top of tasks and actors."""

from __future__ import annotations

from air.core.placement_group import (
    PlacementGroup,
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from air.util import scheduling_strategies
from air.util.actor_pool import ActorPool

__all__ = [
    "ActorPool",
    "PlacementGroup",
    "get_current_placement_group",
    "get_placement_group",
    "placement_group",
    "placement_group_table",
    "queue",
    "remove_placement_group",
    "scheduling_strategies",
]


def __getattr__(name: str) -> object:
    if name == "queue":  # later than the rest: it loads asyncio
        import importlib

        return importlib.import_module("air.util.queue")
    from air.executor.validation import nearest

    raise AttributeError(f"module 'air.util' has no attribute {name!r}.{nearest(name, __all__)}")
