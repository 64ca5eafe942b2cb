"""Blocking sockets between daemons, and the threads that move much data over them.

What the reactor does without blocking, for many small messages, is done here by a thread for
each socket that spends its time in a few long system calls.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from air_cluster.protocol.handshake import Handshake, HandshakeError

if TYPE_CHECKING:
    import ssl
    from concurrent.futures import Future, ThreadPoolExecutor

CONNECT_S = 5.0
"""So long may it take to connect, and so long again until both sides have shown who they are."""

_CHUNK_BYTES = 8 << 20  # of one system call
_TLS_CHUNK_BYTES = 256 << 10
_GREETING_BYTES = 256


class LinkError(Exception):
    """The link cannot be used any more."""


class Link:
    """A blocking socket after the handshake; every failure is a :class:`LinkError`.

    Args:
        sock: connected, after the handshake; closed with this.
        peer: who the other side is.
        early: what came with the end of the handshake.
        receive_s, send_s: so long may the other side do nothing.
    """

    def __init__(
        self,
        sock: socket.socket,
        peer: bytes,
        early: bytes,
        *,
        receive_s: float,
        send_s: float,
    ) -> None:
        self.socket = sock
        self.peer = peer
        self._early = early
        self._receive_s, self._send_s = receive_s, send_s
        self._is_tls = _is_tls(sock)
        if not self._is_tls:
            # Python's own timeouts cost a second system call at every turn.
            sock.settimeout(None)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(receive_s))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(send_s))

    def send(self, data: bytes) -> None:
        """Send a few bytes."""
        with self._waiting(self._send_s):
            self.socket.sendall(data)

    def send_range(self, fd: int, offset: int, nbytes: int) -> None:
        """Send bytes of an open file."""
        end = offset + nbytes
        while offset < end:
            with self._waiting(self._send_s):
                if self._is_tls:
                    data = os.pread(fd, min(end - offset, _TLS_CHUNK_BYTES), offset)
                    self.socket.sendall(data)
                    sent = len(data)
                else:
                    count = min(end - offset, _CHUNK_BYTES)
                    sent = os.sendfile(self.socket.fileno(), fd, offset, count)
            if not sent:
                raise LinkError("the file is shorter than it was")
            offset += sent

    def receive(self, nbytes: int) -> bytes:
        """The next few bytes; none if the other side closed the link before the first."""
        data, self._early = self._early[:nbytes], self._early[nbytes:]
        with self._waiting(self._receive_s):
            while len(data) < nbytes:
                more = self.socket.recv(nbytes - len(data))
                if not more and not data:
                    return b""
                if not more:
                    raise LinkError("the other side closed the connection")
                data += more
        return data

    def receive_into(self, target: memoryview) -> int:
        """Put some of what comes at the start of *target*; returns how many bytes."""
        with self._waiting(self._receive_s):
            received = self.socket.recv_into(target[:_CHUNK_BYTES])
        if not received:
            raise LinkError("the other side closed the connection")
        return received

    @contextlib.contextmanager
    def _waiting(self, seconds: float) -> Iterator[None]:
        if self._is_tls:  # which takes no timeouts of the kernel
            self.socket.settimeout(seconds)
        try:
            yield
        except (BlockingIOError, TimeoutError) as error:
            raise LinkError(f"the other side has been silent for {seconds:g} s") from error
        except OSError as error:
            raise LinkError(f"the connection failed: {error}") from error

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def _is_tls(sock: socket.socket) -> bool:
    return type(sock) is not socket.socket  # without loading what most clusters do not use


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))


def shake(
    sock: socket.socket, token: bytes, process_id: bytes, *, server: bool
) -> tuple[bytes, bytes]:
    """Prove to one another that both are of this cluster.

    Returns:
        Who the other side is, and what came behind the handshake.

    Raises:
        LinkError: the other side is no member, or takes too long.
    """
    deadline = time.monotonic() + CONNECT_S
    handshake = Handshake(token, process_id, server=server)
    try:
        sock.settimeout(CONNECT_S)
        if _is_tls(sock):
            sock.do_handshake()  # type: ignore[attr-defined]
        sock.sendall(handshake.opening())
        while not handshake.done:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            data = sock.recv(_GREETING_BYTES)
            if not data:
                raise ConnectionError("the other side closed the connection")
            sock.sendall(handshake.feed(data))
    except (OSError, HandshakeError) as error:
        raise LinkError(f"the handshake failed: {error}") from error
    return handshake.peer, handshake.leftover


def encrypted(sock: socket.socket, tls: ssl.SSLContext | None, *, server: bool) -> socket.socket:
    """The socket to use from here on; closes *sock* if there is none."""
    if tls is None:
        return sock
    with sock:  # whose descriptor is the other one's after this
        return tls.wrap_socket(sock, server_side=server, do_handshake_on_connect=False)


def interrupt(sock: socket.socket) -> None:
    """Have whoever is blocked on *sock* fail at once. Safe from any thread.

    Not the method of TLS sockets, which takes apart what another thread is using.
    """
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Threads:
    """A few threads for what blocks; they, and what they need, are made at the first use."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Have a thread call *function*, after those that wait already.

        Raises:
            RuntimeError: this is closed, after it was used.
        """
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self._count, self._name)
        return self._pool.submit(function, *args)

    def close(self) -> None:
        """Forget what waits. What runs goes on."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def join(self) -> None:
        """Wait until all threads have ended, after :meth:`close`."""
        if self._pool is not None:
            self._pool.shutdown()
