"""Actors: between clients and daemons, and calls, straight to their processes."""

from __future__ import annotations

import msgspec

from air.executor.streaming import BYTES_AHEAD
from air_cluster.protocol.messages.leases import Shape
from air_cluster.protocol.messages.values import Ref, Value


class KeptPackage(msgspec.Struct, array_like=True, frozen=True):
    """Files of a runtime environment that are kept for a detached actor."""

    key: str
    nbytes: int


class CreateActor(msgspec.Struct, tag=10, array_like=True, frozen=True):
    """Make an actor. Payload: pickled class, then the arguments, then *packages*.

    *namespace* is that of its name, *job_namespace* that of the program which makes it. *groups*
    are its concurrency groups with their sizes.
    """

    request: int
    actor_id: bytes
    class_name: str
    methods: bytes
    name: str
    namespace: str
    detached: bool
    get_if_exists: bool
    max_restarts: int
    max_concurrency: int
    shape: Shape
    capture: bool
    code: bytes
    code_bytes: int
    depth: int
    address: str
    args: Value
    slots: list[Value]
    slot_refs: list[Ref]
    job_id: bytes = b""
    job_namespace: str = "default"
    groups: dict[str, int] = {}
    packages: list[KeptPackage] = []


class ActorReply(msgspec.Struct, tag=11, array_like=True, frozen=True):
    """Answer to ``CreateActor`` with a name and to ``FindActor``; empty error: found."""

    request: int
    error: str
    actor_id: bytes = b""
    class_name: str = ""
    methods: bytes = b""
    owner_address: str = ""


class ActorEvent(msgspec.Struct, tag=12, array_like=True, frozen=True):
    """An actor's state changed. Payload: why its constructor failed, if it did.

    ``refusal`` says why it never got a worker, in the terms of ``LeaseRefused``; ``death`` and
    ``death_kind`` are those of ``ActorDied``.
    """

    actor_id: bytes
    state: str
    worker: bytes
    address: str
    reason: str
    refusal: str = ""
    death: str = ""
    death_kind: str = ""


class WatchActor(msgspec.Struct, tag=13, array_like=True, frozen=True):
    """Tell me of this actor's state, now and at each change."""

    actor_id: bytes


class KillActor(msgspec.Struct, tag=14, array_like=True, frozen=True):
    """End an actor at once."""

    actor_id: bytes
    no_restart: bool


class ReleaseActor(msgspec.Struct, tag=15, array_like=True, frozen=True):
    """Nobody holds a handle any more: end the actor when its calls are done."""

    actor_id: bytes


class FindActor(msgspec.Struct, tag=16, array_like=True, frozen=True):
    """Look an actor up by name."""

    request: int
    name: str
    namespace: str


class StartActor(msgspec.Struct, tag=17, array_like=True, frozen=True):
    """To a fresh worker: become this actor. Payload as in ``CreateActor``."""

    spec: CreateActor
    gpu_ids: list[int]
    restarted: bool


class ActorStarted(msgspec.Struct, tag=18, array_like=True, frozen=True):
    """From the worker: the constructor ended. Payload: its failure, if it failed."""

    actor_id: bytes
    failed: bool


class ActorExit(msgspec.Struct, tag=19, array_like=True, frozen=True):
    """To a worker: end gracefully. From a worker: the actor asked to end itself."""

    actor_id: bytes


class ActorOver(msgspec.Struct, tag=118, array_like=True, frozen=True):
    """From an actor's worker: the actor has ended, and holds nothing any more.

    The process stays as long as others want values of it.
    """

    actor_id: bytes


class ActorCall(msgspec.Struct, tag=42, array_like=True, frozen=True):
    """Call a method, in a concurrency group if one is named. Payload: arguments, slots.

    ``ahead`` is as in :class:`Task`.
    """

    task_id: bytes
    actor_id: bytes
    method: str
    name: str
    returns: int
    depth: int
    address: str
    args: Value
    slots: list[Value] = []
    slot_refs: list[Ref] = []
    group: str = ""
    ahead: int = BYTES_AHEAD
