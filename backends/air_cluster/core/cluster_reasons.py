"""Why no node can ever meet a need, in words."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec

from air.executor.labels import LabelRule, Operator, all_match, describe_rules
from air.executor.resources import describe, missing_hint
from air.executor.validation import listing, nearest
from air_cluster.core.cluster_map import ClusterMap
from air_cluster.core.cluster_shapes import Need
from air_cluster.core.shapes import ANY_BUNDLE, RefusalKind

_NAMED = 5
"""How many nodes a message lists."""

_COMPARED = 1000
"""With how many names a misspelt one is compared."""


class Reason(msgspec.Struct, frozen=True):
    """Why a need cannot be met; *lasting* if no node that may join could change that."""

    kind: RefusalKind
    message: str
    lasting: bool = False


def why_never(need: Need, cluster: ClusterMap) -> Reason:
    """Explain why no supply in *cluster* could meet *need* even if all were empty."""
    if need.where.group is not None:
        return _why_no_bundle(need, need.where.group, cluster)
    if need.where.node is not None:
        return _why_not_there(need, need.where.node, cluster)
    wanted = _wanted(need)
    hosts = [node for node in cluster.nodes.values() if not node.node.is_guest]
    if not hosts:
        return Reason(RefusalKind.INFEASIBLE, f"nothing could provide {wanted}: there are no nodes")
    supplies = [
        f"node {node.node.name!r} has {describe(node.total)}"
        + (f" and the labels {dict(node.node.labels)!r}" if need.where.labels else "")
        for node in hosts[:_NAMED]
    ]
    if len(hosts) > _NAMED:
        supplies.append(f"{len(hosts) - _NAMED} more nodes")
    hint = missing_hint(need.resources, cluster.having) or _label_hint(need.where.labels, cluster)
    return Reason(
        RefusalKind.INFEASIBLE,
        f"no node could ever provide {wanted}: {'; '.join(supplies)}.{hint}",
    )


def _why_not_there(need: Need, name: str, cluster: ClusterMap) -> Reason:
    node = cluster.node_named(name)
    if node is not None and not node.node.is_guest:
        has = describe(node.total)
        if not all_match(need.where.labels, node.node.labels):
            has += f" and the labels {dict(node.node.labels)!r}"
        message = f"node {name!r}, to which the request is tied, could never provide"
        return Reason(
            RefusalKind.INFEASIBLE, f"{message} {_wanted(need)}: it has {has}.", lasting=True
        )
    if name in cluster.gone:
        message = f"node {name!r}, to which the request is tied, is gone"
        return Reason(RefusalKind.INFEASIBLE, message, lasting=True)
    hosts = [node.node.name for node in cluster.nodes.values() if not node.node.is_guest]
    names = hosts[:_COMPARED]
    more = len(hosts) - len(names)
    known = listing([*names, *[""] * more], _NAMED) or "none"
    return Reason(
        RefusalKind.INFEASIBLE,
        f"no node has the identity {name!r}, to which the request is tied;"
        f" the nodes are: {known}.{nearest(name, names)}",
        lasting=True,
    )


def _why_no_bundle(need: Need, group_id: bytes, cluster: ClusterMap) -> Reason:
    group, index = cluster.groups.get(group_id), need.where.index
    if group is None:
        return Reason(
            RefusalKind.GROUP_REMOVED,
            f"placement group {group_id.hex()} has been removed, or never existed",
            lasting=True,
        )
    if group.hopeless:
        return Reason(RefusalKind.INFEASIBLE, group.hopeless)
    count = len(group.resources)
    if index >= count:
        has = f"it has {count} bundle{'s' * (count != 1)}, numbered from 0"
        message = f"placement group {group_id.hex()} has no bundle {index}: {has}"
        return Reason(RefusalKind.INFEASIBLE, message, lasting=True)
    chosen = range(count) if index == ANY_BUNDLE else (index,)
    has = " and ".join(
        f"bundle {index} of its placement group has {describe(group.resources[index])}"
        for index in islice(chosen, _NAMED)
    )
    if len(chosen) > _NAMED:
        has += f", and there are {len(chosen) - _NAMED} more bundles"
    message = f"nothing could ever provide {describe(need.resources)}: {has}."
    return Reason(RefusalKind.INFEASIBLE, message, lasting=True)


def _wanted(need: Need) -> str:
    text = describe(need.resources)
    rules = describe_rules(need.where.labels)
    return f"{text} with {rules}" if rules else text


def _label_hint(rules: Iterable[LabelRule], cluster: ClusterMap) -> str:
    """The first rule that no node matches, and what may have been meant."""
    for rule in rules:
        values = cluster.labelled.get(rule.key, {})
        if rule.operator not in (Operator.IN, Operator.EXISTS):
            continue
        if not values:
            near = nearest(rule.key, islice(cluster.labelled, _COMPARED))
            return f" No node has the label {rule.key!r}.{near}"
        if rule.values and values.keys().isdisjoint(rule.values):
            known = list(islice(values, _COMPARED))
            near = nearest(rule.values[0], known) or f" There are: {listing(known, _NAMED)}."
            return f" No node has the label {rule.key!r} = {rule.values[0]!r}.{near}"
    return ""
