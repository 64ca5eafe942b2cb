"""Links between processes of different machines, which outlive the connections that carry them.

A TCP connection may break while both processes live: a cable, a firewall that has forgotten it, a
machine that sleeps. What was sent and not received would be lost, with nobody to tell. So whoever
opens a connection to a process opens a *link*: its frames are counted, and kept until the other
side says that it has them (see ``protocol.channel``). When the connection breaks, the opener makes
another, both say how much they have, and go on from there: each message arrives once, in order.

::

    opener                                        other side
      | LinkOpen(link, 0)                           |     on the first connection
      | frames ...                                  |     at once
      |                           LinkAck(received) |     from time to time, in both directions
      x  (broken)                                   x
      | LinkOpen(link, received)                    |     on another connection
      |                       LinkResumed(received) |     or LinkGone: that link is over
      | frames from there on ...                    |     both ways

Not every end is a break. A process that ends, or closes a connection because the other side
misbehaves, has it end in an orderly way; one that breaks off has it *reset*, so that the two cannot
be mistaken. A process that is killed may look like a break: the news of its end closes the link.
If there is no such news, and no connection either, both sides give up after :data:`PATIENCE_S`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from air_cluster.protocol.channel import Outbox
from air_cluster.protocol.codec import Message
from air_cluster.protocol.frames import Buffer
from air_cluster.protocol.messages import LinkAck, LinkGone, LinkOpen, LinkResumed
from air_cluster.transport.addresses import TcpAddress
from air_cluster.transport.connection import Connection
from air_cluster.transport.reactor import Reactor

logger = logging.getLogger(__name__)

PATIENCE_S = 60.0
"""So long is a link kept that no connection can be made for."""

_RETRY_S, _LONGEST_RETRY_S = 0.02, 1.0
_ACKNOWLEDGE_S = 0.1
_ENDED_KEPT = 1024
_LINK_BYTES = 16


class Link:
    """What is known of a link beside its connection; the connection's attribute ``link``.

    Attributes:
        outbox: the frames that the other side may not have.
        received: how many frames have come.
        is_up: whether frames can be sent now; else they wait in the outbox.
        gave_up: whether it is over although the other process may live.
        address: where to connect again; ``None`` on the side that was connected to.
    """

    def __init__(
        self,
        link_id: bytes,
        address: TcpAddress | None,
        broke: Callable[[Connection, str], None],
    ) -> None:
        self.link_id = link_id
        self.address = address
        self.broke = broke
        self.outbox: Outbox[Sequence[Buffer]] = Outbox()
        self.received = 0
        self.is_up = self.has_been_up = False
        self.gave_up = False
        self.broken_since: float | None = None
        self.reason = ""  # why the last attempt to connect came to nothing
        self.retry_s = _RETRY_S
        self.acknowledging = False


class Carrier(Protocol):
    """Who makes connections: ``Peers``."""

    def connect_again(self, connection: Connection, address: TcpAddress) -> None:
        """Begin to connect; the connection is lost or established in a while.

        Raises:
            OSError: nothing comes of it.
        """

    def released(self, connection: Connection) -> None:
        """A connection has no socket any more, and may get another."""


class Resumer:
    """All links of a process; everything is called under the reactor's lock."""

    def __init__(self, reactor: Reactor, carrier: Carrier, patience_s: float) -> None:
        self._reactor = reactor
        self._carrier = carrier
        self._patience_s = patience_s
        self._accepted: dict[bytes, Connection] = {}  # of links that others have opened
        self._ended: dict[bytes, None] = {}  # the last of these that are over

    def new_link(self, address: TcpAddress) -> Link:
        """For a connection that is about to be opened."""
        return Link(os.urandom(_LINK_BYTES), address, self._broke)

    def established(self, connection: Connection) -> None:
        """A connection that we have opened is there, for the first time or again."""
        link = connection.link
        assert isinstance(link, Link)
        outbox = link.outbox
        resumes = link.has_been_up
        opening = LinkOpen(link.link_id, link.received, outbox.acknowledged, resumes)
        connection.send_at_once(opening)
        link.has_been_up = True
        if not resumes:
            self._go_on(connection, link, 0)

    def _go_on(self, connection: Connection, link: Link, received: int) -> None:
        """The other side has so many of our frames: send the rest."""
        link.outbox.acknowledge(received)
        link.is_up = True
        link.broken_since = None
        link.retry_s = _RETRY_S
        for parts in list(link.outbox.after(received)):
            connection.send_parts(parts)

    # Messages -----------------------------------------------------------------------------

    def takes(self, connection: Connection, message: Message) -> bool:
        """Count a message that came; whether it was about the link, and for nobody else."""
        if isinstance(message, LinkOpen):
            self._opened(connection, message)
            return True
        link = connection.link
        assert isinstance(link, Link)
        try:
            if isinstance(message, LinkAck):
                link.outbox.acknowledge(message.received)
                return True
            if isinstance(message, LinkResumed):
                self._go_on(connection, link, message.received)
                return True
        except ValueError as error:
            connection.close(str(error))
            return True
        if isinstance(message, LinkGone):
            link.gave_up = True
            connection.close("the other side has given the link up")
            return True
        link.received += 1
        if not link.acknowledging:
            link.acknowledging = True
            self._reactor.call_later(_ACKNOWLEDGE_S, partial(self._acknowledge, connection, link))
        return False

    def _acknowledge(self, connection: Connection, link: Link) -> None:
        link.acknowledging = False
        if link.is_up:
            connection.send_at_once(LinkAck(link.received))

    def _opened(self, connection: Connection, message: LinkOpen) -> None:
        """The other side begins a link or resumes one, over this connection."""
        known = self._accepted.get(message.link)
        if known is not None:
            self._resume(known, connection, message)
        elif message.link in self._ended or message.received or message.acknowledged:
            connection.send_at_once(LinkGone())
            connection.close("the other side resumes a link that is over")
        else:
            self._end_older(connection)
            link = Link(message.link, None, self._broke)
            connection.link = link
            self._accepted[message.link] = connection
            link.is_up = True
            if message.resumes:  # its first connection broke before we heard anything
                connection.send_at_once(LinkResumed(0))

    def _end_older(self, connection: Connection) -> None:
        """Who opens another link has given up the one that is broken."""
        for older in list(self._accepted.values()):
            link = older.link
            if older.peer == connection.peer and isinstance(link, Link) and not link.is_up:
                link.gave_up = True
                older.close("the other side has given the link up")

    def _resume(self, known: Connection, carrier: Connection, message: LinkOpen) -> None:
        link = known.link
        assert isinstance(link, Link)
        if known.peer != carrier.peer or known is carrier:
            carrier.close("the other side resumes a link of somebody else")
            return
        # The other side may have noticed first that the old connection is dead.
        known.let_go()
        self._carrier.released(known)
        known.take_over(carrier)
        self._carrier.released(carrier)
        known.send_at_once(LinkResumed(link.received))
        try:
            self._go_on(known, link, message.received)
        except ValueError as error:
            known.close(str(error))

    # Breaks -------------------------------------------------------------------------------

    def _broke(self, connection: Connection, reason: str) -> None:
        """The connection of a link is gone, or did not come up."""
        link = connection.link
        assert isinstance(link, Link)
        link.is_up = False
        link.reason = reason
        self._carrier.released(connection)
        if link.broken_since is None:
            link.broken_since = now = time.monotonic()
            logger.info("the link to process %s broke: %s", connection.peer.hex(), reason)
            give_up = partial(self._give_up, connection, link, now, reason)
            self._reactor.call_later(self._patience_s, give_up)
        if link.address is not None:
            self._reactor.call_later(link.retry_s, partial(self._try_again, connection, link))
            link.retry_s = min(2 * link.retry_s, _LONGEST_RETRY_S)

    def _try_again(self, connection: Connection, link: Link) -> None:
        if connection.closed:
            return
        assert link.address is not None
        try:
            self._carrier.connect_again(connection, link.address)
        except OSError as error:
            self._broke(connection, str(error))

    def _give_up(self, connection: Connection, link: Link, since: float, reason: str) -> None:
        if link.broken_since == since and not connection.closed:
            link.gave_up = True
            last = "" if link.reason == reason else f": {link.reason}"
            waited = f"no other connection came up within {self._patience_s:g} s{last}"
            connection.close(f"{reason}; {waited}")

    def closed(self, connection: Connection) -> None:
        """A connection is closed for good."""
        link = connection.link
        if isinstance(link, Link) and self._accepted.pop(link.link_id, None) is not None:
            self._ended[link.link_id] = None
            if len(self._ended) > _ENDED_KEPT:
                del self._ended[next(iter(self._ended))]
