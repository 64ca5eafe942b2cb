"""The head's door: nodes on other machines join, are heard of, go away and come back."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import TYPE_CHECKING, get_args

import msgspec

from air.executor.resources import Resources
from air_cluster.daemon.node_link import NodeLink
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol.head_messages import HeadMessage, NodeEntry
from air_cluster.transport.connection import Connection

if TYPE_CHECKING:
    from air_cluster.daemon.head import HeadService, NodeRecord
    from air_cluster.transport.peers import Peers

RELEASE = version("airloom")
"""All nodes have to run the same."""

BEAT_S = 1.0
"""Heads and nodes let each other hear from them that often."""

SILENCE_S = 5.0
"""Who was not heard of for so long counts as dead."""

RETURN_S = 15.0
"""So long do nodes have to come back to a head that was started again."""


class _Guest(msgspec.Struct, eq=False):
    """A node, with the way to it."""

    record: NodeRecord
    link: NodeLink
    free: Resources
    probe: Connection | None = None
    why_probed: str = ""


class Membership:
    """Serves the connections of the daemons on other machines.

    A node whose connection is lost is still a member: it comes back with another one. But if
    its process is gone, nobody waits for it. So the head tries to connect to it: where nobody
    answers any more, it is dead; where somebody does, it has :data:`SILENCE_S` to come back.
    """

    def __init__(self, head: HeadService, peers: Peers) -> None:
        self._head = head
        self._peers = peers
        self._guests: dict[int, _Guest] = {}
        for kind in get_args(HeadMessage):
            peers.handle(kind, self._on_message)
        peers.handle(wire.Join, self._on_join)
        peers.handle(wire.Return, self._on_return)
        head.reactor.call_later(BEAT_S, self._beat)

    # Joining and coming back --------------------------------------------------------------

    def _on_join(self, connection: Connection, message: wire.Join, _payload: bytes) -> None:
        if self._is_other_release(connection, message.version):
            return
        link = NodeLink(self._head.commit, time.monotonic())
        link.connection = connection
        total = Resources(message.node.resources)
        record = self._head.admit(message.node, link, lambda: guest.free)
        guest = connection.data = self._guests[record.entry.number] = _Guest(record, link, total)

    def _on_return(self, connection: Connection, message: wire.Return, _payload: bytes) -> None:
        if self._is_other_release(connection, message.version):
            return
        guest = self._guests.get(message.number)
        if message.cluster != self._head.cluster:
            connection.send(wire.TurnedAway("the head is that of another cluster by now"))
        elif guest is None:
            connection.send(wire.TurnedAway("the head has taken this node for dead"))
        else:
            self._end_probe(guest)
            # What the node is told to have arrived must never be asked for again.
            self._head.settle()
            guest.link.heard = time.monotonic()
            connection.data = guest
            guest.link.resume(connection, message.received, self._head.incarnation)

    def expect(self, entry: NodeEntry, link: NodeLink) -> None:
        """A node that the head has known before it was started again will come back."""
        link.heard = time.monotonic() + RETURN_S - SILENCE_S
        total = Resources(entry.resources)
        record = self._head.restore_node(entry, link, lambda: guest.free)
        guest = self._guests[entry.number] = _Guest(record, link, total)

    def _is_other_release(self, connection: Connection, release: str) -> bool:
        if release == RELEASE:
            return False
        connection.send(
            wire.TurnedAway(
                f"the head runs airloom {RELEASE}, this node {release}:"
                " install the same version on all machines"
            )
        )
        return True

    # Messages -----------------------------------------------------------------------------

    def _on_message(self, connection: Connection, message: HeadMessage, payload: bytes) -> None:
        guest = connection.data
        if not isinstance(guest, _Guest) or not self._is_member(guest):
            connection.send(wire.TurnedAway("the head has taken this node for dead"))
            return
        if connection is not guest.link.connection:
            return  # it has gone on with another one, and sends this again
        guest.link.heard = time.monotonic()
        if isinstance(message, wire.Load):
            guest.free = Resources(message.free)
            self._head.load_changed(guest.record)
        elif isinstance(message, wire.Beat):
            if message.received > guest.link.outbox.acknowledged:
                guest.link.outbox.acknowledge(message.received)
                self._head.commit(guest.link)
        elif isinstance(message, wire.NodeDown):
            self._remove(guest, message.reason)
        else:
            if not isinstance(message, wire.UNCOUNTED):
                guest.link.received += 1
            self._head.receive(guest.record, message, payload)
            self._head.commit(guest.link)

    def _is_member(self, guest: _Guest) -> bool:
        return self._guests.get(guest.record.entry.number) is guest

    # Ends ---------------------------------------------------------------------------------

    def lost(self, connection: Connection, reason: str) -> None:
        """A connection is gone, perhaps that of a node."""
        guest = connection.data
        if not isinstance(guest, _Guest) or not self._is_member(guest):
            return
        if connection is guest.probe:
            guest.probe = None
            if not connection.established:
                self._remove(guest, guest.why_probed)
        elif connection is guest.link.connection:
            guest.link.connection = None
            self._probe(guest, reason)

    def _probe(self, guest: _Guest, reason: str) -> None:
        """Find out whether the process of a node is still there."""
        entry: NodeEntry = guest.record.entry
        guest.why_probed = reason
        try:
            probe = self._peers.open(entry.address, process_id=entry.daemon)
        except OSError:
            self._remove(guest, reason)
            return
        probe.data, guest.probe = guest, probe

    def _end_probe(self, guest: _Guest) -> None:
        probe, guest.probe = guest.probe, None
        if probe is not None:
            probe.close("it has come back")

    def _beat(self) -> None:
        now = time.monotonic()
        for guest in list(self._guests.values()):
            connection = guest.link.connection
            if now - guest.link.heard > SILENCE_S:
                if connection is not None:
                    connection.send(wire.TurnedAway("the head has not heard of this node for long"))
                self._remove(guest, f"it was not heard of for {SILENCE_S:.0f} s")
            elif connection is not None:
                connection.send(wire.Beat(guest.link.committed))
        self._head.reactor.call_later(BEAT_S, self._beat)

    def _remove(self, guest: _Guest, reason: str) -> None:
        if self._is_member(guest):
            number = guest.record.entry.number
            del self._guests[number]
            self._end_probe(guest)
            self._head.node_lost(number, reason)
