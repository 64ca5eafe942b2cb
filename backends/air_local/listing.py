"""What there is and what it does, as the listings show it."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from air.executor.interface import ContextInfo, NodeInfo, PlacementGroupInfo
from air.executor.program import entrypoint
from air_local.actors import Actor
from air_local.calls import Call
from air_local.store import Entry

if TYPE_CHECKING:
    from air.executor.records import Slice

KEPT = 4096
"""Calls that have ended and are remembered."""

_MESSAGE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that has ended; times in seconds of the Unix clock."""

    call: dict[str, Any]
    is_last: bool
    began: float | None
    ended: float


class History:
    """The last calls that have ended."""

    def __init__(self) -> None:
        self._kept: deque[Ended] = deque(maxlen=KEPT)

    def add(self, call: Call) -> None:
        """A call has its outcome."""
        self._kept.append(Ended(_described(call), call.is_last(), call.began, time.time()))

    def tasks(self, here: ContextInfo) -> Iterator[dict[str, Any]]:
        """Those of tasks, the last first; of a generator's calls only the one that was its end."""
        for ended in reversed(list(self._kept)):
            if ended.is_last:
                times = {"start_time_ms": _ms(ended.began), "end_time_ms": _ms(ended.ended)}
                yield {**ended.call, **_place(here), **times}

    def slices(self, here: ContextInfo) -> list[Slice]:
        """What has run, in the order in which it ended."""
        from air.executor.records import Slice

        return [
            Slice(
                name=ended.call["name"],
                task_id=ended.call["task_id"],
                start=ended.began,
                end=ended.ended,
                outcome="failed" if ended.call["state"] == "FAILED" else "finished",
                node_id=here.node_id,
                worker_id=here.worker_id,
                pid=os.getpid(),
                actor_id=ended.call["actor_id"] or "",
            )
            for ended in list(self._kept)
            if ended.began is not None
        ]


def unfinished(calls: Iterable[Call], here: ContextInfo) -> Iterator[dict[str, Any]]:
    """Tasks and methods that have not ended."""
    for call in calls:
        if call.function:
            place = _place(here) if call.started else {"job_id": here.job_id}
            times = {"start_time_ms": _ms(call.began)}
            yield {**_described(call), **place, **times, "waits_for": call.waits_for() or None}


def _described(call: Call) -> dict[str, Any]:
    frame, error = call.frame, call.error
    if call.finished:
        state = "FINISHED" if error is None else "FAILED"
    elif call.started:
        state = "RUNNING"
    else:
        state = "PENDING_ARGS_AVAIL" if call.waiting_for else "PENDING_NODE_ASSIGNMENT"
    return {
        "task_id": frame.task_id.hex(),
        "name": call.name,
        "state": state,
        "type": "NORMAL_TASK" if frame.actor is None else "ACTOR_TASK",
        "func_or_class_name": call.function,
        "parent_task_id": None if frame.parent_id is None else frame.parent_id.hex(),
        "actor_id": None if frame.actor is None else frame.actor.id.hex(),
        "required_resources": dict(frame.resources) if frame.actor is None else {},
        "error_type": None if error is None else type(error).__name__,
        "error_message": None if error is None else str(error)[:_MESSAGE_CHARS],
    }


def _place(here: ContextInfo) -> dict[str, Any]:
    return {
        "job_id": here.job_id,
        "node_id": here.node_id,
        "worker_id": here.worker_id,
        "worker_pid": os.getpid(),
        "owner_worker_id": here.worker_id,
    }


def job(here: ContextInfo, began: float) -> dict[str, Any]:
    """The program; *began* in seconds of the Unix clock."""
    return {
        "job_id": here.job_id,
        "status": "RUNNING",
        "type": "DRIVER",
        "entrypoint": entrypoint(),
        "start_time": _ms(began),
        "driver_node_id": here.node_id,
        "driver_pid": os.getpid(),
    }


def actors(found: Iterable[Actor], here: ContextInfo) -> Iterator[dict[str, Any]]:
    """All actors that are remembered."""
    for actor in found:
        lives = actor.state != "DEAD"
        yield {
            "actor_id": actor.id.hex(),
            "class_name": actor.class_name,
            "state": "PENDING_CREATION" if actor.state == "STARTING" else actor.state,
            "job_id": here.job_id,
            "name": actor.options.name or "",
            "namespace": actor.namespace,
            "node_id": here.node_id if lives else None,
            "worker_id": here.worker_id if lives else None,
            "pid": os.getpid() if lives else None,
            "required_resources": dict(actor.options.resources),
            "num_restarts": 0,
            "death_cause": actor.death or None,
            "is_detached": False,
            "placement_group_id": None if actor.group is None else actor.group.id.hex(),
        }


def objects(entries: Iterable[Entry], here: ContextInfo, host: str) -> Iterator[dict[str, Any]]:
    """All values that something refers to."""
    for entry in entries:
        parcel, call = entry.parcel, entry.call
        if entry.failure is not None:
            status = "FAILED"
        elif call is None:
            status = "FINISHED" if entry.done else "PENDING_NODE_ASSIGNMENT"
        else:
            status = _described(call)["state"]
        size = None if parcel is None else len(parcel.stream) + sum(map(len, parcel.buffers))
        yield {
            "object_id": entry.id.hex(),
            "object_size": size,
            "task_status": status,
            "reference_type": "LOCAL_REFERENCE",
            "type": "DRIVER",
            "pid": os.getpid(),
            "ip": host,
            "worker_id": here.worker_id,
            "node_id": here.node_id,
            "is_shared": False,
            "is_spilled": False,
        }


def node(info: NodeInfo, available: dict[str, float]) -> dict[str, Any]:
    """The one machine."""
    return {
        "node_id": info.node_id,
        "node_ip": info.address,
        "state": "ALIVE",
        "is_head_node": True,
        "node_name": info.node_id,
        "resources_total": dict(info.resources),
        "labels": dict(info.labels),
        "resources_available": available,
    }


def worker(here: ContextInfo, host: str) -> dict[str, Any]:
    """The one process."""
    return {
        "worker_id": here.worker_id,
        "worker_type": "DRIVER",
        "is_alive": True,
        "state": "DRIVER",
        "node_id": here.node_id,
        "ip": host,
        "pid": os.getpid(),
        "is_blocked": False,
        "required_resources": {},
    }


def groups(infos: Sequence[PlacementGroupInfo]) -> Iterator[dict[str, Any]]:
    """All placement groups."""
    for info in infos:
        yield {
            "placement_group_id": info.group_id.hex(),
            "name": info.name,
            "state": info.state,
            "strategy": info.strategy,
            "bundles": [
                {"bundle_index": index, "resources": dict(bundle), "node_id": node_id}
                for index, (bundle, node_id) in enumerate(
                    zip(info.bundles, info.bundle_nodes, strict=True)
                )
            ],
        }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
