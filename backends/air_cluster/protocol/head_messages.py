"""The messages between a node's daemon and the head, as MessagePack arrays.

See :mod:`air_cluster.protocol.messages` for how they may change.
"""

from __future__ import annotations

import msgspec

from air_cluster.protocol.messages import CreateActor, Shape


class NodeEntry(msgspec.Struct, array_like=True, frozen=True):
    """A node, for others.

    Attributes:
        number: unique in the cluster for all time.
        name: what people see.
        host: its machine's address.
        daemon: the identity of its daemon.
        address: where that listens for other machines; empty in a cluster of one.
        transfer: where it serves values to other nodes.
        is_guest: whether it offers nothing, and is there for its own programs only.
    """

    number: int
    name: str
    host: str
    daemon: bytes
    address: str
    transfer: str
    resources: dict[str, float]
    labels: dict[str, str]
    is_guest: bool = False


# Membership -----------------------------------------------------------------------------------


class Join(msgspec.Struct, tag=70, array_like=True, frozen=True):
    """A daemon wants to be a node; the number in *node* is 0."""

    node: NodeEntry
    version: str


class Joined(msgspec.Struct, tag=71, array_like=True, frozen=True):
    """Answer to ``Join``: its number, and all nodes, itself included.

    *cluster* is the identity of the cluster, *incarnation* counts the starts of its head.
    """

    number: int
    nodes: list[NodeEntry]
    cluster: bytes
    incarnation: int


class Return(msgspec.Struct, tag=103, array_like=True, frozen=True):
    """A node has lost its connection and goes on with another one.

    *received* is how many messages it has of the head. Not counted are those of
    :data:`UNCOUNTED`.
    """

    cluster: bytes
    number: int
    received: int
    version: str


class Resumed(msgspec.Struct, tag=104, array_like=True, frozen=True):
    """Answer to ``Return``: go on after the first *received* of your messages."""

    received: int
    incarnation: int


class TurnedAway(msgspec.Struct, tag=72, array_like=True, frozen=True):
    """Answer to ``Join``, or to a node that was taken for dead: it is no member."""

    reason: str


class NodeUp(msgspec.Struct, tag=73, array_like=True, frozen=True):
    """To all nodes: another one has joined."""

    node: NodeEntry


class NodeDown(msgspec.Struct, tag=74, array_like=True, frozen=True):
    """To all nodes: one is gone. From a node: it leaves."""

    number: int
    reason: str


class Beat(msgspec.Struct, tag=75, array_like=True, frozen=True):
    """Both ways, at regular intervals: still here, with so many messages of yours."""

    received: int


class Load(msgspec.Struct, tag=76, array_like=True, frozen=True):
    """What is free on a node, when that has changed."""

    free: dict[str, float]


# Clients --------------------------------------------------------------------------------------


class FromClient(msgspec.Struct, tag=77, array_like=True, frozen=True):
    """A message of a node's client to the head; the payload is the message's."""

    process: bytes
    body: bytes


class ToClient(msgspec.Struct, tag=78, array_like=True, frozen=True):
    """A message of the head to a client of the node; the payload is the message's."""

    process: bytes
    body: bytes


class DriverHere(msgspec.Struct, tag=79, array_like=True, frozen=True):
    """A driver has registered with its node. *entrypoint* is empty of one that only looks."""

    process: bytes
    wants_logs: bool
    os_pid: int = 0
    entrypoint: str = ""


class ProcessEnded(msgspec.Struct, tag=80, array_like=True, frozen=True):
    """A client is gone; the head passes it on to the other nodes.

    With *asks*, it has left memory behind: each of them answers with ``OrphansKept``. *failure* is
    what a program has failed with, as far as is known.
    """

    process: bytes
    reason: str
    asks: bool = False
    failure: str = ""


class Keeper(msgspec.Struct, array_like=True, frozen=True):
    """A process, and the segments of a node in which it owns values."""

    process: bytes
    segments: list[int]


class OrphansKept(msgspec.Struct, tag=101, array_like=True, frozen=True):
    """To the node of a dead writer: who on another node owns values in which of its segments.

    *daemon* is the one that has asked around.
    """

    daemon: bytes
    writer: bytes
    keepers: list[Keeper]


class OrphanDropped(msgspec.Struct, tag=102, array_like=True, frozen=True):
    """To the node of a dead writer: a process owns nothing in this segment any more."""

    node: int
    process: bytes
    segment: int


class LookAround(msgspec.Struct, tag=210, array_like=True, frozen=True):
    """To a node: a client of some node has asked this; see ``messages.Survey``."""

    asker: bytes
    request: int
    topic: str
    processes: bool
    question: bytes


class PassOn(msgspec.Struct, tag=211, array_like=True, frozen=True):
    """A message for a client of some node; the payload is the message's."""

    process: bytes
    body: bytes


class Printed(msgspec.Struct, tag=81, array_like=True, frozen=True):
    """A worker printed, for the program *job*, or for nobody knows whom. Payload: whole lines."""

    job: bytes
    source: str
    is_error: bool


class Show(msgspec.Struct, tag=160, array_like=True, frozen=True):
    """To a program's node: what was printed for it. Payload: whole lines."""

    process: bytes
    source: str
    is_error: bool


class Gather(msgspec.Struct, tag=161, array_like=True, frozen=True):
    """A program leaves: every node is to pass on what was printed there so far, then say so."""

    process: bytes


class Gathered(msgspec.Struct, tag=162, array_like=True, frozen=True):
    """A node, or to the program's node: all of them, have done that."""

    process: bytes


# Demand ---------------------------------------------------------------------------------------


class Unmet(msgspec.Struct, tag=82, array_like=True, frozen=True):
    """A node cannot grant *count* workers that a client of it wants now; 0 withdraws.

    *owner* is the client's identity and *depth*, as the node tells them apart. *came* have come
    from where the head has redirected it, since this was last said.
    """

    owner: bytes
    shape_id: int
    shape: Shape
    count: int
    depth: int
    came: int = 0


class Redirect(msgspec.Struct, tag=83, array_like=True, frozen=True):
    """Answer to ``Unmet``, for the client: see ``Redirected``."""

    owner: bytes
    shape_id: int
    node: int
    count: int
    pinned: bool


class NoRoom(msgspec.Struct, tag=100, array_like=True, frozen=True):
    """A client was redirected to a node, which had no room for *count* of these workers."""

    owner: bytes
    shape: Shape
    count: int


class RefuseDemand(msgspec.Struct, tag=84, array_like=True, frozen=True):
    """Answer to ``Unmet``: nothing in the cluster will meet it; *kind* as in ``LeaseRefused``."""

    owner: bytes
    shape_id: int
    kind: str
    message: str


# Actors ---------------------------------------------------------------------------------------


class PlaceActor(msgspec.Struct, tag=85, array_like=True, frozen=True):
    """Find a worker for an actor; with *once*, at once or not at all."""

    actor_id: bytes
    shape: Shape
    owner: bytes
    depth: int
    once: bool


class CancelPlacement(msgspec.Struct, tag=86, array_like=True, frozen=True):
    """The actor needs no worker of this node any more."""

    actor_id: bytes


class ActorPlaced(msgspec.Struct, tag=87, array_like=True, frozen=True):
    """Answer to ``PlaceActor``: a worker waits for the actor."""

    actor_id: bytes
    worker: str
    process: bytes
    gpu_ids: list[int]


class PlacementRefused(msgspec.Struct, tag=88, array_like=True, frozen=True):
    """Answer to ``PlaceActor``: *kind* as in ``LeaseRefused``."""

    actor_id: bytes
    kind: str
    message: str


class RunActor(msgspec.Struct, tag=89, array_like=True, frozen=True):
    """Have a worker become an actor. Payload as in ``CreateActor``."""

    worker: str
    spec: CreateActor
    gpu_ids: list[int]
    restarted: bool


class EndActor(msgspec.Struct, tag=90, array_like=True, frozen=True):
    """End the worker of an actor; *graceful*: after the calls that it has."""

    actor_id: bytes
    worker: str
    graceful: bool


class ActorUp(msgspec.Struct, tag=91, array_like=True, frozen=True):
    """A constructor has ended. Payload: its failure, if it failed."""

    actor_id: bytes
    failed: bool
    address: str


class ActorLeaves(msgspec.Struct, tag=92, array_like=True, frozen=True):
    """An actor has asked to end itself."""

    actor_id: bytes


class WorkerGone(msgspec.Struct, tag=93, array_like=True, frozen=True):
    """The worker of an actor is gone; ``kind`` is a value of ``DeathCause``."""

    worker: str
    how: str
    kind: str = "worker_died"


# Placement groups -----------------------------------------------------------------------------


class ReserveBundle(msgspec.Struct, tag=94, array_like=True, frozen=True):
    """Set a bundle aside; with *wait*, as soon as there is room."""

    group_id: bytes
    index: int
    attempt: int
    resources: dict[str, float]
    wait: bool


class BundleAnswer(msgspec.Struct, tag=95, array_like=True, frozen=True):
    """Answer to ``ReserveBundle``: it is set aside, or there is no room."""

    group_id: bytes
    index: int
    attempt: int
    reserved: bool


class UnreserveBundle(msgspec.Struct, tag=96, array_like=True, frozen=True):
    """Give a bundle back that was not committed."""

    group_id: bytes
    index: int


class ExpectGroup(msgspec.Struct, tag=97, array_like=True, frozen=True):
    """There is such a group: requests for its bundles are no mistake."""

    group_id: bytes


class CommitGroup(msgspec.Struct, tag=98, array_like=True, frozen=True):
    """The bundles set aside for this group may be used."""

    group_id: bytes


class DropGroup(msgspec.Struct, tag=99, array_like=True, frozen=True):
    """A group was removed: stop what runs in it and take its bundles back."""

    group_id: bytes


HeadMessage = (
    Join
    | Joined
    | Return
    | Resumed
    | TurnedAway
    | NodeUp
    | NodeDown
    | Beat
    | Load
    | FromClient
    | ToClient
    | DriverHere
    | ProcessEnded
    | OrphansKept
    | OrphanDropped
    | Printed
    | LookAround
    | PassOn
    | Show
    | Gather
    | Gathered
    | Unmet
    | NoRoom
    | Redirect
    | RefuseDemand
    | PlaceActor
    | CancelPlacement
    | ActorPlaced
    | PlacementRefused
    | RunActor
    | EndActor
    | ActorUp
    | ActorLeaves
    | WorkerGone
    | ReserveBundle
    | BundleAnswer
    | UnreserveBundle
    | ExpectGroup
    | CommitGroup
    | DropGroup
)

TO_NODES = (
    Joined,
    Resumed,
    TurnedAway,
    NodeUp,
    NodeDown,
    Beat,
    ToClient,
    Show,
    Gather,
    Gathered,
    ProcessEnded,
    OrphansKept,
    OrphanDropped,
    LookAround,
    Redirect,
    RefuseDemand,
    PlaceActor,
    CancelPlacement,
    RunActor,
    EndActor,
    ReserveBundle,
    UnreserveBundle,
    ExpectGroup,
    CommitGroup,
    DropGroup,
)
"""What the head sends."""

UNCOUNTED = (Join, Joined, Return, Resumed, TurnedAway, Beat, Load, Printed, PassOn, Show)
"""What is of no use later: it is not sent again when a link is resumed."""
