"""Processes find each other, once in each direction, on one machine and between machines."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from air_cluster.protocol.messages import Blocked, LogLines, StreamCredit
from air_cluster.transport import links, peers, tcp
from air_cluster.transport.addresses import AddressError
from air_cluster.transport.connection import Connection
from air_cluster.transport.peers import Peers
from air_cluster.transport.reactor import Reactor
from air_cluster.transport.tls import TlsContexts

Serve = Callable[[Callable[[], Any]], None]


class Process:
    """What a process has of :class:`Peers`, with a record of what came."""

    def __init__(self, reactor: Reactor, address: str, name: str, token: bytes, **options: Any):
        self.id = name.encode().ljust(8, b"_")
        self.received: list[int] = []
        self.came_on: list[Connection] = []
        self.lost: list[bytes] = []
        self.lost_for: list[str] = []
        self.peers = Peers(reactor, token, self.id, **options)
        self.peers.handle(StreamCredit, self._on_credit)
        self.peers.on_lost = self._on_lost
        self.address = self.peers.listen(address)

    def _on_credit(self, connection: Connection, message: StreamCredit, _payload: bytes) -> None:
        self.received.append(message.consumed)
        self.came_on.append(connection)

    def _on_lost(self, connection: Connection, reason: str) -> None:
        self.lost.append(connection.peer)
        self.lost_for.append(reason)

    def send(self, other: Process, number: int) -> bool:
        return self.peers.send_to(other.id, other.address, StreamCredit(b"", number))


@pytest.fixture(params=["unix", "tcp", "tls"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def on(*transports: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("transport", transports, indirect=True)


@pytest.fixture
def start(
    reactor: Reactor, tmp_path: Path, transport: str, tls: TlsContexts
) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def start(name: str, token: bytes = b"token", on: Reactor = reactor, **options: Any) -> Process:
        unix = f"unix:{tmp_path}/{name}.sock"
        address = {"unix": unix, "both": f"{unix}|tcp:127.0.0.1:0"}
        if transport == "tls":
            options.setdefault("tls", tls)
        made = Process(on, address.get(transport, "tcp:127.0.0.1:0"), name, token, **options)
        processes.append(made)
        return made

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


def test_much_in_both_directions_at_once(start: Callable[..., Process], serve: Serve) -> None:
    a, b = start("a"), start("b")
    generator = random.Random(1)
    payloads = [generator.randbytes(size) for size in (3 << 20, 1, 70_000, 300_000, 0)] * 3
    came: dict[bytes, list[bytes]] = {a.id: [], b.id: []}
    for one, other in ((a, b), (b, a)):
        one.peers.handle(LogLines, lambda _c, _m, payload, one=one: came[one.id].append(payload))
        for payload in payloads:
            one.peers.send_to(other.id, other.address, LogLines("x", False), [payload])
    serve(lambda: len(came[a.id]) == len(came[b.id]) == len(payloads))
    assert came[a.id] == came[b.id] == payloads
    assert not a.lost
    connection = a.peers.known(b.id)
    assert connection is not None
    serve(lambda: not connection._writing)  # or the loop would never rest


def test_a_forked_child_lets_go_of_all(
    start: Callable[..., Process], serve: Serve, threads: Any, count_fds: Callable[[], int]
) -> None:
    before = count_fds()
    elsewhere = Reactor()
    a, b = start("a", on=elsewhere), start("b")
    a.send(b, 1)
    threads.start(lambda: elsewhere.wait_for(lambda: a.peers._by_process[b.id].established))
    serve(lambda: b.received)
    threads.join()
    a.peers.open(b.address)  # over TCP, it is not even connected yet
    a.peers.abandon()
    elsewhere.abandon()
    serve(lambda: not b.peers._open)
    b.peers.close()
    assert count_fds() == before
    assert a.lost == []


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


@on("unix")
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


@on("unix")
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


@on("unix")
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


@on("unix")
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


@on("unix")
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


# Between machines -------------------------------------------------------------------------


@on("both")
@pytest.mark.parametrize(("same", "family"), [(True, socket.AF_UNIX), (False, socket.AF_INET)])
def test_a_process_is_reached_by_the_part_of_its_address_that_is_for_us(
    start: Callable[..., Process], serve: Serve, same: bool, family: int
) -> None:
    asked: list[bytes] = []

    def same_machine(process_id: bytes) -> bool:
        asked.append(process_id)
        return same

    a, b = start("a", same_machine=same_machine), start("b")
    assert a.send(b, 1)
    serve(lambda: b.received == [1])
    connection = a.peers.known(b.id)
    assert connection is not None
    assert isinstance(connection._stream, socket.socket)
    assert connection._stream.family == family
    assert asked == [b.id]


@on("unix")
def test_a_process_on_another_machine_that_listens_for_its_own_only(
    start: Callable[..., Process],
) -> None:
    a, b = start("a", same_machine=lambda _process: False), start("b")
    with pytest.raises(AddressError, match=r"b\.sock cannot be reached from another machine"):
        a.send(b, 1)


@on("both")
def test_listening_on_several_addresses(start: Callable[..., Process], tmp_path: Path) -> None:
    a = start("a")
    assert a.peers.address == a.address
    more = a.peers.listen("tcp:127.0.0.1:0")
    assert a.peers.address == f"{a.address}|{more}"
    unix, tcp = a.address.split("|")
    assert unix == f"unix:{tmp_path}/a.sock"
    assert 0 < int(tcp.removeprefix("tcp:127.0.0.1:")) < 65536


@on("tcp")
def test_addresses_of_which_one_is_taken_are_listened_on_all_or_none(
    start: Callable[..., Process], tmp_path: Path, count_fds: Callable[[], int]
) -> None:
    a, b = start("a"), start("b")
    before = count_fds()
    with pytest.raises(OSError, match=f"cannot listen on {a.address}: Address already in use"):
        b.peers.listen(f"unix:{tmp_path}/x.sock|{a.address}")
    assert not list(tmp_path.iterdir())
    assert count_fds() == before
    with pytest.raises(AddressError, match="neither unix: nor tcp:"):
        b.peers.listen("127.0.0.1:80")


@on("tcp")
@pytest.mark.parametrize("address", ["tcp:localhost:1", "tcp:0.0.0.0:1", "tcp:[::]:1", "unix:"])
def test_an_address_that_nothing_can_be_sent_to(
    start: Callable[..., Process], address: str, count_fds: Callable[[], int]
) -> None:
    a = start("a")
    before = count_fds()
    with pytest.raises(AddressError):
        a.peers.send_to(b"nobody__", address, Blocked(True))
    assert count_fds() == before
    assert a.lost == []


@on("tcp", "tls")
def test_a_process_that_is_gone_is_noticed_later(
    start: Callable[..., Process], serve: Serve, count_fds: Callable[[], int]
) -> None:
    before = count_fds()
    a, b = start("a"), start("b")
    b.peers.close()
    connection = a.peers.to(b.id, b.address)
    connection.data = "mine"
    assert a.send(b, 1)
    assert a.peers.known(b.id) is connection
    assert not a.lost
    serve(lambda: a.lost)
    assert a.lost == [b.id]
    assert a.lost_for == [f"cannot connect to {b.address}: Connection refused"]
    assert connection.data == "mine"
    assert not connection.established
    assert a.peers.known(b.id) is None
    a.peers.close()
    assert count_fds() == before


@on("tcp", "tls")
def test_a_process_that_ends_under_a_connection(
    start: Callable[..., Process], serve: Serve
) -> None:
    a, b = start("a"), start("b")
    a.send(b, 1)
    serve(lambda: b.received)
    connection = a.peers.known(b.id)
    assert connection is not None
    b.peers.close()
    serve(lambda: a.lost)
    assert a.lost == [b.id]
    assert connection.established


@on("tcp")
def test_a_machine_that_does_not_answer_keeps_nobody_waiting(
    start: Callable[..., Process], serve: Serve
) -> None:
    a = start("a", handshake_s=0.05, patience_s=0.2)
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # one may wait to be accepted; the system ignores all others
        first.connect(full.getsockname())
        address = f"tcp:127.0.0.1:{full.getsockname()[1]}"
        assert a.peers.send_to(b"nobody__", address, Blocked(True))
        serve(lambda: a.lost)
    assert a.lost == [b"nobody__"]
    (reason,) = a.lost_for
    assert reason.startswith(f"{address} did not end the handshake within 0.05 s; ")
    assert reason.endswith("no other connection came up within 0.2 s")


@on("tcp", "tls")
def test_a_connection_that_is_dead_is_replaced(
    start: Callable[..., Process], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_INTERVAL_S", 0.001)
    looked_at: list[int] = []

    def is_dead(sock: socket.socket) -> bool:
        looked_at.append(sock.fileno())
        return len(looked_at) in (6, 20)

    monkeypatch.setattr(tcp, "is_dead", is_dead)
    a, b = start("a"), start("b")
    a.send(b, 1)
    serve(lambda: len(looked_at) > 40)
    a.send(b, 2)
    serve(lambda: b.received == [1, 2])
    assert not a.lost
    assert not b.lost
    a.peers.close()
    b.peers.close()
    looks = len(looked_at)
    serve(lambda: not a.peers._links._looking and not b.peers._links._looking)
    assert len(looked_at) == looks


@on("tcp", "tls")
def test_only_the_process_that_was_meant_may_answer(
    start: Callable[..., Process], serve: Serve
) -> None:
    """A port may belong to another process by the time that somebody connects to it."""
    a, b = start("a"), start("b")
    a.peers.send_to(b"c_______", b.address, StreamCredit(b"", 1))
    serve(lambda: a.lost)
    assert a.lost == [b"c_______"]
    assert a.lost_for == [f"process {b.id.hex()} answered in the place of {b'c_______'.hex()}"]
    assert b.received == []


@on("tcp", "tls")
def test_what_is_on_its_way_from_a_process_that_has_ended_is_waited_for(
    start: Callable[..., Process], serve: Serve, reactor: Reactor
) -> None:
    a, b = start("a"), start("b")
    a.send(b, 1)
    serve(lambda: b.received == [1])
    heard: list[list[int]] = []
    with reactor.lock:
        b.peers.hear_out(a.id, lambda: heard.append(list(b.received)))
        assert not heard
        for number in range(2, 100):
            a.send(b, number)
        a.peers.close()
    serve(lambda: heard)
    assert heard == [list(range(1, 100))]
    assert b.lost == [a.id]
    b.peers.hear_out(a.id, lambda: heard.append([]))
    assert heard[1:] == [[]]


@on("tcp")
def test_what_does_not_arrive_from_a_process_that_has_ended_is_not_waited_for_long(
    start: Callable[..., Process], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_LAST_WORDS_S", 0.01)
    a, b = start("a"), start("b")
    a.send(b, 1)
    serve(lambda: b.received == [1])
    heard: list[int] = []
    b.peers.hear_out(a.id, lambda: heard.append(1))
    serve(lambda: heard)
    b.peers.close()
    assert heard == [1]


@on("tcp", "tls")
def test_the_processes_of_a_node_that_is_gone_are_let_go_of(
    start: Callable[..., Process], serve: Serve, reactor: Reactor
) -> None:
    a, b, c = start("a"), start("\0\0\1b"), start("\0\0\1c")
    other, unreached = start("\0\0\2d"), start("\0\0\1e")
    for number, process in enumerate((b, c, other)):
        process.send(a, number)
    serve(lambda: len(a.received) == 3)
    with reactor.lock:
        b.send(a, 10)
        a.send(unreached, 1)  # that connection is only on its way
        a.peers.end_node(1)
    assert 10 in a.received
    assert sorted(a.lost) == sorted([b.id, c.id, unreached.id])
    assert set(a.lost_for) == {"its node is gone"}
    assert a.peers.known(other.id) is not None


@on("tcp", "tls")
def test_the_last_words_of_a_process_that_has_not_read_everything_arrive(
    start: Callable[..., Process], serve: Serve, reactor: Reactor, threads: Any
) -> None:
    """By itself, TCP throws away what it has not sent yet when such a process ends."""
    elsewhere = Reactor()
    a, b = start("a"), start("b", on=elsewhere)
    handled: list[int] = []
    b.peers.handle(LogLines, lambda _c, _m, payload: handled.append(len(payload)))
    a.send(b, 1)
    threads.start(lambda: elsewhere.wait_for(lambda: b.received))
    serve(lambda: a.peers._by_process[b.id].established)
    threads.join()
    with elsewhere.lock:
        b.came_on[0].send(StreamCredit(b"", 1))  # never read
    with reactor.lock:
        for _ in range(40):
            a.peers.send_to(b.id, b.address, LogLines("x", False), [bytes(100_000)])
        threads.start(lambda: elsewhere.wait_for(lambda: b.lost))
        a.peers.drain()
        a.peers.close()
    threads.join()
    assert handled == [100_000] * 40
    assert b.lost == [a.id]
    b.peers.close()
    elsewhere.close()
