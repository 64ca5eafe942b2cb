"""Connections between living processes of different nodes that break all the time."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import air
from air.errors import ActorDied, ActorUnreachable, OwnerDied
from air.executor.current import get_executor
from air.testing.executor_suite.harness import eventually, value
from air_cluster.transport import tcp

pytestmark = pytest.mark.slow

_libc = ctypes.CDLL(None, use_errno=True)
_NOWHERE = (ctypes.c_char * 16)()  # an address of family AF_UNSPEC

here = air.remote(num_cpus=0.2)
there = air.remote(num_cpus=0.2, resources={"widget": 0.01})


def break_connections() -> int:
    """Reset all TCP connections of this process, as a firewall does; how many there were."""
    broken = 0
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                continue
            with socket.socket(fileno=os.dup(fd)) as sock:
                if sock.family == socket.AF_INET and sock.type == socket.SOCK_STREAM:
                    sock.getpeername()  # fails of those that listen
                    broken += _libc.connect(fd, _NOWHERE, 16) == 0
        except OSError:
            continue
    return broken


@contextmanager
def breaking() -> Iterator[Callable[[], int]]:
    """Break all connections of this process twenty times a second; gives how many were."""
    ended = threading.Event()
    broken = 0

    def run() -> None:
        nonlocal broken
        while not ended.wait(0.05):
            broken += break_connections()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lambda: broken
    finally:
        ended.set()
        thread.join()


@there
class Breaker:
    """Breaks the connections of a process of the other node now and then."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def add(self, number: int) -> int:
        self.calls.append(number)
        if number % 50 == 0:
            break_connections()
        return number

    def all(self) -> list[int]:
        return self.calls

    def put(self, number: int) -> Any:
        return [air.put(number)]

    def read(self, refs: list[Any]) -> Any:
        if np.random.random() < 0.3:
            break_connections()
        return [air.get(ref) for ref in refs]


@there
def double(number: int) -> int:
    if number % 20 == 0:
        break_connections()
    return 2 * number


@there
def count(number: int) -> Any:
    for i in range(number):
        if i % 100 == 50:
            break_connections()
        yield i


@there
def large(number: int) -> Any:
    return np.full(200_000, number)


@there
def nested(number: int) -> Any:
    return air.get([back.remote(number + i) for i in range(3)])


@here
def back(number: int) -> int:
    return -number


@contextmanager
def no_way(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process gets no connection to any other, and waits for none for long."""
    client = get_executor()._client  # type: ignore[attr-defined]
    client.peers._resumer._patience_s = 0.3

    def refuse(address: object) -> socket.socket:
        raise OSError(errno.EHOSTUNREACH, f"no way to {address}")

    with monkeypatch.context() as patch:
        patch.setattr(tcp, "connect", refuse)
        with client.reactor.lock:
            break_connections()
        yield
    client.peers._resumer._patience_s = 60.0


@pytest.fixture
def breaker(two: Any) -> Any:
    return Breaker.remote()


def test_calls_of_an_actor_run_once_and_in_order(breaker: Any) -> None:
    value(breaker.add.remote(-1))
    with breaking() as broken:
        for start in range(0, 2000, 200):
            refs = [breaker.add.remote(number) for number in range(start, start + 200)]
            assert value(refs) == list(range(start, start + 200))
        assert eventually(lambda: broken() > 3)
    assert value(breaker.all.remote()) == list(range(-1, 2000))


def test_tasks_and_streams(two: Any) -> None:
    with breaking():
        for start in range(0, 200, 100):
            refs = [double.remote(number) for number in range(start, start + 100)]
            assert value(refs) == [2 * number for number in range(start, start + 100)]
        stream = count.options(num_returns="streaming").remote(300)
        assert [value(ref) for ref in stream] == list(range(300))
        assert value([nested.remote(10 * i) for i in range(10)]) == [
            [-10 * i, -10 * i - 1, -10 * i - 2] for i in range(10)
        ]


def test_values_and_borrowed_references(breaker: Any) -> None:
    with breaking():
        for number in range(30):
            (theirs,) = value(breaker.put.remote(number))
            mine = air.put(number)
            assert value(breaker.read.remote([theirs, mine])) == [number, number]
            assert value(theirs) == number
        found = value([large.remote(number) for number in range(20)])
        assert [array.min() for array in found] == list(range(20))
    # All of it is given back in the end.
    del theirs, mine, found
    client = get_executor()._client  # type: ignore[attr-defined]

    def lent() -> int:
        with client.reactor.lock:
            client.reactor.run_soon()
            client.objects.drain()
            return sum(1 for entry in client.references.entries.values() if entry.borrowers)

    assert eventually(lambda: lent() <= 1)  # the handle of the actor


def test_tasks_that_only_the_other_node_can_run_are_asked_for_meanwhile(two: Any) -> None:
    """What demands and grants travel over breaks as well."""
    with breaking():
        for step in range(6):
            refs = [double.options(num_cpus=0.2 + step / 100).remote(i) for i in range(20)]
            assert value(refs) == [2 * i for i in range(20)]


def test_without_any_way_calls_fail_by_name_and_go_on_when_there_is_one(
    breaker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head sees all nodes; only this program cannot reach one of them."""
    (theirs,) = value(breaker.put.remote(1))
    value(breaker.add.remote(1))
    value(double.remote(1))
    with no_way(monkeypatch):
        calls = [breaker.add.remote(number) for number in (2, 3)]
        with pytest.raises(
            ActorUnreachable, match=r"Breaker\.add may have run or not: .*no way to tcp"
        ) as caught:
            value(calls[0])
        assert repr(breaker).endswith(f", {caught.value.actor})")
        assert caught.value.dead_actor == ""  # it lives
        with pytest.raises(ActorDied, match="cannot be reached"):
            value(calls[1])
        with pytest.raises(OwnerDied, match=theirs.hex()):
            value(theirs)
        tasks = [double.remote(number) for number in (5, 6)]
    assert value(tasks) == [10, 12]
    peers = get_executor()._client.peers  # type: ignore[attr-defined]
    links = [connection.link for connection in peers._open if connection.link is not None]
    assert eventually(lambda: all(link.is_up or link.gave_up for link in links))
    assert value(breaker.add.remote(4)) == 4
    assert value(breaker.all.remote())[-1] == 4
