"""A connection to a peer: handshake, then frames, without ever blocking."""

from __future__ import annotations

import array
import contextlib
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import msgspec

from air_cluster.protocol.channel import Outbox
from air_cluster.protocol.codec import Message
from air_cluster.protocol.frames import Buffer, FrameDecoder, FrameError, pack
from air_cluster.protocol.handshake import Handshake, HandshakeError
from air_cluster.transport.poller import READ, WRITE
from air_cluster.transport.reactor import Reactor

if TYPE_CHECKING:
    from air_cluster.transport.tls import TlsStream

logger = logging.getLogger(__name__)

_BOTH = READ | WRITE
_RECEIVE_BYTES = 32 << 10
_RECEIVE_MORE_BYTES = 256 << 10
_MAX_PARTS = 256  # of one gathering write; Linux takes up to 1024
_MAX_FDS = 8
_NO_LINGER = struct.pack("ii", 1, 0)
_ENDED = "connection closed by the other side"
_REFUSED = (
    f"{_ENDED} during the handshake: it was shut down, belongs to another cluster, or only one"
    " of the two uses TLS"
)

Handler = Callable[["Connection", Message, bytes], None]


class Link(Protocol):
    """What lets a connection be carried on by another socket: see ``transport.resuming``."""

    outbox: Outbox[Sequence[Buffer]]
    is_up: bool
    gave_up: bool
    broke: Callable[[Connection, str], None]


class _Parcel(msgspec.Struct, frozen=True):
    """A message with a file descriptor beside it, which waits to be sent."""

    data: bytes
    fd: int


class Connection:
    """A stream socket that speaks frames; all methods are called under the reactor's lock.

    Messages sent before the handshake has ended wait for it. A connection closes itself when
    the peer does, or misbehaves; then ``on_close(connection, reason)`` is called once.

    Args:
        stream: connected; ``None`` if that takes a while, until :meth:`attach`.
        on_established: called once when the handshake has ended, before any message.
        expected: the only process that may answer; any member of the cluster if empty.
        accepted: whether the other side opened the connection.

    Attributes:
        established: the handshake has ended, at some time. Of what was sent on a connection
            that was closed without, nothing has arrived.
        closed: nothing is sent or received any more.
        broken: the peer takes nothing more. What it sent before it went is still received;
            the connection closes after that.
        peer: the process on the other side, once the handshake has ended; the expected one
            from the start.
        fds: descriptors that came, in the order of the messages that they came with.
        data: for the user of the connection.
        link: if the connection survives the loss of its socket.
    """

    def __init__(
        self,
        stream: socket.socket | TlsStream | None,
        reactor: Reactor,
        handshake: Handshake,
        on_message: Handler,
        on_close: Callable[[Connection, str], None],
        *,
        on_established: Callable[[Connection], None] = lambda connection: None,
        expected: bytes = b"",
        accepted: bool = False,
        takes_fds: bool = False,
    ) -> None:
        self._stream: socket.socket | TlsStream
        self._tls: TlsStream | None = None
        self._reactor = reactor
        self._handshake: Handshake | None = handshake
        self._on_message = on_message
        self._on_close = on_close
        self._on_established = on_established
        self._expected = expected
        self._takes_fds = takes_fds
        self._decoder = FrameDecoder()
        self._receive_bytes = _RECEIVE_BYTES
        self._waiting: list[Buffer] = []  # for the handshake to end
        self._out: deque[memoryview | _Parcel] = deque()
        self._corked = 0
        self._gathers = False
        self._cork_parts: list[Buffer] = []
        self._writing = False
        self._attached = False
        self.accepted = accepted
        self.established = False
        self.closed = False
        self.broken = False
        self.peer = expected
        self.fds: deque[int] = deque()
        self.data: object = None
        self.link: Link | None = None
        self._was_reset = False
        if stream is not None:
            self.attach(stream)

    def attach(self, stream: socket.socket | TlsStream) -> None:
        """The connection is up: begin the handshake."""
        assert self._handshake is not None
        stream.setblocking(False)
        self._stream = stream
        self._attached = True
        self._reactor.register(self, READ)
        self._write([self._handshake.opening()])
        if not isinstance(stream, socket.socket):
            self._tls = stream
            self._watch_writing()
            self._read_ahead(stream)

    def _read_ahead(self, stream: TlsStream) -> None:
        """Handle what was decrypted already: the socket will not announce it again."""
        try:
            data = stream.read_ahead()
        except OSError as error:
            self.lose(f"connection lost: {error}")
            return
        if data and not self.closed:
            self._understand(data)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._stream.fileno()

    # Sending ------------------------------------------------------------------------------

    def send(self, message: Message, payload: Sequence[Buffer] = ()) -> None:
        """Send a message, now or as soon as the peer takes it. Ignored once closed or broken.

        Raises:
            FrameError: it is too long; nothing was sent.
        """
        if self.closed or self.broken:
            return
        parts = pack(message, payload)
        if self.link is not None:
            self.link.outbox.add(parts)
            if not self.link.is_up:
                return
        if self._handshake is not None:
            self._waiting += parts
        elif self._corked:
            self._cork_parts += parts
        else:
            self._write(parts)

    def send_at_once(self, message: Message) -> None:
        """Send a message about the link itself, which is not counted; the handshake has ended."""
        self.send_parts(pack(message))

    def send_parts(self, parts: Sequence[Buffer]) -> None:
        """Send a packed frame, behind what was gathered."""
        self.uncork(force=True)
        if self._attached and not self.broken:
            self._write(parts)

    def send_with_fd(self, message: Message, fd: int) -> None:
        """Send a message with a file descriptor beside it, in its turn (Unix sockets only).

        The descriptor may be closed when this returns. The handshake must have ended.
        """
        assert self._handshake is None
        if self.closed or self.broken:
            return
        self.uncork(force=True)
        self._out.append(_Parcel(b"".join(pack(message)), os.dup(fd)))
        if len(self._out) == 1:
            self._flush()
        self._watch_writing()

    def cork(self) -> None:
        """Gather what is sent from now on until :meth:`uncork`."""
        self._corked += 1

    def gather(self) -> None:
        """Send all that is sent in this round of events in one write, at its end."""
        if not self._gathers:
            self._gathers = True
            self.cork()
            self._reactor.call_last(self._end_of_round)

    def _end_of_round(self) -> None:
        self._gathers = False
        self.uncork()

    def uncork(self, *, force: bool = False) -> None:
        """Send what was gathered, in one write."""
        if self._corked and not force:
            self._corked -= 1
        if (self._corked == 0 or force) and self._cork_parts:
            parts, self._cork_parts = self._cork_parts, []
            if not self.closed:
                self._write(parts)

    @property
    def is_lost(self) -> bool:
        """Whether nothing more can be sent; if so after a :meth:`send`, that did not arrive."""
        return self.closed or self.broken

    @property
    def unsent(self) -> int:
        """How many bytes wait for the peer to take them."""
        return sum(len(p.data if isinstance(p, _Parcel) else p) for p in self._out)

    @property
    def gathered(self) -> int:
        """How many parts wait for :meth:`uncork`."""
        return len(self._cork_parts)

    def _write(self, parts: Sequence[Buffer]) -> None:
        sent = 0
        if not self._out:
            sent = self._send_now(parts[:_MAX_PARTS])
            if sent < 0:
                return
        for part in parts:
            if sent >= len(part):  # empty parts too: a socket never gets rid of these
                sent -= len(part)
            else:
                self._out.append(memoryview(part)[sent:])
                sent = 0
        self._watch_writing()

    def _watch_writing(self) -> None:
        waits = self._out or (self._tls is not None and self._tls.backlog)
        if waits and not self._writing and not self.is_lost:
            self._writing = True
            self._reactor.modify(self, _BOTH)

    def _send_now(self, parts: Sequence[Buffer]) -> int:
        """How many bytes the socket took; -1 if the peer is gone."""
        try:
            if len(parts) == 1:
                return self._stream.send(parts[0])
            return self._stream.sendmsg(parts)
        except OSError as error:
            return self._not_sent(error)

    def _send_parcel(self, parcel: _Parcel) -> int:
        """Like :meth:`_send_now`; a descriptor goes out with the first byte of its message."""
        try:
            assert isinstance(self._stream, socket.socket)
            sent = socket.send_fds(self._stream, [parcel.data], [parcel.fd])
        except OSError as error:
            return self._not_sent(error)
        os.close(parcel.fd)
        return sent

    def _not_sent(self, error: OSError) -> int:
        if isinstance(error, BlockingIOError):
            return 0
        if isinstance(error, ConnectionError):
            self._break()
        else:
            self.lose(f"cannot send: {error}")
        return -1

    def _break(self) -> None:
        """The peer is gone. Its last words are still in the socket, so that stays open."""
        if self.link is None:
            self.broken = True
        else:
            self.link.is_up = False
            self._was_reset = True
        self._cork_parts.clear()
        self._clear_out()
        if self._writing:
            self._writing = False
            self._reactor.modify(self, READ)

    def _clear_out(self) -> None:
        for part in self._out:
            if isinstance(part, _Parcel):
                os.close(part.fd)
        self._out.clear()

    def drain(self) -> None:
        """Send what waits, blocking."""
        if self.closed or not self._attached:
            return
        self.uncork(force=True)
        self._stream.setblocking(True)
        self._flush()
        if not self.closed:
            self._stream.setblocking(False)

    def _flush(self) -> None:
        out = self._out
        while out:
            head = out[0]
            if isinstance(head, _Parcel):
                sent = self._send_parcel(head)
            else:
                sent = self._send_now(self._plain_head())
            if sent <= 0:
                return
            while sent:
                first = out.popleft()
                data = first.data if isinstance(first, _Parcel) else first
                if sent < len(data):
                    out.appendleft(memoryview(data)[sent:])
                    sent = 0
                else:
                    sent -= len(data)
        if self._writing and self._backlog_sent():
            self._writing = False
            self._reactor.modify(self, READ)

    def _backlog_sent(self) -> bool:
        """Whether nothing encrypted waits any more."""
        try:
            return self._tls is None or self._tls.flush()
        except OSError as error:
            self._not_sent(error)
            return False

    def _plain_head(self) -> list[memoryview]:
        """What waits and can go out in one write: up to the next descriptor."""
        parts: list[memoryview] = []
        for part in islice(self._out, _MAX_PARTS):
            if isinstance(part, _Parcel):
                break
            parts.append(part)
        return parts

    # Receiving ----------------------------------------------------------------------------

    def on_events(self, mask: int) -> None:
        """Called by the reactor."""
        if self.closed or not self._attached:
            return  # by the handler of another event of the same round
        if mask & WRITE:
            self._flush()
        if mask & READ:
            self._receive()

    def read_out(self) -> None:
        """Handle all that has come so far: for a peer that has ended, its last words."""
        while self._attached and not self.closed and self._receive():
            pass

    def _receive(self) -> bool:
        """Handle what one read gives; false if there was nothing."""
        # Who has proved nothing gets no more of our memory than the next step takes.
        size = self._receive_bytes if self._handshake is None else self._handshake.wanted
        try:
            data = self._receive_with_fds(size) if self._takes_fds else self._stream.recv(size)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if isinstance(error, ConnectionResetError) and not self.established:
                self.lose(_REFUSED)
            elif error.errno is None:  # TLS has something against the other side
                self.close(f"connection lost: {error}")
            else:
                self.lose(f"connection lost: {error.strerror}")
            return False
        if self._tls is not None:
            self._watch_writing()
        if not data:
            ended = _ENDED if self.established else _REFUSED
            # The reset was reported when something was sent.
            self.lose(ended) if self._was_reset else self.close(ended)
            return False
        if self._handshake is None:
            # Memory for much is taken from the system and given back each time, which is slower
            # than all the rest of a small message.
            is_full = len(data) == size
            self._receive_bytes = _RECEIVE_MORE_BYTES if is_full else _RECEIVE_BYTES
        self._understand(data)
        return True

    def _receive_with_fds(self, size: int) -> bytes:
        assert isinstance(self._stream, socket.socket)
        data, ancillary, _flags, _address = self._stream.recvmsg(
            size, socket.CMSG_SPACE(_MAX_FDS * array.array("i").itemsize)
        )
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
                self.fds.extend(fds)
        return data

    def _understand(self, data: bytes) -> None:
        try:
            if self._handshake is not None:
                self._shake_hands(self._handshake, data)
            else:
                self._take(data)
        except FrameError as error:
            self.close(str(error))
        except HandshakeError as error:
            if error.farewell:
                self._write([error.farewell])
            self.close(str(error))

    def _shake_hands(self, handshake: Handshake, data: bytes) -> None:
        answer = handshake.feed(data)
        if answer:
            self._write([answer])
        if not handshake.done or self.closed:
            return
        if self._expected and handshake.peer != self._expected:
            # Such as on a port that was given to another process after the one meant had ended.
            raise HandshakeError(
                f"process {handshake.peer.hex()} answered in the place of {self._expected.hex()}"
            )
        self._handshake = None
        self.established = True
        self.peer = handshake.peer
        self._on_established(self)
        if self._waiting:
            parts, self._waiting = self._waiting, []
            self._write(parts)
        if handshake.leftover and not self.closed:
            self._take(handshake.leftover)

    def _take(self, data: bytes) -> None:
        self.cork()
        try:
            for message, payload in self._decoder.feed(data):
                try:
                    self._on_message(self, message, payload)
                except Exception:
                    # Ours, not the peer's: the messages behind this one must not wait for it.
                    logger.exception("handling %s of %r failed", type(message).__name__, self)
                if self.closed:
                    return
        finally:
            self.uncork()

    def close(self, reason: str = "closed") -> None:
        """Close; what was not sent is lost."""
        if self.closed:
            return
        self.closed = True
        if self._attached:
            self._reactor.unregister(self)
            self._stream.close()
        self._clear_out()
        self._cork_parts.clear()
        self._waiting.clear()
        while self.fds:
            with contextlib.suppress(OSError):
                os.close(self.fds.popleft())
        self._on_close(self, reason)

    # Other sockets ------------------------------------------------------------------------

    def lose(self, reason: str) -> None:
        """The socket is of no use any more: close, unless there can be another."""
        if self.link is None or self.closed:
            self.close(reason)
            return
        self.let_go()
        self.link.broke(self, reason)

    def let_go(self) -> None:
        """Have no socket; the one that there was is reset, which the peer takes for a break."""
        stream = self._release()
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            stream.close()

    def _release(self) -> socket.socket | TlsStream | None:
        if not self._attached:
            return None
        self._reactor.unregister(self)
        self._attached = self._writing = self._was_reset = False
        self._clear_out()
        self._cork_parts.clear()
        self._decoder = FrameDecoder()
        self._tls = None
        return self._stream

    def start_again(self, handshake: Handshake) -> None:
        """There will be another socket, with a handshake of its own: see :meth:`attach`."""
        self._handshake = handshake

    def take_over(self, other: Connection) -> None:
        """Go on with the socket of a connection that is established, and ends with that."""
        stream = other._release()
        assert stream is not None
        other.closed = True
        self._handshake = None
        self._stream = stream
        self._attached = True
        self._reactor.register(self, READ)
        if not isinstance(stream, socket.socket):
            self._tls = stream

    def abandon(self) -> None:
        """In a forked child: close this process's descriptors, and tell nobody."""
        self.closed = True
        if self._attached:
            self._stream.close()
        self._clear_out()
        while self.fds:
            os.close(self.fds.popleft())

    def __repr__(self) -> str:
        return f"Connection(peer={self.peer.hex() or '?'}, {'closed' if self.closed else 'open'})"
