"""The actor service of a daemon: does what the registry of actors says."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from air.errors import InvalidOption
from air_cluster.core.actors import (
    ActorInstruction,
    ActorRegistry,
    ActorSpec,
    ActorState,
    CancelPlacement,
    Publish,
    RequestPlacement,
    StartActor,
    StopActor,
)
from air_cluster.core.instructions import RefusePlacement
from air_cluster.protocol import messages
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.daemon.node import NodeDaemon


class _Made(msgspec.Struct):
    """What an actor is made of, kept for restarts; the values are not looked into."""

    message: messages.CreateActor
    payload: bytes
    gpu_ids: list[int]
    refusal: str = ""


class ActorService:
    """Creates, finds, restarts and ends the actors of a cluster."""

    def __init__(self, node: NodeDaemon) -> None:
        self._node = node
        self._registry = ActorRegistry()
        self._made: dict[bytes, _Made] = {}
        handle = node.peers.handle
        handle(messages.CreateActor, self._on_create)
        handle(messages.FindActor, self._on_find)
        handle(messages.WatchActor, self._on_watch)
        handle(messages.KillActor, self._on_kill)
        handle(messages.ReleaseActor, self._on_release)
        handle(messages.ActorStarted, self._on_started)
        handle(messages.ActorExit, self._on_exit)

    # Events -------------------------------------------------------------------------------

    def placed(self, actor_id: bytes, worker: str, gpu_ids: list[int]) -> None:
        """There is a worker for an actor."""
        made = self._made.get(actor_id)
        if made is not None:
            made.gpu_ids = gpu_ids
        self._follow(self._registry.placed(actor_id, worker, time.monotonic()))

    def refused(self, instruction: RefusePlacement, kind: str) -> None:
        """There will be no worker for an actor."""
        actor_id = instruction.actor_id
        if actor_id in self._made:
            self._made[actor_id].refusal = kind
        self._follow(self._registry.refused(actor_id, instruction.message, time.monotonic()))

    def worker_died(self, worker: str, how: str) -> None:
        """A worker's process is gone."""
        self._follow(self._registry.worker_died(worker, time.monotonic(), how))

    def owner_gone(self, process: bytes) -> None:
        """A process is gone, and its actors with it."""
        self._follow(self._registry.owner_gone(process, time.monotonic()))

    def tick(self) -> None:
        """Time passes: actors that somebody asked for and that never came are reported."""
        self._follow(self._registry.tick(time.monotonic()))

    # Messages -----------------------------------------------------------------------------

    def _on_create(
        self, connection: Connection, message: messages.CreateActor, payload: bytes
    ) -> None:
        spec = ActorSpec(
            actor_id=message.actor_id,
            owner=connection.peer,
            shape=self._node.shape_key(message.shape),
            name=message.name,
            namespace=message.namespace,
            max_restarts=message.max_restarts,
            detached=message.detached,
            depth=message.depth,
        )
        now = time.monotonic()
        try:
            actor_id, out = self._registry.create(
                spec, get_if_exists=message.get_if_exists, now=now
            )
        except InvalidOption as error:
            connection.send(messages.ActorReply(message.request, str(error)))
            return
        if actor_id == message.actor_id:
            self._made[actor_id] = _Made(message, payload, [])
            self._follow(self._registry.subscribe(actor_id, connection.peer))
        if message.request:
            connection.send(self._found(message.request, actor_id))
        refusal = self._node.unknown_node(message.shape)
        if refusal is not None and actor_id == message.actor_id:
            self._made[actor_id].refusal = "unschedulable"
            self._follow(self._registry.refused(actor_id, refusal, now))
        else:
            self._follow(out)

    def _on_find(self, connection: Connection, message: messages.FindActor, _p: object) -> None:
        try:
            actor_id = self._registry.find(message.name, message.namespace)
        except ValueError as error:
            connection.send(messages.ActorReply(message.request, str(error)))
        else:
            connection.send(self._found(message.request, actor_id))

    def _found(self, request: int, actor_id: bytes) -> messages.ActorReply:
        message = self._made[actor_id].message
        return messages.ActorReply(
            request, "", actor_id, message.class_name, message.methods, message.address
        )

    def _on_watch(self, connection: Connection, message: messages.WatchActor, _p: object) -> None:
        self._follow(self._registry.subscribe(message.actor_id, connection.peer))

    def _on_kill(self, _c: Connection, message: messages.KillActor, _p: object) -> None:
        now = time.monotonic()
        self._follow(self._registry.kill(message.actor_id, message.no_restart, now))

    def _on_release(self, _c: Connection, message: messages.ReleaseActor, _p: object) -> None:
        self._follow(self._registry.released(message.actor_id, time.monotonic()))

    def _on_started(
        self, connection: Connection, message: messages.ActorStarted, payload: bytes
    ) -> None:
        now = time.monotonic()
        if message.failed:
            self._follow(self._registry.failed(message.actor_id, payload, now))
            return
        record = self._node.clients.get(connection.peer)
        if record is not None:
            self._follow(self._registry.started(message.actor_id, record.address, now))

    def _on_exit(self, _c: Connection, message: messages.ActorExit, _p: object) -> None:
        self._follow(self._registry.exiting(message.actor_id, time.monotonic()))

    # Following the registry ---------------------------------------------------------------

    def _follow(self, instructions: Iterable[ActorInstruction]) -> None:
        self._node.agenda.add(self._carry_out, instructions)

    def _carry_out(self, instruction: ActorInstruction) -> None:
        if isinstance(instruction, RequestPlacement):
            self._node.place(
                instruction.actor_id, instruction.shape, instruction.owner, instruction.depth
            )
        elif isinstance(instruction, CancelPlacement):
            self._node.cancel_placement(instruction.actor_id)
        elif isinstance(instruction, StartActor):
            self._start(instruction)
        elif isinstance(instruction, StopActor):
            self._stop(instruction)
        else:
            self._publish(instruction)

    def _start(self, instruction: StartActor) -> None:
        made = self._made[instruction.actor_id]
        info = self._registry.info(instruction.actor_id)
        record = self._node.client_of_worker(instruction.worker_id)
        if record is not None and info is not None:
            start = messages.StartActor(made.message, made.gpu_ids, info.restarts > 0)
            record.connection.send(start, [made.payload])

    def _stop(self, instruction: StopActor) -> None:
        record = self._node.client_of_worker(instruction.worker_id)
        if instruction.graceful and record is not None:
            record.connection.send(messages.ActorExit(instruction.actor_id))
        else:
            self._node.kill_worker(instruction.worker_id)

    def _publish(self, instruction: Publish) -> None:
        actor_id = instruction.actor_id
        info = self._registry.info(actor_id)
        worker = b""
        if info is not None and info.worker_id is not None:
            worker = self._node.process_of_worker(info.worker_id)
        made = self._made.get(actor_id)
        event = messages.ActorEvent(
            actor_id,
            instruction.state.value,
            worker,
            instruction.address or "",
            instruction.message,
            made.refusal if made is not None else "",
        )
        payload = [instruction.cause] if instruction.cause else []
        for process in instruction.subscribers:
            record = self._node.clients.get(process)
            if record is not None:
                record.connection.send(event, payload)
        if instruction.state is ActorState.DEAD:
            self._made.pop(actor_id, None)
