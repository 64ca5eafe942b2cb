"""What listening sockets have in common: they accept, and wait out what keeps them from it."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

from air_cluster.transport.poller import READ
from air_cluster.transport.reactor import Reactor

logger = logging.getLogger(__name__)

BACKLOG = 1024
_RETRY_S = 1.0
_MAX_AT_ONCE = 64  # so that no flood of connections keeps other events waiting


class Listener:
    """Accepts connections on a socket that listens already, which it owns from now on.

    Attributes:
        address: where others reach it.
    """

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        reactor: Reactor,
        on_connect: Callable[[socket.socket], None],
    ) -> None:
        self.address = address
        self._reactor = reactor
        self._on_connect = on_connect
        self._closed = False
        self._socket = sock
        self._socket.setblocking(False)
        reactor.register(self, READ)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def on_events(self, _mask: int) -> None:
        """Called by the reactor."""
        for _ in range(_MAX_AT_ONCE):
            if self._closed:
                return
            try:
                sock, _address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                # Such as no descriptors left: to try at once again would only burn the CPU.
                logger.warning("cannot accept connections on %s: %s", self.address, error)
                self._reactor.unregister(self)
                self._reactor.call_later(_RETRY_S, self._resume)
                return
            self._on_connect(sock)

    def _resume(self) -> None:
        if not self._closed:
            self._reactor.register(self, READ)

    def abandon(self) -> None:
        """In a forked child: close this process's descriptor."""
        self._closed = True
        self._socket.close()

    def close(self) -> None:
        """Stop listening."""
        if self._closed:
            return
        self._closed = True
        self._reactor.unregister(self)
        self._socket.close()
