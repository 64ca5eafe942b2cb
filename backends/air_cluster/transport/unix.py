"""Unix sockets of a session: one a process, readable by its user only."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable

from air_cluster.transport import listening
from air_cluster.transport.addresses import UnixAddress
from air_cluster.transport.reactor import Reactor


def connect(address: UnixAddress) -> socket.socket:
    """A socket connected to *address*.

    Raises:
        OSError: nobody listens there.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(address.path)
    except BaseException:
        sock.close()
        raise
    return sock


class Listener(listening.Listener):
    """Accepts connections on a path; the file has mode 0600 from its first moment.

    Raises:
        OSError: it cannot be made, such as when it is there already.
    """

    def __init__(
        self, address: UnixAddress, reactor: Reactor, on_connect: Callable[[socket.socket], None]
    ) -> None:
        self._path = address.path
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The mode is set before anybody can connect: bind makes the file, listen opens it.
            sock.bind(self._path)
            os.chmod(self._path, 0o600)
            sock.listen(listening.BACKLOG)
        except BaseException:
            sock.close()
            raise
        super().__init__(sock, str(address), reactor, on_connect)

    def close(self) -> None:
        """Stop listening and remove the file."""
        if not self._closed:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
        super().close()
