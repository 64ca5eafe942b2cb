"""States of placement groups, and what their state machine says and keeps."""

from __future__ import annotations

import enum

import msgspec

from air.executor.resources import Resources


class GroupState(enum.Enum):
    """Where a group is in its life."""

    PENDING = "PENDING"
    """Not all of its bundles are reserved."""

    CREATED = "CREATED"
    """All bundles are reserved and may be used."""

    REMOVED = "REMOVED"


class ExpectGroup(msgspec.Struct, frozen=True):
    """Tell every node that a group exists that has no place, so that requests for it wait there."""

    group_id: bytes


class Reserve(msgspec.Struct, frozen=True):
    """Phase one: ask a node for a bundle; answered by ``reserved`` or ``refused``.

    Attributes:
        group_id: the group.
        index: the bundle.
        node_id: which node.
        resources: what to reserve.
        wait: whether the node should reserve it as soon as it fits, instead of refusing.
        attempt: to be repeated in the answer.
    """

    group_id: bytes
    index: int
    node_id: str
    resources: Resources
    wait: bool
    attempt: int


class Unreserve(msgspec.Struct, frozen=True):
    """Take a request for a bundle back, or give the bundle back if it was reserved."""

    group_id: bytes
    index: int
    node_id: str


class Commit(msgspec.Struct, frozen=True):
    """Phase two: requests may use the bundles of a group on a node."""

    group_id: bytes
    node_id: str


class RemoveGroup(msgspec.Struct, frozen=True):
    """Tell every node that a group is gone, with its bundles and all that is in them."""

    group_id: bytes


class GroupChanged(msgspec.Struct, frozen=True):
    """Tell whoever cares about the state of a group, and the nodes of its bundles."""

    group_id: bytes
    state: GroupState
    bundle_nodes: tuple[str | None, ...]


class GroupHopeless(msgspec.Struct, frozen=True):
    """No node that there is could ever hold what a group waits for.

    Attributes:
        group_id: the group.
        why: in words; empty once that is so no more.
        was_there: whether it has had a place, and so waits for a node to come back; otherwise who
            waits for it waits in vain.
    """

    group_id: bytes
    why: str
    was_there: bool


GroupInstruction = (
    ExpectGroup | Reserve | Unreserve | Commit | RemoveGroup | GroupChanged | GroupHopeless
)


class UnmetGroup(msgspec.Struct, frozen=True):
    """A group that waits for room: which bundles, and since when."""

    group_id: bytes
    bundles: tuple[Resources, ...]
    strategy: str
    since: float


class GroupSnapshot(msgspec.Struct, frozen=True):
    """What has to be kept of a group; see :meth:`PlacementGroups.restore`.

    Attributes:
        nodes: where bundles are reserved for good, bundle by bundle.
        asked: where they were asked for, or are set aside, bundle by bundle.
        lost: where they were last that are lost, bundle by bundle.
    """

    group_id: bytes
    bundles: list[dict[str, float]]
    strategy: str
    name: str
    detached: bool
    owner: bytes
    nodes: list[str | None]
    asked: list[str | None]
    namespace: str = ""
    lost: list[str | None] = []
