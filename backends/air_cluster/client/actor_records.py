"""What a process knows of the actors that it calls, and of its calls."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import msgspec

from air.errors import ActorPlacementError, AirError, RuntimeEnvSetupError, Unschedulable
from air.executor.code import MethodInfo
from air_cluster.client.arguments import Arguments
from air_cluster.protocol.ids import object_id
from air_cluster.transport.connection import Connection

PENDING, ALIVE, RESTARTING, DEAD = "PENDING", "ALIVE", "RESTARTING", "DEAD"

STATES = {PENDING: "being created", RESTARTING: "being restarted", DEAD: "dead"}

REFUSALS: dict[str, type[AirError]] = {
    "unschedulable": Unschedulable,
    "removed": ActorPlacementError,
    "environment": RuntimeEnvSetupError,
}


def handle_id(actor_id: bytes) -> bytes:
    """The object that stands for an actor's handles in the reference counts."""
    return object_id(actor_id, 0)


class Call(msgspec.Struct, eq=False):
    """A call that has not ended."""

    task_id: bytes
    method: str
    name: str
    returns: int
    depth: int
    parent: bytes
    arguments: Arguments
    retries_left: int
    group: str
    ahead: int


CallQueue = OrderedDict[bytes, Call]


class CalledActor(msgspec.Struct, eq=False):
    """What this process knows of an actor that it has called.

    Calls that have not been sent wait in the order in which they were made: in *waiting*, or, those
    of a concurrency group, which no others hold up, in one of *lanes*.
    """

    actor_id: bytes
    class_name: str
    methods: Mapping[str, MethodInfo]
    max_task_retries: int = 0
    max_pending_calls: int = -1
    restartable: bool = False
    named: bool = False
    detached: bool = False  # it lives until it is killed, and nobody counts its handles
    state: str = PENDING
    connection: Connection | None = None
    worker: bytes = b""
    address: str = ""  # where that listens
    reason: str = ""
    death: str = ""
    death_kind: str = ""
    cause: BaseException | None = None
    refusal: AirError | None = None
    groups: tuple[str, ...] = ()
    waiting: CallQueue = msgspec.field(default_factory=OrderedDict)
    lanes: dict[str, CallQueue] = msgspec.field(default_factory=dict)
    sent: CallQueue = msgspec.field(default_factory=OrderedDict)
    creation: Arguments | None = None

    def lane(self, group: str) -> CallQueue:
        """Where the calls of a group wait."""
        return self.lanes.setdefault(group, OrderedDict()) if group else self.waiting

    def queues(self) -> list[CallQueue]:
        """All that wait, lane by lane."""
        return [self.waiting, *self.lanes.values()]

    def waits(self, task_id: bytes) -> Call | None:
        """The call of that identity, if it has not been sent."""
        found = (queue[task_id] for queue in self.queues() if task_id in queue)
        return next(found, None)
