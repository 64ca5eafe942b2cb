"""A node's daemon: passes events to the state machines and does what they say."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from functools import partial

import msgspec

from air.executor.resources import Resources
from air_cluster.core.instructions import (
    BundleReserved,
    Grant,
    Instruction,
    LeaseLost,
    Place,
    Reclaim,
    Refuse,
    RefusePlacement,
    StartWorker,
    StopWorker,
)
from air_cluster.core.leases import NodeScheduler
from air_cluster.core.shapes import RefusalKind, ShapeKey
from air_cluster.daemon.actors import ActorService
from air_cluster.daemon.agenda import Agenda
from air_cluster.daemon.clients import ClientRecord, Clients
from air_cluster.daemon.groups import GroupService
from air_cluster.daemon.memory import NodeMemory
from air_cluster.daemon.pool import WorkerPool
from air_cluster.daemon.segments import SegmentService
from air_cluster.protocol import messages
from air_cluster.protocol.ids import new_process_id
from air_cluster.protocol.messages import Shape
from air_cluster.transport.connection import Connection
from air_cluster.transport.peers import Peers
from air_cluster.transport.reactor import Reactor

logger = logging.getLogger(__name__)

_TICK_S = 0.5
REFUSALS = {
    RefusalKind.INFEASIBLE: "unschedulable",
    RefusalKind.GROUP_REMOVED: "removed",
    RefusalKind.WORKER_START_FAILED: "broken",
}


class _Worker(msgspec.Struct):
    """A worker process: the scheduler's name for it, and its own identity."""

    name: str
    process: bytes
    how_it_ended: str = "it ended"
    why_stopped: str = ""
    busy: bool = False


class _Owner(msgspec.Struct):
    """One depth of tasks of one client, as the scheduler sees demand."""

    process: bytes
    shape_ids: dict[ShapeKey, int] = msgspec.field(default_factory=dict)


class NodeDaemon:
    """Everything that a node does for the processes on it."""

    def __init__(
        self,
        reactor: Reactor,
        peers: Peers,
        node_id: str,
        total: Resources,
        labels: dict[str, str],
        memory: NodeMemory,
    ) -> None:
        self.reactor = reactor
        self.peers = peers
        self.node_id = node_id
        self.total = total
        self.labels = labels
        self.memory = memory
        self.stopping = False
        self.agenda = Agenda()
        self.clients = Clients()
        self.scheduler = NodeScheduler(
            node_id, total, max_idle_workers=max(1, int(total.get("CPU", 1)))
        )
        self.pool: WorkerPool
        self._workers: dict[str, _Worker] = {}
        self._by_process: dict[bytes, _Worker] = {}
        self._owners: dict[bytes, _Owner] = {}
        self._lease_workers: dict[int, str] = {}
        self._looking = False
        self.actors = ActorService(self)
        self.groups = GroupService(self)
        self.segments = SegmentService(self)
        handle = peers.handle
        handle(messages.Register, self._on_register)
        handle(messages.SetDemand, self._on_demand)
        handle(messages.LeaseReturn, self._on_return)
        handle(messages.KillWorker, self._on_kill_worker)
        handle(messages.Blocked, self._on_blocked)
        handle(messages.Preload, lambda _c, m, _p: self.pool.preload(m.modules))
        handle(messages.Ask, self._on_ask)
        handle(messages.Exit, lambda _c, _m, _p: self.stop())
        peers.on_lost = self._on_lost
        reactor.call_later(_TICK_S, self._tick)

    def stop(self) -> None:
        """End everything on this node."""
        self.stopping = True

    def _tick(self) -> None:
        self.follow(self.scheduler.tick(time.monotonic()))
        self.actors.tick()
        self.reactor.call_later(_TICK_S, self._tick)

    # Clients ------------------------------------------------------------------------------

    def _on_register(self, connection: Connection, message: messages.Register, _p: object) -> None:
        record = ClientRecord(
            process=connection.peer,
            kind=message.kind,
            connection=connection,
            address=message.address,
            namespace=message.namespace,
            wants_logs=message.log_to_driver,
        )
        self.clients.add(record)
        connection.send(messages.Welcome(self.node_id, self.clients.job_id, record.address))
        worker = self._by_process.get(connection.peer)
        if worker is not None:
            self.follow(self.scheduler.worker_ready(worker.name, time.monotonic()))

    def _on_lost(self, connection: Connection, reason: str) -> None:
        record = self.clients.remove(connection)
        if record is None or self.stopping:
            return
        if record.kind == "driver":
            # The program that started this cluster is gone: nothing of it may stay.
            self.stop()
            return
        # Its template tells how it ended; should it live on without us, end it.
        self.pool.kill(record.process)

    def worker_exited(self, process: bytes, how: str) -> None:
        """A worker's process is gone."""
        worker = self._by_process.pop(process, None)
        if worker is None or self.stopping:
            return
        worker.how_it_ended = how = worker.why_stopped or how
        now = time.monotonic()
        gone = messages.ProcessGone(process, how)
        others = self.clients.others(process)
        self.segments.process_gone(process)
        for record in others:
            record.connection.send(gone)
        self.follow(self.scheduler.worker_died(worker.name, now))
        self.actors.worker_died(worker.name, how)
        del self._workers[worker.name]
        self.owner_gone(process)

    def owner_gone(self, process: bytes) -> None:
        """What a process demanded, leased and owned goes with it."""
        now = time.monotonic()
        for key in [k for k, owner in self._owners.items() if owner.process == process]:
            del self._owners[key]
            self.follow(self.scheduler.owner_gone(key, now))
        self.actors.owner_gone(process)
        self.groups.owner_gone(process)

    def worker_printed(self, source: str, is_error: bool, text: bytes) -> None:
        """Pass on what a worker printed to the drivers that want to see it."""
        line = messages.LogLines(source, is_error)
        for record in self.clients.drivers():
            if record.wants_logs:
                record.connection.send(line, [text])

    # Leases -------------------------------------------------------------------------------

    def shape_key(self, shape: Shape) -> ShapeKey:
        """A shape from the wire, for the scheduler."""
        pool = (shape.group, shape.bundle) if shape.group else None
        return ShapeKey(Resources(shape.resources), pool)

    def forget_group(self, group_id: bytes) -> None:
        """A placement group was removed: no worker in it will be asked for or granted."""
        for owner in self._owners.values():
            for shape in [s for s in owner.shape_ids if s.pool and s.pool[0] == group_id]:
                del owner.shape_ids[shape]

    def unknown_node(self, shape: Shape) -> str | None:
        """Why a request that is tied to a node can never be met here, if so."""
        if shape.node and not shape.soft and shape.node != self.node_id:
            return (
                f"no node has the identity {shape.node!r}, to which the request is tied;"
                f" the nodes are: {self.node_id!r}"
            )
        return None

    def _on_demand(self, connection: Connection, message: messages.SetDemand, _p: object) -> None:
        refusal = self.unknown_node(message.shape)
        if refusal is not None:
            if message.count:
                connection.send(messages.LeaseRefused(message.shape_id, "unschedulable", refusal))
            return
        # The scheduler knows owners by name: one for each depth, since depth is priority.
        key = connection.peer + message.depth.to_bytes(4, "big")
        owner = self._owners.setdefault(key, _Owner(connection.peer))
        shape = self.shape_key(message.shape)
        owner.shape_ids[shape] = message.shape_id
        now = time.monotonic()
        self.follow(self.scheduler.set_demand(key, shape, message.count, message.depth, now))

    def _on_return(
        self, _connection: Connection, message: messages.LeaseReturn, _p: object
    ) -> None:
        name = self._lease_workers.pop(message.lease_id, None)
        if name is not None and name in self._workers:
            self._workers[name].busy = False
        self.follow(self.scheduler.return_lease(message.lease_id, time.monotonic()))

    def _on_kill_worker(self, _c: Connection, message: messages.KillWorker, _p: object) -> None:
        name = self._lease_workers.get(message.lease_id)
        if name is not None and name in self._workers:
            self.pool.kill(self._workers[name].process)

    def _on_blocked(self, connection: Connection, message: messages.Blocked, _p: object) -> None:
        worker = self._by_process.get(connection.peer)
        if worker is not None:
            now = time.monotonic()
            change = self.scheduler.blocked if message.blocked else self.scheduler.unblocked
            self.follow(change(worker.name, now))

    # Following the scheduler --------------------------------------------------------------

    def follow(self, instructions: Iterable[Instruction], why_stop: str = "") -> None:
        """Do what the scheduler says, in order.

        Args:
            why_stop: why workers are stopped, to be told to those who lose them.
        """
        if not self._looking:
            self._looking = True
            self.reactor.call_soon(self._look_at_groups)
        self.agenda.add(partial(self._carry_out, why_stop), instructions)

    def _carry_out(self, why_stop: str, instruction: Instruction) -> None:
        if isinstance(instruction, Grant):
            self._grant(instruction)
        elif isinstance(instruction, StartWorker):
            self._start_worker(instruction)
        elif isinstance(instruction, StopWorker):
            self._stop_worker(instruction.worker_id, why_stop)
        elif isinstance(instruction, Reclaim):
            self._send_to_owner(instruction.owner, messages.LeaseReclaim(instruction.lease_id))
        elif isinstance(instruction, LeaseLost):
            self._lease_lost(instruction)
        elif isinstance(instruction, Refuse):
            self._refuse(instruction)
        elif isinstance(instruction, Place):
            self._place(instruction)
        elif isinstance(instruction, RefusePlacement):
            self.actors.refused(instruction, REFUSALS[instruction.reason])
        elif isinstance(instruction, BundleReserved):
            self.groups.bundle_reserved(instruction)

    def _look_at_groups(self) -> None:
        """Once after each round of events: may a placement group that waits be placed now?"""
        self._looking = False
        self.groups.resources_changed()

    def _grant(self, instruction: Grant) -> None:
        owner = self._owners[instruction.owner]
        worker = self._workers[instruction.worker_id]
        worker.busy = True
        self._lease_workers[instruction.lease_id] = worker.name
        record = self.clients.get(worker.process)
        self._send_to_owner(
            instruction.owner,
            messages.LeaseGranted(
                owner.shape_ids[instruction.shape],
                instruction.lease_id,
                worker.process,
                record.address if record is not None else "",
                list(instruction.gpu_ids),
            ),
        )

    def _start_worker(self, instruction: StartWorker) -> None:
        worker = _Worker(instruction.worker_id, new_process_id())
        self._workers[worker.name] = worker
        self._by_process[worker.process] = worker
        self.pool.start(worker.process, dedicated=instruction.dedicated)

    def _stop_worker(self, name: str, why: str) -> None:
        worker = self._workers.get(name)
        if worker is None:
            return
        worker.why_stopped = why
        record = self.clients.get(worker.process)
        if worker.busy or record is None:
            self.pool.kill(worker.process)
        else:
            # It is idle, but others may still want values that it owns.
            record.connection.send(messages.Exit(graceful=True))

    def _lease_lost(self, instruction: LeaseLost) -> None:
        name = self._lease_workers.pop(instruction.lease_id, None)
        worker = self._workers.get(name) if name is not None else None
        reason = worker.how_it_ended if worker is not None else "it ended"
        if instruction.reason.value == "group_removed":
            reason = "its placement group was removed"
        self._send_to_owner(instruction.owner, messages.LeaseLost(instruction.lease_id, reason))

    def _refuse(self, instruction: Refuse) -> None:
        owner = self._owners.get(instruction.owner)
        if owner is not None:
            # It states its demand anew if it wants to try again.
            shape_id = owner.shape_ids.pop(instruction.shape)
            kind = REFUSALS[instruction.reason]
            self._send_to_owner(
                instruction.owner, messages.LeaseRefused(shape_id, kind, instruction.message)
            )

    def _place(self, instruction: Place) -> None:
        self._workers[instruction.worker_id].busy = True
        self.actors.placed(instruction.actor_id, instruction.worker_id, list(instruction.gpu_ids))

    # For the actor service ----------------------------------------------------------------

    def place(self, actor_id: bytes, shape: ShapeKey, owner: bytes, depth: int) -> None:
        """Find a worker for an actor."""
        now = time.monotonic()
        self.follow(self.scheduler.place(actor_id, shape, owner=owner, depth=depth, now=now))

    def cancel_placement(self, actor_id: bytes) -> None:
        """It needs none any more."""
        self.follow(self.scheduler.cancel_placement(actor_id, time.monotonic()))

    def client_of_worker(self, name: str) -> ClientRecord | None:
        """The connected client that a worker is."""
        worker = self._workers.get(name)
        return None if worker is None else self.clients.get(worker.process)

    def process_of_worker(self, name: str) -> bytes:
        """The identity of a worker's process."""
        worker = self._workers.get(name)
        return b"" if worker is None else worker.process

    def kill_worker(self, name: str) -> None:
        """End a worker at once."""
        worker = self._workers.get(name)
        if worker is not None:
            self.pool.kill(worker.process)

    def _send_to_owner(self, owner: bytes, message: messages.Message) -> None:
        found = self._owners.get(owner)
        record = self.clients.get(found.process) if found is not None else None
        if record is not None:
            record.connection.send(message)

    # Questions ----------------------------------------------------------------------------

    def _on_ask(self, connection: Connection, message: messages.Ask, _p: object) -> None:
        content: object
        if message.topic == "nodes":
            content = [
                {
                    "node_id": self.node_id,
                    "address": "127.0.0.1",
                    "alive": True,
                    "resources": self.total.to_dict(),
                    "labels": self.labels,
                }
            ]
        elif message.topic == "available":
            free = self.scheduler.available()
            # Owners give idle leases back after a moment; CPU may be overdrawn for one, too.
            content = {name: max(0.0, free.get(name, 0.0)) for name in self.total}
        else:
            content = self.groups.infos()
        connection.send(messages.Reply(message.request, "", content))

    def close(self) -> None:
        """End all processes and give everything back; passes on what they printed."""
        self.pool.close()
        for record in self.clients.drivers():
            record.connection.drain()
        self.memory.close()
        self.peers.close()
