"""Between clients: tasks, what has become of them, streams."""

from __future__ import annotations

import msgspec

from air.executor.streaming import BYTES_AHEAD
from air_cluster.protocol.messages.values import Ref, Value


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
    references. ``address`` is where the caller listens. ``ahead``: see ``bytes_ahead`` in
    :mod:`air.executor.options`.
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
    ahead: int = BYTES_AHEAD


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
