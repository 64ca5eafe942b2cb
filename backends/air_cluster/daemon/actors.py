"""The head's service of actors: does what the registry of actors says."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from air.errors import InvalidOption
from air_cluster.core.actor_states import (
    ActorInfo,
    ActorInstruction,
    ActorSpec,
    ActorState,
    CancelPlacement,
    DeathCause,
    Publish,
    RequestPlacement,
    StartActor,
    StopActor,
)
from air_cluster.core.actors import ActorRegistry
from air_cluster.core.shapes import ANY_BUNDLE
from air_cluster.daemon.kept import KeptActor
from air_cluster.daemon.shapes import shape_key
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol import messages
from air_cluster.protocol.ids import node_of

if TYPE_CHECKING:
    from air_cluster.daemon.head import ClientRoute, HeadService, NodeRecord


_WITHOUT_WORKER = (ActorState.PENDING, ActorState.RESTARTING)


class _Made(msgspec.Struct, eq=False):
    """What an actor is made of, kept for restarts; the values are not looked into."""

    message: messages.CreateActor
    payload: bytes
    process: bytes = b""
    gpu_ids: list[int] = msgspec.field(default_factory=list)
    refusal: str = ""

    @property
    def without_packages(self) -> bytes:
        """What the actor's process needs of the payload: it has got its environment before."""
        kept = sum(package.nbytes for package in self.message.packages)
        return self.payload[: len(self.payload) - kept] if kept else self.payload

    def package(self, key: str) -> bytes | None:
        """A package of its environment, if it is kept with it."""
        start = len(self.without_packages)
        for package in self.message.packages:
            if package.key == key:
                return self.payload[start : start + package.nbytes]
            start += package.nbytes
        return None


class ActorService:
    """Creates, finds, restarts and ends the actors of a cluster."""

    def __init__(self, head: HeadService) -> None:
        self._head = head
        self._registry = ActorRegistry()
        self._made: dict[bytes, _Made] = {}
        self._roots: set[bytes] = set()  # processes of detached actors
        head.on_client(messages.CreateActor, self._on_create)
        head.on_client(messages.FindActor, self._on_find)
        head.on_client(messages.WatchActor, self._on_watch)
        head.on_client(messages.KillActor, self._on_kill)
        head.on_client(messages.ReleaseActor, self._on_release)
        head.on_node(wire.ActorPlaced, self._on_placed)
        head.on_node(wire.PlacementRefused, self._on_refused)
        head.on_node(wire.ActorUp, self._on_up)
        head.on_node(wire.ActorLeaves, self._on_leaves)
        head.on_node(wire.WorkerGone, self._on_worker_gone)

    # Events -------------------------------------------------------------------------------

    def owner_gone(self, process: bytes) -> None:
        """A process is gone, and its actors with it."""
        self._follow(self._registry.owner_gone(process, time.monotonic()))

    def job_gone(self, root: bytes) -> None:
        """A program has ended, or the process of a detached actor."""
        self._roots.discard(root)
        self._follow(self._registry.job_gone(root, time.monotonic()))

    def package(self, key: str) -> bytes | None:
        """Files of a runtime environment whose owner is gone, if a detached actor keeps them."""
        found = (made.package(key) for made in self._made.values() if made.message.packages)
        return next((content for content in found if content is not None), None)

    def is_root(self, process: bytes) -> bool:
        """Whether it is one of :meth:`roots`."""
        return process in self._roots

    def roots(self) -> list[bytes]:
        """The processes of detached actors: to what they start they are what a program is."""
        return list(self._roots)

    def node_lost(self, node: NodeRecord, why: str) -> None:
        """A node is gone, with the workers on it and the owners of actors."""
        now = time.monotonic()
        for owner in self._registry.owners():
            if node_of(owner) == node.entry.number:
                self.owner_gone(owner)
        for worker in self._registry.workers():
            if worker.startswith(node.entry.name):
                self._follow(self._registry.worker_died(worker, now, why))

    def refused(self, actor_id: bytes, kind: str, message: str) -> None:
        """There will be no worker for an actor."""
        made = self._made.get(actor_id)
        if made is not None:
            made.refusal = kind
        self._follow(self._registry.refused(actor_id, message, time.monotonic()))

    def tick(self) -> None:
        """Time passes: actors that somebody asked for and that never came are reported."""
        self._follow(self._registry.tick(time.monotonic()))

    # Keeping them -------------------------------------------------------------------------

    def take_changed(self) -> list[bytes]:
        """The actors that may have to be kept anew."""
        return self._registry.take_changed()

    def kept(self, actor_id: bytes) -> KeptActor | None:
        """What is kept of an actor; ``None`` if it is dead."""
        snapshot, made = self._registry.snapshot(actor_id), self._made.get(actor_id)
        info = self._registry.info(actor_id)
        if snapshot is None or made is None or info is None:
            return None
        return KeptActor(
            made.message,
            made.payload,
            info.spec.owner,
            made.process,
            made.gpu_ids,
            made.refusal,
            snapshot,
        )

    def restore(self, kept: KeptActor) -> None:
        """Take up an actor; the nodes and the groups are there already."""
        actor_id = kept.message.actor_id
        self._made[actor_id] = _Made(
            kept.message, kept.payload, kept.process, kept.gpu_ids, kept.refusal
        )
        if kept.message.detached and kept.snapshot.worker_id is not None:
            self._roots.add(kept.process)
        spec = _spec(kept.message, kept.owner)
        self._follow(self._registry.restore(spec, kept.snapshot, time.monotonic()))

    # Messages of nodes --------------------------------------------------------------------

    def _on_placed(self, node: NodeRecord, message: wire.ActorPlaced, _payload: bytes) -> None:
        made = self._made.get(message.actor_id)
        if made is None:  # it needs none any more
            node.link.send(wire.EndActor(message.actor_id, message.worker, False))
            return
        self._head.demand.placed(message.actor_id, node)
        now = time.monotonic()
        out = self._registry.placed(message.actor_id, message.worker, now)
        if any(isinstance(each, StartActor) for each in out):  # else it has another worker
            made.process, made.gpu_ids = message.process, message.gpu_ids
            if made.message.detached:
                self._roots.add(message.process)
        self._follow(out)

    def _on_refused(self, node: NodeRecord, message: wire.PlacementRefused, _p: bytes) -> None:
        if message.kind in ("broken", "environment"):  # no worker starts there
            self.refused(message.actor_id, message.kind, message.message)
        else:
            self._head.demand.refused(message.actor_id, node)

    def _on_up(self, _node: NodeRecord, message: wire.ActorUp, payload: bytes) -> None:
        now = time.monotonic()
        if message.failed:
            self._follow(self._registry.failed(message.actor_id, payload, now))
        else:
            self._follow(self._registry.started(message.actor_id, message.address, now))

    def _on_leaves(self, _node: NodeRecord, message: wire.ActorLeaves, _payload: bytes) -> None:
        self._follow(self._registry.exiting(message.actor_id, time.monotonic()))

    def _on_worker_gone(self, _node: NodeRecord, message: wire.WorkerGone, _p: bytes) -> None:
        kind, now = DeathCause(message.kind), time.monotonic()
        self._follow(self._registry.worker_died(message.worker, now, message.how, kind))

    def names(self) -> list[tuple[str, str]]:
        """Namespace and name of each actor that lives and has a name, sorted."""
        return self._registry.all_names()

    def infos(self) -> list[dict[str, Any]]:
        """All actors that are remembered, in the order of their creation, for a listing."""
        now = time.monotonic()
        return [self._info(info, now) for info in self._registry.actors()]

    def unplaced(self) -> list[ActorInfo]:
        """Those that wait for a worker."""
        return [info for info in self._registry.actors() if info.state in _WITHOUT_WORKER]

    def info(self, actor_id: bytes) -> dict[str, Any] | None:
        """One of them; ``None`` if it is not remembered."""
        found = self._registry.info(actor_id)
        return None if found is None else self._info(found, time.monotonic())

    def _info(self, info: ActorInfo, now: float) -> dict[str, Any]:
        spec, made = info.spec, self._made.get(info.spec.actor_id)
        has_process = info.worker_id is not None and made is not None
        node = None if info.worker_id is None else self._head.node_of_worker(info.worker_id)
        return {
            "actor_id": spec.actor_id,
            "class_name": spec.class_name,
            "state": info.state.value,
            "job_id": spec.job,
            "name": spec.name,
            "namespace": spec.namespace,
            "node_id": None if node is None else node.entry.name,
            "process": made.process if has_process and made is not None else b"",
            "resources": spec.shape.resources.to_dict(),
            "group": spec.shape.pool[0] if spec.shape.pool else b"",
            "bundle": spec.shape.pool[1] if spec.shape.pool else ANY_BUNDLE,
            "tied_to": spec.tied_to,
            "restarts": info.restarts,
            "message": info.message,
            "detached": spec.detached,
            "for_s": now - info.since,
        }

    # Messages of clients ------------------------------------------------------------------

    def _on_create(
        self, client: ClientRoute, message: messages.CreateActor, payload: bytes
    ) -> None:
        # One that has a name is for the whole program, whoever in it has made it.
        owner = message.job_id if message.name and message.job_id else client.peer
        spec = _spec(message, owner)
        now = time.monotonic()
        try:
            actor_id, out = self._registry.create(
                spec, get_if_exists=message.get_if_exists, now=now
            )
        except InvalidOption as error:
            client.send(messages.ActorReply(message.request, str(error)))
            return
        if actor_id == message.actor_id:
            self._made[actor_id] = _Made(message, payload)
            self._follow(self._registry.subscribe(actor_id, client.peer))
        if message.request:
            client.send(self._found(message.request, actor_id))
        self._follow(out)
        if self._head.is_over(message.job_id):  # its last words, by way of another node
            self.job_gone(message.job_id)

    def _on_find(self, client: ClientRoute, message: messages.FindActor, _p: bytes) -> None:
        try:
            actor_id = self._registry.find(message.name, message.namespace)
        except ValueError as error:
            client.send(messages.ActorReply(message.request, str(error)))
        else:
            client.send(self._found(message.request, actor_id))

    def _found(self, request: int, actor_id: bytes) -> messages.ActorReply:
        message = self._made[actor_id].message
        return messages.ActorReply(
            request, "", actor_id, message.class_name, message.methods, message.address
        )

    def _on_watch(self, client: ClientRoute, message: messages.WatchActor, _p: bytes) -> None:
        self._follow(self._registry.subscribe(message.actor_id, client.peer))

    def _on_kill(self, _client: ClientRoute, message: messages.KillActor, _p: bytes) -> None:
        now = time.monotonic()
        self._follow(self._registry.kill(message.actor_id, message.no_restart, now))

    def _on_release(self, _client: ClientRoute, message: messages.ReleaseActor, _p: bytes) -> None:
        self._follow(self._registry.released(message.actor_id, time.monotonic()))

    # Following the registry ---------------------------------------------------------------

    def _follow(self, instructions: Iterable[ActorInstruction]) -> None:
        self._head.agenda.add(self._carry_out, instructions)

    def _carry_out(self, instruction: ActorInstruction) -> None:
        if isinstance(instruction, RequestPlacement):
            made = self._made[instruction.actor_id]
            self._head.demand.place(
                instruction.actor_id, made.message.shape, instruction.owner, instruction.depth
            )
        elif isinstance(instruction, CancelPlacement):
            self._head.demand.cancel(instruction.actor_id)
        elif isinstance(instruction, StartActor):
            self._start(instruction)
        elif isinstance(instruction, StopActor):
            self._stop(instruction)
        else:
            self._publish(instruction)

    def _start(self, instruction: StartActor) -> None:
        made = self._made[instruction.actor_id]
        info = self._registry.info(instruction.actor_id)
        node = self._head.node_of_worker(instruction.worker_id)
        if node is not None and info is not None:
            restarted = info.restarts > 0
            run = wire.RunActor(instruction.worker_id, made.message, made.gpu_ids, restarted)
            node.link.send(run, [made.without_packages])

    def _stop(self, instruction: StopActor) -> None:
        node = self._head.node_of_worker(instruction.worker_id)
        if node is not None:
            node.link.send(
                wire.EndActor(instruction.actor_id, instruction.worker_id, instruction.graceful)
            )

    def _publish(self, instruction: Publish) -> None:
        actor_id = instruction.actor_id
        info = self._registry.info(actor_id)
        made = self._made.get(actor_id)
        has_worker = info is not None and info.worker_id is not None and made is not None
        event = messages.ActorEvent(
            actor_id,
            instruction.state.value,
            made.process if has_worker and made is not None else b"",
            instruction.address or "",
            instruction.message,
            made.refusal if made is not None else "",
            instruction.death,
            instruction.reason.value if instruction.reason is not None else "",
        )
        payload = [instruction.cause] if instruction.cause else []
        for process in instruction.subscribers:
            self._head.send_to_client(process, event, payload)
        if instruction.state is ActorState.DEAD:
            self._made.pop(actor_id, None)


def _spec(message: messages.CreateActor, owner: bytes) -> ActorSpec:
    """What the registry has to know."""
    return ActorSpec(
        actor_id=message.actor_id,
        owner=owner,
        shape=shape_key(message.shape),
        name=message.name,
        namespace=message.namespace,
        max_restarts=message.max_restarts,
        detached=message.detached,
        depth=message.depth,
        class_name=message.class_name,
        job=message.job_id,
        tied_to="" if message.shape.soft else message.shape.node,
    )
