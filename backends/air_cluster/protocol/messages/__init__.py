"""The messages of clients, as MessagePack arrays ``[tag, field, field, ...]``.

Fields are only ever added at the end, with a default: an older reader skips what it does
not know, a newer one fills in what is missing.

``Value`` describes bytes in the payload or in shared memory; who reads a message takes the
payload apart by the lengths, in the order of the fields.
"""

from __future__ import annotations

from air_cluster.protocol.messages.actors import (
    ActorCall,
    ActorEvent,
    ActorExit,
    ActorOver,
    ActorReply,
    ActorStarted,
    CreateActor,
    FindActor,
    KeptPackage,
    KillActor,
    ReleaseActor,
    StartActor,
    WatchActor,
)
from air_cluster.protocol.messages.groups import (
    CreateGroup,
    GroupEvent,
    RemoveGroup,
    WatchGroup,
)
from air_cluster.protocol.messages.leases import (
    HOME,
    ONCE,
    PINNED,
    Blocked,
    Condition,
    Environment,
    KillWorker,
    LeaseGranted,
    LeaseLost,
    LeaseReclaim,
    LeaseRefused,
    LeaseReturn,
    Redirected,
    SetDemand,
    Shape,
)
from air_cluster.protocol.messages.links import (
    LinkAck,
    LinkGone,
    LinkOpen,
    LinkResumed,
)
from air_cluster.protocol.messages.memory import (
    CopyReleased,
    CopyReply,
    DropSegment,
    FetchCopy,
    NeedSegment,
    OpenSegment,
    SegmentGone,
    SegmentReply,
    ShrinkSegment,
    Spilled,
    SpillFreed,
    SpillOffer,
    SpillOffers,
    SpillSettled,
    SpillWanted,
    StoreTrimmed,
    TrimStore,
)
from air_cluster.protocol.messages.objects import (
    BorrowAck,
    BorrowAdd,
    BorrowRemove,
    FetchObject,
    FreeShared,
    ObjectValue,
    ReleaseReturned,
    ValueLost,
)
from air_cluster.protocol.messages.processes import (
    OF_PACKAGE,
    Ask,
    EnvironmentReady,
    Exit,
    HeadState,
    LogLines,
    NodeEnds,
    NodeGone,
    Notice,
    Orphans,
    Preload,
    ProcessGone,
    Register,
    Reply,
    Welcome,
)
from air_cluster.protocol.messages.surveys import (
    Explain,
    LastWords,
    Look,
    Present,
    Roll,
    Sight,
    Situation,
    Survey,
)
from air_cluster.protocol.messages.tasks import (
    Assign,
    CancelOwned,
    CancelReply,
    CancelTask,
    StreamClose,
    StreamCredit,
    StreamItem,
    Task,
    TaskDone,
    TasksReturned,
)
from air_cluster.protocol.messages.values import (
    FAILED,
    INLINE,
    SHARED,
    STREAMING,
    Ref,
    Value,
)

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

__all__ = [
    "FAILED",
    "HOME",
    "INLINE",
    "OF_PACKAGE",
    "ONCE",
    "PINNED",
    "SHARED",
    "STREAMING",
    "ActorCall",
    "ActorEvent",
    "ActorExit",
    "ActorOver",
    "ActorReply",
    "ActorStarted",
    "Ask",
    "Assign",
    "Blocked",
    "BorrowAck",
    "BorrowAdd",
    "BorrowRemove",
    "CancelOwned",
    "CancelReply",
    "CancelTask",
    "ClientMessage",
    "Condition",
    "CopyReleased",
    "CopyReply",
    "CreateActor",
    "CreateGroup",
    "DropSegment",
    "Environment",
    "EnvironmentReady",
    "Exit",
    "Explain",
    "FetchCopy",
    "FetchObject",
    "FindActor",
    "FreeShared",
    "GroupEvent",
    "HeadState",
    "KeptPackage",
    "KillActor",
    "KillWorker",
    "LastWords",
    "LeaseGranted",
    "LeaseLost",
    "LeaseReclaim",
    "LeaseRefused",
    "LeaseReturn",
    "LinkAck",
    "LinkGone",
    "LinkOpen",
    "LinkResumed",
    "LogLines",
    "Look",
    "NeedSegment",
    "NodeEnds",
    "NodeGone",
    "Notice",
    "ObjectValue",
    "OpenSegment",
    "Orphans",
    "Preload",
    "Present",
    "ProcessGone",
    "Redirected",
    "Ref",
    "Register",
    "ReleaseActor",
    "ReleaseReturned",
    "RemoveGroup",
    "Reply",
    "Roll",
    "SegmentGone",
    "SegmentReply",
    "SetDemand",
    "Shape",
    "ShrinkSegment",
    "Sight",
    "Situation",
    "SpillFreed",
    "SpillOffer",
    "SpillOffers",
    "SpillSettled",
    "SpillWanted",
    "Spilled",
    "StartActor",
    "StoreTrimmed",
    "StreamClose",
    "StreamCredit",
    "StreamItem",
    "Survey",
    "Task",
    "TaskDone",
    "TasksReturned",
    "TrimStore",
    "Value",
    "ValueLost",
    "WatchActor",
    "WatchGroup",
    "Welcome",
]
