"""Why something is not done yet, in words: what nodes have, who holds it, since when.

Plain functions of plain values, so that log lines and errors say the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from air.executor.resources import Resources, describe

_NODES, _HOLDERS = 3, 4
"""So many are named."""


class Holder(msgspec.Struct, frozen=True):
    """Something that holds resources of a node: an actor or a placement group, by what it is."""

    what: str
    resources: dict[str, float]


class NodeSupply(msgspec.Struct, frozen=True):
    """What a node has, what of it is free, and what holds the rest as far as the head knows.

    The head does not know of tasks: what is missing and not among *holders* is theirs.
    """

    name: str
    total: dict[str, float]
    free: dict[str, float]
    holders: list[Holder]


class GroupView(msgspec.Struct, frozen=True):
    """A placement group: its bundles, where they are, and with which nodes they were lost."""

    label: str
    bundles: list[dict[str, float]]
    nodes: list[str | None]
    lost: list[str | None]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> GroupView:
        """What the head tells of a group."""
        label = group_label(told["name"], told["group_id"])
        return cls(label, told["bundles"], told["nodes"], told["lost"])

    @property
    def missing(self) -> list[dict[str, float]]:
        """The bundles that have no place."""
        return [bundle for bundle, node in zip(self.bundles, self.nodes, strict=True) if not node]


def group_label(name: str, group_id: bytes) -> str:
    """How a placement group is called: by its name, if it has one."""
    return f"placement group {name!r}" if name else f"placement group {group_id.hex()}"


def lost_bundles(lost: Sequence[str | None]) -> str:
    """Which bundles were lost, and with which nodes: these are named, bundle by bundle."""
    named = [f"bundle {index} with node {node}" for index, node in enumerate(lost) if node]
    more = len(named) - _HOLDERS
    return ", ".join(named[:_HOLDERS]) + (f" and {more} more" if more > 0 else "")


def lasting(seconds: float) -> str:
    """A duration, such as ``3.2 s`` or ``2 min 5 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def of_group(group: GroupView, nodes: Sequence[NodeSupply]) -> str:
    """What a group waits for that is not reserved."""
    missing = group.missing
    listed = ", ".join(describe(Resources(bundle)) for bundle in missing[:_HOLDERS])
    lost = f" (lost: {lost_bundles(group.lost)})" if any(group.lost) else ""
    told = f"{len(missing)} of its {len(group.bundles)} bundles have no place: {listed}{lost}"
    return f"{told}; {who_holds_for_bundles(missing, nodes)}"


def in_group(group: GroupView, index: int, nodes: Sequence[NodeSupply]) -> str:
    """Where in a group something waits for a worker, and what for; *index* is -1 for any bundle."""
    if index < 0:
        told = f"in {group.label}"
        return f"{told}: {of_group(group, nodes)}" if group.missing else f"{told}, which is full"
    told = f"in bundle {index} of {group.label}"
    bundle, node = group.bundles[index], group.nodes[index]
    if node is not None:
        return f"{told}, which has {describe(Resources(bundle))} on node {node} and is full"
    if group.lost[index] is None:
        return f"{told}: {of_group(group, nodes)}"
    return (
        f"{told}, which was lost with node {group.lost[index]} and waits for"
        f" {describe(Resources(bundle))}: {who_holds(bundle, nodes)}"
    )


def who_holds(wanted: Mapping[str, float], nodes: Sequence[NodeSupply], tied_to: str = "") -> str:
    """Which nodes could meet a request, what is free there, and who holds what is missing.

    Args:
        tied_to: the only node that may meet it; empty if any may.
    """
    request = Resources(wanted)
    if tied_to:
        only = [_of_node(request, node) for node in nodes if node.name == tied_to]
        return f"no other node than {tied_to} may run it: {only[0] if only else 'that is gone'}"
    able = [node for node in nodes if request.fits_in(Resources(node.total))]
    if not able:
        return "no node has that much"
    said = [_of_node(request, node) for node in able[:_NODES]]
    if len(able) > _NODES:
        said.append(f"{len(able) - _NODES} more nodes")
    return "; ".join(said)


def who_holds_for_bundles(
    bundles: Sequence[Mapping[str, float]], nodes: Sequence[NodeSupply]
) -> str:
    """The same of bundles that are reserved together: of the first that fits nowhere now.

    If each fits somewhere, of what all of them take together.
    """
    for bundle in map(Resources, bundles):
        if not any(bundle.fits_in(Resources(node.free)) for node in nodes):
            return who_holds(bundle, nodes)
    together = sum(map(Resources, bundles), Resources())
    if not any(together.fits_in(Resources(node.total)) for node in nodes):
        return f"each would fit somewhere, but not all at a time: they take {describe(together)}"
    return who_holds(together, nodes)


def _of_node(request: Resources, node: NodeSupply) -> str:
    parts = []
    short = [name for name in request if node.free.get(name, 0.0) < request[name]]
    for name in short or list(request):
        free, total = node.free.get(name, 0.0), node.total.get(name, 0.0)
        parts.append(f"{free:g} of {total:g} {name} free")
    if not parts:
        return f"node {node.name} has room"
    held = _holders(short, node)
    return f"node {node.name} has {', '.join(parts)}" + (f", held by {held}" if held else "")


def _holders(names: Sequence[str], node: NodeSupply) -> str:
    """Who holds any of these: what most of it is held by comes first."""
    amounts: dict[str, Counter[str]] = {}
    counts: Counter[str] = Counter()
    for holder in node.holders:
        mine = {name: holder.resources[name] for name in names if holder.resources.get(name)}
        if mine:
            counts[holder.what] += 1
            amounts.setdefault(holder.what, Counter()).update(mine)
    tasks: Counter[str] = Counter()
    for name in names:
        known = sum(held[name] for held in amounts.values())
        left = node.total.get(name, 0.0) - node.free.get(name, 0.0) - known
        if left > 1e-6:
            tasks[name] = left  # type: ignore[assignment]
    if tasks:
        amounts["tasks that run"], counts["tasks that run"] = tasks, 1
    order = sorted(amounts, key=lambda what: -sum(amounts[what].values()))
    shown = [
        (f"{counts[what]} x " if counts[what] > 1 else "")
        + f"{what} ({describe(Resources(amounts[what]))})"
        for what in order[:_HOLDERS]
    ]
    if len(order) > _HOLDERS:
        shown.append(f"{len(order) - _HOLDERS} more")
    return ", ".join(shown)
