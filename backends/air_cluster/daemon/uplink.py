"""A node's way to a head on another machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from air.executor.resources import Resources
from air_cluster.daemon.membership import BEAT_S, RELEASE, SILENCE_S
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol.codec import Message
from air_cluster.protocol.frames import Buffer
from air_cluster.protocol.head_messages import NodeEntry
from air_cluster.transport.connection import Connection
from air_cluster.transport.peers import Peers
from air_cluster.transport.reactor import Reactor

_REPORT_S = 0.002
"""What becomes free is told after so long, together with what changes meanwhile."""


class Uplink:
    """The connection to the head.

    Args:
        address: of the head.
        deliver: called with each message of the head.
        lost: called once, with the reason, when this node is no member any more.
    """

    def __init__(
        self,
        reactor: Reactor,
        peers: Peers,
        address: str,
        deliver: Callable[[Message, bytes], None],
        lost: Callable[[str], None],
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._deliver = deliver
        self._lost = lost
        self._heard = time.monotonic()
        self._over = False
        self._reporting = False
        self._reported: Resources | None = None
        for kind in wire.TO_NODES:
            peers.handle(kind, self._on_message)
        self._connection = peers.open(address)
        reactor.call_later(BEAT_S, self._beat)

    def report_load(self, free: Callable[[], Resources]) -> None:
        """Something may have become free or taken: tell the head in a moment if so."""
        if not self._reporting:
            self._reporting = True
            self._reactor.call_later(_REPORT_S, lambda: self._report(free()))

    def _report(self, free: Resources) -> None:
        self._reporting = False
        if free != self._reported and not self._over:
            self._reported = free
            self.send(wire.Load(free.to_dict()))

    def join(self, entry: NodeEntry) -> None:
        """Ask to become a member."""
        self.send(wire.Join(entry, RELEASE))

    def send(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        """Pass a message on to the head."""
        self._connection.send(message, payload)

    def connection_lost(self, connection: Connection, reason: str) -> None:
        """A connection of this daemon is gone, perhaps this one."""
        if connection is self._connection:
            self._end(f"the head at {self._address} cannot be reached: {reason}")

    def _on_message(self, connection: Connection, message: Message, payload: bytes) -> None:
        if connection is not self._connection:
            return
        self._heard = time.monotonic()
        if isinstance(message, wire.TurnedAway):
            self._end(message.reason)
        elif not isinstance(message, wire.Beat):
            self._deliver(message, payload)

    def _beat(self) -> None:
        if self._over:
            return
        if time.monotonic() - self._heard > SILENCE_S:
            self._end(f"the head at {self._address} was not heard of for {SILENCE_S:.0f} s")
            return
        self.send(wire.Beat())
        self._reactor.call_later(BEAT_S, self._beat)

    def _end(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._lost(reason)

    def close(self) -> None:
        """Leave the cluster."""
        self._over = True
        self._connection.drain()
        self._connection.close("left")
