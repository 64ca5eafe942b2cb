"""TCP sockets: where they listen, how they connect, and which of them are dead."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from air_cluster.transport import tcp
from air_cluster.transport.addresses import AddressError, TcpAddress, parse
from air_cluster.transport.reactor import Reactor

Serve = Callable[[Callable[[], Any]], None]

LOCAL = TcpAddress("127.0.0.1", 0)


@pytest.fixture
def accepted() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for sock in sockets:
        sock.close()


@pytest.fixture
def listen(
    reactor: Reactor, accepted: list[socket.socket]
) -> Iterator[Callable[[TcpAddress], TcpAddress]]:
    made: list[tcp.Listener] = []

    def listen(address: TcpAddress) -> TcpAddress:
        made.append(tcp.Listener(address, reactor, accepted.append))
        (real,) = parse(made[-1].address)
        assert isinstance(real, TcpAddress)
        return real

    yield listen
    for listener in made:
        listener.close()
        listener.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])
def test_any_free_port_is_told(
    listen: Callable[[TcpAddress], TcpAddress],
    accepted: list[socket.socket],
    serve: Serve,
    host: str,
) -> None:
    real = listen(TcpAddress(host, 0))
    assert real.host == host
    target = TcpAddress("127.0.0.1", real.port) if real.is_any_host else real
    with tcp.connect(target) as ours:
        serve(lambda: accepted)
        assert tcp.connection_error(ours) == 0
        ours.send(b"hello")
        assert accepted[0].recv(5) == b"hello"


def test_a_port_that_is_taken(
    listen: Callable[[TcpAddress], TcpAddress], reactor: Reactor, count_fds: Callable[[], int]
) -> None:
    real = listen(LOCAL)
    before = count_fds()
    with pytest.raises(OSError, match=f"cannot listen on {real}: Address already") as raised:
        tcp.Listener(real, reactor, lambda _sock: None)
    assert raised.value.errno == errno.EADDRINUSE
    with pytest.raises(OSError, match=r"cannot listen on tcp:192\.0\.2\.77:1: "):
        tcp.Listener(TcpAddress("192.0.2.77", 1), reactor, lambda _sock: None)
    assert count_fds() == before


def test_a_port_can_be_listened_on_again_at_once(
    listen: Callable[[TcpAddress], TcpAddress],
    accepted: list[socket.socket],
    reactor: Reactor,
    serve: Serve,
) -> None:
    first = tcp.Listener(LOCAL, reactor, accepted.append)
    (real,) = parse(first.address)
    assert isinstance(real, TcpAddress)
    with tcp.connect(real) as ours:
        serve(lambda: accepted)
        accepted.pop().close()  # this side first: its port goes into TIME_WAIT
        first.close()
        assert ours.recv(1) == b""
    assert listen(real) == real


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (TcpAddress("localhost", 1), "holds a name: look it up first"),
        (TcpAddress("0.0.0.0", 1), "to listen on, not one to connect to"),
        (TcpAddress("::", 1), "to listen on, not one to connect to"),
        (TcpAddress("127.0.0.1", 0), "to listen on, not one to connect to"),
    ],
)
def test_what_cannot_be_connected_to(address: TcpAddress, why: str) -> None:
    with pytest.raises(AddressError, match=why):
        tcp.connect(address)


def test_a_name_is_not_listened_on(reactor: Reactor) -> None:
    with pytest.raises(AddressError, match="holds a name"):
        tcp.Listener(TcpAddress("localhost", 0), reactor, lambda _sock: None)


def test_connecting_does_not_wait_and_tells_later() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        sock = tcp.connect(TcpAddress("127.0.0.1", unused.getsockname()[1]))
    with sock:
        assert not sock.getblocking()
        assert select.select([], [sock], [], 20) == ([], [sock], [])
        assert tcp.connection_error(sock) == errno.ECONNREFUSED


def test_a_connection_that_reaches_itself_is_a_refused_one() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        assert tcp.connection_error(sock) == errno.ECONNREFUSED


def test_sockets_send_at_once_and_watch_idle_links() -> None:
    with socket.socket() as sock:
        tcp.prepare(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5


# Names ------------------------------------------------------------------------------------


def test_names_are_looked_up() -> None:
    found = tcp.resolve("unix:/a.sock|tcp:localhost:80|tcp:[::1]:81")
    assert found in {f"unix:/a.sock|tcp:{host}:80|tcp:[::1]:81" for host in ("127.0.0.1", "[::1]")}


def test_names_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_args: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(AddressError, match="tcp:nobody:80 cannot be found"):
        tcp.resolve("tcp:nobody:80")
    assert tcp.resolve("tcp:127.0.0.1:80") == "tcp:127.0.0.1:80"


def test_the_own_address_depends_on_who_is_to_reach_it() -> None:
    assert tcp.own_host("unix:/a.sock|tcp:127.0.0.1:80") == "127.0.0.1"
    assert tcp.own_host("tcp:[::1]:80") == "::1"
    with pytest.raises(AddressError, match="has no tcp: part"):
        tcp.own_host("unix:/a.sock")
    with pytest.raises(AddressError, match="holds a name"):
        tcp.own_host("tcp:localhost:80")


# Dead links -------------------------------------------------------------------------------


def tcp_info(retransmits: int = 0, probes: int = 0, unacknowledged: int = 0, ms: int = 0) -> bytes:
    """As the kernel gives it: see struct tcp_info in linux/tcp.h."""
    info = bytearray(192)
    info[2], info[3] = retransmits, probes
    struct.pack_into("=I", info, 24, unacknowledged)
    struct.pack_into("=I", info, 56, ms)
    return bytes(info)


@pytest.mark.parametrize(
    ("info", "dead"),
    [
        (tcp_info(), False),
        (tcp_info(ms=10**9), False),  # idle: keep-alive looks after it
        (tcp_info(unacknowledged=3, ms=30_000), False),  # sent this moment, after a long silence
        (tcp_info(unacknowledged=3, retransmits=4, ms=19_999), False),
        (tcp_info(unacknowledged=3, retransmits=4, ms=20_000), True),
        (tcp_info(probes=1, ms=100_000), False),  # the answer is on its way
        (tcp_info(probes=2, ms=20_000), True),  # it was full when the link was cut
        (tcp_info(retransmits=1, ms=20_000), False),
    ],
)
def test_a_link_is_dead_if_nothing_answers(info: bytes, dead: bool) -> None:
    assert tcp.is_dead_link(info, 20.0) is dead


def test_a_process_that_does_not_read_is_not_dead() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        with ours, theirs:
            ours.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while ours.send(bytes(1 << 20)):
                    pass
            assert not tcp.is_dead(ours, silent_s=0.0)
