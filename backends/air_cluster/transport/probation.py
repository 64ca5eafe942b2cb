"""Connections whose other side has not yet shown that it belongs to the cluster."""

from __future__ import annotations

import time

from air_cluster.transport.connection import Connection
from air_cluster.transport.reactor import Reactor


class Probation:
    """Ends connections that take too long, and the oldest if there are too many.

    Whoever connects and says nothing, or a byte a second, costs a descriptor and a few hundred
    bytes (what OpenSSL keeps of a handshake is below 150 KB), for so long and so often; members
    are through in milliseconds.

    Args:
        seconds: what a connection has, from :meth:`add` on.
        limit: of connections at the same time; 0 for none.
    """

    def __init__(self, reactor: Reactor, seconds: float, limit: int = 0) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._limit = limit
        self._deadlines: dict[Connection, tuple[float, str]] = {}  # the next first
        self._looking = False

    def __len__(self) -> int:
        return len(self._deadlines)

    def add(self, connection: Connection, who: str) -> None:
        """Have it closed unless it is removed in time; *who* is blamed for that."""
        self._deadlines[connection] = time.monotonic() + self._seconds, who
        if self._limit and len(self._deadlines) > self._limit:
            oldest = next(iter(self._deadlines))
            self.remove(oldest)
            oldest.close(f"dropped: {self._limit} others were in their handshakes too")
        self._look_later()

    def remove(self, connection: Connection) -> None:
        """It is through, or closed."""
        self._deadlines.pop(connection, None)

    def _look_later(self) -> None:
        if self._deadlines and not self._looking:
            self._looking = True
            due, _who = next(iter(self._deadlines.values()))
            self._reactor.call_later(max(0.0, due - time.monotonic()), self._look)

    def _look(self) -> None:
        self._looking = False
        now = time.monotonic()
        for connection, (deadline, who) in list(self._deadlines.items()):
            if deadline > now:
                break
            self.remove(connection)
            connection.lose(f"{who} did not end the handshake within {self._seconds:g} s")
        self._look_later()
