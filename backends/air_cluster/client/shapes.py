"""What the tasks of a process ask of workers, by numbers that the node's answers carry."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable

import msgspec
from msgspec.structs import replace

from air.executor.labels import LabelRule
from air.executor.resources import Resources
from air.executor.scheduling import (
    GroupPlacement,
    LabelPlacement,
    NodePlacement,
    Placement,
    SpreadPlacement,
)
from air_cluster.core.tasks import Site
from air_cluster.protocol.messages import Condition, Environment, Shape

_FORGET_ABOVE = 256


class ShapeInfo(msgspec.Struct):
    """A combination of resources, placement and depth; *users* are unfinished tasks.

    *preferred* is the number of the node that holds most of their arguments, 0 for none; *dealt*
    whether the head has chosen nodes for them, so that the next may be better off on another one.
    """

    shape_id: int
    wire: Shape
    resources: Resources
    placement: Placement
    depth: int
    preferred: int = 0
    users: int = 0
    dealt: bool = False

    @property
    def site(self) -> Site:
        """How much it matters where the tasks run."""
        wire = self.wire
        if wire.spread:
            return Site.SPREAD
        return Site.PREFERRED if wire.soft or wire.preferred_labels else Site.ANY

    @property
    def alike(self) -> Hashable:
        """Equal for shapes whose workers will do for one another's tasks."""
        wire = self.wire
        return self.resources, wire.group, wire.bundle, wire.environment.key, self.depth


class Shapes:
    """Numbers shapes; forgets unused ones, as a sweep makes a new one with every trial.

    Args:
        added: called with a shape that is new.
        forget: asked whether nothing refers to an unused shape any more; it is gone then.
    """

    def __init__(
        self, added: Callable[[ShapeInfo], None], forget: Callable[[ShapeInfo], bool]
    ) -> None:
        self._added = added
        self._forget = forget
        self._ids = itertools.count()
        self._by_key: dict[tuple[Resources, Placement, int, int, bytes | None], ShapeInfo] = {}
        self._by_id: dict[int, ShapeInfo] = {}
        self._by_wire: dict[bytes, ShapeInfo] = {}
        self._forget_above = _FORGET_ABOVE
        self.inherited = Environment()
        """What tasks that name no environment have."""

    def use(
        self,
        resources: Resources,
        placement: Placement,
        depth: int,
        preferred: int = 0,
        environment: Environment | None = None,
    ) -> ShapeInfo:
        """The shape for one more task; without *environment*, in the inherited one."""
        wanted = None if environment is None else environment.key
        key = (resources, placement, depth, preferred, wanted)
        info = self._by_key.get(key)
        if info is None:
            if len(self._by_key) >= self._forget_above:
                self._forget_unused()
            wire = shape_on_wire(resources, placement, environment or self.inherited, preferred)
            # What the node could not tell apart is one shape, as it knows one demand for each.
            described = msgspec.msgpack.encode((wire, depth))
            info = self._by_wire.get(described)
            if info is None:
                info = ShapeInfo(next(self._ids), wire, resources, placement, depth, preferred)
                self._by_wire[described] = self._by_id[info.shape_id] = info
                self._added(info)
            self._by_key[key] = info
        info.users += 1
        return info

    def release(self, shape_id: int) -> None:
        """The counterpart of :meth:`use`: a task is over."""
        self._by_id[shape_id].users -= 1

    def get(self, shape_id: int) -> ShapeInfo | None:
        """The shape of that number, unless it was forgotten meanwhile."""
        return self._by_id.get(shape_id)

    def __getitem__(self, shape_id: int) -> ShapeInfo:
        return self._by_id[shape_id]

    def __len__(self) -> int:
        return len(self._by_id)

    def _forget_unused(self) -> None:
        for described, info in list(self._by_wire.items()):
            if not info.users and self._forget(info):
                del self._by_wire[described], self._by_id[info.shape_id]
        self._by_key = {
            key: info for key, info in self._by_key.items() if info.shape_id in self._by_id
        }
        self._forget_above = max(_FORGET_ABOVE, 2 * len(self._by_key))


def shape_on_wire(
    resources: Resources,
    placement: Placement,
    environment: Environment,
    preferred: int = 0,
) -> Shape:
    """How a request for a worker is described to the node.

    Args:
        preferred: the number of the node that holds most of the arguments, 0 for none.
    """
    return replace(_placed(resources.to_dict(), placement, preferred), environment=environment)


def _placed(quantities: dict[str, float], placement: Placement, preferred: int) -> Shape:
    if isinstance(placement, GroupPlacement):
        group, index = placement.group_id, placement.bundle_index
        return Shape(quantities, group=group, bundle=index, preferred=preferred)
    if isinstance(placement, NodePlacement):
        return Shape(quantities, node=placement.node_id, soft=placement.soft)
    if isinstance(placement, LabelPlacement):
        return Shape(
            quantities,
            spread=placement.spread,
            preferred=preferred,
            labels=[_condition(rule) for rule in placement.hard],
            preferred_labels=[_condition(rule) for rule in placement.soft],
        )
    return Shape(quantities, spread=isinstance(placement, SpreadPlacement), preferred=preferred)


def may_be_drawn(placement: Placement) -> bool:
    """Whether a task may be drawn to its arguments: it does not say which nodes are better."""
    if isinstance(placement, LabelPlacement):
        return not placement.spread and not placement.soft
    if isinstance(placement, GroupPlacement):
        return placement.bundle_index < 0
    return placement is None


def _condition(rule: LabelRule) -> Condition:
    return Condition(rule.key, rule.operator.value, list(rule.values))
