"""Connections over real sockets: order, back-pressure, descriptors, every way to end."""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from air_cluster.protocol import frames
from air_cluster.protocol.codec import Message
from air_cluster.protocol.frames import FrameError, pack
from air_cluster.protocol.handshake import Handshake
from air_cluster.protocol.messages import LogLines, SegmentReply, StreamCredit
from air_cluster.transport.connection import Connection
from air_cluster.transport.reactor import Reactor

Serve = Callable[[Callable[[], Any]], None]

MIB = 1 << 20
CLIENT, SERVER = b"client__", b"server__"


def numbered(number: int) -> StreamCredit:
    return StreamCredit(b"", number)


class End:
    """One end of a connection, and what has happened at it."""

    def __init__(
        self,
        sock: socket.socket,
        reactor: Reactor,
        *,
        server: bool,
        token: bytes = b"token",
        takes_fds: bool = False,
    ) -> None:
        self.received: list[tuple[Message, bytes]] = []
        self.closed_for: list[str] = []
        self.on_message: Callable[[Message], object] = bool
        handshake = Handshake(token, SERVER if server else CLIENT, server=server)
        self.connection = Connection(
            sock, reactor, handshake, self._note, self._end, takes_fds=takes_fds
        )

    def _note(self, connection: Connection, message: Message, payload: bytes) -> None:
        assert connection is self.connection
        self.received.append((message, payload))
        self.on_message(message)

    def _end(self, connection: Connection, reason: str) -> None:
        assert connection is self.connection
        assert connection.closed
        self.closed_for.append(reason)

    @property
    def numbers(self) -> list[int]:
        return [m.consumed for m, _ in self.received if isinstance(m, StreamCredit)]


class Pair:
    """Two ends in one process, on one reactor whose lock the test holds."""

    def __init__(self, reactor: Reactor, buffer_bytes: int = 0, **options: Any) -> None:
        self.ours, self.theirs = socket.socketpair()
        if buffer_bytes:
            for sock in (self.ours, self.theirs):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        client_token = options.pop("client_token", b"token")
        self.client = End(self.ours, reactor, server=False, token=client_token, **options)
        self.server = End(self.theirs, reactor, server=True)

    @property
    def shaken(self) -> bool:
        return bool(self.client.connection.peer and self.server.connection.peer)


@pytest.fixture
def connect(reactor: Reactor, serve: Serve) -> Iterator[Callable[..., Pair]]:
    pairs: list[Pair] = []

    def connect(*, shaken: bool = True, **options: Any) -> Pair:
        pairs.append(Pair(reactor, **options))
        if shaken:
            serve(lambda: pairs[-1].shaken)
        return pairs[-1]

    yield connect
    for pair in pairs:
        pair.client.connection.close()
        pair.server.connection.close()


# Messages ---------------------------------------------------------------------------------


def test_both_sides_know_each_other(connect: Callable[..., Pair]) -> None:
    pair = connect()
    assert pair.client.connection.peer == SERVER
    assert pair.server.connection.peer == CLIENT


def test_what_is_sent_at_once_waits_for_the_handshake(
    connect: Callable[..., Pair], serve: Serve
) -> None:
    pair = connect(shaken=False)
    for number in range(5):
        pair.client.connection.send(numbered(number))
        pair.server.connection.send(numbered(number), [b"pay", b"load"])
    serve(lambda: len(pair.client.received) == len(pair.server.received) == 5)
    assert pair.server.numbers == list(range(5))
    assert pair.client.received[4] == (numbered(4), b"payload")


def test_large_payloads_arrive_whole(connect: Callable[..., Pair], serve: Serve) -> None:
    pair = connect(buffer_bytes=4096)
    parts = [os.urandom(MIB), b"", os.urandom(1), os.urandom(2 * MIB)]
    pair.client.connection.send(numbered(1), parts)
    pair.client.connection.send(numbered(2))
    serve(lambda: len(pair.server.received) == 2)
    assert pair.server.received[0][1] == b"".join(parts)


def test_both_sides_may_send_and_send(connect: Callable[..., Pair], serve: Serve) -> None:
    """Neither reads before it has sent all, which is more than the sockets take."""
    pair = connect(buffer_bytes=4096)
    payload = os.urandom(64 << 10)
    for number in range(40):
        pair.client.connection.send(numbered(number), [payload])
        pair.server.connection.send(numbered(number), [payload])
    serve(lambda: len(pair.client.received) == len(pair.server.received) == 40)
    for end in (pair.client, pair.server):
        assert end.numbers == list(range(40))
        assert all(arrived == payload for _, arrived in end.received)


def test_an_answer_to_each_message_under_back_pressure(
    connect: Callable[..., Pair], serve: Serve
) -> None:
    pair = connect(buffer_bytes=4096)
    payload = bytes(10_000)
    pair.server.on_message = lambda message: pair.server.connection.send(message, [payload])
    for number in range(200):
        pair.client.connection.send(numbered(number), [payload])
    serve(lambda: len(pair.client.received) == 200)
    assert pair.client.numbers == list(range(200))


@pytest.mark.parametrize("sizes", [[MIB, 0], [0, MIB, 0, 0], [MIB, 0, 10], [0, 0]])
def test_empty_parts_do_not_keep_the_loop_busy(
    connect: Callable[..., Pair], serve: Serve, sizes: list[int]
) -> None:
    pair = connect(buffer_bytes=4096)
    pair.client.connection.send(numbered(0), [bytes(MIB)])  # so that the next has to wait
    pair.client.connection.send(numbered(1), [bytes(size) for size in sizes])
    serve(lambda: len(pair.server.received) == 2)
    assert len(pair.server.received[1][1]) == sum(sizes)
    assert not pair.client.connection._writing


def test_more_parts_than_one_write_takes(connect: Callable[..., Pair], serve: Serve) -> None:
    pair = connect()
    parts = [bytes([index % 256]) * (index % 5) for index in range(3000)]
    pair.client.connection.send(numbered(1), parts)
    pair.client.connection.send(numbered(2), parts)
    serve(lambda: len(pair.server.received) == 2)
    assert [payload for _, payload in pair.server.received] == [b"".join(parts)] * 2


def test_too_long_a_message_is_the_senders_fault(
    connect: Callable[..., Pair], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = connect()
    with monkeypatch.context() as patch:
        patch.setattr(frames, "MAX_FRAME_BYTES", 1000)
        with pytest.raises(FrameError, match="StreamCredit of"):
            pair.client.connection.send(numbered(1), [bytes(1000)])
    pair.client.connection.send(numbered(2))
    serve(lambda: pair.server.received)
    assert pair.server.numbers == [2]


# Corks ------------------------------------------------------------------------------------


def test_what_is_corked_goes_out_in_one_write_and_in_order(
    connect: Callable[..., Pair], serve: Serve, reactor: Reactor
) -> None:
    pair = connect()
    connection = pair.client.connection
    connection.send(numbered(0))
    connection.cork()
    connection.send(numbered(1))
    connection.cork()
    connection.send(numbered(2))
    connection.uncork()
    assert connection.gathered == 2
    serve(lambda: pair.server.received)
    reactor.poll()
    assert pair.server.numbers == [0]
    connection.uncork()
    assert connection.gathered == 0
    connection.send(numbered(3))
    serve(lambda: len(pair.server.received) == 4)
    assert pair.server.numbers == [0, 1, 2, 3]


def test_what_is_sent_in_one_round_can_go_out_at_its_end(
    connect: Callable[..., Pair], serve: Serve, reactor: Reactor
) -> None:
    pair = connect()
    connection = pair.client.connection
    gathered: list[int] = []

    def send(number: int) -> None:
        connection.gather()
        connection.send(numbered(number))
        gathered.append(connection.gathered)
        if number < 3:
            reactor.call_soon(lambda: send(number + 1))

    with reactor.lock:
        send(1)
    serve(lambda: len(pair.server.received) == 3)
    assert pair.server.numbers == [1, 2, 3]
    assert gathered == [1, 2, 3]
    connection.send(numbered(4))
    assert connection.gathered == 0
    serve(lambda: len(pair.server.received) == 4)


def test_what_is_gathered_can_be_sent_off_under_the_cork(
    connect: Callable[..., Pair], serve: Serve
) -> None:
    pair = connect()
    connection = pair.client.connection
    connection.cork()
    connection.send(numbered(1))
    connection.uncork(force=True)
    serve(lambda: pair.server.received)
    connection.send(numbered(2))
    assert connection.gathered == 1
    connection.uncork()
    serve(lambda: len(pair.server.received) == 2)
    assert pair.server.numbers == [1, 2]


def test_answers_in_one_round_travel_together(connect: Callable[..., Pair], serve: Serve) -> None:
    pair = connect()
    server = pair.server.connection
    gathered: list[int] = []

    def answer(message: Message) -> None:
        server.send(message)
        gathered.append(server.gathered)

    pair.server.on_message = answer
    pair.client.connection.cork()
    for number in range(3):
        pair.client.connection.send(numbered(number))
    pair.client.connection.uncork()
    serve(lambda: len(pair.client.received) == 3)
    assert gathered == [1, 2, 3]


# Handlers ---------------------------------------------------------------------------------


def test_a_handler_that_fails_keeps_no_message_waiting(
    connect: Callable[..., Pair], serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    pair = connect()

    def fail_once(message: Message) -> None:
        if message == numbered(0):
            raise FrameError("of ours, not of the peer")

    pair.server.on_message = fail_once
    pair.client.connection.cork()
    for number in range(3):
        pair.client.connection.send(numbered(number))
    with caplog.at_level(logging.ERROR):
        pair.client.connection.uncork()
        serve(lambda: len(pair.server.received) == 3)
    assert "handling StreamCredit of Connection(peer=636c69656e745f5f, open) failed" in caplog.text
    assert not pair.server.connection.closed


def test_a_handler_may_close_its_connection(
    connect: Callable[..., Pair], serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    pair = connect()
    pair.server.on_message = lambda _message: pair.server.connection.close("enough")
    pair.client.connection.cork()
    for number in range(3):
        pair.client.connection.send(numbered(number))
    pair.client.connection.uncork()
    serve(lambda: pair.client.closed_for)
    assert pair.server.numbers == [0]
    assert pair.server.closed_for == ["enough"]
    assert not caplog.records


def test_a_handler_may_close_another_connection_with_events_of_the_same_round(
    connect: Callable[..., Pair], reactor: Reactor, caplog: pytest.LogCaptureFixture
) -> None:
    pairs = [connect(buffer_bytes=4096) for _ in range(2)]
    for pair in pairs:
        other = next(p for p in pairs if p is not pair)
        pair.server.on_message = lambda _message, other=other: other.server.connection.close()
        pair.client.connection.send(numbered(0))
        pair.server.connection.send(numbered(0), [bytes(MIB)])  # its end wants to write too
    reactor.poll()
    assert sorted(len(pair.server.received) for pair in pairs) == [0, 1]
    assert not caplog.records


# Ends -------------------------------------------------------------------------------------


def test_closing_is_told_once_at_either_end(
    connect: Callable[..., Pair], serve: Serve, count_fds: Callable[[], int]
) -> None:
    before = count_fds()
    pair = connect()
    pair.client.connection.close("no more")
    pair.client.connection.close("no more at all")
    serve(lambda: pair.server.closed_for)
    assert pair.client.closed_for == ["no more"]
    assert pair.server.closed_for == ["connection closed by the other side"]
    for end in (pair.client, pair.server):
        end.connection.send(numbered(1))
        end.connection.drain()
        end.connection.cork()
        end.connection.uncork()
        assert end.connection.closed
    assert count_fds() == before


def test_what_a_peer_said_before_it_went_is_heard(
    connect: Callable[..., Pair], serve: Serve
) -> None:
    """Also if we find out by failing to send to it: its results must not be lost."""
    pair = connect()
    server = pair.server.connection
    for number in range(3):
        server.send(numbered(number), [bytes(10_000)])
    server.close("ended")
    client = pair.client.connection
    client.send(numbered(9))
    assert client.broken
    assert not client.closed
    client.send(numbered(10))
    serve(lambda: client.closed)
    assert pair.client.numbers == [0, 1, 2]
    assert len(pair.client.closed_for) == 1


def test_a_peer_that_goes_while_more_waits_to_be_sent(
    connect: Callable[..., Pair], serve: Serve
) -> None:
    pair = connect(buffer_bytes=4096)
    pair.client.connection.send(numbered(1), [bytes(MIB)])
    pair.server.connection.send(numbered(2))
    pair.server.connection.close()
    serve(lambda: pair.client.connection.closed)
    assert pair.client.numbers == [2]
    assert len(pair.client.closed_for) == 1


def test_drain_sends_all_before_it_returns(
    connect: Callable[..., Pair], threads: Any, serve: Serve
) -> None:
    pair = connect(buffer_bytes=4096)
    payload = os.urandom(MIB)
    client = pair.client.connection
    client.cork()
    client.send(numbered(1), [payload])
    taken = bytearray()

    def take() -> None:
        while len(taken) < MIB:
            try:
                taken.extend(pair.theirs.recv(64 << 10))
            except BlockingIOError:
                os.sched_yield()

    threads.start(take)
    client.drain()
    threads.join()
    assert taken.endswith(payload)
    assert not client._out
    assert pair.ours.getblocking() is False


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (struct.pack("<II", 2**31, 1), "bad frame: 2147483648 bytes"),
        (struct.pack("<II", 1, 1) + b"\xc0", "bad message"),
    ],
)
def test_a_peer_that_sends_no_frames_is_dropped(
    connect: Callable[..., Pair], serve: Serve, data: bytes, reason: str
) -> None:
    pair = connect()
    good = b"".join(bytes(part) for part in pack(numbered(1)))
    pair.ours.send(good + data + good)
    serve(lambda: pair.server.closed_for)
    assert reason in pair.server.closed_for[0]
    assert pair.server.numbers == [1]


def test_a_client_with_another_token_gets_nothing_in(
    connect: Callable[..., Pair], serve: Serve
) -> None:
    pair = connect(shaken=False, client_token=b"another")
    pair.client.connection.send(numbered(1))
    serve(lambda: pair.client.closed_for and pair.server.closed_for)
    assert "does not know this cluster's token" in pair.client.closed_for[0]
    assert pair.server.received == []


def test_a_stranger_is_dropped_at_its_first_byte(reactor: Reactor, serve: Serve) -> None:
    ours, theirs = socket.socketpair()
    end = End(theirs, reactor, server=True)
    with ours:
        ours.sendall(b"G")
        serve(lambda: end.closed_for)
        assert end.closed_for == ["the other side does not speak this protocol"]
        assert ours.recv(100) == b""


def test_a_client_that_skips_the_proof_gets_nothing_in(reactor: Reactor, serve: Serve) -> None:
    ours, theirs = socket.socketpair()
    end = End(theirs, reactor, server=True)
    frame = b"".join(bytes(part) for part in pack(LogLines("x", False), [bytes(100)]))
    with ours:
        ours.sendall(Handshake(b"?", CLIENT, server=False).opening() + frame)
        serve(lambda: end.closed_for)
    assert end.received == []
    assert end.connection.peer == b""


# Descriptors ------------------------------------------------------------------------------


def reply(number: int) -> SegmentReply:
    return SegmentReply(number, number, 0, "")


@pytest.fixture
def files(tmp_path: Any) -> Iterator[list[int]]:
    """Descriptors of files that hold their position in the list."""
    fds = [os.open(tmp_path / str(index), os.O_RDWR | os.O_CREAT) for index in range(3)]
    for index, fd in enumerate(fds):
        os.pwrite(fd, str(index).encode(), 0)
    yield fds
    for fd in fds:
        os.close(fd)


def take_numbers(pair: Pair, taken: list[tuple[int, bytes]]) -> None:
    """Have the client take a descriptor with each reply, as it comes."""

    def take(message: Message) -> None:
        if isinstance(message, SegmentReply):
            fd = pair.client.connection.fds.popleft()
            taken.append((message.request, os.pread(fd, 10, 0)))
            os.close(fd)

    pair.client.on_message = take


def test_descriptors_come_with_their_messages(
    connect: Callable[..., Pair], serve: Serve, files: list[int], count_fds: Callable[[], int]
) -> None:
    pair = connect(takes_fds=True)
    before = count_fds()
    taken: list[tuple[int, bytes]] = []
    take_numbers(pair, taken)
    server = pair.server.connection
    server.cork()
    for index, fd in enumerate(files):
        server.send(numbered(index))
        server.send_with_fd(reply(index), fd)
        server.send(numbered(index + 10))
    server.uncork()
    serve(lambda: len(pair.client.received) == 9)
    assert taken == [(0, b"0"), (1, b"1"), (2, b"2")]
    assert pair.client.numbers == [0, 10, 1, 11, 2, 12]
    assert count_fds() == before


def test_descriptors_wait_in_line_for_a_peer_that_does_not_read(
    connect: Callable[..., Pair], serve: Serve, files: list[int], count_fds: Callable[[], int]
) -> None:
    pair = connect(takes_fds=True, buffer_bytes=4096)
    before = count_fds()
    taken: list[tuple[int, bytes]] = []
    take_numbers(pair, taken)
    payload = os.urandom(MIB)
    server = pair.server.connection
    for index in range(3):
        server.send(numbered(index), [payload])
        fd = os.dup(files[index])
        server.send_with_fd(reply(index), fd)  # does not block
        os.close(fd)
    server.send(numbered(3))
    serve(lambda: len(pair.client.received) == 7)
    assert taken == [(0, b"0"), (1, b"1"), (2, b"2")]
    assert pair.client.numbers == [0, 1, 2, 3]
    assert [len(data) for _, data in pair.client.received] == [MIB, 0, MIB, 0, MIB, 0, 0]
    assert count_fds() == before
    assert not server._writing


def test_descriptors_that_nobody_takes_are_closed(
    connect: Callable[..., Pair], serve: Serve, files: list[int], count_fds: Callable[[], int]
) -> None:
    before = count_fds()
    pair = connect(takes_fds=True, buffer_bytes=4096)
    server = pair.server.connection
    server.send_with_fd(reply(0), files[0])
    serve(lambda: pair.client.received)
    assert len(pair.client.connection.fds) == 1
    server.send(numbered(1), [bytes(MIB)])
    server.send_with_fd(reply(1), files[1])  # waits
    pair.client.connection.close()
    server.close()
    assert count_fds() == before


def test_descriptors_for_a_peer_that_is_gone(
    connect: Callable[..., Pair], serve: Serve, files: list[int], count_fds: Callable[[], int]
) -> None:
    pair = connect(takes_fds=True)
    before = count_fds()
    pair.client.connection.close()
    pair.server.connection.send_with_fd(reply(0), files[0])
    assert pair.server.connection.broken
    pair.server.connection.send_with_fd(reply(1), files[1])
    serve(lambda: pair.server.closed_for)
    assert count_fds() == before - 2
