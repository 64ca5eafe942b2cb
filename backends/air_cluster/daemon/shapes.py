"""Requests for workers, from the wire for the schedulers."""

from __future__ import annotations

from collections.abc import Sequence

from air.executor.labels import LabelRule, Operator
from air.executor.resources import Resources
from air_cluster.core.cluster_shapes import ClusterShape
from air_cluster.core.shapes import RefusalKind, ShapeKey
from air_cluster.protocol.messages import Condition, Shape

REFUSALS = {
    RefusalKind.INFEASIBLE: "unschedulable",
    RefusalKind.GROUP_REMOVED: "removed",
    RefusalKind.WORKER_START_FAILED: "broken",
    RefusalKind.ENVIRONMENT: "environment",
    RefusalKind.BUSY: "busy",
}
"""What refusals are called on the wire."""

KINDS = {on_wire: kind for kind, on_wire in REFUSALS.items()}
"""The other way round."""


def shape_key(shape: Shape) -> ShapeKey:
    """What the scheduler of a node has to know of a shape."""
    pool = (shape.group, shape.bundle) if shape.group else None
    return ShapeKey(Resources(shape.resources), pool, shape.environment.key)


def cluster_shape(shape: Shape) -> ClusterShape:
    """What the head has to know of a shape."""
    return ClusterShape(
        Resources(shape.resources),
        (shape.group, shape.bundle) if shape.group else None,
        node=shape.node or None,
        soft=shape.soft,
        spread=shape.spread,
        preferred=shape.preferred or None,
        labels=_rules(shape.labels),
        preferred_labels=_rules(shape.preferred_labels),
        environment=shape.environment.key,
    )


def _rules(conditions: Sequence[Condition]) -> tuple[LabelRule, ...]:
    return tuple(
        LabelRule(each.key, Operator(each.operator), tuple(each.values)) for each in conditions
    )
