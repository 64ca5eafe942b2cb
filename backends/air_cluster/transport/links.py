"""Notices that the way to another machine is cut, also while data waits for it."""

from __future__ import annotations

import socket

from air_cluster.transport import tcp
from air_cluster.transport.connection import Connection
from air_cluster.transport.reactor import Reactor

_INTERVAL_S = 5.0


class LinkWatch:
    """Looks at TCP connections from time to time and ends those that are dead."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._sockets: dict[Connection, socket.socket] = {}
        self._looking = False

    def __contains__(self, connection: object) -> bool:
        return connection in self._sockets

    def add(self, connection: Connection, sock: socket.socket) -> None:
        """Watch a connection over that socket."""
        self._sockets[connection] = sock
        self._look_later()

    def remove(self, connection: Connection) -> None:
        """It is closed."""
        self._sockets.pop(connection, None)

    def sockets(self) -> list[socket.socket]:
        """Those of all connections that are watched."""
        return list(self._sockets.values())

    def _look_later(self) -> None:
        if self._sockets and not self._looking:
            self._looking = True
            self._reactor.call_later(_INTERVAL_S, self._look)

    def _look(self) -> None:
        self._looking = False
        for connection, sock in list(self._sockets.items()):
            if not connection.closed and tcp.is_dead(sock):
                connection.lose(f"the other machine has not answered for {tcp.SILENT_S:g} s")
        self._look_later()
