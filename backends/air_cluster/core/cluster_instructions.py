"""What :class:`~air_cluster.core.cluster.ClusterScheduler` tells the head service to do."""

from __future__ import annotations

import msgspec

from air_cluster.core.cluster_shapes import ClusterShape
from air_cluster.core.shapes import RefusalKind


class Redirect(msgspec.Struct, frozen=True):
    """Tell a client to ask another node for workers.

    Attributes:
        client: who.
        shape: of what.
        number: which node.
        count: how many.
        pinned: ``False``: there seems to be room for them now; the node should grant them at
            once or not at all (``set_demand(..., once=True)``). ``True``: the client should
            wait there for that many (``set_demand``); replaces what it waits for there of
            this shape, and 0 withdraws that.
    """

    client: bytes
    shape: ClusterShape
    number: int
    count: int
    pinned: bool


class Refuse(msgspec.Struct, frozen=True):
    """Tell a client, and its node, that no worker of *shape* will come.

    Its demand has been forgotten.
    """

    client: bytes
    shape: ClusterShape
    reason: RefusalKind
    message: str


class SendActor(msgspec.Struct, frozen=True):
    """Have a node find a worker for an actor: answered by ``placed`` or ``place_refused``.

    With *pinned*, it should wait there for room; else there seems to be room now, and the node
    should refuse it if there is none (``place(..., once=True)``).
    """

    actor_id: bytes
    number: int
    pinned: bool


class RecallActor(msgspec.Struct, frozen=True):
    """Take an actor back from a node that it was sent to (``cancel_placement``).

    Should the node's ``placed`` cross with this, the worker is none of the actor's.
    """

    actor_id: bytes
    number: int


class RefuseActor(msgspec.Struct, frozen=True):
    """No worker will come for an actor. Its placement has been forgotten."""

    actor_id: bytes
    reason: RefusalKind
    message: str


ClusterInstruction = Redirect | Refuse | SendActor | RecallActor | RefuseActor
