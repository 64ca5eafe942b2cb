"""What a client asks of a cluster: resources, and where they may be."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from air.executor.labels import LabelRule, all_match
from air.executor.resources import CPU, GPU, MEMORY, Resources
from air_cluster.core.shapes import ANY_BUNDLE, ShapeKey

COMMON = (CPU, GPU, MEMORY)
"""Resources that nodes have anyway; others are custom ones, which few nodes have."""


class NodeView(msgspec.Struct, frozen=True):
    """A node as the head sees it.

    Attributes:
        number: unique in the cluster for all time.
        name: what people and hard node affinity call it.
        total: what it offers.
        labels: what label rules look at.
        is_guest: whether it is there for its own clients only, and takes nobody's tasks.
    """

    number: int
    name: str
    total: Resources
    labels: Mapping[str, str] = {}
    is_guest: bool = False


class Where(msgspec.Struct, frozen=True):
    """Which nodes, or bundles, may meet a need at all.

    Attributes:
        group: the placement group whose bundles they are; ``None`` for nodes.
        index: which bundle, or ``ANY_BUNDLE``.
        node: the name of the only node.
        labels: rules that all must match.
        customs: custom resources of which they must have some, sorted. (How much is there is
            looked at later: this is what an index is made for.)
    """

    group: bytes | None = None
    index: int = ANY_BUNDLE
    node: str | None = None
    labels: tuple[LabelRule, ...] = ()
    customs: tuple[str, ...] = ()

    @property
    def pinned(self) -> bool:
        """Whether there is one node or bundle at most: requests wait for that one there."""
        return self.node is not None or (self.group is not None and self.index != ANY_BUNDLE)


class Need(msgspec.Struct, frozen=True):
    """What makes demands alike: what fits for one of them fits for all."""

    resources: Resources
    where: Where


class ClusterShape(msgspec.Struct, frozen=True):
    """What a worker must be given, and where it should be.

    Attributes:
        resources: quantities.
        pool: ``None``, or group and index of a bundle to take them from; then only
            *preferred* may be given besides.
        node: name of the node that it is tied to. With *soft*, another one will do when that
            one is gone or has no room.
        soft: see *node*.
        spread: deal out to the nodes with the least load, instead of filling one first.
        preferred: number of the node that is best for it if it has room: it holds the
            arguments.
        labels: rules that the node must match.
        preferred_labels: rules that it should match.
        environment: key of its runtime environment; empty for none.

    Raises:
        ValueError: a bundle together with conditions on the node.
    """

    resources: Resources
    pool: tuple[bytes, int] | None = None
    node: str | None = None
    soft: bool = False
    spread: bool = False
    preferred: int | None = None
    labels: tuple[LabelRule, ...] = ()
    preferred_labels: tuple[LabelRule, ...] = ()
    environment: bytes = b""

    def __post_init__(self) -> None:
        conditions = self.node, self.spread, self.labels, self.preferred_labels
        if self.pool is not None and any(conditions):
            raise ValueError(f"a bundle is where it is: {self}")

    @property
    def key(self) -> ShapeKey:
        """What the scheduler of a node has to know of it."""
        return ShapeKey(self.resources, self.pool)

    @property
    def need(self) -> Need:
        """What decides where there is room for it."""
        if self.pool is not None:
            group, index = self.pool
            return Need(self.resources, Where(group, index))
        if self.node is not None and not self.soft:
            return Need(self.resources, Where(node=self.node, labels=self.labels))
        customs = tuple(name for name in self.resources if name not in COMMON)
        return Need(self.resources, Where(labels=self.labels, customs=customs))

    def starts_at(self, number: int, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a client's own node is asked first, before the head is.

        Otherwise the node passes the demand on without trying to meet it, and the head may
        well send it back.
        """
        if self.pool is not None and self.pool[1] != ANY_BUNDLE:
            return True
        if self.spread or self.preferred not in (None, number) or self.node not in (None, name):
            return False
        return all_match((*self.labels, *self.preferred_labels), labels)
