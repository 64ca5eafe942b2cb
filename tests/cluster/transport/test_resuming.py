"""Links over connections that are cut again and again, at any byte, from either side."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from air_cluster.protocol.messages import LogLines, StreamCredit
from air_cluster.transport import resuming
from air_cluster.transport.connection import Connection
from air_cluster.transport.peers import Peers
from air_cluster.transport.reactor import Reactor
from air_cluster.transport.tls import TlsContexts

Serve = Callable[[Callable[[], Any]], None]
_RESET = struct.pack("ii", 1, 0)


class Wire:
    """Stands between two processes and cuts their connections; a thread passes bytes on.

    Attributes:
        cuts: after how many bytes, both ways together, each next connection is reset.
        connections: how many there were.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("tcp:").rpartition(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts: list[int] = []
        self.connections = 0
        self._commands, self._ordered = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._ordered, selectors.EVENT_READ)
        self._other: dict[socket.socket, socket.socket] = {}
        self._left: dict[socket.socket, int] = {}  # bytes until the cut, by the accepted socket
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def cut(self) -> None:
        """Reset what there is."""
        self._commands.send(b"x")

    def close(self) -> None:
        """Reset what there is, and take no more."""
        if self._thread.is_alive():
            self._commands.send(b"q")
            self._thread.join()
            for sock in (self._listener, self._commands, self._ordered):
                sock.close()
            self._selector.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._ordered:
                    self._reset_all()
                    if self._ordered.recv(1) == b"q":
                        return
                elif key.fileobj in self._other:
                    assert isinstance(key.fileobj, socket.socket)
                    self._pass_on(key.fileobj)

    def _accept(self) -> None:
        ours, _ = self._listener.accept()
        self.connections += 1
        try:
            theirs = socket.create_connection(self._target)
        except OSError:
            ours.close()
            return
        self._other[ours], self._other[theirs] = theirs, ours
        if self.cuts:
            self._left[ours] = self.cuts.pop(0)
        for sock in (ours, theirs):
            self._selector.register(sock, selectors.EVENT_READ)

    def _pass_on(self, sock: socket.socket) -> None:
        other = self._other[sock]
        accepted = sock if sock in self._left else other
        left = self._left.get(accepted)
        try:
            data = sock.recv(65536 if left is None else min(left, 65536))
            if not data:
                other.shutdown(socket.SHUT_WR)
                self._selector.unregister(sock)
                return
            other.sendall(data)
        except OSError:
            self._reset(sock)
            return
        if left is not None:
            self._left[accepted] = left - len(data)
            if left == len(data):
                self._reset(sock)

    def _reset(self, sock: socket.socket) -> None:
        for one in (sock, self._other[sock]):
            del self._other[one]
            self._left.pop(one, None)
            with contextlib.suppress(KeyError):
                self._selector.unregister(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            one.close()

    def _reset_all(self) -> None:
        while self._other:
            self._reset(next(iter(self._other)))


class Process:
    def __init__(self, reactor: Reactor, name: str, **options: Any) -> None:
        self.id = name.encode().ljust(8, b"_")
        self.came: list[tuple[int, bytes]] = []
        self.back: Connection | None = None
        self.lost: list[Connection] = []
        self.peers = Peers(reactor, b"token", self.id, **options)
        self.peers.handle(LogLines, self._on_lines)
        self.peers.on_lost = lambda connection, _reason: self.lost.append(connection)
        self.address = self.peers.listen("tcp:127.0.0.1:0")

    def _on_lines(self, connection: Connection, message: LogLines, payload: bytes) -> None:
        self.back = connection
        self.came.append((int(message.source), payload))


@pytest.fixture(params=["tcp", "tls"])
def pair(
    request: pytest.FixtureRequest, reactor: Reactor, tls: TlsContexts
) -> Iterator[tuple[Process, Process, Wire]]:
    options = {"tls": tls} if request.param == "tls" else {}
    a = Process(reactor, "a", patience_s=5.0, **options)
    b = Process(reactor, "b", patience_s=5.0, **options)
    wire = Wire(b.address)
    yield a, b, wire
    with reactor.lock:
        a.peers.close()
        b.peers.close()
    wire.close()


def test_what_is_sent_arrives_once_and_in_order(
    pair: tuple[Process, Process, Wire], serve: Serve, reactor: Reactor
) -> None:
    a, b, wire = pair
    generator = random.Random(1)
    wire.cuts = [
        generator.choice((0, 50, 3_000)) + generator.randrange(1, 60_000) for _ in range(25)
    ]
    wire.cuts[0] = 30_000
    sizes = (0, 10, 100, 5_000, 70_000)
    messages = [(n, generator.randbytes(generator.choice(sizes))) for n in range(300)]
    there = back = 0
    while len(a.came) < len(messages) or len(b.came) < len(messages):
        with reactor.lock:
            for number, payload in messages[there : there + 10]:
                a.peers.send_to(b.id, wire.address, LogLines(str(number), False), [payload])
            there += 10
            if b.back is not None:
                for number, payload in messages[back : back + 10]:
                    b.back.send(LogLines(str(number), False), [payload])
                back += 10
        before = len(a.came) + len(b.came)
        serve(lambda before=before: len(a.came) + len(b.came) > before)
    assert a.came == b.came == messages
    assert wire.connections > 10
    assert not a.lost
    # Some may have been cut before they could say which link they carry.
    assert not [connection for connection in b.lost if connection.link is not None]


def test_what_has_arrived_is_not_kept(
    pair: tuple[Process, Process, Wire], serve: Serve, reactor: Reactor
) -> None:
    a, b, wire = pair
    with reactor.lock:
        for number in range(100):
            a.peers.send_to(b.id, wire.address, LogLines(str(number), False))
        connection = a.peers.known(b.id)
    assert connection is not None
    assert isinstance(connection.link, resuming.Link)
    outbox = connection.link.outbox
    serve(lambda: outbox.acknowledged == outbox.sent == 100)
    assert not list(outbox.after(100))


def test_who_was_connected_to_sends_while_there_is_no_connection(
    pair: tuple[Process, Process, Wire], serve: Serve, reactor: Reactor
) -> None:
    a, b, wire = pair
    a.peers.send_to(b.id, wire.address, LogLines("1", False))
    serve(lambda: b.came)
    wire.cut()
    assert b.back is not None
    assert isinstance(b.back.link, resuming.Link)
    link = b.back.link
    serve(lambda: not link.is_up or wire.connections > 1)
    b.back.send(LogLines("2", False), [b"x" * 100_000])
    serve(lambda: a.came)
    assert a.came == [(2, b"x" * 100_000)]
    assert not a.lost + b.lost


def test_a_process_that_ends_is_not_taken_for_a_break(
    pair: tuple[Process, Process, Wire], serve: Serve, reactor: Reactor
) -> None:
    a, b, wire = pair
    a.peers.send_to(b.id, wire.address, LogLines("1", False))
    serve(lambda: b.came)
    with reactor.lock:
        b.peers.close()
    serve(lambda: a.lost)
    assert [connection.peer for connection in a.lost] == [b.id]


def test_a_link_that_finds_no_way_is_given_up_on_both_sides(reactor: Reactor, serve: Serve) -> None:
    a, b = (Process(reactor, name, patience_s=0.3) for name in "ab")
    wire = Wire(b.address)
    a.peers.send_to(b.id, wire.address, LogLines("1", False))
    serve(lambda: b.came)
    wire.close()
    serve(lambda: a.lost and b.lost)
    for connection in (*a.lost, *b.lost):
        assert isinstance(connection.link, resuming.Link)
        assert connection.link.gave_up
        assert connection.established
    a.peers.close()
    b.peers.close()


def test_a_link_that_the_other_side_has_given_up_is_over(
    pair: tuple[Process, Process, Wire], serve: Serve, reactor: Reactor
) -> None:
    a, b, wire = pair
    a.peers.send_to(b.id, wire.address, LogLines("1", False))
    serve(lambda: b.came)
    assert b.back is not None
    wire.cut()
    with reactor.lock:
        b.back.close("this side had enough")
    serve(lambda: a.lost)
    # The next message opens a new one.
    a.peers.send_to(b.id, wire.address, LogLines("2", False))
    serve(lambda: len(b.came) == 2)


def test_who_opens_another_link_has_given_up_the_one_before(
    pair: tuple[Process, Process, Wire], serve: Serve, reactor: Reactor
) -> None:
    a, b, wire = pair
    a.peers.send_to(b.id, wire.address, LogLines("1", False))
    serve(lambda: b.came)
    first = a.peers.known(b.id)
    assert first is not None
    with reactor.lock:
        first.let_go()  # the other side notices a break
        first.close("this side had enough")
    assert b.back is not None
    assert isinstance(b.back.link, resuming.Link)
    link = b.back.link
    serve(lambda: not link.is_up)
    assert not b.lost
    a.peers.send_to(b.id, wire.address, LogLines("2", False))
    serve(lambda: len(b.came) == 2)
    assert b.lost == [connection for connection in b.lost if connection.link is link] != []
    assert link.gave_up


def test_the_news_of_an_end_closes_a_link_that_is_broken(
    pair: tuple[Process, Process, Wire], serve: Serve, reactor: Reactor
) -> None:
    a, b, wire = pair
    a.peers.send_to(b.id, wire.address, LogLines("1", False))
    serve(lambda: b.came)
    wire.close()
    connection = a.peers.known(b.id)
    assert connection is not None
    assert isinstance(connection.link, resuming.Link)
    link = connection.link
    serve(lambda: not link.is_up)
    with reactor.lock:
        a.peers.hear_out(b.id)
    assert a.lost == [connection]
    assert not link.gave_up


def test_acknowledging_what_was_never_sent_ends_a_link(
    pair: tuple[Process, Process, Wire], serve: Serve, reactor: Reactor
) -> None:
    from air_cluster.protocol.messages import LinkAck

    a, b, wire = pair
    a.peers.send_to(b.id, wire.address, LogLines("1", False))
    serve(lambda: b.came)
    assert b.back is not None
    with reactor.lock:
        b.back.send_at_once(LinkAck(7))
    serve(lambda: a.lost and b.lost)


def test_messages_between_processes_of_one_machine_are_not_counted(
    reactor: Reactor, serve: Serve, tmp_path: Any
) -> None:
    a, b = (Peers(reactor, b"token", name) for name in (b"a_______", b"b_______"))
    came: list[Connection] = []
    b.handle(StreamCredit, lambda connection, _m, _p: came.append(connection))
    address = b.listen(f"unix:{tmp_path}/b")
    a.send_to(b.process_id, address, StreamCredit(b"", 1))
    serve(lambda: came)
    assert came[0].link is None
    connection = a.known(b.process_id)
    assert connection is not None
    assert connection.link is None
    a.close()
    b.close()
