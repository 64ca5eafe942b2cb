"""Utilities on top of tasks and actors."""

from __future__ import annotations

from air.core.api import list_named_actors
from air.util import scheduling_strategies
from air.util.actor_pool import ActorPool
from air.util.node_address import get_node_ip_address
from air.util.placement_group import (
    PlacementGroup,
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from air.util.serialization import (
    deregister_serializer,
    inspect_serializability,
    register_serializer,
)

__all__ = [
    "ActorPool",
    "PlacementGroup",
    "deregister_serializer",
    "get_current_placement_group",
    "get_node_ip_address",
    "get_placement_group",
    "inspect_serializability",
    "list_named_actors",
    "placement_group",
    "placement_group_table",
    "queue",
    "register_serializer",
    "remove_placement_group",
    "scheduling_strategies",
    "state",
]


def __getattr__(name: str) -> object:
    if name in ("queue", "state"):  # later than the rest: the one loads asyncio, both are long
        import importlib

        return importlib.import_module(f"air.util.{name}")
    from air.executor.validation import nearest

    raise AttributeError(f"module 'air.util' has no attribute {name!r}.{nearest(name, __all__)}")
