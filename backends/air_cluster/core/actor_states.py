"""An actor as the head keeps it: states, what it was made of, and what is to be done about it."""

from __future__ import annotations

import enum

import msgspec

from air_cluster.core.shapes import ShapeKey

UNLIMITED_RESTARTS = -1


class ActorState(enum.Enum):
    """Where an actor is in its life."""

    PENDING = "PENDING"
    """Waits for its first worker."""

    PLACED = "PLACED"
    """Its constructor runs."""

    ALIVE = "ALIVE"
    """It takes calls."""

    RESTARTING = "RESTARTING"
    """It lost its worker and waits for another one."""

    DEAD = "DEAD"
    """It will not come back."""


TRANSITIONS: dict[ActorState, frozenset[ActorState]] = {
    ActorState.PENDING: frozenset({ActorState.PLACED, ActorState.DEAD}),
    ActorState.PLACED: frozenset(
        {ActorState.PENDING, ActorState.ALIVE, ActorState.RESTARTING, ActorState.DEAD}
    ),
    ActorState.ALIVE: frozenset({ActorState.RESTARTING, ActorState.DEAD}),
    ActorState.RESTARTING: frozenset({ActorState.PLACED, ActorState.DEAD}),
    ActorState.DEAD: frozenset(),
}
"""Which state may follow which."""


class DeathCause(enum.Enum):
    """Why an actor is dead (or restarting); told in ``ActorDied.death_kind``."""

    CONSTRUCTOR_FAILED = "constructor_failed"
    KILLED = "killed"
    RELEASED = "released"
    EXITED = "exited"
    OWNER_GONE = "owner_gone"
    REFUSED = "refused"
    WORKER_DIED = "worker_died"
    WORKER_KILLED = "worker_killed"
    OUT_OF_MEMORY = "out_of_memory"


class ActorSpec(msgspec.Struct, frozen=True):
    """What an actor is created with.

    Attributes:
        actor_id: its identity.
        owner: the process that creates it, with which it ends unless *detached*.
        shape: resources of its worker.
        name: unique among the living in its namespace; empty for none.
        namespace: of the name.
        max_restarts: how often it may get a new worker after losing one; -1 for ever.
        detached: whether it outlives its owner and its handles.
        depth: blocked tasks above the one that creates it, for the order of placement.
        class_name: for messages.
        job: the program that all this is for, with which it ends at the latest.
        tied_to: the only node that may host it; empty if any may.
    """

    actor_id: bytes
    owner: bytes
    shape: ShapeKey
    name: str = ""
    namespace: str = "default"
    max_restarts: int = 0
    detached: bool = False
    depth: int = 0
    class_name: str = ""
    job: bytes = b""
    tied_to: str = ""


class RequestPlacement(msgspec.Struct, frozen=True):
    """Find a worker for an actor: answered by ``placed`` or ``refused``."""

    actor_id: bytes
    shape: ShapeKey
    owner: bytes
    depth: int


class CancelPlacement(msgspec.Struct, frozen=True):
    """The actor needs no worker any more."""

    actor_id: bytes


class StartActor(msgspec.Struct, frozen=True):
    """Run the constructor: answered by ``started``, ``failed`` or ``worker_died``."""

    actor_id: bytes
    worker_id: str


class StopActor(msgspec.Struct, frozen=True):
    """End the worker of an actor; a graceful one first finishes the calls that it has."""

    actor_id: bytes
    worker_id: str
    graceful: bool


class Publish(msgspec.Struct, frozen=True):
    """Tell *subscribers* about the state of an actor.

    A death is published even if nobody listens, for whatever the daemon keeps of an actor.

    Attributes:
        actor_id: the actor.
        subscribers: who to tell, in the order in which they subscribed.
        state: its state now.
        address: where it takes calls; only when it is ALIVE.
        reason: why it is DEAD or RESTARTING, else ``None``.
        message: the same for people, else empty.
        death: what has ended a DEAD one, for people who know which actor this is about.
        cause: what the constructor raised, serialized, if that is the reason.
        restarts: how many times it got a new worker so far.
    """

    actor_id: bytes
    subscribers: tuple[bytes, ...]
    state: ActorState
    address: str | None = None
    reason: DeathCause | None = None
    message: str = ""
    death: str = ""
    cause: bytes | None = None
    restarts: int = 0


ActorInstruction = RequestPlacement | CancelPlacement | StartActor | StopActor | Publish


class ActorInfo(msgspec.Struct, frozen=True):
    """One actor, for listings. ``since`` is when its state began."""

    spec: ActorSpec
    state: ActorState
    worker_id: str | None
    address: str | None
    restarts: int
    reason: DeathCause | None
    message: str
    since: float


class ActorSnapshot(msgspec.Struct, frozen=True):
    """What has to be kept of an actor that is not dead; see :meth:`ActorRegistry.restore`."""

    state: ActorState
    worker_id: str | None
    address: str | None
    restarts: int
    ending: DeathCause | None
    reason: DeathCause | None
    message: str
    subscribers: list[bytes]
