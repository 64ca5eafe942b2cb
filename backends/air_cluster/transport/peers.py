"""Connections of a process: to its node's daemon and straight to other processes.

A message to a process that is gone can be found out about at two moments:

* at once: :meth:`Peers.to` and :meth:`Peers.open` raise ``OSError``, :meth:`Peers.send_to`
  returns false. On the same machine (Unix sockets) that is always so when nobody listens.
* later: connecting over TCP takes its time, and never that of the caller. What is sent
  meanwhile waits. If nothing comes of it - refused, another process answers, wrong token or
  certificate, no way there for a minute - ``on_lost(connection, reason)`` is called with
  the connection that was returned. As ``connection.established`` is false then, nothing of
  what was sent on it has arrived. ``connection.peer`` is the process that was meant.

A TCP connection to a process is a *link*: it survives that its socket breaks, and delivers what was
sent all the same (see ``transport.resuming``). Nobody notices but by waiting. It ends with either
process, or when no socket can be had for a minute; then ``connection.link.gave_up`` is true, and
what was sent last may have arrived or not.

``on_lost`` is called once for every connection that was returned to somebody here, and for every
one that a member of the cluster has opened; strangers are turned away without a word.
"""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from air_cluster.protocol.codec import Message
from air_cluster.protocol.frames import Buffer
from air_cluster.protocol.handshake import Handshake
from air_cluster.protocol.ids import node_of
from air_cluster.protocol.messages import LinkOpen
from air_cluster.transport import tcp, unix
from air_cluster.transport.addresses import TcpAddress, UnixAddress, choose, join, parse
from air_cluster.transport.connection import Connection
from air_cluster.transport.links import LinkWatch
from air_cluster.transport.listening import Listener
from air_cluster.transport.opening import Opening
from air_cluster.transport.probation import Probation
from air_cluster.transport.reactor import Reactor
from air_cluster.transport.resuming import PATIENCE_S, Resumer

if TYPE_CHECKING:
    from air_cluster.transport.tls import TlsContexts, TlsStream

logger = logging.getLogger(__name__)

HANDSHAKE_S = 10.0
MAX_STRANGERS = 256

_LAST_WORDS_S = 2.0
_LINGER_S = 5.0

MessageHandler = Callable[[Connection, Any, bytes], None]


class _LastWords(msgspec.Struct, eq=False):
    """What to do once connections to a process that has ended have ended too."""

    connections: set[Connection]
    then: Callable[[], None]


class Peers:
    """Opens, accepts and remembers connections; passes messages to their handlers.

    Handlers are registered by message type and called under the reactor's lock, with the
    connection to answer on. Two processes that open connections to each other at the same
    time have two; either keeps to one of them for all that it sends, so that what one process
    sends to another arrives in order.

    Nothing here blocks, except for :meth:`drain`. See the module's docstring for how failures
    are reported.

    Args:
        token: what the members of the cluster know.
        process_id: this process.
        same_machine: tells from a process's identity whether it is on this machine, and so
            can be reached by the Unix part of its address. By default all are.
        tls: encrypt TCP connections; all members have to, or none.
        handshake_s: how long a TCP connection may take until both sides know each other.
        max_strangers: so many accepted TCP connections may be in their handshakes at once;
            more end the oldest of them.
        patience_s: so long may no socket be had for a link.
    """

    def __init__(
        self,
        reactor: Reactor,
        token: bytes,
        process_id: bytes,
        *,
        same_machine: Callable[[bytes], bool] = lambda process_id: True,
        tls: TlsContexts | None = None,
        handshake_s: float = HANDSHAKE_S,
        max_strangers: int = MAX_STRANGERS,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._reactor = reactor
        self._token = token
        self._same_machine = same_machine
        self._tls = tls
        self.process_id = process_id
        self._handlers: dict[type, MessageHandler] = {}
        self._by_process: dict[bytes, Connection] = {}
        self._open: set[Connection] = set()
        self._listeners: list[Listener] = []
        # Unix sockets have no strangers (only this user can connect), and those who connect
        # are told at once when the other side dies: no matter how long they take.
        self._accepted = Probation(reactor, handshake_s, max_strangers)
        self._opened = Probation(reactor, handshake_s)
        self._openings: dict[Connection, Opening] = {}
        self._links = LinkWatch(reactor)
        self._resumer = Resumer(reactor, self, patience_s)
        self._last_words: list[_LastWords] = []
        self.on_lost: Callable[[Connection, str], None] = lambda connection, reason: None

    def handle(self, kind: type, handler: MessageHandler) -> None:
        """Have messages of one type passed to *handler*."""
        self._handlers[kind] = handler

    # Listening ----------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where this process listens: what others need to reach it. Empty if nowhere."""
        return join(listener.address for listener in self._listeners)

    def listen(self, address: str) -> str:
        """Accept connections of other members of the cluster; may be called more than once.

        Args:
            address: see :mod:`air_cluster.transport.addresses`; TCP port 0 is any free one.

        Returns:
            The same with the real ports. A host that stands for all addresses of the machine
            stays as it is, and is none to connect to: see :func:`tcp.own_host`.

        Raises:
            AddressError: *address* is invalid or holds a name.
            OSError: it is taken, or not of this machine; then none of its parts is listened on.
        """
        made: list[Listener] = []
        try:
            for part in parse(address):
                if isinstance(part, UnixAddress):
                    made.append(unix.Listener(part, self._reactor, self._accept_unix))
                else:
                    made.append(tcp.Listener(part, self._reactor, self._accept_tcp))
        except BaseException:
            for listener in made:
                listener.close()
            raise
        self._listeners += made
        return join(listener.address for listener in made)

    def _accept_unix(self, sock: socket.socket) -> None:
        self._add(sock, accepted=True)

    def _accept_tcp(self, sock: socket.socket) -> None:
        try:
            tcp.prepare(sock)
        except OSError:
            sock.close()  # it has hung up already
            return
        connection = self._add(None, accepted=True)
        self._accepted.add(connection, "the other side")
        if self._tls is None:
            self._up(connection, sock, sock)
        else:
            self._follow(connection, sock, "TLS", connected=True)

    # Opening ------------------------------------------------------------------------------

    def open(self, address: str, *, process_id: bytes = b"", takes_fds: bool = False) -> Connection:
        """A new connection; what is sent waits for the handshake.

        Args:
            process_id: the only process that may answer. Its address may have several parts,
                of which the right one is taken. Without it, a Unix part goes first.

        Raises:
            AddressError: *address* is invalid, holds a name, or cannot be reached from here.
            OSError: it is known at once that nobody listens there. If that comes out later,
                ``on_lost`` is called.
        """
        here = not process_id or self._same_machine(process_id)
        part = choose(address, same_machine=here)
        if isinstance(part, UnixAddress):
            return self._add(unix.connect(part), process_id=process_id, takes_fds=takes_fds)
        try:
            sock = tcp.connect(part)
        except OSError as error:
            if not process_id or error.errno == errno.ECONNREFUSED:
                raise
            connection = self._add(None, process_id=process_id)
            connection.link = self._resumer.new_link(part)
            connection.lose(f"cannot connect to {part}: {error}")
            return connection
        connection = self._add(None, process_id=process_id)
        if process_id:
            connection.link = self._resumer.new_link(part)
        self._comes_up(connection, sock, part)
        return connection

    def _comes_up(self, connection: Connection, sock: socket.socket, part: TcpAddress) -> None:
        self._opened.add(connection, str(part))
        self._follow(connection, sock, f"cannot connect to {part}", connected=False)

    def connect_again(self, connection: Connection, address: TcpAddress) -> None:
        """Find another socket for a connection: see ``Carrier``."""
        sock = tcp.connect(address)
        connection.start_again(Handshake(self._token, self.process_id, server=False))
        self._comes_up(connection, sock, address)

    def released(self, connection: Connection) -> None:
        """A connection has no socket any more: see ``Carrier``."""
        self._forget_socket(connection)
        if connection.closed:
            self._open.discard(connection)

    def to(self, process_id: bytes, address: str) -> Connection:
        """The connection to a process, opened if there is none.

        Raises:
            AddressError: as of :meth:`open`.
            OSError: nobody listens there: the process is gone. If that comes out later,
                ``on_lost`` is called.
        """
        connection = self.known(process_id)
        if connection is None:
            connection = self.open(address, process_id=process_id)
            if not connection.closed:
                self._by_process[process_id] = connection
        return connection

    def send_to(
        self, process_id: bytes, address: str, message: Message, payload: Sequence[Buffer] = ()
    ) -> bool:
        """Send to a process; false if it is known to be gone.

        True is no promise: if the process turns out to be gone, ``on_lost`` is called.

        Raises:
            AddressError: as of :meth:`open`.
        """
        try:
            connection = self.to(process_id, address)
        except OSError:
            return False
        connection.send(message, payload)
        return not connection.is_lost

    def known(self, process_id: bytes) -> Connection | None:
        """The connection to a process, if there is one that is not lost."""
        connection = self._by_process.get(process_id)
        return None if connection is None or connection.is_lost else connection

    # The life of a connection -------------------------------------------------------------

    def _add(
        self,
        sock: socket.socket | None,
        *,
        process_id: bytes = b"",
        accepted: bool = False,
        takes_fds: bool = False,
    ) -> Connection:
        connection = Connection(
            sock,
            self._reactor,
            Handshake(self._token, self.process_id, server=accepted),
            self._dispatch,
            self._closed,
            on_established=self._established,
            expected=process_id,
            accepted=accepted,
            takes_fds=takes_fds,
        )
        if not connection.closed:
            self._open.add(connection)
        return connection

    def _follow(
        self, connection: Connection, sock: socket.socket, what: str, *, connected: bool
    ) -> None:
        """See to it that a TCP connection comes up, or is reported."""
        context = None
        if self._tls is not None:
            context = self._tls.server if connected else self._tls.client
        self._openings[connection] = Opening(
            sock,
            self._reactor,
            on_up=partial(self._up, connection, sock),
            on_failed=partial(self._not_up, connection, what),
            connected=connected,
            tls=context,
        )

    def _not_up(self, connection: Connection, what: str, reason: str, final: bool) -> None:
        # Where nobody listens, or somebody else does, the process is gone. That of a link has
        # been there, and whether it is gone will be told.
        if final and not connection.established:
            connection.close(f"{what}: {reason}")
        else:
            connection.lose(f"{what}: {reason}")

    def _up(
        self, connection: Connection, sock: socket.socket, stream: socket.socket | TlsStream
    ) -> None:
        self._openings.pop(connection, None)
        self._links.add(connection, sock)
        connection.attach(stream)

    def _established(self, connection: Connection) -> None:
        self._accepted.remove(connection)
        self._opened.remove(connection)
        if connection.link is not None:
            self._resumer.established(connection)

    def _dispatch(self, connection: Connection, message: Message, payload: bytes) -> None:
        if (connection.link is not None or type(message) is LinkOpen) and self._resumer.takes(
            connection, message
        ):
            return
        handler = self._handlers.get(type(message))
        if handler is None:
            connection.close(f"unexpected message {type(message).__name__}")
            return
        # Who called us is remembered, so that later messages go the same way as answers.
        answer_on = self._by_process.setdefault(connection.peer, connection)
        handler(answer_on, message, payload)

    def _closed(self, connection: Connection, reason: str) -> None:
        self._open.discard(connection)
        self._forget_socket(connection)
        self._resumer.closed(connection)
        if self._by_process.get(connection.peer) is connection:
            del self._by_process[connection.peer]
        if connection.accepted and not connection.established:
            logger.info("turned a connection away: %s", reason)
            return
        self.on_lost(connection, reason)
        for waiting in list(self._last_words):
            waiting.connections.discard(connection)
            if not waiting.connections:
                self._all_heard(waiting)

    def _forget_socket(self, connection: Connection) -> None:
        self._accepted.remove(connection)
        self._opened.remove(connection)
        self._links.remove(connection)
        opening = self._openings.pop(connection, None)
        if opening is not None:
            opening.close()

    # The ends of processes ----------------------------------------------------------------

    def read_out(self, process_id: bytes) -> None:
        """Handle what has come from a process, before news about it that went another way."""
        for connection in [c for c in self._open if c.peer == process_id]:
            connection.read_out()

    def hear_out(self, process_id: bytes, then: Callable[[], None] = lambda: None) -> None:
        """Handle what a process had sent before it ended: the news of its end was faster.

        Args:
            then: called when all of that is handled: at once, except for what may still be on
                its way from another machine. That is waited for until the connection ends, two
                seconds at most.
        """
        connections = [c for c in self._open if c.peer == process_id]
        for connection in connections:
            connection.read_out()
            if connection.link is not None and not connection.link.is_up:
                connection.close("the process has ended")  # nobody is there to resume the link
        remote = {c for c in connections if c in self._links}
        if not remote:
            then()
            return
        waiting = _LastWords(remote, then)
        self._last_words.append(waiting)
        self._reactor.call_later(_LAST_WORDS_S, partial(self._all_heard, waiting))

    def end_node(self, number: int) -> None:
        """Handle what has come from the processes of a dead node, and close the connections."""
        for connection in [c for c in self._open if node_of(c.peer) == number]:
            connection.read_out()
            connection.close("its node is gone")

    def _all_heard(self, waiting: _LastWords) -> None:
        if waiting in self._last_words:
            self._last_words.remove(waiting)
            waiting.then()

    def drain(self) -> None:
        """Send what waits to be sent, however long the peers take. For the end of a process.

        Over TCP, the system throws away what it has not sent yet if a process ends that has
        not read everything. So those peers are told that no more will come, and heard until
        they have hung up; what they still say is for nobody. Five seconds at most.
        """
        for connection in list(self._open):
            connection.drain()
        sockets = self._links.sockets()
        for sock in sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + _LINGER_S
        for sock in sockets:
            with suppress(OSError):
                sock.settimeout(max(0.001, deadline - time.monotonic()))
                while sock.recv(64 << 10):
                    sock.settimeout(max(0.001, deadline - time.monotonic()))
                sock.setblocking(False)

    def abandon(self) -> None:
        """In a forked child: let go of all connections, which stay the parent's."""
        for listener in self._listeners:
            listener.abandon()
        for opening in self._openings.values():
            opening.abandon()
        for connection in self._open:
            connection.abandon()

    def close(self) -> None:
        """Close the listeners and all connections."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self._open):
            connection.close("shut down")
