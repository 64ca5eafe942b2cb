"""What is it doing? Lists of tasks, actors, values, nodes, workers, placement groups and jobs.

::

    from air.util.state import list_tasks
    for task in list_tasks(filters=[("state", "!=", "FINISHED")], detail=True):
        print(task.name, task.state, task.node_id, task.waits_for)

No process of a cluster knows all of that. A listing asks every process for what it owns and what it
runs, which costs nothing while nobody asks. It is no snapshot: what changes while the question goes
around may be seen before or after its change. One that computes answers all the same, save while C
code of its holds Python's lock. Tasks that have ended are remembered for a while: by the program
that has submitted them if they failed (the last 200), by the process that has run them if they went
well (the last 4,096), so none of processes that are gone.

Arguments of all functions, where they have them:

* ``address``: of another cluster, ``"HOST:PORT"`` or ``"auto"``. By default it is the one that the
  program uses; in a program that uses none, the one of ``AIR_ADDRESS`` or of this machine's node.
* ``filters``: triples ``(field, "=" or "!=", value)``, of which all have to hold.
* ``limit``: so many records at most, what has not ended first. That there are more is said on
  the log, where nobody has asked for another number than the default.
* ``timeout``: seconds for all to answer.
* ``detail``: also fill in the fields that are of no use in a list; they are ``None`` otherwise.
* ``raise_on_missing_output``: raise if somebody has not answered, instead of saying so on the log.

All of them raise ``InvalidOption`` for what an argument cannot be, ``BackendError`` where there is
no cluster or its head does not answer, and ``IncompleteListing`` as said. The command ``air list``
prints the same.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, cast, get_type_hints

from air.errors import IncompleteListing, InvalidOption
from air.executor import current
from air.executor.interface import Executor
from air.executor.keywords import suggests_keywords
from air.executor.log_records import LogFile
from air.executor.records import (
    EQUAL,
    IDENTITIES,
    KINDS,
    UNEQUAL,
    ActorState,
    Answer,
    Filter,
    JobState,
    NodeState,
    ObjectState,
    PlacementGroupState,
    Query,
    Record,
    TaskState,
    WorkerState,
    about,
)
from air.executor.validation import (
    check_flag,
    check_number,
    check_text,
    check_timeout,
    listing,
    nearest,
    show_repr,
)
from air.util._logs import get_log, list_logs

__all__ = [
    "ActorState",
    "JobState",
    "LogFile",
    "NodeState",
    "ObjectState",
    "PlacementGroupState",
    "TaskState",
    "WorkerState",
    "get_actor",
    "get_job",
    "get_log",
    "get_node",
    "get_objects",
    "get_placement_group",
    "get_task",
    "get_worker",
    "list_actors",
    "list_jobs",
    "list_logs",
    "list_nodes",
    "list_objects",
    "list_placement_groups",
    "list_tasks",
    "list_workers",
    "summarize_actors",
    "summarize_objects",
    "summarize_tasks",
]

logger = logging.getLogger("air")

_LONGEST_S = 3600.0
_LIMIT, _MAX_LIMIT = 100, 1_000_000
_MIB = 1 << 20

Filters = Sequence[Filter] | None


@suggests_keywords
def list_tasks(
    address: str | None = None,
    filters: Filters = None,
    limit: int = _LIMIT,
    timeout: float = 30,
    detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[TaskState]:
    """Tasks and calls of actors' methods; what has not ended comes first."""
    found = _list("tasks", address, filters, limit, timeout, detail, raise_on_missing_output)
    return cast(list[TaskState], found)


@suggests_keywords
def list_actors(
    address: str | None = None,
    filters: Filters = None,
    limit: int = _LIMIT,
    timeout: float = 30,
    detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[ActorState]:
    """Actors, in the order of their creation; the last 10,000 dead ones too."""
    found = _list("actors", address, filters, limit, timeout, detail, raise_on_missing_output)
    return cast(list[ActorState], found)


@suggests_keywords
def list_objects(
    address: str | None = None,
    filters: Filters = None,
    limit: int = _LIMIT,
    timeout: float = 30,
    detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[ObjectState]:
    """Values that some reference stands for, each as its owner knows it."""
    found = _list("objects", address, filters, limit, timeout, detail, raise_on_missing_output)
    return cast(list[ObjectState], found)


@suggests_keywords
def list_nodes(
    address: str | None = None,
    filters: Filters = None,
    limit: int = _LIMIT,
    timeout: float = 30,
    detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[NodeState]:
    """The machines, in the order in which they joined."""
    found = _list("nodes", address, filters, limit, timeout, detail, raise_on_missing_output)
    return cast(list[NodeState], found)


@suggests_keywords
def list_workers(
    address: str | None = None,
    filters: Filters = None,
    limit: int = _LIMIT,
    timeout: float = 30,
    detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[WorkerState]:
    """Processes that run tasks and actors, and programs."""
    found = _list("workers", address, filters, limit, timeout, detail, raise_on_missing_output)
    return cast(list[WorkerState], found)


@suggests_keywords
def list_placement_groups(
    address: str | None = None,
    filters: Filters = None,
    limit: int = _LIMIT,
    timeout: float = 30,
    detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[PlacementGroupState]:
    """Placement groups, in the order of their creation."""
    found = _list(
        "placement_groups", address, filters, limit, timeout, detail, raise_on_missing_output
    )
    return cast(list[PlacementGroupState], found)


@suggests_keywords
def list_jobs(
    address: str | None = None,
    filters: Filters = None,
    limit: int = _LIMIT,
    timeout: float = 30,
    detail: bool = False,
    raise_on_missing_output: bool = True,
) -> list[JobState]:
    """Programs that use the cluster, and have used it, in the order in which they came."""
    found = _list("jobs", address, filters, limit, timeout, detail, raise_on_missing_output)
    return cast(list[JobState], found)


# One of them ----------------------------------------------------------------------------------


@suggests_keywords
def get_task(id: str, address: str | None = None, timeout: float = 30) -> TaskState | None:
    """The task with this identity, in detail; ``None`` if nobody knows of it."""
    return cast("TaskState | None", _get("tasks", id, address, timeout))


@suggests_keywords
def get_actor(id: str, address: str | None = None, timeout: float = 30) -> ActorState | None:
    """The actor with this identity, in detail; ``None`` if nobody knows of it."""
    return cast("ActorState | None", _get("actors", id, address, timeout))


@suggests_keywords
def get_objects(id: str, address: str | None = None, timeout: float = 30) -> list[ObjectState]:
    """The value with this identity (``ObjectRef.hex()``), in detail; empty if it is nobody's."""
    found = _get("objects", id, address, timeout)
    return [] if found is None else [cast(ObjectState, found)]


@suggests_keywords
def get_node(id: str, address: str | None = None, timeout: float = 30) -> NodeState | None:
    """The node with this identity, in detail; ``None`` if there is none."""
    return cast("NodeState | None", _get("nodes", id, address, timeout))


@suggests_keywords
def get_worker(id: str, address: str | None = None, timeout: float = 30) -> WorkerState | None:
    """The process with this identity, in detail; ``None`` if there is none."""
    return cast("WorkerState | None", _get("workers", id, address, timeout))


@suggests_keywords
def get_placement_group(
    id: str, address: str | None = None, timeout: float = 30
) -> PlacementGroupState | None:
    """The placement group with this identity, in detail; ``None`` if there is none."""
    return cast("PlacementGroupState | None", _get("placement_groups", id, address, timeout))


@suggests_keywords
def get_job(id: str, address: str | None = None, timeout: float = 30) -> JobState | None:
    """The program with this identity; ``None`` if nobody knows of it."""
    return cast("JobState | None", _get("jobs", id, address, timeout))


# Counts ---------------------------------------------------------------------------------------


@suggests_keywords
def summarize_tasks(
    address: str | None = None, timeout: float = 30, raise_on_missing_output: bool = True
) -> dict[str, Any]:
    """How many tasks of each name are in which state.

    Returns:
        ``{"cluster": {"summary": {name: {"func_or_class_name", "type", "state_counts"}},
        "total_tasks", "total_actor_tasks", "summary_by": "func_name"}}``.
    """
    answer = _count("tasks", ("name", "type", "state"), address, timeout, raise_on_missing_output)
    summary: dict[str, Any] = {}
    totals = {"NORMAL_TASK": 0, "ACTOR_TASK": 0}
    for (name, kind, state), count in sorted(answer.counts.items()):
        entry = {"func_or_class_name": name, "type": kind, "state_counts": {}}
        states = summary.setdefault(name, entry)["state_counts"]
        states[state] = states.get(state, 0) + count
        totals[kind] += count
    return {
        "cluster": {
            "summary": summary,
            "total_tasks": totals["NORMAL_TASK"],
            "total_actor_tasks": totals["ACTOR_TASK"],
            "summary_by": "func_name",
        }
    }


@suggests_keywords
def summarize_actors(
    address: str | None = None, timeout: float = 30, raise_on_missing_output: bool = True
) -> dict[str, Any]:
    """How many actors of each class are in which state.

    Returns:
        ``{"cluster": {"summary": {class: {"class_name", "state_counts"}}, "total_actors",
        "summary_by": "class"}}``.
    """
    answer = _count("actors", ("class_name", "state"), address, timeout, raise_on_missing_output)
    summary: dict[str, Any] = {}
    for (name, state), count in sorted(answer.counts.items()):
        entry = summary.setdefault(name, {"class_name": name, "state_counts": {}})
        entry["state_counts"][state] = count
    return {"cluster": {"summary": summary, "total_actors": answer.total, "summary_by": "class"}}


@suggests_keywords
def summarize_objects(
    address: str | None = None, timeout: float = 30, raise_on_missing_output: bool = True
) -> dict[str, Any]:
    """How many values are kept for which reason, and how much memory they take.

    Returns:
        ``{"cluster": {"summary": {reference_type: {"total_objects", "total_size_mb" (of 2**20
        bytes), "task_state_counts"}}, "total_objects", "total_size_mb",
        "summary_by": "reference_type"}}``.
    """
    by = ("reference_type", "task_status", "object_size")
    answer = _count("objects", by, address, timeout, raise_on_missing_output)
    summary: dict[str, Any] = {}
    for (kind, state, size), count in answer.counts.items():
        entry = summary.setdefault(
            kind, {"total_objects": 0, "total_size_mb": 0.0, "task_state_counts": {}}
        )
        entry["total_objects"] += count
        entry["total_size_mb"] += (size or 0) * count / _MIB
        states = entry["task_state_counts"]
        states[state] = states.get(state, 0) + count
    return {
        "cluster": {
            "summary": summary,
            "total_objects": answer.total,
            "total_size_mb": sum(entry["total_size_mb"] for entry in summary.values()),
            "summary_by": "reference_type",
        }
    }


# How ------------------------------------------------------------------------------------------


def _list(
    kind: str,
    address: str | None,
    filters: Filters,
    limit: int,
    timeout: float,
    detail: bool,
    raise_on_missing_output: bool,
) -> list[Record]:
    checked = check_filters(kind, filters or ())
    most = int(check_number(limit, "limit", minimum=1, maximum=_MAX_LIMIT, integer=True))
    check_flag(detail, "detail")
    query = Query(kind, checked, most, timeout=check_seconds(timeout))
    answer, records = _ask(query, address, raise_on_missing_output, detail)
    if answer.total > len(records) and most == _LIMIT:
        logger.warning(
            "list_%s: %d of %d are shown; limit=%d shows all",
            kind,
            len(records),
            answer.total,
            answer.total,
        )
    return records


def _get(kind: str, identity: str, address: str | None, timeout: float) -> Record | None:
    wanted = ((IDENTITIES[kind], EQUAL, check_text(identity, "id")),)
    query = Query(kind, wanted, 1, timeout=check_seconds(timeout))
    _, records = _ask(query, address, False, True)
    return records[0] if records else None


def _count(
    kind: str, by: tuple[str, ...], address: str | None, timeout: float, complain: bool
) -> Answer:
    query = Query(kind, count_by=by, timeout=check_seconds(timeout))
    return _ask(query, address, complain, False)[0]


def _ask(
    query: Query, address: str | None, raise_on_missing_output: bool, detail: bool
) -> tuple[Answer, list[Record]]:
    check_flag(raise_on_missing_output, "raise_on_missing_output")
    with executor_at(address) as executor:
        answer = executor.look(query)
    records = [about(query.kind, record, detail=detail) for record in answer.records]
    check_complete(answer, records, f"listing {query.kind}", raise_on_missing_output)
    return answer, records


def check_complete(answer: Answer, found: list[Any], what: str, complain: bool) -> None:
    """Say who has not answered, if anybody has not.

    Raises:
        IncompleteListing: with *complain*; it holds what was *found*.
    """
    if answer.silent:
        message = f"{what}: no answer in time from {', '.join(answer.silent)}"
        if complain:
            raise IncompleteListing(
                f"{message}; raise_on_missing_output=False gives what the others have said", found
            )
        logger.warning("%s", message)


def check_filters(kind: str, filters: object) -> tuple[Filter, ...]:
    """The filters, if they are some for records of that kind.

    Raises:
        InvalidOption: they are not.
    """
    if isinstance(filters, str) or not isinstance(filters, Sequence):
        raise InvalidOption(
            f"filters must be a list of (field, '=' or '!=', value), got {show_repr(filters)}"
        )
    hints = get_type_hints(KINDS[kind])
    known = [one.name for one in fields(KINDS[kind]) if "Mapping" not in str(hints[one.name])]
    checked = []
    for one in filters:
        if isinstance(one, str) or not isinstance(one, Sequence) or len(one) != 3:
            raise InvalidOption(
                f"a filter must be (field, '=' or '!=', value), got {show_repr(one)}"
            )
        name, operator, value = one
        if name not in known:
            raise InvalidOption(
                f"records of {kind} have no field {name!r} to filter by."
                f"{nearest(name, known)} There are: {listing(known, limit=40)}"
            )
        if operator not in (EQUAL, UNEQUAL):
            raise InvalidOption(f"a filter's operator is '=' or '!=', got {operator!r}")
        if not (value is None or isinstance(value, (str, int, float))):
            raise InvalidOption(
                f"a filter's value must be text, a number or a flag, got {show_repr(value)}"
            )
        checked.append((str(name), str(operator), value))
    return tuple(checked)


def check_seconds(timeout: object) -> float:
    """A time limit in seconds, an hour at most."""
    found = check_timeout(timeout)
    return _LONGEST_S if found is None else min(found, _LONGEST_S)


@contextlib.contextmanager
def executor_at(address: str | None) -> Iterator[Executor]:
    """The executor to ask: the program's own, or one for the cluster at *address*."""
    if address is None and current.is_initialized():
        yield current.get_executor()
        return
    found = address or os.environ.get(current.ADDRESS_VARIABLE) or "auto"
    executor = current.connect(check_text(found, "address"))
    try:
        yield executor
    finally:
        executor.shutdown()


def as_dict(record: Record, *, detail: bool) -> Mapping[str, Any]:
    """A record's fields by their names; without *detail* only those that lists are filled with."""
    return {
        one.name: getattr(record, one.name)
        for one in fields(record)
        if detail or not one.metadata.get("detail")
    }
