"""Strangers at the ports of a node: what they cost, and whom they keep out."""

from __future__ import annotations

import contextlib
import glob
import os
import resource
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from air.testing.executor_suite.harness import eventually

from .hosts import Host, run

DESCRIPTORS = 300
STRANGERS = 350


@pytest.fixture
def node() -> Iterator[tuple[Host, psutil.Process]]:
    """A head that may have few descriptors."""
    host = Host()
    limited = f"ulimit -n {DESCRIPTORS}; exec {' '.join(host.air_words('start'))}"
    done = run(["sh", "-c", f"{limited} --head --port 0 --num-cpus 1"], env=host.environment)
    assert done.returncode == 0, done.stderr
    [daemon] = host.daemons
    yield host, daemon
    host.close()


@pytest.fixture
def strangers() -> Iterator[list[socket.socket]]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    connected: list[socket.socket] = []
    yield connected
    for one in connected:
        one.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"A",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"AIR\0\0\0\0\1" + b"\xff" * 400,
    ],
    ids=["silent", "trickle", "browser", "giant"],
)
def test_members_are_served_whatever_strangers_do(
    node: tuple[Host, psutil.Process], strangers: list[socket.socket], said: bytes
) -> None:
    host, daemon = node
    before = daemon.num_fds()
    ports = {c.laddr.port for c in daemon.net_connections() if c.status == psutil.CONN_LISTEN}
    assert len(ports) == 2  # for messages, and for values
    for port in ports:
        for _ in range(STRANGERS):
            stranger = socket.create_connection(("127.0.0.1", port), timeout=20)
            strangers.append(stranger)
            with contextlib.suppress(OSError):
                stranger.sendall(said)
    assert daemon.num_fds() < DESCRIPTORS
    out = host.program(
        "import air; air.init(address='auto', log_to_driver=False);"
        " f = air.remote(lambda: 'served'); print(air.get(f.remote()))"
    )
    assert out == "served\n"
    assert daemon.is_running()
    while strangers:
        strangers.pop().close()
    assert eventually(lambda: daemon.num_fds() <= before + 2)


def test_who_has_ended_leaves_no_socket(node: tuple[Host, psutil.Process]) -> None:
    host, _daemon = node
    program = """
import air, os, signal
air.init(address="auto", log_to_driver=False)

@air.remote(max_retries=0)
def end():
    os.kill(os.getpid(), signal.SIGKILL)

try:
    air.get(end.remote())
except air.errors.WorkerDied:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = run(host.command(sys.executable, "-c", program), env=host.environment)
    assert done.returncode == -9
    [directory] = glob.glob(os.path.join(host.directory, "air-*"))
    assert eventually(lambda: [p.name for p in Path(directory).glob("*.sock")] == ["daemon.sock"])


def test_everything_in_the_directory_is_for_its_user_alone(
    node: tuple[Host, psutil.Process],
) -> None:
    host, _daemon = node
    host.program("import air; air.init(address='auto'); air.get(air.remote(print).remote())")
    [directory] = glob.glob(os.path.join(host.directory, "air-*"))
    for path in (Path(directory), *Path(directory).rglob("*")):
        assert path.lstat().st_mode & 0o077 == 0, path
