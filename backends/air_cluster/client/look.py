"""Listings of the whole cluster, put together from what everybody has said."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from air.errors import BackendError
from air.executor.records import IDENTITIES, Answer, Query, Slice, select
from air_cluster.client.endings import Running, ToldSlice
from air_cluster.client.observing import (
    OBJECTS_TOPIC,
    RUNNING_TOPIC,
    SLICES_TOPIC,
    TASKS_TOPIC,
    Question,
    ToldAnswer,
)
from air_cluster.client.surveys import Gathered

if TYPE_CHECKING:
    from air_cluster.client.client import Client

_ACTOR_STATES = {"PENDING": "PENDING_CREATION", "PLACED": "PENDING_CREATION"}
_ENDED = ("FAILED", "FINISHED")
_FIRST_PART = 0.5
"""Of the time, for the first of two rounds."""


class Looking:
    """One question to the cluster."""

    def __init__(self, client: Client, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout

    def look(self, query: Query) -> Answer:
        """What there is of what *query* asks for.

        Raises:
            BackendError: the head has not answered.
        """
        if query.kind in ("tasks", "objects"):
            return self._of_processes(query)
        if query.kind == "actors":
            return self._actors(query)
        if query.kind == "workers":
            return self._workers(query)
        if query.kind == "jobs":
            return _select(self._ask("jobs"), query)
        records = self._nodes() if query.kind == "nodes" else self._groups()
        return _select(records, query)

    # What owners know ---------------------------------------------------------------------

    def _of_processes(self, query: Query) -> Answer:
        """What runs where is asked first: then owners can tell the state of what is theirs."""
        surveys = self._client.surveys
        first = surveys.ask(RUNNING_TOPIC, b"", time.monotonic() + self._timeout * _FIRST_PART)
        self._check(first)
        running = {
            one.task_id: (process, one.seconds, one.waits_for)
            for process, told in first.sights.items()
            for one in msgspec.msgpack.decode(told, type=list[Running])
        }
        nodes = {number: roll.name for number, roll in first.rolls.items()}
        question = msgspec.msgpack.encode(Question(query, running, first.places, nodes))
        topic = TASKS_TOPIC if query.kind == "tasks" else OBJECTS_TOPIC
        silent = frozenset(first.missing())
        second = surveys.ask(topic, question, self._deadline, but_for=silent)
        self._check(second)
        answer = Answer(silent=second.silent())
        for told in second.sights.values():
            answer.add(msgspec.msgpack.decode(told, type=ToldAnswer).received())
        _settle(answer, query)
        return answer

    def slices(self) -> Answer:
        """What processes have run; those that have ended, as far as their nodes know."""
        gathered = self._client.surveys.ask(SLICES_TOPIC, b"", self._deadline)
        self._check(gathered)
        answer = Answer(silent=gathered.silent())
        for process, told in gathered.sights.items():
            for one in msgspec.msgpack.decode(told, type=list[ToldSlice]):
                answer.slices.append(
                    Slice(
                        name=one.name,
                        task_id=one.task_id.hex(),
                        start=one.start,
                        end=one.end,
                        outcome=one.outcome,
                        node_id=one.node_id,
                        worker_id=process.hex(),
                        pid=one.pid,
                        actor_id=one.actor_id.hex(),
                    )
                )
        answer.slices.sort(key=lambda one: one.start)
        return answer

    def usage(self) -> list[dict[str, Any]]:
        """The nodes, and what is free on them.

        Raises:
            BackendError: the head has not answered.
        """
        found: list[dict[str, Any]] = self._ask("usage")
        return found

    # What nodes and the head know ---------------------------------------------------------

    def _rolls(self) -> Gathered:
        gathered = self._client.surveys.ask("", b"", self._deadline, processes=False)
        self._check(gathered)
        return gathered

    def _workers(self, query: Query) -> Answer:
        gathered = self._rolls()
        records = [
            {
                "worker_id": process.hex(),
                "worker_type": one.kind.upper(),
                "is_alive": True,
                "state": one.state,
                "node_id": roll.name,
                "ip": roll.host,
                "pid": one.pid or None,
                "actor_id": one.actor_id.hex() or None,
                "is_blocked": one.blocked,
                "required_resources": one.resources,
            }
            for process, (roll, one) in gathered.present.items()
        ]
        answer = _select(records, query)
        answer.silent = gathered.silent()
        return answer

    def _actors(self, query: Query) -> Answer:
        gathered = self._rolls()
        places = gathered.places
        records = []
        for found in self._ask("actors"):
            place = places.get(found["process"])
            records.append(
                {
                    "actor_id": found["actor_id"].hex(),
                    "class_name": found["class_name"],
                    "state": _ACTOR_STATES.get(found["state"], found["state"]),
                    "job_id": found["job_id"].hex() or None,
                    "name": found["name"],
                    "namespace": found["namespace"],
                    "node_id": found["node_id"],
                    "worker_id": found["process"].hex() or None,
                    "pid": None if place is None else place.pid,
                    "required_resources": found["resources"],
                    "num_restarts": found["restarts"],
                    "death_cause": found["message"] or None,
                    "is_detached": found["detached"],
                    "placement_group_id": found["group"].hex() or None,
                }
            )
        answer = _select(records, query)
        answer.silent = gathered.silent()
        return answer

    def _nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "node_id": node["node_id"],
                "node_ip": node["address"],
                "state": "ALIVE",
                "is_head_node": node["is_head"],
                "node_name": node["node_id"],
                "resources_total": node["resources"],
                "labels": node["labels"],
                "resources_available": node["free"],
            }
            for node in self.usage()
        ]

    def _groups(self) -> list[dict[str, Any]]:
        return [
            {
                "placement_group_id": found["group_id"].hex(),
                "name": found["name"],
                "state": found["state"],
                "strategy": found["strategy"],
                "bundles": [
                    {"bundle_index": index, "resources": bundle, "node_id": node}
                    for index, (bundle, node) in enumerate(
                        zip(found["bundles"], found["nodes"], strict=True)
                    )
                ],
            }
            for found in self._ask("groups")
        ]

    def _ask(self, topic: str) -> Any:
        answer = self._client.ask(topic, self._deadline)
        if answer is None:
            self._client.head.check()
            raise self._no_head()
        return answer

    def _check(self, gathered: Gathered) -> None:
        self._client.head.check()
        if gathered.nodes is None:
            if self._client.closed:
                raise self._client.not_initialized()
            raise self._no_head()

    def _no_head(self) -> BackendError:
        return BackendError(
            f"the head of the cluster has not answered within {self._timeout:g} s, though the node"
            " of this machine holds a connection to it: it may be overloaded, or its machine"
            " unreachable for the last seconds"
        )


def _select(records: list[dict[str, Any]], query: Query) -> Answer:
    return select((partial(dict, record) for record in records), query)


def _settle(answer: Answer, query: Query) -> None:
    """What has not ended comes first; what two processes have told of, as of a task that is run
    a second time, counts once."""
    found: dict[str, dict[str, Any]] = {}
    for record in sorted(answer.records, key=lambda record: record.get("state") in _ENDED):
        found.setdefault(record[IDENTITIES[query.kind]], record)
    answer.total -= len(answer.records) - len(found)
    answer.records = list(found.values())[: query.limit]
