"""What a backend tells of its tasks, actors, values, workers, nodes and placement groups.

Records are made, filtered and counted where they are known, as dictionaries, and only what was
asked for travels. Identities are hexadecimal text. ``None`` stands for what does not apply, or is
not known; :func:`about` makes the typed records that people see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

Filter = tuple[str, str, Any]

EQUAL, UNEQUAL = "=", "!="


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A task, or a call of an actor's method.

    Attributes:
        state: ``PENDING_ARGS_AVAIL`` (a reference among its arguments has no value yet),
            ``PENDING_NODE_ASSIGNMENT`` (waits for a worker with its resources, or for its actor
            to be there), ``SUBMITTED_TO_WORKER`` (sent, and not begun as far as is known),
            ``RUNNING``, ``FINISHED`` or ``FAILED``.
        type: ``NORMAL_TASK`` or ``ACTOR_TASK``.
        func_or_class_name: what runs, whatever *name* it was given.
        attempt_number: how often it was tried before.
        parent_task_id: of the task that has submitted it; ``None`` for the program itself.
        worker_id: of the process that runs it, was sent it, or has run it.
        worker_pid: of the same process.
        error_type: the class of what it failed with.
        owner_worker_id: of the process that has submitted it.
        required_resources: what it holds while it runs; nothing for an actor's method.
        error_message: what it failed with, shortened.
        waits_for: in words, while it has not begun, or while a streaming one waits for its consumer
            to take what it has yielded.
        start_time_ms: when it began, in milliseconds of the Unix clock.
        end_time_ms: when it ended.
    """

    task_id: str
    name: str
    state: str
    type: str
    func_or_class_name: str | None = None
    attempt_number: int | None = None
    job_id: str | None = None
    parent_task_id: str | None = None
    actor_id: str | None = None
    node_id: str | None = None
    worker_id: str | None = None
    worker_pid: int | None = None
    error_type: str | None = None
    owner_worker_id: str | None = field(default=None, metadata={"detail": True})
    required_resources: Mapping[str, float] | None = field(default=None, metadata={"detail": True})
    error_message: str | None = field(default=None, metadata={"detail": True})
    waits_for: str | None = field(default=None, metadata={"detail": True})
    start_time_ms: float | None = field(default=None, metadata={"detail": True})
    end_time_ms: float | None = field(default=None, metadata={"detail": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorState:
    """An actor.

    Attributes:
        state: ``PENDING_CREATION`` (waits for a worker, or its constructor runs), ``ALIVE``,
            ``RESTARTING`` (its process has died, and another one is being found) or ``DEAD``.
        name: empty for none.
        num_restarts: how often it got another process.
        death_cause: why it is dead, or restarting.
        is_detached: whether it outlives the program that has made it.
    """

    actor_id: str
    class_name: str
    state: str
    job_id: str | None = None
    name: str = ""
    namespace: str | None = None
    node_id: str | None = None
    worker_id: str | None = None
    pid: int | None = None
    required_resources: Mapping[str, float] | None = field(default=None, metadata={"detail": True})
    num_restarts: int | None = field(default=None, metadata={"detail": True})
    death_cause: str | None = field(default=None, metadata={"detail": True})
    is_detached: bool | None = field(default=None, metadata={"detail": True})
    placement_group_id: str | None = field(default=None, metadata={"detail": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectState:
    """A value that some reference stands for, as its owner knows it.

    Attributes:
        object_size: bytes; ``None`` while it is not there.
        task_status: of the task that makes it, as :class:`TaskState` says; ``FINISHED`` for what
            is there, ``FAILED`` for an error in its place.
        reference_type: the first that is true of ``LOCAL_REFERENCE`` (its owner's program holds
            it), ``USED_BY_PENDING_TASK`` (an argument of something unfinished, or inside another
            value), ``BORROWED`` (other processes hold it), ``PINNED_IN_MEMORY`` (buffers use it).
        type: of its owner, ``DRIVER`` or ``WORKER``.
        pid: of its owner.
        worker_id: of its owner.
        node_id: of its owner's node.
        is_shared: whether it lies in shared memory, rather than in its owner's.
        is_spilled: whether it is on disk.
        local_references: of the owner's own process.
        borrowers: how many other processes hold references.
    """

    object_id: str
    object_size: int | None
    task_status: str
    reference_type: str
    type: str
    pid: int | None = None
    ip: str | None = None
    worker_id: str | None = None
    node_id: str | None = None
    is_shared: bool | None = field(default=None, metadata={"detail": True})
    is_spilled: bool | None = field(default=None, metadata={"detail": True})
    local_references: int | None = field(default=None, metadata={"detail": True})
    borrowers: int | None = field(default=None, metadata={"detail": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """A machine of the cluster; ``state`` is ``ALIVE``: those that have left are not remembered."""

    node_id: str
    node_ip: str
    state: str
    is_head_node: bool
    node_name: str
    resources_total: Mapping[str, float]
    labels: Mapping[str, str]
    resources_available: Mapping[str, float] | None = field(default=None, metadata={"detail": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """A process that runs tasks or an actor, or a program.

    Attributes:
        worker_type: ``WORKER`` or ``DRIVER``.
        is_alive: true: those that have ended are not remembered.
        state: ``STARTING``, ``IDLE``, ``LEASED`` (to a process that sends it tasks), ``ACTOR``
            or ``STOPPING``; ``DRIVER`` for a program.
        is_blocked: whether what it runs waits in ``get``, and has lent its CPU to others.
        required_resources: what it holds for what it runs.
    """

    worker_id: str
    worker_type: str
    is_alive: bool
    state: str
    node_id: str
    ip: str
    pid: int | None = None
    actor_id: str | None = None
    is_blocked: bool | None = field(default=None, metadata={"detail": True})
    required_resources: Mapping[str, float] | None = field(default=None, metadata={"detail": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementGroupState:
    """A placement group; ``state`` is ``PENDING``, ``CREATED`` or ``REMOVED``.

    Attributes:
        bundles: what each holds, with the ``node_id`` that it is on.
    """

    placement_group_id: str
    name: str
    state: str
    strategy: str
    bundles: Sequence[Mapping[str, Any]] | None = field(default=None, metadata={"detail": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A program that uses the cluster, or has used it; the last 1,000 that have ended, too.

    Attributes:
        job_id: as tasks and actors name it (``job_id``), and the runtime context of the program.
        status: ``RUNNING``, ``SUCCEEDED`` or ``FAILED`` (it was killed, its node is gone, or it
            ended with an exception). Exit codes are not known here, so one that ends by
            ``sys.exit(1)`` counts as ``SUCCEEDED``, as one does that calls ``air.shutdown()``.
        type: ``DRIVER``.
        entrypoint: the command line of the program, shortened.
        message: why it is ``FAILED``.
        start_time: when it joined, in milliseconds of the Unix clock.
        end_time: when it left.
        driver_node_id: the node that it joined by.
        driver_pid: its process there.
    """

    job_id: str
    status: str
    type: str
    entrypoint: str
    message: str | None = None
    start_time: float | None = None
    end_time: float | None = None
    driver_node_id: str | None = None
    driver_pid: int | None = None


Record = (
    TaskState | ActorState | ObjectState | NodeState | WorkerState | PlacementGroupState | JobState
)

KINDS: Mapping[str, type[Record]] = {
    "tasks": TaskState,
    "actors": ActorState,
    "objects": ObjectState,
    "nodes": NodeState,
    "workers": WorkerState,
    "placement_groups": PlacementGroupState,
    "jobs": JobState,
}
"""What can be asked for."""

IDENTITIES: Mapping[str, str] = {kind: fields(record)[0].name for kind, record in KINDS.items()}
"""The field of each that tells one from the others."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for.

    Attributes:
        kind: one of :data:`KINDS`.
        filters: ``(field, "=" or "!=", value)``; all have to hold.
        limit: so many records at most.
        count_by: fields; how many records have each combination of their values is asked for,
            instead of the records themselves.
        timeout: seconds.
    """

    kind: str
    filters: tuple[Filter, ...] = ()
    limit: int = 100
    count_by: tuple[str, ...] = ()
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Slice:
    """What a process has run, from when to when, in seconds of the Unix clock.

    Attributes:
        outcome: ``finished``, ``failed`` or ``cancelled``; ``running`` if it has not ended.
        actor_id: empty for a task.
    """

    name: str
    task_id: str
    start: float
    end: float
    outcome: str
    node_id: str
    worker_id: str
    pid: int | None
    actor_id: str = ""


@dataclass(slots=True)
class Answer:
    """What came of a question.

    Attributes:
        records: those that match, no more than the limit.
        total: how many match.
        counts: with ``Query.count_by``, how many records have each combination.
        slices: what was run, if that was asked for.
        silent: processes and nodes that have not answered in time, in words.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    counts: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    slices: list[Slice] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def add(self, other: Answer) -> None:
        """Take in what another process has answered."""
        self.total += other.total
        self.records += other.records
        self.counts.update(other.counts)


def select(records: Iterable[Callable[[], dict[str, Any]]], query: Query) -> Answer:
    """What *query* asks for.

    Args:
        records: each is made when it is looked at: there may be a million of them. A field may be
            a function of nothing too, called if its value is wanted.
    """
    answer = Answer()
    counts_all = not query.filters and not query.count_by
    for make in records:
        if counts_all and len(answer.records) >= query.limit:
            answer.total += 1
            continue
        record = make()
        if not all(holds(record, condition) for condition in query.filters):
            continue
        answer.total += 1
        if query.count_by:
            answer.counts[tuple(_value(record, name) for name in query.count_by)] += 1
        elif len(answer.records) < query.limit:
            answer.records.append({name: _value(record, name) for name in record})
    return answer


def holds(record: Mapping[str, Any], condition: Filter) -> bool:
    """Whether a filter's condition is true of a record; text stands for numbers and flags."""
    name, operator, wanted = condition
    return (_text(_value(record, name)) == _text(wanted)) == (operator == EQUAL)


def _value(record: Mapping[str, Any], name: str) -> Any:
    value = record.get(name)
    return value() if callable(value) else value


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def about(kind: str, record: Mapping[str, Any], *, detail: bool) -> Record:
    """The typed form of a record; without *detail*, only what is of use in a list."""
    made = KINDS[kind]
    known = {
        one.name: record[one.name]
        for one in fields(made)
        if one.name in record and (detail or not one.metadata.get("detail"))
    }
    return made(**known)
