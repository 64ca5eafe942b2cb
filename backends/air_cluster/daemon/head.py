"""The head service: the nodes of a cluster, and what is decided for all of them.

It lives in the daemon of one machine. Nodes send it the messages of
:mod:`air_cluster.protocol.head_messages`, over TCP or, the one in the same process, directly.
Clients never connect to it: their nodes pass on what is for it, and what comes back.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from air.executor.resources import Resources
from air_cluster.core.workers import SERIAL_DIGITS
from air_cluster.daemon.agenda import Agenda
from air_cluster.daemon.jobs import Jobs
from air_cluster.daemon.late import LateWatch
from air_cluster.daemon.node_link import NodeLink
from air_cluster.daemon.printing import Printing
from air_cluster.daemon.supply import supply
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol import messages
from air_cluster.protocol.codec import Message, decode, encode
from air_cluster.protocol.frames import Buffer
from air_cluster.protocol.head_messages import NodeEntry
from air_cluster.protocol.ids import FIRST_NODE, node_of
from air_cluster.transport.reactor import Reactor

if TYPE_CHECKING:
    from air_cluster.daemon.head_memory import HeadMemory

OF_ACTOR = "actor "
"""Followed by its identity: what is known of an actor."""

logger = logging.getLogger(__name__)

_TICK_S = 0.5
_CLUSTER_BYTES = 16
_MAX_ENDED = 10_000


class Link(Protocol):
    """How messages reach a node, or the head."""

    def send(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        """Pass a message on, in order."""
        ...

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""
        ...


class Downlink(Link, Protocol):
    """How they reach a node."""

    def tell(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        """Pass a message on that is not worth keeping for later."""
        ...

    def greet(self, hello: wire.Joined) -> None:
        """Pass the first message of all on."""
        ...


class NodeRecord(msgspec.Struct, eq=False):
    """A member of the cluster.

    Attributes:
        free: what is free there, as far as it is known.
    """

    entry: NodeEntry
    link: Downlink
    total: Resources
    free: Callable[[], Resources]


class ClientRoute:
    """The way to a client of some node."""

    def __init__(self, head: HeadService, process: bytes) -> None:
        self._head = head
        self.peer = process

    def send(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        """Pass a message on to the client."""
        self._head.send_to_client(self.peer, message, payload)


NodeHandler = Callable[[NodeRecord, Any, bytes], None]
ClientHandler = Callable[[ClientRoute, Any, bytes], None]


class HeadService:
    """Knows the nodes; passes messages to the services of actors and of placement groups.

    Attributes:
        cluster: its identity.
        incarnation: how many times the head was started.
        next_number: of the next node.
        own: the node that shares the head's process, once it has joined.
        memory: what is kept on disk, if anything is.
        drivers: programs, and whether they want to see what is printed.
    """

    def __init__(self, reactor: Reactor) -> None:
        from air_cluster.daemon.actors import ActorService
        from air_cluster.daemon.demand import DemandService
        from air_cluster.daemon.groups import GroupService
        from air_cluster.daemon.surveys import HeadSurveys

        self.reactor = reactor
        self.agenda = Agenda()
        self.cluster = os.urandom(_CLUSTER_BYTES)
        self.incarnation = 1
        self.nodes: dict[int, NodeRecord] = {}
        self._by_name: dict[str, NodeRecord] = {}
        self.next_number = FIRST_NODE
        self.own: NodeEntry | None = None
        self.memory: HeadMemory | None = None
        self.drivers: dict[bytes, bool] = {}
        self.jobs = Jobs()
        self._ended: dict[bytes, None] = {}
        self._gone: list[int] = []
        self._from_nodes: dict[type, NodeHandler] = {}
        self._from_clients: dict[type, ClientHandler] = {}
        self.actors = ActorService(self)
        self.groups = GroupService(self)
        self.demand = DemandService(self)
        self.surveys = HeadSurveys(self)
        self.printing = Printing(self)
        self._late = LateWatch(self)
        self.on_node(wire.FromClient, self._on_client_message)
        self.on_node(wire.DriverHere, self._on_driver)
        self.on_node(wire.ProcessEnded, self._on_process_ended)
        self.on_node(wire.OrphansKept, lambda _n, m, _p: self._pass_on(node_of(m.writer), m))
        self.on_node(wire.OrphanDropped, lambda _n, m, _p: self._pass_on(m.node, m))
        self.on_client(messages.Ask, self._on_ask)
        reactor.call_later(_TICK_S, self._tick)

    def on_node(self, kind: type, handler: NodeHandler) -> None:
        """Have messages of one type that nodes send passed to *handler*."""
        self._from_nodes[kind] = handler

    def on_client(self, kind: type, handler: ClientHandler) -> None:
        """Have messages of one type that clients send passed to *handler*."""
        self._from_clients[kind] = handler

    # Nodes --------------------------------------------------------------------------------

    def admit(self, entry: NodeEntry, link: Downlink, free: Callable[[], Resources]) -> NodeRecord:
        """A new member; gives it its number."""
        number = self.next_number
        self.next_number += 1
        entry = msgspec.structs.replace(entry, number=number)
        record = NodeRecord(entry, link, Resources(entry.resources), free)
        for other in self.nodes.values():
            other.link.send(wire.NodeUp(entry))
        self._add(record)
        members = [node.entry for node in self.nodes.values()]
        link.greet(wire.Joined(number, members, self.cluster, self.incarnation))
        return self._has_joined(record)

    def restore_node(
        self, entry: NodeEntry, link: Downlink, free: Callable[[], Resources]
    ) -> NodeRecord:
        """A member that the head has known before it was started again."""
        record = NodeRecord(entry, link, Resources(entry.resources), free)
        self._add(record)
        return self._has_joined(record)

    def _add(self, record: NodeRecord) -> None:
        self.nodes[record.entry.number] = self._by_name[record.entry.name] = record

    def _has_joined(self, record: NodeRecord) -> NodeRecord:
        entry = record.entry
        logger.info("node %s at %s has joined as number %d", entry.name, entry.host, entry.number)
        self.groups.node_joined(record)
        self.demand.node_joined(record)
        self._changed()
        return record

    def node_lost(self, number: int, reason: str) -> None:
        """A member is gone, with its processes and what they owned."""
        node = self.nodes.pop(number, None)
        if node is None:
            return
        del self._by_name[node.entry.name]
        logger.warning("node %s at %s is gone: %s", node.entry.name, node.entry.host, reason)
        down = wire.NodeDown(number, reason)
        for other in self.nodes.values():
            other.link.send(down)
        roots = [*self.drivers, *self.actors.roots()]
        programs = [process for process in roots if node_of(process) == number]
        for program in programs:
            self.jobs.over(program, f"its node {node.entry.name} is gone: {reason}")
            self._over(program)
        self._gone.append(number)
        why = f"its node {node.entry.name} is gone ({reason})"
        self.demand.node_lost(node)
        self.groups.node_lost(node)
        self.actors.node_lost(node, why)
        for program in programs:
            self.actors.job_gone(program)
        self._changed()

    # Keeping it ---------------------------------------------------------------------------

    def commit(self, link: NodeLink) -> None:
        """Something was sent to a node, or came from it: go on once that is on disk, if need be."""
        if self.memory is None:
            link.flush()
        else:
            self.memory.changed(link)

    def settle(self) -> None:
        """Have everything on disk now that has happened, if need be."""
        if self.memory is not None:
            self.memory.save()

    def take_up(self, cluster: bytes, incarnation: int, next_number: int) -> None:
        """Be the head of a cluster that there was before."""
        self.cluster, self.incarnation, self.next_number = cluster, incarnation, next_number
        self.groups.take_up(incarnation)

    def take_gone(self) -> list[int]:
        """The nodes that were lost since this was last asked."""
        gone, self._gone = self._gone, []
        return gone

    def _changed(self) -> None:
        if self.memory is not None:
            self.memory.changed()

    # Messages -----------------------------------------------------------------------------

    def load_changed(self, node: NodeRecord) -> None:
        """Something else is free on a node of another machine."""
        self.demand.load_changed(node)
        self.groups.load_changed(node)

    def node_named(self, name: str) -> NodeRecord | None:
        """The node of that name, if it is a member."""
        return self._by_name.get(name)

    def node_of_process(self, process: bytes) -> NodeRecord | None:
        """The node that a process runs on, if it is a member."""
        return self.nodes.get(node_of(process))

    def node_of_worker(self, worker: str) -> NodeRecord | None:
        """The node whose scheduler has named a worker so."""
        return self._by_name.get(worker[:-SERIAL_DIGITS])

    def receive(self, node: NodeRecord, message: Message, payload: bytes) -> None:
        """A message of a node."""
        self._from_nodes[type(message)](node, message, payload)
        self._changed()

    def _tick(self) -> None:
        self.actors.tick()
        self.demand.tick()
        self.groups.tick()
        self._late.tick()
        self._changed()
        self.reactor.call_later(_TICK_S, self._tick)

    def _pass_on(self, number: int, message: Message) -> None:
        node = self.nodes.get(number)
        if node is not None:
            node.link.send(message)

    # Clients ------------------------------------------------------------------------------

    def send_to_client(
        self, process: bytes, message: Message, payload: Sequence[Buffer] = ()
    ) -> None:
        """Pass a message on to a client, by way of its node, if that is there."""
        self.pass_to_client(process, encode(message), payload)

    def pass_to_client(self, process: bytes, body: bytes, payload: Sequence[Buffer] = ()) -> None:
        """The same of a message that is encoded already."""
        node = self.node_of_process(process)
        if node is not None:
            node.link.send(wire.ToClient(process, body), payload)

    def _on_client_message(
        self, _node: NodeRecord, message: wire.FromClient, payload: bytes
    ) -> None:
        inner = decode(message.body)
        handler = self._from_clients[type(inner)]
        handler(ClientRoute(self, message.process), inner, payload)

    def _on_driver(self, node: NodeRecord, message: wire.DriverHere, _payload: bytes) -> None:
        self.drivers[message.process] = message.wants_logs
        self.jobs.began(message.process, node.entry.name, message.os_pid, message.entrypoint)

    def _on_process_ended(
        self, node: NodeRecord, message: wire.ProcessEnded, _payload: bytes
    ) -> None:
        self.jobs.over(message.process, message.failure)
        if message.process in self.drivers or self.actors.is_root(message.process):
            self._over(message.process)
            self.actors.job_gone(message.process)
        self.actors.owner_gone(message.process)
        self.groups.owner_gone(message.process)
        for other in self.nodes.values():
            if other is not node:
                other.link.send(message)

    def _over(self, program: bytes) -> None:
        """A program has ended; what somebody still wants to start for it ends at once."""
        self.drivers.pop(program, None)
        self.printing.program_gone(program)
        self._ended[program] = None
        if len(self._ended) > _MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def is_over(self, program: bytes) -> bool:
        """Whether a program, or the process of a detached actor, ended a while ago at most."""
        return program in self._ended

    def _on_ask(self, route: ClientRoute, message: messages.Ask, _payload: bytes) -> None:
        content: object
        if message.topic == "nodes":
            content = [_described(node) for node in self.hosts()]
        elif message.topic == "usage":
            content = [
                {**_described(node), "free": _free(node), "is_head": self._is_own(node)}
                for node in self.hosts()
            ]
        elif message.topic == "available":
            content = self._available()
        elif message.topic == "actor names":
            content = self.actors.names()
        elif message.topic == "actors":
            content = self.actors.infos()
        elif message.topic == "jobs":
            content = self.jobs.infos()
        elif message.topic == "supply":
            content = supply(self)
        elif message.topic.startswith(OF_ACTOR):
            content = self.actors.info(bytes.fromhex(message.topic.removeprefix(OF_ACTOR)))
        elif message.topic.startswith(messages.OF_PACKAGE):
            content = self.actors.package(message.topic.removeprefix(messages.OF_PACKAGE))
        else:
            content = self.groups.infos()
        route.send(messages.Reply(message.request, "", content))

    def _is_own(self, node: NodeRecord) -> bool:
        return self.own is not None and node.entry.number == self.own.number

    def _available(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for node in self.hosts():
            for name, value in _free(node).items():
                found[name] = found.get(name, 0.0) + value
        return found

    def free_on(self, node: NodeRecord) -> dict[str, float]:
        """What is free on a node."""
        return _free(node)

    def hosts(self) -> list[NodeRecord]:
        """The nodes that take tasks."""
        return [node for node in self.nodes.values() if not node.entry.is_guest]


def _described(node: NodeRecord) -> dict[str, Any]:
    return {
        "node_id": node.entry.name,
        "address": node.entry.host,
        "alive": True,
        "resources": node.entry.resources,
        "labels": node.entry.labels,
    }


def _free(node: NodeRecord) -> dict[str, float]:
    # CPU may be overdrawn for a moment: a task goes on at once after it has waited.
    free = node.free()
    return {name: max(0.0, free.get(name, 0.0)) for name in node.total}
