"""Connections of a process: to its node's daemon and straight to other processes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any

from air_cluster.protocol.frames import Buffer
from air_cluster.protocol.handshake import Handshake
from air_cluster.protocol.messages import Message
from air_cluster.transport.connection import Connection
from air_cluster.transport.reactor import Reactor
from air_cluster.transport.unix import Listener, connect

MessageHandler = Callable[[Connection, Any, bytes], None]


class Peers:
    """Opens, accepts and remembers connections; passes messages to their handlers.

    Handlers are registered by message type and called under the reactor's lock, with the
    connection to answer on. Two processes that open connections to each other at the same
    time have two; either keeps to one of them for all that it sends, so that what one process
    sends to another arrives in order.
    """

    def __init__(self, reactor: Reactor, token: bytes, process_id: bytes) -> None:
        self._reactor = reactor
        self._token = token
        self.process_id = process_id
        self._handlers: dict[type, MessageHandler] = {}
        self._by_process: dict[bytes, Connection] = {}
        self._open: set[Connection] = set()
        self._listener: Listener | None = None
        self.on_lost: Callable[[Connection, str], None] = lambda connection, reason: None

    def handle(self, kind: type, handler: MessageHandler) -> None:
        """Have messages of one type passed to *handler*."""
        self._handlers[kind] = handler

    def listen(self, address: str) -> None:
        """Accept connections of other members of the cluster."""
        self._listener = Listener(address, self._reactor, self._accept)

    def open(self, address: str, *, takes_fds: bool = False) -> Connection:
        """A new connection; what is sent waits for the handshake.

        Raises:
            OSError: nobody listens there.
        """
        return self._connection(connect(address), server=False, takes_fds=takes_fds)

    def to(self, process_id: bytes, address: str) -> Connection:
        """The connection to a process, opened if there is none.

        Raises:
            OSError: nobody listens there: the process is gone.
        """
        connection = self.known(process_id)
        if connection is None:
            connection = self.open(address)
            self._by_process[process_id] = connection
            connection.peer = process_id
        return connection

    def send_to(
        self, process_id: bytes, address: str, message: Message, payload: Sequence[Buffer] = ()
    ) -> bool:
        """Send to a process; false if it is gone."""
        try:
            connection = self.to(process_id, address)
        except OSError:
            return False
        connection.send(message, payload)
        return not (connection.closed or connection.broken)

    def known(self, process_id: bytes) -> Connection | None:
        """The open connection to a process, if there is one."""
        connection = self._by_process.get(process_id)
        gone = connection is None or connection.closed or connection.broken
        return None if gone else connection

    def hear_out(self, process_id: bytes) -> None:
        """Handle what a process had sent before it ended: the news of its end was faster."""
        for connection in [c for c in self._open if c.peer == process_id]:
            connection.read_out()

    def _accept(self, sock: socket.socket) -> None:
        self._connection(sock, server=True, takes_fds=False)

    def _connection(self, sock: socket.socket, *, server: bool, takes_fds: bool) -> Connection:
        handshake = Handshake(self._token, self.process_id, server=server)
        connection = Connection(
            sock, self._reactor, handshake, self._dispatch, self._closed, takes_fds=takes_fds
        )
        if not connection.closed:
            self._open.add(connection)
        return connection

    def _dispatch(self, connection: Connection, message: Message, payload: bytes) -> None:
        handler = self._handlers.get(type(message))
        if handler is None:
            connection.close(f"unexpected message {type(message).__name__}")
            return
        # Who called us is remembered, so that later messages go the same way as answers.
        answer_on = self._by_process.setdefault(connection.peer, connection)
        handler(answer_on, message, payload)

    def _closed(self, connection: Connection, reason: str) -> None:
        self._open.discard(connection)
        if self._by_process.get(connection.peer) is connection:
            del self._by_process[connection.peer]
        self.on_lost(connection, reason)

    def drain(self) -> None:
        """Send what waits to be sent, however long the peers take. For the end of a process."""
        for connection in list(self._open):
            connection.drain()

    def abandon(self) -> None:
        """In a forked child: let go of all connections, which stay the parent's."""
        if self._listener is not None:
            self._listener.abandon()
        for connection in self._open:
            connection.abandon()

    def close(self) -> None:
        """Close the listener and all connections."""
        if self._listener is not None:
            self._listener.close()
        for connection in list(self._open):
            connection.close("shut down")
