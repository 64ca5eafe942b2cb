"""The messages of clients, as MessagePack arrays ``[tag, field, field, ...]``.

Fields are only ever added at the end, with a default: an older reader skips what it does
not know, a newer one fills in what is missing.

``Value`` describes bytes in the payload or in shared memory; who reads a message takes the
payload apart by the lengths, in the order of the fields.
"""

from __future__ import annotations

from typing import Any

import msgspec

INLINE, SHARED, FAILED = 0, 1, 2
STREAMING = -1
HOME, ONCE, PINNED = 0, 1, 2


class Ref(msgspec.Struct, array_like=True, frozen=True):
    """A reference inside a value: what it stands for and where its owner listens."""

    id: bytes
    address: str


class Value(msgspec.Struct, array_like=True, frozen=True):
    """A value (or a failure) in pieces: its pickle stream, then its buffers.

    ``INLINE`` and ``FAILED`` pieces are in the payload; ``SHARED`` ones in a segment of
    *node*, or, if they were *spilled*, in a file there (*segment* is its number).
    """

    kind: int
    lengths: list[int]
    refs: list[Ref] = []
    segment: int = 0
    offset: int = 0
    node: int = 0
    spilled: bool = False

    @property
    def inline_bytes(self) -> int:
        """How much of the payload belongs to this value."""
        return 0 if self.kind == SHARED else sum(self.lengths)


class Condition(msgspec.Struct, array_like=True, frozen=True):
    """On a label of a node; *operator* as in ``air.executor.labels``."""

    key: str
    operator: str
    values: list[str]


class Environment(msgspec.Struct, array_like=True, frozen=True):
    """A runtime environment; without a key, none.

    Attributes:
        key: of workers that may be used for one another's tasks.
        job: the only program whose workers these are; empty if there is no such limit.
        fresh: whether its workers must not have imported anything of the user's before.
        setup: what the worker has to do; of no interest to daemons.
    """

    key: bytes = b""
    job: bytes = b""
    fresh: bool = False
    setup: bytes = b""


class Shape(msgspec.Struct, array_like=True, frozen=True):
    """What a worker must offer: resources, or room in a bundle of a placement group."""

    resources: dict[str, float]
    group: bytes = b""
    bundle: int = -1
    node: str = ""
    soft: bool = False
    spread: bool = False
    preferred: int = 0
    labels: list[Condition] = []
    preferred_labels: list[Condition] = []
    environment: Environment = Environment()


# Client and node daemon ---------------------------------------------------------------------


class Register(msgspec.Struct, tag=1, array_like=True, frozen=True):
    """First message of a client: who it is and where it listens; of a program, what it is."""

    kind: str
    os_pid: int
    address: str
    namespace: str = "default"
    log_to_driver: bool = False
    worker_id: bytes = b""
    entrypoint: str = ""


class Welcome(msgspec.Struct, tag=2, array_like=True, frozen=True):
    """Answer to ``Register``. A worker with a *setup* reports ``EnvironmentReady``."""

    node_id: str
    address: str
    setup: bytes = b""


class EnvironmentReady(msgspec.Struct, tag=130, array_like=True, frozen=True):
    """From a worker: its runtime environment is set up, or cannot be, because of *error*.

    *process* says what has changed in the process, for templates.
    """

    error: str = ""
    process: str = ""


class SetDemand(msgspec.Struct, tag=3, array_like=True, frozen=True):
    """A client could use *count* more workers of this shape now.

    *mode* is ``HOME`` for its own node; ``ONCE`` for another one, which forgets what it cannot
    grant now, since the demand stays with the client's own node; ``PINNED`` for another one
    that alone can meet it.

    *came* have come from other nodes since the client's own one was last told.
    """

    shape_id: int
    shape: Shape
    count: int
    depth: int
    mode: int = HOME
    came: int = 0


class LeaseGranted(msgspec.Struct, tag=4, array_like=True, frozen=True):
    """A worker is the client's until it gives the lease back."""

    shape_id: int
    lease_id: int
    worker: bytes
    address: str
    gpu_ids: list[int]


class LeaseRefused(msgspec.Struct, tag=5, array_like=True, frozen=True):
    """No worker of this shape can ever be had, because of *kind*.

    ``unschedulable``, ``removed`` (its placement group), ``broken`` (workers do not start) or
    ``environment`` (its runtime environment cannot be set up).
    """

    shape_id: int
    kind: str
    message: str


class LeaseReclaim(msgspec.Struct, tag=6, array_like=True, frozen=True):
    """Others wait: give this lease back when the tasks on it are done."""

    lease_id: int


class LeaseReturn(msgspec.Struct, tag=7, array_like=True, frozen=True):
    """The client needs this worker no longer."""

    lease_id: int


class LeaseLost(msgspec.Struct, tag=8, array_like=True, frozen=True):
    """The worker behind a lease died or was stopped.

    Attributes:
        out_of_memory: because its node ran out of memory.
        is_hopeless: what ran would do so again.
    """

    lease_id: int
    reason: str
    out_of_memory: bool = False
    is_hopeless: bool = False


class Blocked(msgspec.Struct, tag=9, array_like=True, frozen=True):
    """The worker that sends this waits in ``get``, or (*blocked* false) goes on."""

    blocked: bool


class KeptPackage(msgspec.Struct, array_like=True, frozen=True):
    """Files of a runtime environment that are kept for a detached actor."""

    key: str
    nbytes: int


class CreateActor(msgspec.Struct, tag=10, array_like=True, frozen=True):
    """Make an actor. Payload: pickled class, then the arguments, then *packages*.

    *namespace* is that of its name, *job_namespace* that of the program which makes it. *groups*
    are its concurrency groups with their sizes.
    """

    request: int
    actor_id: bytes
    class_name: str
    methods: bytes
    name: str
    namespace: str
    detached: bool
    get_if_exists: bool
    max_restarts: int
    max_concurrency: int
    shape: Shape
    capture: bool
    code: bytes
    code_bytes: int
    depth: int
    address: str
    args: Value
    slots: list[Value]
    slot_refs: list[Ref]
    job_id: bytes = b""
    job_namespace: str = "default"
    groups: dict[str, int] = {}
    packages: list[KeptPackage] = []


class ActorReply(msgspec.Struct, tag=11, array_like=True, frozen=True):
    """Answer to ``CreateActor`` with a name and to ``FindActor``; empty error: found."""

    request: int
    error: str
    actor_id: bytes = b""
    class_name: str = ""
    methods: bytes = b""
    owner_address: str = ""


class ActorEvent(msgspec.Struct, tag=12, array_like=True, frozen=True):
    """An actor's state changed. Payload: why its constructor failed, if it did.

    ``refusal`` says why it never got a worker, in the terms of ``LeaseRefused``.
    """

    actor_id: bytes
    state: str
    worker: bytes
    address: str
    reason: str
    refusal: str = ""


class WatchActor(msgspec.Struct, tag=13, array_like=True, frozen=True):
    """Tell me of this actor's state, now and at each change."""

    actor_id: bytes


class KillActor(msgspec.Struct, tag=14, array_like=True, frozen=True):
    """End an actor at once."""

    actor_id: bytes
    no_restart: bool


class ReleaseActor(msgspec.Struct, tag=15, array_like=True, frozen=True):
    """Nobody holds a handle any more: end the actor when its calls are done."""

    actor_id: bytes


class FindActor(msgspec.Struct, tag=16, array_like=True, frozen=True):
    """Look an actor up by name."""

    request: int
    name: str
    namespace: str


class StartActor(msgspec.Struct, tag=17, array_like=True, frozen=True):
    """To a fresh worker: become this actor. Payload as in ``CreateActor``."""

    spec: CreateActor
    gpu_ids: list[int]
    restarted: bool


class ActorStarted(msgspec.Struct, tag=18, array_like=True, frozen=True):
    """From the worker: the constructor ended. Payload: its failure, if it failed."""

    actor_id: bytes
    failed: bool


class ActorExit(msgspec.Struct, tag=19, array_like=True, frozen=True):
    """To a worker: end gracefully. From a worker: the actor asked to end itself."""

    actor_id: bytes


class ActorOver(msgspec.Struct, tag=118, array_like=True, frozen=True):
    """From an actor's worker: the actor has ended, and holds nothing any more.

    The process stays as long as others want values of it.
    """

    actor_id: bytes


class CreateGroup(msgspec.Struct, tag=20, array_like=True, frozen=True):
    """Reserve bundles. The group ends with *owner* (its sender, if empty), unless *detached*."""

    request: int
    group_id: bytes
    bundles: list[dict[str, float]]
    strategy: str
    name: str
    detached: bool
    owner: bytes = b""
    namespace: str = ""


class GroupEvent(msgspec.Struct, tag=21, array_like=True, frozen=True):
    """A placement group is CREATED, REMOVED, or HOPELESS: no node could ever hold it.

    *reason* says why, in the last case.
    """

    group_id: bytes
    state: str
    reason: str = ""


class RemoveGroup(msgspec.Struct, tag=22, array_like=True, frozen=True):
    """Give the bundles back. Answered by ``Reply`` if *request* is not 0."""

    group_id: bytes
    request: int = 0


OF_PACKAGE = "package "
"""Before the key of a package in the topic of a question; answered by its content, or nil."""


class Ask(msgspec.Struct, tag=23, array_like=True, frozen=True):
    """A question: ``nodes``, ``usage``, ``available``, ``actors`` and others, see the head."""

    request: int
    topic: str


class Reply(msgspec.Struct, tag=24, array_like=True, frozen=True):
    """Answer to ``Ask``, ``CreateGroup`` and ``RemoveGroup``; a non-empty error says why not."""

    request: int
    error: str
    content: Any = None


class NeedSegment(msgspec.Struct, tag=25, array_like=True, frozen=True):
    """Grant me shared memory: *size* bytes, or *at_least* so many if there are no more."""

    request: int
    size: int
    at_least: int


class OpenSegment(msgspec.Struct, tag=26, array_like=True, frozen=True):
    """Let me map this segment, or (*on_disk*) this file of values that were spilled."""

    request: int
    segment: int
    on_disk: bool = False


class SegmentReply(msgspec.Struct, tag=27, array_like=True, frozen=True):
    """Answer to both; a file descriptor comes with it unless there is an error."""

    request: int
    segment: int
    size: int
    error: str


class DropSegment(msgspec.Struct, tag=28, array_like=True, frozen=True):
    """I hold nothing in this segment of a node any more."""

    node: int
    segment: int


class Preload(msgspec.Struct, tag=29, array_like=True, frozen=True):
    """Have these modules imported where new workers are forked from."""

    modules: list[str]


class LogLines(msgspec.Struct, tag=30, array_like=True, frozen=True):
    """What a worker printed. Payload: the text."""

    source: str
    is_error: bool


class ProcessGone(msgspec.Struct, tag=31, array_like=True, frozen=True):
    """A client's process ended."""

    process: bytes
    reason: str


class Exit(msgspec.Struct, tag=32, array_like=True, frozen=True):
    """To a worker: end (with *graceful*, once nobody wants values of yours any more).

    To the daemon: this program leaves; *failure* is what it has failed with, if it knows.
    """

    graceful: bool = False
    failure: str = ""


class KillWorker(msgspec.Struct, tag=33, array_like=True, frozen=True):
    """End the process of a leased worker: a forced cancellation."""

    lease_id: int


class WatchGroup(msgspec.Struct, tag=34, array_like=True, frozen=True):
    """Tell me when this placement group is created or removed."""

    group_id: bytes


class Orphans(msgspec.Struct, tag=35, array_like=True, frozen=True):
    """Answer to ``ProcessGone``: the segments of that process in which I own values.

    Followed, for each of them, by a ``DropSegment`` when the last of these is freed.
    """

    process: bytes
    segments: list[int]


class TrimStore(msgspec.Struct, tag=36, array_like=True, frozen=True):
    """Memory is short: drop the segments in which you hold nothing."""

    number: int


class StoreTrimmed(msgspec.Struct, tag=37, array_like=True, frozen=True):
    """Answer to ``TrimStore``, behind the ``DropSegment`` of each."""

    number: int


class SegmentGone(msgspec.Struct, tag=38, array_like=True, frozen=True):
    """This segment was dropped: unmap it."""

    segment: int


class Redirected(msgspec.Struct, tag=39, array_like=True, frozen=True):
    """Another node has room: ask its daemon, at *address*, for *count* workers of this shape.

    *pinned*: only that node can ever grant them, so let the demand wait there.
    """

    shape_id: int
    node: int
    daemon: bytes
    address: str
    count: int
    pinned: bool


class NodeGone(msgspec.Struct, tag=56, array_like=True, frozen=True):
    """A node is dead, and with it all its processes and what is in its memory."""

    number: int
    reason: str


class FetchCopy(msgspec.Struct, tag=57, array_like=True, frozen=True):
    """Make a value readable here that is on another node, or on disk.

    *segment* (of a spilled value: the file) and *offset* are those of *node*.
    """

    request: int
    object_id: bytes
    node: int
    segment: int
    offset: int
    lengths: list[int]
    spilled: bool = False


class CopyReply(msgspec.Struct, tag=58, array_like=True, frozen=True):
    """Answer to ``FetchCopy``: where the copy lies, in a segment of this node.

    With an error, *full* says that there is no memory for it, *on_disk* that there is none but
    that it can be read from its file; else the value is lost.
    """

    request: int
    segment: int
    offset: int
    lengths: list[int]
    error: str
    full: bool = False
    on_disk: bool = False


class CopyReleased(msgspec.Struct, tag=59, array_like=True, frozen=True):
    """I read this copy no more."""

    object_id: bytes


class ShrinkSegment(msgspec.Struct, tag=115, array_like=True, frozen=True):
    """I give *nbytes* of a segment back, and will not use them again."""

    segment: int
    nbytes: int


class SpillWanted(msgspec.Struct, tag=110, array_like=True, frozen=True):
    """To owners: memory is short on *node*; which values there may go to disk?"""

    run: int
    node: int
    nbytes: int


class SpillOffer(msgspec.Struct, array_like=True, frozen=True):
    """A value that may go, and for how many seconds it was not used."""

    object_id: bytes
    segment: int
    offset: int
    nbytes: int
    idle_s: float


class SpillOffers(msgspec.Struct, tag=111, array_like=True, frozen=True):
    """Answer to ``SpillWanted``."""

    run: int
    offers: list[SpillOffer]


class Spilled(msgspec.Struct, tag=112, array_like=True, frozen=True):
    """To the owner: a value is on the disk of *node* now; its memory is free if it agrees."""

    object_id: bytes
    node: int
    file: int
    offset: int


class SpillSettled(msgspec.Struct, tag=113, array_like=True, frozen=True):
    """Answer to ``Spilled``: whether the value was left alone since it was offered."""

    object_id: bytes
    accepted: bool


class SpillFreed(msgspec.Struct, tag=114, array_like=True, frozen=True):
    """From the owner: this value on disk is needed no more."""

    object_id: bytes


# Between clients ----------------------------------------------------------------------------


class Assign(msgspec.Struct, tag=40, array_like=True, frozen=True):
    """From the holder of a lease: what the tasks that follow hold while they run."""

    resources: dict[str, float]
    gpu_ids: list[int]
    group: bytes
    job_id: bytes
    namespace: str


class Task(msgspec.Struct, tag=41, array_like=True, frozen=True):
    """Run a function. Payload: its pickle (if ``code_bytes``), arguments, slots.

    ``slots`` are the values of references that were arguments themselves, ``slot_refs`` the
    references. ``address`` is where the caller listens.
    """

    task_id: bytes
    code: bytes
    code_bytes: int
    name: str
    returns: int
    depth: int
    capture: bool
    address: str
    args: Value
    slots: list[Value] = []
    slot_refs: list[Ref] = []


class ActorCall(msgspec.Struct, tag=42, array_like=True, frozen=True):
    """Call a method, in a concurrency group if one is named. Payload: arguments, slots."""

    task_id: bytes
    actor_id: bytes
    method: str
    name: str
    returns: int
    depth: int
    address: str
    args: Value
    slots: list[Value] = []
    slot_refs: list[Ref] = []
    group: str = ""


class TaskDone(msgspec.Struct, tag=43, array_like=True, frozen=True):
    """A task ended. Payload: its results; one ``FAILED`` value stands for all of them.

    *unread*: it has not run, since its arguments could not be read; the failure says why.
    """

    task_id: bytes
    seconds: float
    results: list[Value]
    cancelled: bool = False
    unread: bool = False


class TasksReturned(msgspec.Struct, tag=44, array_like=True, frozen=True):
    """These tasks have not started and would wait for long: run them elsewhere."""

    task_ids: list[bytes]


class StreamItem(msgspec.Struct, tag=45, array_like=True, frozen=True):
    """A generator yielded. Payload: the value."""

    task_id: bytes
    index: int
    value: Value


class StreamCredit(msgspec.Struct, tag=46, array_like=True, frozen=True):
    """The consumer has taken this many values of a generator so far."""

    task_id: bytes
    consumed: int


class StreamClose(msgspec.Struct, tag=47, array_like=True, frozen=True):
    """Nobody wants more of this generator."""

    task_id: bytes


class CancelTask(msgspec.Struct, tag=48, array_like=True, frozen=True):
    """Cancel a task, and with *recursive* those that it started."""

    task_id: bytes
    recursive: bool


class FetchObject(msgspec.Struct, tag=49, array_like=True, frozen=True):
    """To the owner: send me this value when it is there."""

    object_id: bytes


class ObjectValue(msgspec.Struct, tag=50, array_like=True, frozen=True):
    """From the owner. Payload: the value."""

    object_id: bytes
    value: Value


class BorrowAdd(msgspec.Struct, tag=51, array_like=True, frozen=True):
    """To the owner: I hold references to these; acknowledge with *token* if it is not 0."""

    object_ids: list[bytes]
    token: int


class BorrowAck(msgspec.Struct, tag=52, array_like=True, frozen=True):
    """The borrow is on record."""

    token: int


class BorrowRemove(msgspec.Struct, tag=53, array_like=True, frozen=True):
    """To the owner: I hold none of these any more."""

    object_ids: list[bytes]


class FreeShared(msgspec.Struct, tag=54, array_like=True, frozen=True):
    """To whoever wrote a value: its bytes are free."""

    segment: int
    offset: int
    lengths: list[int]


class ValueLost(msgspec.Struct, tag=119, array_like=True, frozen=True):
    """To the owner: a value cannot be read from the place on this node's disk where it was."""

    object_id: bytes
    file: int
    offset: int


class ReleaseReturned(msgspec.Struct, tag=55, array_like=True, frozen=True):
    """To whoever returned a value: the references in it are on record with their owners."""

    object_id: bytes


class CancelOwned(msgspec.Struct, tag=116, array_like=True, frozen=True):
    """To the owner of a value: cancel the task that computes it, as ``air.cancel`` does."""

    request: int
    object_id: bytes
    force: bool
    recursive: bool


class CancelReply(msgspec.Struct, tag=117, array_like=True, frozen=True):
    """Answer to ``CancelOwned``; a non-empty error says why that is no way to cancel it."""

    request: int
    error: str


class Survey(msgspec.Struct, tag=200, array_like=True, frozen=True):
    """To the head: have all nodes, and with *processes* those on them, answer a question.

    Each node answers with a ``Roll``, each process with a ``Sight``.
    """

    request: int
    topic: str
    processes: bool
    question: bytes = b""


class Look(msgspec.Struct, tag=201, array_like=True, frozen=True):
    """From the node: a process, *asker*, has asked everybody this."""

    asker: bytes
    request: int
    topic: str
    question: bytes


class Present(msgspec.Struct, array_like=True, frozen=True):
    """A process on a node, as its daemon knows it; *answers* if it was asked."""

    process: bytes
    kind: str
    pid: int
    state: str
    answers: bool
    actor_id: bytes = b""
    blocked: bool = False
    resources: dict[str, float] = {}


class Roll(msgspec.Struct, tag=202, array_like=True, frozen=True):
    """To the asker. From the head, with number 0: which nodes were asked.

    From a node: the processes on it.
    """

    request: int
    number: int
    nodes: list[str] = []
    numbers: list[int] = []
    name: str = ""
    host: str = ""
    processes: list[Present] = []


class Sight(msgspec.Struct, tag=203, array_like=True, frozen=True):
    """To the asker: what *process* has to say. Payload: MessagePack, as the topic has it."""

    asker: bytes
    request: int
    process: bytes


class LastWords(msgspec.Struct, tag=207, array_like=True, frozen=True):
    """From a worker that ends: what it has run. Payload: MessagePack, as of a ``Sight``."""


class Explain(msgspec.Struct, tag=204, array_like=True, frozen=True):
    """To the owner of a value, or with *runs* to whom its task was sent: how far is it?"""

    request: int
    object_id: bytes
    runs: bool


class Situation(msgspec.Struct, tag=205, array_like=True, frozen=True):
    """Answer to ``Explain``: how far it is, and who can tell more.

    Attributes:
        what: what is to make the value.
        state: what it does, to be put behind that.
        worker: the process that it was sent to, which listens at *address*.
        resources: what it needs a worker with, on the node *tied_to* alone if that is not empty.
        actor_id: the actor that it waits for.
        group_id: the placement group that it waits for, or for *bundle* of it (-1 for any).
        needs: an argument of it that is not there, owned by who listens at *needs_address*.
    """

    request: int
    what: str
    state: str
    worker: bytes = b""
    address: str = ""
    resources: dict[str, float] = {}
    actor_id: bytes = b""
    group_id: bytes = b""
    needs: bytes = b""
    needs_address: str = ""
    bundle: int = -1
    tied_to: str = ""


class LinkOpen(msgspec.Struct, tag=140, array_like=True, frozen=True):
    """First on a connection: carry this link, new or resumed (see ``transport.resuming``).

    Attributes:
        received: so many frames have come over the link so far.
        acknowledged: so many were sent that the other side has said to have.
        resumes: whether frames may have been lost, and an answer is waited for.
    """

    link: bytes
    received: int
    acknowledged: int
    resumes: bool


class LinkResumed(msgspec.Struct, tag=141, array_like=True, frozen=True):
    """Answer to ``LinkOpen``: go on after so many frames."""

    received: int


class LinkGone(msgspec.Struct, tag=142, array_like=True, frozen=True):
    """Answer to ``LinkOpen``: that link is over."""


class LinkAck(msgspec.Struct, tag=143, array_like=True, frozen=True):
    """So many frames of the link have come."""

    received: int


class Notice(msgspec.Struct, tag=206, array_like=True, frozen=True):
    """From the head: something that people should know of; for the log."""

    text: str


class HeadState(msgspec.Struct, tag=208, array_like=True, frozen=True):
    """From a node to its clients: the head is *away*, and why, in words; empty: it is back."""

    away: str = ""


class NodeEnds(msgspec.Struct, tag=209, array_like=True, frozen=True):
    """From a node to programs on it: it ends without being asked to, for this reason."""

    reason: str


ClientMessage = (
    Register
    | Welcome
    | SetDemand
    | LeaseGranted
    | LeaseRefused
    | LeaseReclaim
    | LeaseReturn
    | LeaseLost
    | Blocked
    | CreateActor
    | ActorReply
    | ActorEvent
    | WatchActor
    | KillActor
    | ReleaseActor
    | FindActor
    | StartActor
    | ActorStarted
    | ActorExit
    | CreateGroup
    | GroupEvent
    | RemoveGroup
    | Ask
    | Reply
    | NeedSegment
    | OpenSegment
    | SegmentReply
    | DropSegment
    | Preload
    | LogLines
    | ProcessGone
    | Exit
    | KillWorker
    | WatchGroup
    | Orphans
    | TrimStore
    | StoreTrimmed
    | SegmentGone
    | Redirected
    | NodeGone
    | FetchCopy
    | CopyReply
    | CopyReleased
    | ShrinkSegment
    | SpillWanted
    | SpillOffers
    | Spilled
    | SpillSettled
    | SpillFreed
    | Assign
    | Task
    | ActorCall
    | TaskDone
    | TasksReturned
    | StreamItem
    | StreamCredit
    | StreamClose
    | CancelTask
    | FetchObject
    | ObjectValue
    | BorrowAdd
    | BorrowAck
    | BorrowRemove
    | FreeShared
    | ValueLost
    | ReleaseReturned
    | ActorOver
    | EnvironmentReady
    | CancelOwned
    | CancelReply
    | Survey
    | Look
    | Roll
    | Sight
    | Explain
    | Situation
    | LinkOpen
    | LinkResumed
    | LinkGone
    | LinkAck
    | Notice
    | HeadState
    | NodeEnds
    | LastWords
)
