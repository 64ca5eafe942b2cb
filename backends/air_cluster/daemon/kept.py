"""What a head keeps on disk, as MessagePack; see ``daemon.head_memory``."""

from __future__ import annotations

import msgspec

from air_cluster.core.actor_states import ActorSnapshot
from air_cluster.core.group_instructions import GroupSnapshot
from air_cluster.protocol.head_messages import NodeEntry
from air_cluster.protocol.messages import CreateActor


class KeptHead(msgspec.Struct, array_like=True):
    """The cluster itself; *own* is the node in the head's process."""

    cluster: bytes
    incarnation: int
    next_number: int
    own: NodeEntry | None
    drivers: dict[bytes, bool]


class KeptNode(msgspec.Struct, array_like=True):
    """A node, and how far the link to it is."""

    entry: NodeEntry
    received: int
    acknowledged: int


class KeptActor(msgspec.Struct, array_like=True):
    """An actor: what it is made of, and what has become of it."""

    message: CreateActor
    payload: bytes
    owner: bytes
    process: bytes
    gpu_ids: list[int]
    refusal: str
    snapshot: ActorSnapshot


class KeptGroup(msgspec.Struct, array_like=True):
    """A placement group, and who waits for it."""

    snapshot: GroupSnapshot
    watchers: list[bytes]
