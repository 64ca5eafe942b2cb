"""What nodes have and who holds it, as far as the head knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from air_cluster.core.explanations import Holder, NodeSupply

if TYPE_CHECKING:
    from air_cluster.daemon.head import HeadService


def supply(head: HeadService) -> list[NodeSupply]:
    """What each node has, for those that wait for a part of it."""
    holders: dict[str, list[Holder]] = {}
    for actor in head.actors.infos():
        if actor["node_id"] is not None and actor["resources"] and not actor["group"]:
            name = f" {actor['name']!r}" if actor["name"] else ""
            holder = Holder(f"actor {actor['class_name']}{name}", actor["resources"])
            holders.setdefault(actor["node_id"], []).append(holder)
    for group in head.groups.infos():
        what = f"placement group {group['name'] or group['group_id'].hex()}"
        for bundle, node_id in zip(group["bundles"], group["nodes"], strict=True):
            if node_id is not None and group["state"] != "REMOVED":
                holders.setdefault(node_id, []).append(Holder(what, bundle))
    return [
        NodeSupply(
            node.entry.name,
            node.total.to_dict(),
            head.free_on(node),
            holders.get(node.entry.name, []),
        )
        for node in head.hosts()
    ]
