"""A port is open to everybody: what is there for strangers, and what they cost."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from air_cluster.protocol.frames import pack
from air_cluster.protocol.handshake import MAGIC, Handshake
from air_cluster.protocol.messages import StreamCredit
from air_cluster.transport import probation
from air_cluster.transport.connection import Connection
from air_cluster.transport.peers import Peers
from air_cluster.transport.reactor import Reactor
from air_cluster.transport.tls import TlsContexts

Serve = Callable[[Callable[[], Any]], None]

SERVER, CLIENT = b"server__", b"client__"
HELLO = Handshake(b"?", CLIENT, server=False).opening()
FRAME = b"".join(bytes(part) for part in pack(StreamCredit(b"", 1)))
HOUR = 3600.0


class Member:
    """A process of the cluster that listens on a port."""

    def __init__(self, reactor: Reactor, name: bytes, token: bytes = b"token", **options: Any):
        self.reactor = reactor
        self.lost: list[tuple[bytes, str]] = []
        self.received: list[int] = []
        self.peers = Peers(reactor, token, name, **options)
        self.peers.handle(StreamCredit, lambda _c, m, _p: self.received.append(m.consumed))
        self.peers.on_lost = lambda connection, why: self.lost.append((connection.peer, why))
        self.address = self.peers.listen("tcp:127.0.0.1:0")
        host, _, port = self.address.removeprefix("tcp:").rpartition(":")
        self.endpoint = (host, int(port))

    def connect(self) -> socket.socket:
        """A stranger's socket."""
        return socket.create_connection(self.endpoint, timeout=20)

    @property
    def connections(self) -> list[Connection]:
        return list(self.peers._open)

    def held(self) -> int:
        """How many bytes of strangers it holds."""
        total = 0
        for connection in self.connections:
            assert connection._handshake is not None
            assert not connection._waiting
            assert not connection._out
            total += len(connection._handshake._received) + connection._decoder.pending
        return total

    def is_through(self, other: bytes) -> bool:
        known = self.peers.known(other)
        return known is not None and known.established


@pytest.fixture
def start(reactor: Reactor) -> Iterator[Callable[..., Member]]:
    members: list[Member] = []

    def start(name: bytes = SERVER, **options: Any) -> Member:
        members.append(Member(reactor, name, **options))
        return members[-1]

    yield start
    for member in members:
        member.peers.close()


@pytest.fixture
def turned_away(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Why connections were turned away so far: nobody but the log is told."""
    caplog.set_level(logging.INFO, "air_cluster.transport.peers")
    return lambda: [
        record.getMessage().partition("turned a connection away: ")[2]
        for record in caplog.records
        if record.name == "air_cluster.transport.peers"
    ]


TurnedAway = Callable[[], list[str]]


def hung_up(sock: socket.socket) -> bool:
    """Whether the other side has; waits for that."""
    try:
        return sock.recv(1000) == b""
    except ConnectionResetError:
        return True


# What strangers say -----------------------------------------------------------------------


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"G", b"SSH-2.0-x\r\n", b"\0" * 5000]
)
def test_a_stranger_is_turned_away_at_its_first_byte(
    start: Callable[..., Member],
    serve: Serve,
    turned_away: TurnedAway,
    tls: TlsContexts,
    said: bytes,
    encrypted: bool,
) -> None:
    member = start(tls=tls if encrypted else None, handshake_s=HOUR)
    with member.connect() as stranger:
        stranger.sendall(said)
        serve(turned_away)
        assert hung_up(stranger)
    assert not member.connections
    assert member.lost == []
    assert not member.peers._openings
    assert not member.peers._links.sockets()


def test_a_member_of_another_cluster_is_told_why(
    start: Callable[..., Member], serve: Serve
) -> None:
    a, b = start(CLIENT, token=b"another", handshake_s=HOUR), start(handshake_s=HOUR)
    a.peers.send_to(SERVER, b.address, StreamCredit(b"", 1))
    serve(lambda: a.lost and not b.connections)
    assert a.lost == [
        (SERVER, "the other side does not know this cluster's token: give both the same one")
    ]
    assert b.lost == []
    assert b.received == []


def test_a_proof_that_is_wrong_gets_nothing_in(
    start: Callable[..., Member], serve: Serve, turned_away: TurnedAway
) -> None:
    member = start(handshake_s=HOUR)
    with member.connect() as stranger:
        stranger.sendall(HELLO + bytes(32) + FRAME)
        serve(turned_away)
    assert member.received == []


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_named_at_both_ends(
    start: Callable[..., Member], serve: Serve, turned_away: TurnedAway, version: int
) -> None:
    member = start(handshake_s=HOUR)
    with member.connect() as other:
        other.sendall(MAGIC[:-1] + bytes([version]) + bytes(40) + b"and more than we know of")
        serve(turned_away)
        assert other.recv(100) == MAGIC
    (reason,) = turned_away()
    assert f"the other side speaks protocol version {version}, this one 1: install" in reason


def test_a_client_says_that_the_server_speaks_another_version(
    start: Callable[..., Member], serve: Serve
) -> None:
    member = start(CLIENT, handshake_s=HOUR)
    with socket.create_server(("127.0.0.1", 0)) as server:
        member.peers.open(f"tcp:127.0.0.1:{server.getsockname()[1]}")
        theirs, _ = server.accept()
        with theirs:
            theirs.sendall(MAGIC[:-1] + b"\x07")
            serve(lambda: member.lost)
    assert "speaks protocol version 7, this one 1: install the same release" in member.lost[0][1]


# What strangers do not say ----------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [b"", MAGIC[:1], HELLO[:-1], HELLO], ids=["nothing", "byte", "some", "hello"]
)
@pytest.mark.parametrize("encrypted", [False, True])
def test_who_does_not_go_on_is_turned_away_after_a_while(
    start: Callable[..., Member],
    serve: Serve,
    turned_away: TurnedAway,
    tls: TlsContexts,
    said: bytes,
    encrypted: bool,
) -> None:
    member = start(handshake_s=0.02, tls=tls if encrypted else None)
    if encrypted:
        said = b"\x16\x03\x01\x02\x00"[: len(said)]
    with member.connect() as silent:
        silent.sendall(said)
        serve(turned_away)
        while not hung_up(silent):
            pass  # an answer to the hello
    assert turned_away() == ["the other side did not end the handshake within 0.02 s"]
    assert not member.connections
    assert member.lost == []


def test_a_trickle_does_not_extend_the_time(
    start: Callable[..., Member],
    serve: Serve,
    turned_away: TurnedAway,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(probation, "time", SimpleNamespace(monotonic=lambda: now))
    member = start(handshake_s=HOUR)
    with member.connect() as slow:
        serve(lambda: member.connections)
        for count in range(1, 6):
            now += HOUR / 6
            slow.send(HELLO[count - 1 : count])
            serve(lambda count=count: member.held() == count)
            member.peers._accepted._look()
        assert member.connections
        now = HOUR
        member.peers._accepted._look()
        assert not member.connections
        assert hung_up(slow)
    assert turned_away() == ["the other side did not end the handshake within 3600 s"]


def test_the_oldest_of_too_many_strangers_goes_first(
    start: Callable[..., Member], serve: Serve, count_fds: Callable[[], int]
) -> None:
    member = start(handshake_s=HOUR, max_strangers=3)
    before = count_fds()
    strangers = []
    for count in range(1, 6):
        strangers.append(member.connect())
        serve(lambda count=count: len(member.peers._accepted) == min(count, 3))
        member.reactor.poll()
    assert hung_up(strangers[0])
    assert hung_up(strangers[1])
    for stranger in strangers[2:]:
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.recv(1)
    assert count_fds() == before + 5 + 3
    other = start(CLIENT)
    other.peers.send_to(SERVER, member.address, StreamCredit(b"", 1))
    serve(lambda: member.received)
    for stranger in strangers:
        stranger.close()
    serve(lambda: len(member.connections) == 1)
    assert len(member.peers._accepted) == 0


@pytest.mark.parametrize("said", [b"", b"G", HELLO], ids=["nothing", "wrong", "hello"])
def test_many_strangers_leave_nothing(
    start: Callable[..., Member],
    serve: Serve,
    turned_away: TurnedAway,
    count_fds: Callable[[], int],
    said: bytes,
) -> None:
    member = start(handshake_s=HOUR)
    before = count_fds()
    for count in range(1, 101):
        with member.connect() as stranger:
            stranger.sendall(said)
        serve(lambda count=count: len(turned_away()) == count)
    assert not member.connections
    assert len(member.peers._accepted) == 0
    assert not member.peers._links.sockets()
    assert len(member.reactor._timers) <= 2
    assert count_fds() == before


def test_members_do_not_count_as_strangers(start: Callable[..., Member], serve: Serve) -> None:
    member = start(max_strangers=1, handshake_s=HOUR)
    others = [start(f"client{i}_".encode()) for i in range(5)]
    for number, other in enumerate(others):
        other.peers.send_to(SERVER, member.address, StreamCredit(b"", number))
        serve(lambda number=number: number in member.received)
    with member.connect():
        serve(lambda: len(member.connections) == 6)
        assert len(member.peers._accepted) == 1
    assert all(other.is_through(SERVER) for other in others)


def test_a_server_that_says_nothing_is_given_up(start: Callable[..., Member], serve: Serve) -> None:
    member = start(CLIENT, handshake_s=0.02)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp:127.0.0.1:{silent.getsockname()[1]}"
        connection = member.peers.open(address)
        connection.send(StreamCredit(b"", 1))
        serve(lambda: member.lost)
    assert member.lost == [(b"", f"{address} did not end the handshake within 0.02 s")]
    assert connection.closed
    assert not connection.established


# TLS at one end, or of another cluster ----------------------------------------------------


def fail(serve: Serve, client: Member, server: Member) -> str:
    """Why the client cannot reach the server."""
    client.peers.send_to(SERVER, server.address, StreamCredit(b"", 1))
    serve(lambda: client.lost and not server.connections)
    assert server.received == []
    assert server.lost == []
    ((peer, reason),) = client.lost
    assert peer == SERVER
    assert not client.connections
    return reason


def test_tls_at_the_client_only(
    start: Callable[..., Member], serve: Serve, turned_away: TurnedAway, tls: TlsContexts
) -> None:
    reason = fail(serve, start(CLIENT, tls=tls), start())
    assert "closed by the other side during the TLS handshake: it may not use TLS" in reason
    assert "it seems to use TLS, this one does not" in turned_away()[0]


def test_tls_at_the_server_only(
    start: Callable[..., Member], serve: Serve, turned_away: TurnedAway, tls: TlsContexts
) -> None:
    reason = fail(serve, start(CLIENT), start(tls=tls))
    assert "closed by the other side during the handshake: " in reason
    assert "or only one of the two uses TLS" in reason
    assert "the other side does not use TLS, this one does" in turned_away()[0]


def test_certificates_of_different_clusters(
    start: Callable[..., Member], serve: Serve, tls: TlsContexts, other_tls: TlsContexts
) -> None:
    reason = fail(serve, start(CLIENT, tls=other_tls), start(tls=tls))
    assert "the other side's certificate is refused" in reason


def test_a_client_without_a_certificate_is_told_why(
    start: Callable[..., Member], serve: Serve, tls: TlsContexts
) -> None:
    """Its own handshake has ended by then."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    client = start(CLIENT, tls=TlsContexts(server=tls.server, client=anybody))
    reason = fail(serve, client, start(tls=tls))
    assert "the other side refuses this one's certificate" in reason
    assert "certificate required" in reason


def test_the_token_is_asked_for_inside_tls(
    start: Callable[..., Member], serve: Serve, tls: TlsContexts
) -> None:
    reason = fail(serve, start(CLIENT, tls=tls, token=b"another"), start(tls=tls))
    assert "does not know this cluster's token" in reason


# Anything at all --------------------------------------------------------------------------

SAID = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=200).map(lambda tail: MAGIC + tail),
    st.integers(0, len(HELLO)).map(lambda end: HELLO[:end]),
    st.binary(min_size=32, max_size=200).map(lambda tail: HELLO + tail),
    st.binary(max_size=200).map(lambda tail: b"\x16\x03\x01\x00\x40" + tail),
)


@pytest.mark.parametrize("encrypted", [False, True])
@given(said=SAID, cuts=st.lists(st.integers(0, 400), max_size=6), hangs_up=st.booleans())
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_whatever_strangers_say_costs_little(
    start: Callable[..., Member],
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    tls: TlsContexts,
    said: bytes,
    cuts: list[int],
    hangs_up: bool,
    encrypted: bool,
) -> None:
    member = start(handshake_s=HOUR, tls=tls if encrypted else None)
    stranger = member.connect()
    serve(lambda: member.connections)
    edges = [0, *sorted(cut % (len(said) + 1) for cut in cuts), len(said)]
    for begin, end in pairwise(edges):
        with suppress(BrokenPipeError, ConnectionResetError):
            stranger.sendall(said[begin:end])
        member.reactor.poll()
        assert member.held() <= len(HELLO)
    assert member.received == []
    if hangs_up:
        stranger.close()
        serve(lambda: not member.connections)
    member.peers.close()
    stranger.close()
    assert member.lost == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@given(said=SAID, hangs_up=st.booleans())
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_whatever_a_server_says_that_is_none_of_ours(
    start: Callable[..., Member], serve: Serve, said: bytes, hangs_up: bool
) -> None:
    member = start(CLIENT, handshake_s=HOUR)
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = member.peers.open(f"tcp:127.0.0.1:{server.getsockname()[1]}")
        connection.send(StreamCredit(b"", 1))
        theirs, _ = server.accept()
        with theirs:
            theirs.sendall(said)
            if hangs_up:
                theirs.shutdown(socket.SHUT_WR)
                serve(lambda: member.lost)
            else:
                member.reactor.poll()
                member.reactor.poll()
            assert connection.closed or len(connection._handshake._received) <= 80
            assert not connection.established
    member.peers.close()
    assert len(member.lost) == 1
