"""Unix sockets of a session: one a process, readable by its user only."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
from collections.abc import Callable

from air_cluster.transport.reactor import Reactor

logger = logging.getLogger(__name__)

_BACKLOG = 1024
_RETRY_S = 1.0


def connect(address: str) -> socket.socket:
    """A socket connected to ``unix:PATH``.

    Raises:
        OSError: nobody listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(address.removeprefix("unix:"))
    except BaseException:
        sock.close()
        raise
    return sock


class Listener:
    """Accepts connections on ``unix:PATH``; the file has mode 0600 from its first moment."""

    def __init__(
        self, address: str, reactor: Reactor, on_connect: Callable[[socket.socket], None]
    ) -> None:
        self.address = address
        self._path = address.removeprefix("unix:")
        self._reactor = reactor
        self._on_connect = on_connect
        self._closed = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The mode is set before anybody can connect: bind makes the file, listen opens it.
            self._socket.bind(self._path)
            os.chmod(self._path, 0o600)
            self._socket.listen(_BACKLOG)
        except BaseException:
            self._socket.close()
            raise
        self._socket.setblocking(False)
        reactor.register(self, selectors.EVENT_READ)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def on_events(self, _mask: int) -> None:
        """Called by the reactor."""
        while not self._closed:
            try:
                sock, _address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                # Such as no descriptors left: to try at once again would only burn the CPU.
                logger.warning("cannot accept connections on %s: %s", self._path, error)
                self._reactor.unregister(self)
                self._reactor.call_later(_RETRY_S, self._resume)
                return
            self._on_connect(sock)

    def _resume(self) -> None:
        if not self._closed:
            self._reactor.register(self, selectors.EVENT_READ)

    def abandon(self) -> None:
        """In a forked child: close this process's descriptor."""
        self._closed = True
        self._socket.close()

    def close(self) -> None:
        """Stop listening and remove the file."""
        if self._closed:
            return
        self._closed = True
        self._reactor.unregister(self)
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
