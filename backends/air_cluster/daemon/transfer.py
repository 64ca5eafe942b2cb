"""Moves the bytes of values between nodes, on sockets and threads of their own.

The side that has a value sends it straight from the segment or file, without a copy in this
process (``sendfile``); the other one receives it straight into the memory where it stays. Either
blocks in system calls that let go of the interpreter, and never touches the daemon's reactor.

After the handshake (see ``protocol.handshake``) the client asks and the server answers, one
question at a time, integers little-endian::

    u8 0: segment, 1: file    u64 its number    u64 offset    u64 bytes
    u8 0    u64 bytes    the bytes              or
    u8 1    u64 bytes    why not, in UTF-8
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from air_cluster.core.copies import FailureKind
from air_cluster.daemon.blocking import (
    CONNECT_S,
    Link,
    LinkError,
    Threads,
    encrypted,
    interrupt,
    shake,
)
from air_cluster.store.writer import Reserved
from air_cluster.transport.addresses import TcpAddress, parse
from air_cluster.transport.reactor import Reactor
from air_cluster.transport.tcp import Listener, prepare

if TYPE_CHECKING:
    import ssl

logger = logging.getLogger(__name__)

_QUESTION = struct.Struct("<BQQQ")
_ANSWER = struct.Struct("<BQ")
_HAS, _REFUSES = 0, 1
_MAX_REFUSAL_BYTES = 4096

_STALL_S = 10.0
_SERVER_IDLE_S = 60.0
_CLIENT_IDLE_S = 45.0  # a link is given up before the server does
_MAX_LINKS = 512
_MAX_STRANGERS = 64
_MAX_SIDE_BY_SIDE = 16


class Peer(msgspec.Struct, frozen=True):
    """A node's daemon: its identity, and where it serves transfers (``tcp:HOST:PORT``)."""

    process: bytes
    address: str


class Range(msgspec.Struct, frozen=True):
    """Bytes of a segment, or of a file of spilled values, at the node that has it."""

    spilled: bool
    place: int
    offset: int
    nbytes: int


class Failure(msgspec.Struct, frozen=True):
    """Why bytes did not arrive."""

    kind: FailureKind
    reason: str


class _StaleError(Exception):
    """The other side gave up a link before it was used again."""


class _RefusedError(Exception):
    """The other side does not have what was asked for; the link is fine."""


class TransferServer:
    """Sends ranges of this node's segments and files to the other nodes' daemons.

    Args:
        reactor: accepts connections; each has a thread of its own after that.
        address: where to listen.
        token, process_id: for the handshake.
        open_source: gives the descriptor, which is closed here, and the size of a segment (or,
            if the first argument is true, a file), or says why there is none. Called in any
            thread. What is behind the descriptor stays as long as that is open.
        tls: the settings of the server's side, if the cluster uses TLS.
        stall_s: a link whose other side takes nothing for so long is cut.

    Raises:
        OSError: the port is taken, or the host is none of this machine.
    """

    def __init__(
        self,
        reactor: Reactor,
        address: TcpAddress,
        token: bytes,
        process_id: bytes,
        open_source: Callable[[bool, int], tuple[int, int] | str],
        *,
        tls: ssl.SSLContext | None = None,
        stall_s: float = _STALL_S,
    ) -> None:
        self._token = token
        self._process_id = process_id
        self._stall_s = stall_s
        self._open_source = open_source
        self._tls = tls
        self._lock = threading.Lock()
        self._threads: dict[socket.socket, threading.Thread] = {}
        self._strangers = 0  # who has not shown yet that it is of this cluster
        self._listener = Listener(address, reactor, self._accept)
        self.address = self._listener.address
        """Where others reach it, with the number of the port."""

    def _accept(self, sock: socket.socket) -> None:
        with self._lock:
            if len(self._threads) >= _MAX_LINKS or self._strangers >= _MAX_STRANGERS:
                sock.close()
                return
            try:
                prepare(sock)
                sock = encrypted(sock, self._tls, server=True)
                thread = threading.Thread(
                    target=self._serve, args=(sock,), name="air-transfer-server", daemon=True
                )
                thread.start()
            except (OSError, RuntimeError) as error:  # the peer is gone; no more threads
                logger.warning("cannot serve a transfer: %s", error)
                sock.close()
                return
            self._strangers += 1
            self._threads[sock] = thread

    def _serve(self, sock: socket.socket) -> None:
        try:
            try:
                peer, early = shake(sock, self._token, self._process_id, server=True)
            finally:
                with self._lock:
                    self._strangers -= 1
            link = Link(sock, peer, early, receive_s=_SERVER_IDLE_S, send_s=self._stall_s)
            while question := link.receive(_QUESTION.size):
                self._answer(link, *_QUESTION.unpack(question))
        except (LinkError, OSError) as error:
            logger.debug("a link for transfers has ended: %s", error)
        except Exception:
            logger.exception("a transfer failed")
        finally:
            with self._lock:
                del self._threads[sock]
                sock.close()

    def _answer(self, link: Link, kind: int, place: int, offset: int, nbytes: int) -> None:
        if kind > 1:
            raise LinkError(f"the other side asks for {kind}, which is nothing of this protocol")
        source = self._open_source(bool(kind), place)
        if isinstance(source, str):
            _refuse(link, source)
            return
        fd, size = source
        try:
            if not nbytes or offset + nbytes > size:
                what = "file" if kind else "segment"
                _refuse(link, f"{what} {place} has {size} bytes, not {nbytes} at {offset}")
                return
            link.send(_ANSWER.pack(_HAS, nbytes))
            link.send_range(fd, offset, nbytes)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Stop listening and cut all links; called under the reactor's lock."""
        self._listener.close()
        with self._lock:
            for sock in self._threads:
                interrupt(sock)

    def join(self) -> None:
        """Wait until all threads have ended, after :meth:`close`."""
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join()


def _refuse(link: Link, reason: str) -> None:
    text = reason.encode()[:_MAX_REFUSAL_BYTES]
    link.send(_ANSWER.pack(_REFUSES, len(text)) + text)


class Transfer:
    """One range that is being fetched."""

    def __init__(
        self,
        peer: Peer,
        source: Range,
        target: Reserved,
        done: Callable[[Failure | None], None],
    ) -> None:
        self.peer = peer
        self.source = source
        self.target = target
        self.done = done
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Have it fail soon, unless it ends first. Safe from any thread; never blocks."""
        with self._lock:
            self._cancelled = True
            if self._socket is not None:
                interrupt(self._socket)

    def use(self, sock: socket.socket) -> None:
        """It depends on this socket now.

        Raises:
            LinkError: it was cancelled.
        """
        with self._lock:
            if self._cancelled:
                raise LinkError("the transfer was cancelled")
            self._socket = sock

    def leave(self) -> bool:
        """It depends on no socket any more; whether that one is as good as before."""
        with self._lock:
            self._socket = None
            return not self._cancelled


class Transfers:
    """Fetches ranges from other nodes' :class:`TransferServer`, a few at the same time.

    Links to a node are kept for a while and used again.

    Args:
        token, process_id: for the handshake.
        tls: the settings of the client's side, if the cluster uses TLS.
        max_side_by_side: more are queued, in order.
        stall_s: a transfer to which nothing comes for so long fails.
    """

    def __init__(
        self,
        token: bytes,
        process_id: bytes,
        *,
        tls: ssl.SSLContext | None = None,
        max_side_by_side: int = _MAX_SIDE_BY_SIDE,
        stall_s: float = _STALL_S,
    ) -> None:
        self._token = token
        self._process_id = process_id
        self._tls = tls
        self._stall_s = stall_s
        self._threads = Threads(max_side_by_side, "air-transfer")
        self._lock = threading.Lock()
        self._idle: dict[Peer, list[tuple[Link, float]]] = {}  # when it was last used
        self._running: set[Transfer] = set()
        self._closed = False

    def fetch(
        self,
        peer: Peer,
        source: Range,
        target: Reserved,
        done: Callable[[Failure | None], None],
    ) -> Transfer:
        """Start to fetch a range.

        Args:
            peer: who has it.
            target: where to put it, of the same size. Part of it may be written when that
                fails; nothing is written any more once *done* is called.
            done: called once, in some thread, with what went wrong, or ``None``. Not called
                after :meth:`close`.
        """
        transfer = Transfer(peer, source, target, done)
        with self._lock:
            self._running.add(transfer)
        self._threads.submit(self._run, transfer)
        return transfer

    def _run(self, transfer: Transfer) -> None:
        failure: Failure | None = None
        try:
            self._fetch(transfer)
        except _RefusedError as error:
            failure = Failure(FailureKind.LOST, str(error))
        except (LinkError, OSError) as error:
            failure = Failure(FailureKind.CUT, f"from {transfer.peer.address}: {error}")
        except Exception as error:
            logger.exception("a transfer from %s failed", transfer.peer.address)
            failure = Failure(FailureKind.CUT, f"from {transfer.peer.address}: {error!r}")
        with self._lock:
            self._running.discard(transfer)
            if self._closed:
                return
        transfer.done(failure)

    def _fetch(self, transfer: Transfer) -> None:
        idle = self._take_idle(transfer.peer)
        if idle is not None:
            with contextlib.suppress(_StaleError):
                self._exchange(transfer, idle, is_fresh=False)
                return
        self._exchange(transfer, self._open(transfer), is_fresh=True)

    def _exchange(self, transfer: Transfer, link: Link, *, is_fresh: bool) -> None:
        source = transfer.source
        is_idle = False  # with nothing on its way
        try:
            transfer.use(link.socket)
            try:
                question = (source.spilled, source.place, source.offset, source.nbytes)
                link.send(_QUESTION.pack(*question))
                answer = link.receive(_ANSWER.size)
                if not answer:
                    raise LinkError("the other side closed the connection")
            except LinkError as error:
                if is_fresh:
                    raise
                raise _StaleError from error
            kind, nbytes = _ANSWER.unpack(answer)
            if kind == _REFUSES and nbytes <= _MAX_REFUSAL_BYTES:
                reason = link.receive(nbytes).decode(errors="replace")
                is_idle = True
                raise _RefusedError(reason)
            if kind != _HAS or nbytes != source.nbytes:
                raise LinkError("the other side does not speak this protocol")
            transfer.target.fill(link.receive_into)
            is_idle = True
        finally:
            if transfer.leave() and is_idle:
                self._keep(transfer.peer, link)
            else:
                link.close()

    def _open(self, transfer: Transfer) -> Link:
        wanted = transfer.peer
        address = next(a for a in parse(wanted.address) if isinstance(a, TcpAddress))
        family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
        sock = socket.socket(family)
        try:
            transfer.use(sock)
            sock.settimeout(CONNECT_S)
            prepare(sock)
            sock.connect((address.host, address.port))
            sock = encrypted(sock, self._tls, server=False)
            transfer.use(sock)
            peer, early = shake(sock, self._token, self._process_id, server=False)
            if peer != wanted.process:
                raise LinkError("another daemon listens there now")
            return Link(sock, peer, early, receive_s=self._stall_s, send_s=self._stall_s)
        except BaseException:
            transfer.leave()
            sock.close()
            raise

    def _take_idle(self, peer: Peer) -> Link | None:
        with self._lock:
            links = self._idle.get(peer)
            return links.pop()[0] if links else None

    def _keep(self, peer: Peer, link: Link) -> None:
        with self._lock:
            if self._closed:
                link.close()
            else:
                self._idle.setdefault(peer, []).append((link, time.monotonic()))

    def tick(self) -> None:
        """Close links that were not used for long; to be called now and then."""
        oldest = time.monotonic() - _CLIENT_IDLE_S
        with self._lock:
            for peer, links in list(self._idle.items()):
                while links and links[0][1] < oldest:
                    links.pop(0)[0].close()
                if not links:
                    del self._idle[peer]

    def forget(self, peer: Peer) -> None:
        """A node is gone: close the idle links to it."""
        with self._lock:
            for link, _ in self._idle.pop(peer, ()):
                link.close()

    def close(self) -> None:
        """Cancel everything and cut all links."""
        with self._lock:
            self._closed = True
            running = list(self._running)
            for links in self._idle.values():
                for link, _ in links:
                    link.close()
            self._idle.clear()
        for transfer in running:
            transfer.cancel()
        self._threads.close()

    def join(self) -> None:
        """Wait until all threads have ended, after :meth:`close`."""
        self._threads.join()
