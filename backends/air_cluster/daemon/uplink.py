"""A node's way to a head on another machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from air.executor.resources import Resources
from air_cluster.daemon.membership import BEAT_S, RELEASE, SILENCE_S
from air_cluster.protocol import head_messages as wire
from air_cluster.protocol.channel import Outbox
from air_cluster.protocol.codec import Message
from air_cluster.protocol.frames import Buffer
from air_cluster.protocol.head_messages import NodeEntry
from air_cluster.transport.connection import Connection
from air_cluster.transport.peers import Peers
from air_cluster.transport.reactor import Reactor

logger = logging.getLogger(__name__)

PATIENCE_S = 60.0
"""So long does a node wait for a head that is out of reach."""

_RETRY_S = 0.25
_REPORT_S = 0.002
"""What becomes free is told after so long, together with what changes meanwhile."""

_MAX_KEPT_BYTES = 256 << 20
"""Of messages that the head has not acknowledged; more, and this node is lost."""


class Member(Protocol):
    """Who hears from the head: a node."""

    def from_head(self, message: Message, payload: bytes) -> None:
        """A message of the head."""

    def head_lost(self, reason: str) -> None:
        """This node is no member any more; called once."""

    def head_away(self, reason: str) -> None:
        """The head is out of reach, at least for now."""

    def head_back(self, is_new: bool) -> None:
        """It can be reached again; a new one has lost what is not on disk."""


class Uplink:
    """The connection to the head, opened anew when it breaks.

    ::

        JOINING --Joined--> UP --connection lost, silence--> AWAY --Resumed--> UP
           any of them --turned away, patience at its end--> OVER

    Args:
        address: of the head.
    """

    def __init__(self, reactor: Reactor, peers: Peers, address: str, member: Member) -> None:
        self._reactor = reactor
        self._peers = peers
        self._address = address
        self._member = member
        self._outbox: Outbox[tuple[Message, Sequence[Buffer]]] = Outbox()
        self._kept_bytes = 0
        self._received = 0
        self._number = 0
        self._cluster = b""
        self._incarnation = 0
        self._is_up = False
        self._is_over = False
        self._away_since: float | None = None
        self._reporting = False
        self._reported: Resources | None = None
        self._free: Callable[[], Resources] = Resources
        for kind in wire.TO_NODES:
            peers.handle(kind, self._on_message)
        self._heard = time.monotonic()
        self._connection = peers.open(address)
        reactor.call_later(BEAT_S, self._beat)

    # Sending ------------------------------------------------------------------------------

    def join(self, entry: NodeEntry) -> None:
        """Ask to become a member."""
        self._connection.send(wire.Join(entry, RELEASE))

    def send(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        """Pass a message on to the head, in order and once, now or when it is back."""
        if not isinstance(message, wire.UNCOUNTED):
            payload = [bytes(part) for part in payload]
            self._outbox.add((message, payload))
            self._kept_bytes += sum(map(len, payload))
            if self._kept_bytes > _MAX_KEPT_BYTES:
                self._end(f"the head at {self._address} takes no more messages")
        if self._is_up:
            self._connection.send(message, payload)

    @property
    def unsent(self) -> int:
        """How many bytes wait for the head to take them."""
        return self._connection.unsent

    def report_load(self, free: Callable[[], Resources]) -> None:
        """Something may have become free or taken: tell the head in a moment if so."""
        self._free = free
        if not self._reporting:
            self._reporting = True
            self._reactor.call_later(_REPORT_S, self._report)

    def report_anyway(self) -> None:
        """The head counts something as taken: tell it what is free even if that is as before."""
        self._reported = None

    def _report(self) -> None:
        self._reporting = False
        free = self._free()
        if free != self._reported and self._is_up:
            self._reported = free
            self.send(wire.Load(free.to_dict()))

    # Receiving ----------------------------------------------------------------------------

    def _on_message(self, connection: Connection, message: Message, payload: bytes) -> None:
        if connection is not self._connection or self._is_over:
            return
        self._heard = time.monotonic()
        if isinstance(message, wire.TurnedAway):
            self._end(message.reason)
        elif isinstance(message, wire.Beat):
            self._acknowledged(message.received)
        elif isinstance(message, wire.Resumed):
            self._resumed(message)
        else:
            if isinstance(message, wire.Joined):
                self._has_joined(message)
            elif not isinstance(message, wire.UNCOUNTED):
                self._received += 1
            self._member.from_head(message, payload)

    def _has_joined(self, message: wire.Joined) -> None:
        self._number, self._cluster = message.number, message.cluster
        self._incarnation = message.incarnation
        self._is_up = True
        self._send_kept(0)

    def _acknowledged(self, received: int) -> None:
        self._outbox.acknowledge(received)
        if self._outbox.acknowledged == self._outbox.sent:
            self._kept_bytes = 0

    # The head is away ---------------------------------------------------------------------

    def connection_lost(self, connection: Connection, reason: str) -> None:
        """A connection of this daemon is gone, perhaps this one."""
        if connection is not self._connection or self._is_over:
            return
        reason = f"the head at {self._address} cannot be reached: {reason}"
        if not self._number:
            self._end(f"{reason} (is that the address of a head, and does one run there?)")
        elif self._is_up:
            self._is_up = False
            self._away_since = time.monotonic()
            self._member.head_away(reason)
            self._reactor.call_later(_RETRY_S, self._try_again)
        elif self._away_since is not None and time.monotonic() - self._away_since > PATIENCE_S:
            self._end(f"{reason}, for {PATIENCE_S:.0f} s by now")
        else:
            self._reactor.call_later(_RETRY_S, self._try_again)

    def _try_again(self) -> None:
        if self._is_over:
            return
        self._heard = time.monotonic()
        try:
            self._connection = self._peers.open(self._address)
        except OSError as error:  # such as no route
            self.connection_lost(self._connection, str(error))
            return
        self._connection.send(wire.Return(self._cluster, self._number, self._received, RELEASE))

    def _resumed(self, message: wire.Resumed) -> None:
        self._acknowledged(message.received)
        self._is_up, self._away_since = True, None
        self._send_kept(message.received)
        is_new = message.incarnation != self._incarnation
        self._incarnation = message.incarnation
        self._reported = None
        self._member.head_back(is_new)
        self.report_load(self._free)

    def _send_kept(self, received: int) -> None:
        for message, payload in self._outbox.after(received):
            self._connection.send(message, payload)

    # Time and ends ------------------------------------------------------------------------

    def _beat(self) -> None:
        if self._is_over:
            return
        if time.monotonic() - self._heard > SILENCE_S:
            self._connection.close(f"nothing was heard of it for {SILENCE_S:.0f} s")
        elif self._is_up:
            self._connection.send(wire.Beat(self._received))
        self._reactor.call_later(BEAT_S, self._beat)

    def _end(self, reason: str) -> None:
        if not self._is_over:
            self._is_over, self._is_up = True, False
            self._member.head_lost(reason)

    def close(self) -> None:
        """Leave the cluster."""
        self._is_over = True
        if self._is_up:
            self._connection.send(wire.NodeDown(0, "it was stopped"))
            self._connection.drain()
        self._connection.close("left")
