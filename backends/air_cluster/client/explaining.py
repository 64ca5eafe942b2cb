"""How far is it? What a value waits for, asked of whoever knows: its owner, a worker, the head.

Who waits for a value in vain follows the trail: the owner knows whether the task waits for an
argument (the trail goes on with that), for a worker, or for its actor, or was sent; the process
that it was sent to knows whether it runs; the head knows actors, placement groups and what is free.
Nobody keeps anything for this, and nobody is waited for longer than the time that there is.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec

from air.executor.resources import describe
from air_cluster.core.explanations import (
    GroupView,
    NodeSupply,
    in_group,
    lasting,
    of_group,
    who_holds,
)
from air_cluster.core.references import Entry
from air_cluster.protocol.codec import Message
from air_cluster.protocol.ids import object_id, owner_of, task_of
from air_cluster.protocol.messages import Explain, Situation
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.client.actor_records import Call, CalledActor
    from air_cluster.client.client import Client
    from air_cluster.client.submitter import TaskRecord

logger = logging.getLogger("air")

ASK_FROM_S, ASK_S = 0.1, 1.0
"""Who has waited for at least the one asks others, for no longer again, and no longer than the
other. Below that only what this process knows is said: such waits are made again and again."""

_DEEPEST = 5
_LISTED = 5


RUNS, WAITS, UNKNOWN = "runs", "waits", "unknown"

NOT_RESERVED = "is not reserved yet"


class Trail(msgspec.Struct, frozen=True):
    """How far a value is, and how that ends.

    Attributes:
        end: ``RUNS``; ``WAITS`` for something that whoever knows of it speaks of if it takes long;
            or ``UNKNOWN``, where somebody does not answer or knows nothing.
    """

    text: str
    end: str


class Explaining:
    """Says how far values are; answers others who want to know."""

    def __init__(self, client: Client) -> None:
        self._client = client

    # For who waits ------------------------------------------------------------------------

    def late(self, entries: list[Entry], waited: float, who: str = "air.get has waited") -> None:
        """Speak of values that have been waited for for long, if nobody else will.

        What waits for a worker, an actor or a placement group, is spoken of by whoever knows of it,
        and of what runs there is nothing to say.
        """
        deadline = time.monotonic() + ASK_S
        said = []
        for entry in entries[:_LISTED]:
            address = self._client.address if entry.owned else entry.address
            trail = self.one(entry.id, address, deadline)
            if trail.end == UNKNOWN and entry.content is None:
                said.append(trail.text)
        if said:
            listed = "; ".join(said)
            logger.warning("%s for %s: %s", who, lasting(waited), listed)

    def all_of(self, entries: list[Entry], waited: float) -> str:
        """How far the values of some entries are, after so many seconds of waiting."""
        shown = entries[:_LISTED]
        time_left = min(ASK_S, waited) if waited >= ASK_FROM_S else 0.0
        said = []
        for entry in shown:
            deadline = time.monotonic() + time_left / len(shown)
            address = self._client.address if entry.owned else entry.address
            said.append(self.one(entry.id, address, deadline).text)
        more = len(entries) - len(shown)
        return "; ".join(said) + (f"; and {more} more" if more else "")

    def task(self, task_id: bytes, waited: float) -> str:
        """How far a task of this process is."""
        time_left = min(ASK_S, waited) if waited >= ASK_FROM_S else 0.0
        deadline = time.monotonic() + time_left
        return self.one(object_id(task_id, 0), self._client.address, deadline).text

    def one(self, identity: bytes, address: str, deadline: float) -> Trail:
        """How far a value is whose owner listens at *address*."""
        said, end = [], WAITS
        for _ in range(_DEEPEST):
            found = self._of_owner(identity, address, deadline)
            if found is None:
                owner = owner_of(identity).hex()
                said.append(f"the value {identity.hex()} of process {owner}, which does not answer")
                end = UNKNOWN
                break
            if not found.needs:
                told, end = self._more(found, identity, deadline)
                said.append(f"{found.what} {told}")
                break
            said.append(f"{found.what} {found.state}")
            identity, address = found.needs, found.needs_address
        return Trail(": ".join(said), end)

    def _of_owner(self, identity: bytes, address: str, deadline: float) -> Situation | None:
        client = self._client
        if owner_of(identity) == client.process_id:
            with client.reactor.lock:
                return self._situation(0, identity)
        return self._ask(owner_of(identity), address, identity, False, deadline)

    def _more(self, found: Situation, identity: bytes, deadline: float) -> tuple[str, str]:
        """What those know that the owner of a value has pointed to, and how the trail ends."""
        if found.worker:
            told = self._of_runner(found, identity, deadline)
            if told is None:
                return f"{found.state} {found.worker.hex()}", UNKNOWN
            return told.state, RUNS
        if found.actor_id:
            told_of = self._head(f"actor {found.actor_id.hex()}", deadline)
            group = self._group(told_of["group"], deadline) if told_of else None
            supply = self._head("supply", deadline) if told_of else None
            return f"{found.state}{of_actor(told_of, group, supply)}", WAITS
        if found.group_id:
            group = self._group(found.group_id, deadline)
            supply = self._head("supply", deadline) if group is not None else None
            if group is None or supply is None:
                return found.state, WAITS
            if found.state == NOT_RESERVED:
                return f"{found.state}: {of_group(group, _supplies(supply))}", WAITS
            return f"{found.state} {in_group(group, found.bundle, _supplies(supply))}", WAITS
        if found.resources:
            supply = self._head("supply", deadline)
            if supply is not None:
                holders = who_holds(found.resources, _supplies(supply), found.tied_to)
                return f"{found.state}: {holders}", WAITS
        return found.state, WAITS if found.resources else UNKNOWN

    def _of_runner(self, found: Situation, identity: bytes, deadline: float) -> Situation | None:
        client = self._client
        if found.worker == client.process_id:
            with client.reactor.lock:
                return self._running(0, task_of(identity))
        return self._ask(found.worker, found.address, identity, True, deadline)

    def _group(self, group_id: bytes, deadline: float) -> GroupView | None:
        """What the head says of a placement group that is not removed."""
        for told in (self._head("groups", deadline) if group_id else None) or ():
            if told["group_id"] == group_id and told["state"] != "REMOVED":
                return GroupView.of(told)
        return None

    def _ask(
        self, process: bytes, address: str, identity: bytes, runs: bool, deadline: float
    ) -> Situation | None:
        client = self._client
        if time.monotonic() >= deadline:
            return None
        with client.reactor.lock:
            try:
                connection = client.peers.to(process, address)
            except (OSError, ValueError):
                return None  # it is gone, or cannot be reached from here
        answer: Situation | None = client.requests.ask_peer(
            connection, lambda number: (Explain(number, identity, runs), []), deadline
        )
        return answer

    def _head(self, topic: str, deadline: float) -> Any:
        return self._client.ask(topic, deadline) if time.monotonic() < deadline else None

    # For others ---------------------------------------------------------------------------

    def on_explain(self, connection: Connection, message: Explain) -> None:
        """Somebody asks; called under the lock."""
        answer: Message
        if message.runs:
            answer = self._running(message.request, task_of(message.object_id))
        else:
            answer = self._situation(message.request, message.object_id)
        connection.send(answer)

    def _running(self, request: int, task_id: bytes) -> Situation:
        """What the process says to which a task was sent."""
        client = self._client
        where = f"on node {client.node_id} (pid {client.pid})"
        for one in client.endings.runs():
            if one.task_id == task_id:
                waits = ""
                if one.waits_for:
                    waits = f", and waits for {one.waits_for}"
                elif client.is_blocked:
                    waits = ", and waits for a value there"
                return Situation(request, "", f"has run for {lasting(one.seconds)} {where}{waits}")
        ahead = client.endings.ahead(task_id)
        if ahead is None:
            return Situation(request, "", f"was sent to a worker {where}, and is about to begin")
        others = "is the next" if not ahead else f"waits behind {ahead} more"
        return Situation(request, "", f"{others} in the queue of a worker {where}")

    def _situation(self, request: int, identity: bytes) -> Situation:
        """What the owner of a value says; under the lock."""
        client, task_id = self._client, task_of(identity)
        record = client.submitter.records.get(task_id)
        if record is not None:
            return self._of_task(request, record)
        found = client.calls.call_of(task_id)
        if found is not None:
            return self._of_call(request, *found)
        group_id = client.groups.group_of(identity)
        if group_id is not None:
            what = f"placement group {group_id.hex()}"
            return Situation(request, what, NOT_RESERVED, group_id=group_id)
        entry = client.references.get(identity)
        if entry is not None and entry.content is not None:
            return Situation(request, f"the value {identity.hex()}", "is on its way from its owner")
        return Situation(request, f"the value {identity.hex()}", "is not known to its owner")

    def _of_task(self, request: int, record: TaskRecord) -> Situation:
        submitter, what = self._client.submitter, f"task {record.name}"
        state, worker = submitter.situation(record)
        waited = lasting(time.monotonic() - record.since)
        if state == "SUBMITTED_TO_WORKER":
            address = submitter.address_of(record)
            return Situation(request, what, "was sent to the worker", worker, address)
        if state == "PENDING_ARGS_AVAIL":
            return self._of_arguments(request, what, "", record.arguments.missing)
        shape = submitter.shape_of(record)
        wanted = submitter.wanted(record)
        return Situation(
            request,
            what,
            f"has waited for {waited} for a worker with {wanted}",
            resources=shape.resources,
            group_id=shape.group,
            bundle=shape.bundle,
            tied_to="" if shape.soft else shape.node,
        )

    def _of_call(self, request: int, actor: CalledActor, call: Call) -> Situation:
        what = f"call {call.name}"
        if call.task_id in actor.sent:
            state = "was sent to the process of its actor,"
            return Situation(request, what, state, actor.worker, actor.address)
        first = next(iter(actor.lane(call.group).values()), call)
        if call.arguments.missing:
            return self._of_arguments(request, what, "", call.arguments.missing)
        if actor.state != "ALIVE":
            state = f"waits for actor {actor.class_name}"
            return Situation(request, what, state, actor_id=actor.actor_id)
        turn = f"waits for its turn behind call {first.name}, which "
        return self._of_arguments(request, what, turn, first.arguments.missing)

    def _of_arguments(
        self, request: int, what: str, before: str, missing: list[Entry]
    ) -> Situation:
        if not missing:
            state = f"{before}waits for an argument that was lost, and is being made again"
            return Situation(request, what, state)
        first, count = missing[0], len(missing)
        which = "an argument" if count == 1 else f"{count} arguments, the first of them"
        address = self._client.address if first.owned else first.address
        state = f"{before}waits for {which}"
        return Situation(request, what, state, needs=first.id, needs_address=address)


def of_actor(found: dict[str, Any] | None, group: GroupView | None, supply: Any) -> str:
    """What the head knows of an actor that takes no calls, as the end of a sentence.

    *group* is the placement group that it is to be in.
    """
    if found is None:
        return ""
    since, state = lasting(found["for_s"]), found["state"]
    if state == "PLACED":
        return f", whose constructor has run for {since} on node {found['node_id']}"
    if state not in ("PENDING", "RESTARTING"):
        return f", which is {state}"
    doing = "is being created" if state == "PENDING" else "is being restarted"
    told = f", which {doing} and has waited for {since} for a worker"
    if found["resources"]:
        told += f" with {describe(found['resources'])}"
    if supply is None:
        return told
    if group is not None:
        return f"{told} {in_group(group, found['bundle'], _supplies(supply))}"
    if found["resources"]:
        told += f": {who_holds(found['resources'], _supplies(supply), found['tied_to'])}"
    return told


def _supplies(told: Any) -> list[NodeSupply]:
    return msgspec.convert(told, list[NodeSupply])
