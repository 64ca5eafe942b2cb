"""Processes find each other, once in each direction."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from air_cluster.protocol.messages import Blocked, LogLines, StreamCredit
from air_cluster.transport.connection import Connection
from air_cluster.transport.peers import Peers
from air_cluster.transport.reactor import Reactor

Serve = Callable[[Callable[[], Any]], None]


class Process:
    """What a process has of :class:`Peers`, with a record of what came."""

    def __init__(self, reactor: Reactor, directory: Path, name: str, token: bytes) -> None:
        self.id = name.encode().ljust(8, b"_")
        self.address = f"unix:{directory}/{name}.sock"
        self.received: list[int] = []
        self.came_on: list[Connection] = []
        self.lost: list[bytes] = []
        self.peers = Peers(reactor, token, self.id)
        self.peers.handle(StreamCredit, self._on_credit)
        self.peers.on_lost = lambda connection, _reason: self.lost.append(connection.peer)
        self.peers.listen(self.address)

    def _on_credit(self, connection: Connection, message: StreamCredit, _payload: bytes) -> None:
        self.received.append(message.consumed)
        self.came_on.append(connection)

    def send(self, other: Process, number: int) -> bool:
        return self.peers.send_to(other.id, other.address, StreamCredit(b"", number))


@pytest.fixture
def start(reactor: Reactor, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def start(name: str, token: bytes = b"token") -> Process:
        processes.append(Process(reactor, tmp_path, name, token))
        return processes[-1]

    yield start
    for process in processes:
        process.peers.close()


def test_messages_before_and_after_the_handshake_arrive_in_order(
    start: Callable[..., Process], serve: Serve
) -> None:
    a, b = start("a"), start("b")
    assert a.send(b, 1)
    assert a.send(b, 2)
    serve(lambda: b.received == [1, 2])
    assert a.send(b, 3)
    serve(lambda: b.received == [1, 2, 3])
    assert b.came_on[0].peer == a.id


def test_answers_and_later_messages_go_the_same_way(
    start: Callable[..., Process], serve: Serve
) -> None:
    a, b = start("a"), start("b")
    a.send(b, 1)
    serve(lambda: b.received)
    assert b.peers.known(a.id) is b.came_on[0]
    b.send(a, 2)
    serve(lambda: a.received)
    assert a.came_on == [a.peers.known(b.id)]
    assert len(a.peers._open) == len(b.peers._open) == 1


def test_two_that_call_each_other_keep_to_one_connection_each(
    start: Callable[..., Process], serve: Serve
) -> None:
    """So that what one sends to the other arrives in order, answers included."""
    a, b = start("a"), start("b")
    a.send(b, 1)
    b.send(a, 1)  # before it can know of the other's connection
    serve(lambda: a.received and b.received)
    for one, other in ((a, b), (b, a)):
        outgoing = one.peers.known(other.id)
        assert one.came_on == [outgoing]
        for number in range(2, 20):
            if number % 2:
                one.send(other, number)
            else:
                one.came_on[0].send(StreamCredit(b"", number))
    serve(lambda: len(a.received) == len(b.received) == 19)
    assert a.received == b.received == list(range(1, 20))


def test_a_process_that_is_gone(start: Callable[..., Process], serve: Serve) -> None:
    a, b = start("a"), start("b")
    a.send(b, 1)
    serve(lambda: b.received)
    b.peers.close()
    assert not a.send(b, 2)  # its socket is closed
    assert not a.send(b, 3)  # and nobody listens any more
    serve(lambda: a.lost)
    assert a.lost == [b.id]
    assert a.peers.known(b.id) is None
    assert not a.send(b, 4)


def test_a_process_that_was_never_there(start: Callable[..., Process], tmp_path: Path) -> None:
    a = start("a")
    assert not a.peers.send_to(b"nobody__", f"unix:{tmp_path}/x.sock", Blocked(True))
    with pytest.raises(OSError, match="No such file"):
        a.peers.to(b"nobody__", f"unix:{tmp_path}/x.sock")


def test_a_process_of_another_cluster(start: Callable[..., Process], serve: Serve) -> None:
    a, b = start("a"), start("b", token=b"another")
    assert a.send(b, 1)
    serve(lambda: a.lost)
    assert a.peers.known(b.id) is None
    assert b.received == []


def test_a_message_that_nobody_expects_ends_the_connection(
    start: Callable[..., Process], serve: Serve
) -> None:
    a, b = start("a"), start("b")
    a.peers.send_to(b.id, b.address, LogLines("x", False))
    serve(lambda: a.lost and b.lost)
    assert not b.peers._open


def test_closing_leaves_nothing_open(
    start: Callable[..., Process], serve: Serve, count_fds: Callable[[], int]
) -> None:
    before = count_fds()
    a, b = start("a"), start("b")
    a.send(b, 1)
    b.send(a, 1)  # two connections
    serve(lambda: a.received and b.received)
    silent = a.peers.open(b.address)  # has sent no message yet
    stranger = socket.socket(socket.AF_UNIX)
    stranger.connect(b.address.removeprefix("unix:"))  # not even a byte
    serve(lambda: silent.peer and len(b.peers._open) == 4)
    b.peers.close()
    a.peers.close()
    assert stranger.recv(1) == b""
    stranger.close()
    assert count_fds() == before


def test_draining_sends_what_waits_everywhere(start: Callable[..., Process], serve: Serve) -> None:
    a, b = start("a"), start("b")
    a.send(b, 1)
    serve(lambda: b.received)
    connection = a.peers.known(b.id)
    assert connection is not None
    connection.cork()
    a.send(b, 2)
    a.peers.drain()
    serve(lambda: b.received == [1, 2])


def test_the_last_words_of_a_process_are_heard_before_the_news_of_its_end(
    start: Callable[..., Process], serve: Serve, reactor: Reactor
) -> None:
    a, b = start("a"), start("b")
    a.send(b, 1)
    serve(lambda: b.received == [1])
    with reactor.lock:
        for number in range(2, 100):
            a.send(b, number)
        a.peers.close()
        assert b.received == [1]
        b.peers.hear_out(a.id)
        assert b.received == list(range(1, 100))
    assert b.lost == [a.id]
    b.peers.hear_out(a.id)
