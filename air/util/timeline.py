"""What was run where and when, as a trace for chrome://tracing and https://ui.perfetto.dev."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable
from os import PathLike, fspath
from typing import Any

from air._files import write_whole
from air.executor.records import Slice
from air.executor.validation import check_text
from air.util.state import check_complete, executor_at

_TIMEOUT_S = 30.0
_COLOURS = {"failed": "terrible", "cancelled": "bad", "running": "thread_state_running"}


def timeline(filename: str | PathLike[str] | None = None) -> list[dict[str, Any]] | None:
    """Which tasks and calls of actors ran where, from when to when.

    Every process remembers the last 4,096 that it has run, and for each no more than its name and
    two times, so there is nothing to switch on. When it ends it leaves that with its node, which
    keeps what the last 1,000 have left; of those that were killed there is nothing.
    Open the file in chrome://tracing or https://ui.perfetto.dev: there is a group of rows for each
    node and a row for each worker, or as many as an actor ran calls at a time.

    Args:
        filename: where to write it as JSON; without it, the events are returned instead.

    Raises:
        InvalidOption: *filename* is empty.
        BackendError: the head of the cluster does not answer. Of processes that do not, the log
            tells, and the others are in the trace.
        OSError: the file cannot be written; its directory is not made.
    """
    return timeline_at(None, filename)


def timeline_at(
    address: str | None, filename: str | PathLike[str] | None
) -> list[dict[str, Any]] | None:
    """The same of the cluster at *address*."""
    if filename is not None:
        check_text(fspath(filename), "filename")
        directory = os.path.dirname(os.path.abspath(fspath(filename)))
        if not os.path.isdir(directory):
            raise FileNotFoundError(errno.ENOENT, "there is no such directory", directory)
    with executor_at(address) as executor:
        answer = executor.slices(_TIMEOUT_S)
    check_complete(answer, [], "the timeline", False)
    events = trace(answer.slices)
    if filename is None:
        return events
    write_whole(fspath(filename), json.dumps(events).encode())
    return None


def trace(slices: Iterable[Slice]) -> list[dict[str, Any]]:
    """The events of a Chrome trace: rows first, then slices by start; times in microseconds."""
    rows: dict[tuple[str, str, int], int] = {}
    nodes: dict[str, int] = {}
    busy: dict[str, list[float]] = {}  # worker -> until when each of its rows is taken
    named: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for one in sorted(slices, key=lambda one: (one.start, one.end)):
        if one.node_id not in nodes:
            nodes[one.node_id] = len(nodes) + 1
            named.append(_name("process_name", nodes[one.node_id], 0, f"node {one.node_id}"))
        lane = _lane(busy.setdefault(one.worker_id, []), one)
        key = (one.node_id, one.worker_id, lane)
        if key not in rows:
            rows[key] = len(rows) + 1
            what = "actor" if one.actor_id else "worker"
            name = f"{what} {one.worker_id} (pid {one.pid})"
            named.append(_name("thread_name", nodes[one.node_id], rows[key], name))
        events.append(_event(one, nodes[one.node_id], rows[key]))
    return named + events


def _lane(busy: list[float], one: Slice) -> int:
    """The first row of a worker that is free: an actor may run several calls at a time."""
    for lane, until in enumerate(busy):
        if until <= one.start:
            busy[lane] = one.end
            return lane
    busy.append(one.end)
    return len(busy) - 1


def _name(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}


def _event(one: Slice, process: int, thread: int) -> dict[str, Any]:
    event: dict[str, Any] = {
        "ph": "X",
        "name": one.name,
        "cat": "actor_task" if one.actor_id else "task",
        "pid": process,
        "tid": thread,
        "ts": round(one.start * 1e6, 1),
        "dur": round((one.end - one.start) * 1e6, 1),
        "args": {
            "task_id": one.task_id,
            "result": one.outcome,
            "worker_id": one.worker_id,
            "node_id": one.node_id,
            "os_pid": one.pid,
        },
    }
    if one.actor_id:
        event["args"]["actor_id"] = one.actor_id
    if one.outcome in _COLOURS:
        event["cname"] = _COLOURS[one.outcome]
    return event
