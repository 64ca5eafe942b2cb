"""The head's side of the link to a node on another machine; see ``protocol.channel``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from air_cluster.protocol import head_messages as wire
from air_cluster.protocol.channel import Outbox
from air_cluster.protocol.codec import Message
from air_cluster.protocol.frames import Buffer
from air_cluster.transport.connection import Connection


class NodeLink:
    """Delivers messages to a node, whatever becomes of the connection to it.

    Args:
        on_sent: called with the link when there is something to :meth:`flush`: at once, or once
            what has led to it is on disk.
        outbox: what was sent before; empty for a new node.
        received: how many messages the node has sent.

    Attributes:
        connection: the one in use, if there is one.
        committed: so many of the received messages will never be asked for again.
        heard: when the node last sent something, in seconds of the monotonic clock.
    """

    def __init__(
        self,
        on_sent: Callable[[NodeLink], None],
        now: float,
        outbox: Outbox[tuple[Message, Sequence[Buffer]]] | None = None,
        received: int = 0,
    ) -> None:
        self._on_sent = on_sent
        self.outbox = Outbox[tuple[Message, Sequence[Buffer]]]() if outbox is None else outbox
        self._flushed = self.outbox.sent
        self.received = self.committed = received
        self.connection: Connection | None = None
        self.heard = now

    def send(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        """Deliver a message, in order and once."""
        self.outbox.add((message, [bytes(part) for part in payload]))
        self._on_sent(self)

    def tell(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        """Send what is not worth keeping, if the node can be reached."""
        if self.connection is not None:
            self.connection.send(message, payload)

    @property
    def unsent(self) -> int:
        """How many bytes wait for the node to take them; at least so many."""
        return 0 if self.connection is None else self.connection.unsent

    def flush(self) -> None:
        """Send what was not sent yet; what was received is committed."""
        self.committed = self.received
        if self.connection is not None:
            for message, payload in self.outbox.after(self._flushed):
                self.connection.send(message, payload)
            self._flushed = self.outbox.sent

    def greet(self, hello: wire.Joined) -> None:
        """Send the first message of all, which is not counted."""
        assert self.connection is not None
        self.connection.send(hello)

    def resume(self, connection: Connection, received: int, incarnation: int) -> None:
        """The node goes on with this connection, after the first *received* messages.

        Raises:
            ValueError: it cannot have received so many, or has said before that it has more.
        """
        self.outbox.acknowledge(received)
        kept = list(self.outbox.after(received))
        self.connection = connection
        connection.send(wire.Resumed(self.received, incarnation))
        for message, payload in kept:
            connection.send(message, payload)
        self._flushed = self.outbox.sent
