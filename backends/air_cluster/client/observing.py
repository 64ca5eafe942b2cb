"""What this process knows of tasks and values, told to whoever asks everybody.

It answers from the tables that it has for its work anyway; nothing is written down for this while
nobody asks, except for what has ended (see :mod:`air_cluster.client.endings`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from air.executor.records import Answer, Query, select
from air_cluster.client.endings import FINISHED, Failure, Ran
from air_cluster.client.surveys import Place
from air_cluster.core.references import Entry
from air_cluster.protocol.ids import node_of, owner_of, task_of
from air_cluster.protocol.messages import FAILED, SHARED

if TYPE_CHECKING:
    from air_cluster.client.actor_records import Call, CalledActor
    from air_cluster.client.client import Client
    from air_cluster.client.submitter import TaskRecord

RUNNING_TOPIC, TASKS_TOPIC, OBJECTS_TOPIC, SLICES_TOPIC = "running", "tasks", "objects", "slices"

PENDING_NODE, SUBMITTED, RUNNING = "PENDING_NODE_ASSIGNMENT", "SUBMITTED_TO_WORKER", "RUNNING"

Make = Callable[[], dict[str, Any]]


class Question(msgspec.Struct, frozen=True):
    """What is asked of owners: the query, what runs where, which processes and nodes there are."""

    query: Query
    running: dict[bytes, tuple[bytes, float, str]] = {}
    places: dict[bytes, Place] = {}
    nodes: dict[int, str] = {}


class ToldAnswer(msgspec.Struct, frozen=True):
    """An answer, on its way."""

    records: list[dict[str, Any]]
    total: int
    counts: list[tuple[list[Any], int]]

    def received(self) -> Answer:
        """As it was."""
        answer = Answer(self.records, self.total)
        for values, count in self.counts:
            answer.counts[tuple(values)] += count
        return answer


class Observing:
    """Answers questions about this process; all of it under the lock."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def answer(self, topic: str, question: bytes) -> Any:
        """What is to be said on a topic; anything that MessagePack takes."""
        client = self._client
        if topic == RUNNING_TOPIC:
            return client.endings.runs()
        if topic == TASKS_TOPIC:
            return self._told(question, self._tasks)
        if topic == OBJECTS_TOPIC:
            return self._told(question, self._objects)
        return client.endings.slices(self._my_actor(), client.node_id, client.pid)

    def _told(self, asked: bytes, records: Callable[[Question], Iterator[Make]]) -> ToldAnswer:
        question = msgspec.msgpack.decode(asked, type=Question)
        answer = select(records(question), question.query)
        counts = [(list(values), count) for values, count in answer.counts.items()]
        return ToldAnswer(answer.records, answer.total, counts)

    # Tasks --------------------------------------------------------------------------------

    def _tasks(self, question: Question) -> Iterator[Make]:
        client = self._client
        for record in client.submitter.records.values():
            yield partial(self._task, record, question)
        for actor, call in client.calls.unfinished():
            yield partial(self._call, actor, call, question)
        for failure in reversed(client.endings.failures):
            yield partial(self._failed, failure, question)
        actor_id = self._my_actor()
        offset = time.time() - time.perf_counter()
        for ran in reversed(list(client.endings.ran)):  # which its threads add to
            if ran[4] == FINISHED and ran[0] != actor_id:  # the constructor's is no task
                yield partial(self._finished, ran, offset, actor_id, question)

    def _task(self, record: TaskRecord, question: Question) -> dict[str, Any]:
        state, worker = self._client.submitter.situation(record)
        attempts = record.options.max_retries - record.retries_left
        return {
            **self._common(record.task_id, record.name, state, worker, question),
            "type": "NORMAL_TASK",
            "func_or_class_name": record.code.name,
            "attempt_number": None if record.cancelled else attempts,
            "parent_task_id": record.parent.hex() or None,
            "required_resources": record.options.resources.to_dict,
            "waits_for": _told(record.task_id, question)
            or partial(self._client.submitter.waits_for, record),
        }

    def _call(self, actor: CalledActor, call: Call, question: Question) -> dict[str, Any]:
        state = self._client.calls.situation(actor, call)
        worker = actor.worker if state == SUBMITTED else b""
        return {
            **self._common(call.task_id, call.name, state, worker, question),
            "type": "ACTOR_TASK",
            "func_or_class_name": f"{actor.class_name}.{call.method}",
            "attempt_number": actor.max_task_retries - call.retries_left,
            "parent_task_id": call.parent.hex() or None,
            "actor_id": actor.actor_id.hex(),
            "required_resources": {},
            "waits_for": _told(call.task_id, question)
            or partial(self._client.calls.waits_for, actor, call),
        }

    def _common(
        self, task_id: bytes, name: str, state: str, worker: bytes, question: Question
    ) -> dict[str, Any]:
        started = None
        running = question.running.get(task_id)
        if running is not None:
            worker, seconds, _ = running
            state, started = RUNNING, (time.time() - seconds) * 1000
        place = question.places.get(worker)
        return {
            "task_id": task_id.hex(),
            "name": name,
            "state": state,
            "job_id": self._client.job_id.hex(),
            "worker_id": worker.hex() or None,
            "node_id": None if place is None else place.node_id,
            "worker_pid": None if place is None else place.pid,
            "owner_worker_id": self._client.process_id.hex(),
            "start_time_ms": started,
        }

    def _failed(self, failure: Failure, question: Question) -> dict[str, Any]:
        kind, message = failure.explain()
        place = question.places.get(failure.worker)  # none if it has ended, but its node is there
        ran_on = question.nodes.get(node_of(failure.worker)) if failure.worker else None
        return {
            "task_id": failure.task_id.hex(),
            "name": failure.name,
            "state": "FAILED",
            "type": "ACTOR_TASK" if failure.actor_id else "NORMAL_TASK",
            "func_or_class_name": failure.function,
            "job_id": self._client.job_id.hex(),
            "actor_id": failure.actor_id.hex() or None,
            "node_id": ran_on,
            "worker_id": failure.worker.hex() or None,
            "worker_pid": None if place is None else place.pid,
            "owner_worker_id": self._client.process_id.hex(),
            "error_type": kind,
            "error_message": message,
            "end_time_ms": failure.ended * 1000,
        }

    def _finished(
        self, ran: Ran, offset: float, actor_id: bytes, question: Question
    ) -> dict[str, Any]:
        task_id, name, start, seconds, _, function = ran
        me, of_class = self._client.process_id, self._client.endings.class_name
        place = question.places.get(me)
        return {
            "task_id": task_id.hex(),
            "name": name,
            "state": "FINISHED",
            "type": "ACTOR_TASK" if actor_id else "NORMAL_TASK",
            "func_or_class_name": f"{of_class}.{function}" if of_class else function,
            "job_id": self._client.job_id.hex(),
            "actor_id": actor_id.hex() or None,
            "node_id": None if place is None else place.node_id,
            "worker_id": me.hex(),
            "worker_pid": os.getpid(),
            "owner_worker_id": owner_of(task_id).hex(),
            "start_time_ms": (start + offset) * 1000,
            "end_time_ms": (start + offset + seconds) * 1000,
        }

    def _my_actor(self) -> bytes:
        me = self._client.actors.me
        return b"" if me is None else bytes(me[0])

    # Values -------------------------------------------------------------------------------

    def _objects(self, question: Question) -> Iterator[Make]:
        client = self._client
        place = question.places.get(client.process_id)
        mine = {
            "type": "DRIVER" if client.kind == "driver" else "WORKER",
            "pid": os.getpid(),
            "ip": None if place is None else place.host,
            "worker_id": client.process_id.hex(),
            "node_id": None if place is None else place.node_id,
        }
        for entry in client.references.entries.values():
            if entry.owned and not client.actors.is_actor(entry.id):
                yield partial(self._object, entry, question, mine)

    def _object(self, entry: Entry, question: Question, mine: dict[str, Any]) -> dict[str, Any]:
        return {**_object(entry), "task_status": self._status(entry, question), **mine}

    def _status(self, entry: Entry, question: Question) -> str:
        if entry.content is not None:
            return "FAILED" if entry.content.kind == FAILED else "FINISHED"
        task_id = task_of(entry.id)
        if task_id in question.running:
            return RUNNING
        client = self._client
        record = client.submitter.records.get(task_id)
        if record is not None:
            return client.submitter.situation(record)[0]
        found = client.calls.call_of(task_id)
        return PENDING_NODE if found is None else client.calls.situation(*found)


def _told(task_id: bytes, question: Question) -> str:
    """What a task that runs waits for, as its worker says."""
    running = question.running.get(task_id)
    return "" if running is None else running[2]


def _object(entry: Entry) -> dict[str, Any]:
    content, borrowers = entry.content, len(entry.borrowers or ())
    if entry.local > entry.pins:
        kind = "LOCAL_REFERENCE"
    elif entry.holds:
        kind = "USED_BY_PENDING_TASK"
    elif borrowers:
        kind = "BORROWED"
    else:
        kind = "PINNED_IN_MEMORY"
    return {
        "object_id": entry.id.hex(),
        "object_size": None if content is None else content.size_bytes,
        "reference_type": kind,
        "is_shared": content is not None and content.kind == SHARED,
        "is_spilled": content is not None and content.spilled,
        "local_references": entry.local - entry.pins,
        "borrowers": borrowers,
    }
