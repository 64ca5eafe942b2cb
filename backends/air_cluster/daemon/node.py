"""A node's daemon: passes events to the state machines and does what they say."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

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
from air_cluster.core.leases import MAX_WEIGHTLESS, NodeScheduler
from air_cluster.daemon.absence import Absence
from air_cluster.daemon.agenda import Agenda
from air_cluster.daemon.bundles import Bundles
from air_cluster.daemon.clients import ClientRecord, Clients
from air_cluster.daemon.head import Link
from air_cluster.daemon.hosting import ActorHosting
from air_cluster.daemon.leasing import Leasing
from air_cluster.daemon.memory import NodeMemory
from air_cluster.daemon.orphans import Orphans
from air_cluster.daemon.printing import Printed
from air_cluster.daemon.segments import SegmentService
from air_cluster.daemon.surveys import NodeSurveys
from air_cluster.daemon.workers import Workers
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol import messages
from air_cluster.protocol.codec import Message, decode, encode
from air_cluster.protocol.head_messages import NodeEntry
from air_cluster.protocol.ids import NO_NODE
from air_cluster.transport.connection import Connection
from air_cluster.transport.peers import Peers
from air_cluster.transport.reactor import Reactor

if TYPE_CHECKING:
    from air_cluster.daemon.values import RemoteValues

logger = logging.getLogger(__name__)

_TICK_S = 0.5

FOR_THE_HEAD = (
    messages.CreateActor,
    messages.FindActor,
    messages.WatchActor,
    messages.KillActor,
    messages.ReleaseActor,
    messages.CreateGroup,
    messages.RemoveGroup,
    messages.WatchGroup,
    messages.Survey,
)
"""What clients send that the node passes on."""


class NodeDaemon:
    """Everything that a node does for the processes on it.

    Attributes:
        name: what people see of this node; its workers' names begin with it.
        number: what the head calls it; 0 until it has joined.
        address: where it listens for processes of this machine.
        uplink: the way to the head.
        alone: whether there will never be another node.
        is_lost: whether it stops because the head is out of reach, or wants it no more.
        has_failed: whether it stops because it cannot do its work any more.
        is_guest: whether it takes no tasks, and is there for its own programs only.
        nodes: the members of the cluster, by number.
    """

    def __init__(
        self,
        reactor: Reactor,
        peers: Peers,
        name: str,
        total: Resources,
        labels: Mapping[str, str],
        memory: NodeMemory,
        *,
        alone: bool,
        stays: bool,
        is_guest: bool,
    ) -> None:
        self.reactor = reactor
        self.peers = peers
        self.name = name
        self.number = NO_NODE
        self.address = ""
        self.total = total
        self.labels = labels
        self.memory = memory
        self.stopping = False
        self.agenda = Agenda()
        self.clients = Clients()
        self.scheduler = NodeScheduler(
            name,
            total,
            max_idle_workers=0 if is_guest else max(1, int(total.get("CPU", 1))),
            # Of what takes no resources a guest would grant any number.
            max_weightless=0 if is_guest else MAX_WEIGHTLESS,
            alone=alone,
        )
        self.is_guest = is_guest
        self.alone = alone
        self._stays = stays
        self.why_stopping = ""
        self.is_lost = False
        self.has_failed = False
        self.on_connection_lost: list[Callable[[Connection, str], None]] = [self._on_lost]
        self.nodes: dict[int, NodeEntry] = {}
        self.uplink: Link
        self.on_changed: Callable[[], None] = lambda: None
        """Called once after each round of events that may have changed what is free."""
        self.on_promised: Callable[[], None] = lambda: None
        """Called for what the head has counted as taken here, which may be free again very soon."""
        self._from_head: dict[type, Callable[[Any, bytes], None]] = {}
        self._looking = False
        self._absence = Absence(self)
        self.workers = Workers(self)
        self._leasing = Leasing(self)
        self._bundles = Bundles(self)
        self._hosting = ActorHosting(self)
        self.surveys = NodeSurveys(self)
        self.segments = SegmentService(self)
        self.orphans = Orphans(self)
        self.printed = Printed(self)
        self.values: RemoteValues | None = None
        self.make_values: Callable[[], RemoteValues]
        self.segments.spill = lambda nbytes, done: self._need_values().spill(nbytes, done)
        handle = peers.handle
        handle(messages.Register, self._on_register)
        handle(messages.Exit, self._on_exit)
        handle(messages.FetchCopy, lambda c, m, _p: self._need_values().on_fetch(c, m))
        handle(messages.CopyReleased, lambda c, m, _p: self._need_values().on_released(c, m))
        handle(messages.SpillOffers, lambda c, m, _p: self._need_values().on_offers(c, m))
        handle(messages.SpillSettled, lambda c, m, _p: self._need_values().on_settled(c, m))
        handle(messages.SpillFreed, lambda c, m, _p: self._need_values().on_freed(c, m))
        for kind in FOR_THE_HEAD:
            handle(kind, self._to_head)
        handle(messages.Ask, self._on_ask)
        self.on_head(wire.Joined, self._on_joined)
        self.on_head(wire.ToClient, self._on_to_client)
        self.on_head(wire.ProcessEnded, self._on_process_ended)
        self.on_head(wire.NodeUp, self._on_node_up)
        self.on_head(wire.NodeDown, self._on_node_down)
        peers.on_lost = self._connection_lost
        reactor.call_later(_TICK_S, self._tick)

    def _need_values(self) -> RemoteValues:
        """What a node alone needs only when memory gets short, and takes long to import."""
        if self.values is None:
            self.values = self.make_values()
            self.values.joined()
        return self.values

    def owners(self) -> Mapping[bytes, Connection]:
        """The processes that may own values in this node's memory, and how to reach them."""
        here = {record.process: record.connection for record in self.clients.all()}
        return {**self._leasing.connections(), **here}

    def head_lost(self, reason: str) -> None:
        """This node is no member of the cluster any more, or does not become one."""
        self.is_lost = True
        self.stop(reason)

    def head_away(self, reason: str) -> None:
        """The head is out of reach, at least for now: programs may have to wait for it."""
        self._absence.begins(reason)

    def head_back(self, is_new: bool) -> None:
        """The head can be reached again; a new one does not know what is wanted here."""
        self._absence.ends()
        if is_new:
            self._leasing.report_again()

    def fail(self, reason: str) -> None:
        """This node is of no use any more."""
        logger.error("%s", reason)
        self.has_failed = True
        self.stop(reason)

    def stop(self, reason: str = "") -> None:
        """End everything on this node."""
        self.stopping = True
        self.why_stopping = self.why_stopping or reason
        self.reactor.nudge()

    def _tick(self) -> None:
        self.follow(self.scheduler.tick(time.monotonic()))
        if self.values is not None and self.number:
            self.values.tick()
        self.reactor.call_later(_TICK_S, self._tick)

    # The head -----------------------------------------------------------------------------

    def on_head(self, kind: type, handler: Callable[[Any, bytes], None]) -> None:
        """Have messages of one type that the head sends passed to *handler*."""
        self._from_head[kind] = handler

    def from_head(self, message: Message, payload: bytes) -> None:
        """A message of the head."""
        self._from_head[type(message)](message, payload)

    def _to_head(self, connection: Connection, message: Message, payload: bytes) -> None:
        self.uplink.send(wire.FromClient(connection.peer, encode(message)), [payload])

    def _on_ask(self, connection: Connection, message: messages.Ask, payload: bytes) -> None:
        if message.topic != "entries":
            self._to_head(connection, message, payload)
            return
        from air_cluster.core.inventory import count_entries

        connection.send(messages.Reply(message.request, "", count_entries(self)))

    def _on_joined(self, message: wire.Joined, _payload: bytes) -> None:
        self.number = message.number
        self.nodes = {node.number: node for node in message.nodes}
        if self.values is not None:
            self.values.joined()

    def _on_to_client(self, message: wire.ToClient, payload: bytes) -> None:
        record = self.clients.get(message.process)
        if record is not None:
            record.connection.gather()  # an answer is often followed by news at once
            record.connection.send(decode(message.body), [payload])

    def _on_process_ended(self, message: wire.ProcessEnded, _payload: bytes) -> None:
        """A process of another node is gone."""
        gone = messages.ProcessGone(message.process, message.reason)
        for record in self.clients.all():
            record.connection.send(gone)
        if self.values is not None:
            self.values.process_gone(message.process)
        self.orphans.process_of_another_node_gone(message.process)
        if message.asks:
            self.orphans.ask(message.process)
        self._leasing.forget_owner(message.process)
        self.workers.environments.program_gone(message.process)

    def _on_node_up(self, message: wire.NodeUp, _payload: bytes) -> None:
        self.nodes[message.node.number] = message.node

    def _on_node_down(self, message: wire.NodeDown, _payload: bytes) -> None:
        """Another node is gone, and with it its processes."""
        if self.values is not None:
            self.values.node_gone(message.number)
        entry = self.nodes.pop(message.number, None)
        self.peers.end_node(message.number)
        if entry is not None:
            self.orphans.node_gone(entry.number, entry.daemon)
        gone = messages.NodeGone(message.number, message.reason)
        for record in self.clients.all():
            record.connection.send(gone)
        self._leasing.forget_node(message.number)
        self.workers.environments.node_gone(message.number)

    # Clients ------------------------------------------------------------------------------

    def _on_register(self, connection: Connection, message: messages.Register, _p: object) -> None:
        record = ClientRecord(
            process=connection.peer,
            kind=message.kind,
            connection=connection,
            address=message.address,
            namespace=message.namespace,
            wants_logs=message.log_to_driver,
            os_pid=message.os_pid,
        )
        self.clients.add(record)
        if record.kind == "driver":
            logger.info("program %s (pid %d) is here", record.process.hex(), record.os_pid)
            self.uplink.send(
                wire.DriverHere(
                    record.process, record.wants_logs, record.os_pid, message.entrypoint
                )
            )
        self._absence.greet(connection)
        setup = self.workers.setup_of(connection.peer)
        connection.send(messages.Welcome(self.name, record.address, setup))
        self.workers.registered(connection.peer, record.os_pid)

    def _on_exit(self, connection: Connection, message: messages.Exit, _p: object) -> None:
        """A program leaves, when it has seen what was printed last."""
        record = self.clients.get(connection.peer)
        if record is not None:
            record.failure = message.failure
        if self._absence.is_now:  # who would bring it
            self._let_go(connection)
        else:
            self.printed.gather(connection.peer, partial(self._let_go, connection))

    def _let_go(self, connection: Connection) -> None:
        if not self._stays:
            self.stop()
        elif not connection.closed:
            connection.drain()
            connection.close("it has left")

    def _connection_lost(self, connection: Connection, reason: str) -> None:
        for handler in self.on_connection_lost:
            handler(connection, reason)

    def _on_lost(self, connection: Connection, reason: str) -> None:
        if connection.link is not None and connection.link.gave_up:
            # A process of another node, which takes what it had here for lost.
            self._leasing.forget_owner(connection.peer)
        record = self.clients.remove(connection)
        if record is None or self.stopping:
            return
        self.orphans.client_gone(record.process)
        self.segments.room_came()
        if record.kind == "driver" and not self._stays:
            # The program that started this cluster is gone: nothing of it may stay.
            self.stop()
            return
        if record.kind == "driver":
            logger.info("program %s (pid %d) is gone", record.process.hex(), record.os_pid)
            self.tell_of_end(record.process, "the program has ended")
            self.forget_process(record.process, "the program has ended", record.failure)
            return
        # Its template tells how it ended; should it live on without us, end it.
        self.workers.pool.kill(record.process, seems_dead=True)

    def tell_of_end(self, process: bytes, how: str) -> None:
        """Tell the others on this node that a process is gone."""
        gone = messages.ProcessGone(process, how)
        others = self.clients.others(process)
        if self.values is not None:
            self.values.process_gone(process)
        self.orphans.writer_gone(process)
        self.segments.process_gone(process)
        for record in others:
            record.connection.send(gone)

    def forget_process(self, process: bytes, how: str, failure: str = "") -> None:
        """A client of this node is gone; *failure* is that of a program."""
        self.printed.program_gone(process)
        # One that was killed has left its socket behind.
        directory = os.path.dirname(self.address.removeprefix("unix:"))
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(directory, f"{process.hex()}.sock"))
        self._leasing.forget_owner(process)
        self.workers.environments.program_gone(process)
        # Where nobody else has values of it, the question is answered already.
        asks = self.memory.asks(process)
        self.uplink.send(wire.ProcessEnded(process, how, asks, failure))

    # Following the scheduler --------------------------------------------------------------

    def follow(self, instructions: Iterable[Instruction], why_stop: str = "") -> None:
        """Do what the scheduler says, in order.

        Args:
            why_stop: why workers are stopped, to be told to those who lose them.
        """
        self.look_soon()
        self.agenda.add(partial(self._carry_out, why_stop), instructions)

    def _carry_out(self, why_stop: str, instruction: Instruction) -> None:
        if isinstance(instruction, Grant):
            self._leasing.grant(instruction)
        elif isinstance(instruction, StartWorker):
            self.workers.start(instruction)
        elif isinstance(instruction, StopWorker):
            self.workers.stop(instruction, why_stop)
        elif isinstance(instruction, Reclaim):
            self._leasing.reclaim(instruction)
        elif isinstance(instruction, LeaseLost):
            self._leasing.lost(instruction)
        elif isinstance(instruction, Refuse):
            self._leasing.refuse(instruction)
        elif isinstance(instruction, Place):
            self._hosting.placed(instruction)
        elif isinstance(instruction, RefusePlacement):
            self._hosting.refused(instruction)
        elif isinstance(instruction, BundleReserved):
            self._bundles.reserved(instruction)

    def look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            self.reactor.call_soon(self._look)

    def _look(self) -> None:
        """Once after each round of events: tell the head what has changed."""
        self._looking = False
        self.on_changed()
        if not self.alone:
            self._leasing.report()

    def forget_group(self, group_id: bytes) -> None:
        """A placement group was removed."""
        self._leasing.forget_group(group_id)

    def close(self) -> None:
        """End all processes and give everything back; passes on what they printed."""
        self.workers.pool.close()
        self.reactor.run_soon()  # what was printed last is on its way
        for record in self.clients.drivers():
            why = self.why_stopping or f"node {self.name} was stopped, as by 'air stop'"
            record.connection.send(messages.NodeEnds(why))
            record.connection.drain()
        if self.values is not None:
            self.values.close()
        self.memory.close()
        self.peers.close()
