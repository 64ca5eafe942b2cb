"""Unix sockets of a session."""

from __future__ import annotations

import errno
import logging
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from air_cluster.transport import listening
from air_cluster.transport.addresses import UnixAddress
from air_cluster.transport.reactor import Reactor
from air_cluster.transport.unix import Listener, connect

Serve = Callable[[Callable[[], Any]], None]


@pytest.fixture
def accepted() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for sock in sockets:
        sock.close()


@pytest.fixture
def address(tmp_path: Path) -> UnixAddress:
    return UnixAddress(f"{tmp_path}/a.sock")


@pytest.fixture
def listener(
    reactor: Reactor, address: UnixAddress, accepted: list[socket.socket]
) -> Iterator[Listener]:
    with reactor.lock:
        made = Listener(address, reactor, accepted.append)
    yield made
    with reactor.lock:
        made.close()


def test_the_socket_is_for_its_user_alone(listener: Listener, tmp_path: Path) -> None:
    mode = (tmp_path / "a.sock").stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_connections_are_accepted_in_one_go(
    listener: Listener, address: UnixAddress, accepted: list[socket.socket], serve: Serve
) -> None:
    for _ in range(3):
        connect(address).close()
    listener.on_events(1)
    assert len(accepted) == 3


def test_who_connects_is_passed_on(
    listener: Listener, address: UnixAddress, accepted: list[socket.socket], serve: Serve
) -> None:
    with connect(address) as ours:
        serve(lambda: accepted)
        ours.sendall(b"hello")
        assert accepted[0].recv(5) == b"hello"


def test_closing_removes_the_file(listener: Listener, address: UnixAddress, tmp_path: Path) -> None:
    listener.close()
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="No such file"):
        connect(address)
    listener.close()
    listener.on_events(1)  # an event of the round in which it was closed


def test_nobody_listens_where_the_listener_died(address: UnixAddress) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(address.path)
    with pytest.raises(ConnectionRefusedError):
        connect(address)


def test_an_address_that_is_taken_is_refused(
    listener: Listener, address: UnixAddress, reactor: Reactor, count_fds: Callable[[], int]
) -> None:
    before = count_fds()
    with pytest.raises(OSError, match="in use"):
        Listener(address, reactor, lambda _sock: None)
    assert count_fds() == before


def test_running_out_of_descriptors_is_waited_out(
    listener: Listener,
    address: UnixAddress,
    accepted: list[socket.socket],
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(listening, "_RETRY_S", 0.001)
    attempts: list[int] = []

    class Socket(socket.socket):
        def accept(self) -> Any:
            attempts.append(1)
            if len(attempts) < 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    listener._socket = Socket(fileno=listener._socket.detach())
    with caplog.at_level(logging.WARNING), connect(address):
        serve(lambda: accepted)
    assert caplog.text.count("Too many open files") == 2
