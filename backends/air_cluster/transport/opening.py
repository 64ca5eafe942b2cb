"""A TCP connection on its way up: connected, then encrypted if it has to be."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from air_cluster.transport import tcp
from air_cluster.transport.poller import READ, WRITE
from air_cluster.transport.reactor import Reactor

if TYPE_CHECKING:
    import ssl

    from air_cluster.transport.tls import TlsStream


class Opening:
    """Follows one socket until it can carry messages; then calls *on_up* with what does.

    Args:
        sock: owned by this until it is up.
        on_failed: called instead of *on_up*, with the reason, and whether to try again is no use.
        connected: whether it is (it was accepted), or is only about to be.
        tls: the context for this side's role, if the connection is to be encrypted.
    """

    def __init__(
        self,
        sock: socket.socket,
        reactor: Reactor,
        on_up: Callable[[socket.socket | TlsStream], None],
        on_failed: Callable[[str, bool], None],
        *,
        connected: bool,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._socket = sock
        self._reactor = reactor
        self._on_up = on_up
        self._on_failed = on_failed
        self._connected = connected
        self._stream: TlsStream | None = None
        self._watched = READ if connected else WRITE
        self._closed = False
        if tls is not None:
            from air_cluster.transport.tls import TlsStream

            self._stream = TlsStream(sock, tls, server=connected)
        sock.setblocking(False)
        reactor.register(self, self._watched)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def on_events(self, _mask: int) -> None:
        """Called by the reactor."""
        if self._closed:
            return
        if not self._connected:
            error = tcp.connection_error(self._socket)
            if error:
                self._fail(os.strerror(error), error == errno.ECONNREFUSED)
                return
            self._connected = True
        if self._stream is None:
            self._up(self._socket)
            return
        try:
            done = self._stream.handshake()
        except OSError as error:
            self._fail(error.strerror or str(error), not isinstance(error, ConnectionError))
            return
        if done:
            self._up(self._stream)
            return
        watched = READ | WRITE if self._stream.backlog else READ
        if watched != self._watched:
            self._watched = watched
            self._reactor.modify(self, watched)

    def _up(self, stream: socket.socket | TlsStream) -> None:
        self._closed = True  # what follows is the business of whoever has it now
        self._reactor.unregister(self)
        self._on_up(stream)

    def _fail(self, reason: str, final: bool = True) -> None:
        self.close()
        self._on_failed(reason, final)

    def close(self) -> None:
        """Give up; nobody is told."""
        if not self._closed:
            self._closed = True
            self._reactor.unregister(self)
            self._socket.close()

    def abandon(self) -> None:
        """In a forked child: close this process's descriptor."""
        if not self._closed:
            self._closed = True
            self._socket.close()
