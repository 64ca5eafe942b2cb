"""The head's door: nodes on other machines join, are heard of, and are missed."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import TYPE_CHECKING, get_args

import msgspec

from air.executor.resources import Resources
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol.head_messages import HeadMessage
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


class _Guest(msgspec.Struct, eq=False):
    """What is kept with the connection of a node."""

    record: NodeRecord
    free: Resources


class Membership:
    """Serves the connections of the daemons on other machines."""

    def __init__(self, head: HeadService, peers: Peers) -> None:
        self._head = head
        self._guests: dict[int, tuple[Connection, _Guest]] = {}
        for kind in get_args(HeadMessage):
            peers.handle(kind, self._on_message)
        peers.handle(wire.Join, self._on_join)
        head.reactor.call_later(BEAT_S, self._beat)

    def lost(self, connection: Connection, reason: str) -> None:
        """A connection is gone, perhaps that of a node."""
        if isinstance(connection.data, _Guest):
            self._remove(connection.data.record.entry.number, reason)

    def _on_join(self, connection: Connection, message: wire.Join, _payload: bytes) -> None:
        if message.version != RELEASE:
            connection.send(
                wire.TurnedAway(
                    f"the head runs airloom {RELEASE}, this node {message.version}:"
                    " install the same version on all machines"
                )
            )
            return
        total = Resources(message.node.resources)
        record = self._head.admit(message.node, connection, lambda: guest.free)
        guest = connection.data = _Guest(record, total)
        self._guests[record.entry.number] = connection, guest

    def _on_message(self, connection: Connection, message: HeadMessage, payload: bytes) -> None:
        guest = connection.data
        if not isinstance(guest, _Guest) or guest.record.entry.number not in self._guests:
            connection.send(wire.TurnedAway("the head has taken this node for dead"))
            return
        if isinstance(message, wire.Load):
            guest.free = Resources(message.free)
            guest.record.heard = time.monotonic()
            self._head.load_changed(guest.record)
        elif isinstance(message, wire.Beat):
            guest.record.heard = time.monotonic()
        elif isinstance(message, wire.NodeDown):
            self._remove(guest.record.entry.number, message.reason)
        else:
            self._head.receive(guest.record, message, payload)

    def _beat(self) -> None:
        now = time.monotonic()
        for number, (connection, guest) in list(self._guests.items()):
            if now - guest.record.heard > SILENCE_S:
                connection.send(wire.TurnedAway("the head has not heard of this node for long"))
                self._remove(number, f"it was not heard of for {SILENCE_S:.0f} s")
            else:
                connection.send(wire.Beat())
        self._head.reactor.call_later(BEAT_S, self._beat)

    def _remove(self, number: int, reason: str) -> None:
        if self._guests.pop(number, None) is not None:
            self._head.node_lost(number, reason)
