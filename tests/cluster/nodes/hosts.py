"""Several machines on one: network namespaces with addresses of their own, on one bridge."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

_numbers = itertools.count(1)
AIR = str(Path(sys.executable).with_name("air"))
PATIENCE_S = 60


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with its output as text."""
    return subprocess.run(command, text=True, capture_output=True, timeout=PATIENCE_S, **options)


class Host:
    """A machine: a namespace, or this machine itself if it has none.

    Each has a directory for temporary files of its own, so that nodes on it are found there.
    """

    def __init__(self, namespace: str = "", address: str = "127.0.0.1") -> None:
        self.namespace = namespace
        self.address = address
        # Paths of sockets are short, and the directories of pytest are not.
        self.directory = tempfile.mkdtemp(prefix="airh-", dir="/tmp")
        self.environment = {**os.environ, "TMPDIR": self.directory}
        for name in ("AIR_TOKEN_FILE", "AIR_ADDRESS", "AIR_BACKEND"):
            self.environment.pop(name, None)

    def command(self, *words: str) -> list[str]:
        """What to run for these words to be run on this machine."""
        return ["ip", "netns", "exec", self.namespace, *words] if self.namespace else [*words]

    def air_words(self, *arguments: str) -> list[str]:
        """What to run for the command ``air``."""
        return self.command(AIR, *arguments)

    def air(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command ``air``."""
        return run(self.air_words(*arguments), env=self.environment)

    def program(self, text: str, *arguments: str) -> str:
        """What a Python program prints; it must succeed."""
        words = self.command(sys.executable, "-c", text, *arguments)
        done = run(words, env=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def daemons(self) -> list[psutil.Process]:
        """The processes of the nodes on it."""
        found = []
        for path in Path(self.directory).glob("air-*/node.json"):
            with contextlib.suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(json.loads(path.read_text())["pid"]))
        return found

    def kill_daemons(self) -> None:
        """Have them end without a chance to clean up."""
        for daemon in self.daemons:
            daemon.kill()

    def close(self) -> None:
        """End the nodes on it."""
        if os.listdir(self.directory):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.air("stop")
        left = os.listdir(self.directory)
        shutil.rmtree(self.directory)
        assert not left


class Network:
    """Machines in one network, ``10.77.0.1`` and up; none of them sees the real one."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self.hosts: list[Host] = []
        self._bridge = self._namespace()
        _ip("-n", self._bridge, "link", "add", "hub", "type", "bridge")
        _ip("-n", self._bridge, "link", "set", "hub", "up")

    def _namespace(self) -> str:
        name = f"air-{os.getpid()}-{next(_numbers)}"
        _ip("netns", "add", name)
        self._names.append(name)
        return name

    def host(self) -> Host:
        """One more machine."""
        name, number = self._namespace(), len(self.hosts) + 1
        host = Host(name, f"10.77.0.{number}")
        self.hosts.append(host)
        port = f"port{number}"
        ends = ["eth0", "netns", name, "type", "veth", "peer", "name", port]
        _ip("link", "add", *ends, "netns", self._bridge)
        _ip("-n", self._bridge, "link", "set", port, "master", "hub", "up")
        _ip("-n", name, "address", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        return host

    def cut(self, host: Host) -> None:
        """Nothing reaches the machine any more, or comes from it."""
        self._set(host, "down")

    def heal(self, host: Host) -> None:
        """It can be reached again."""
        self._set(host, "up")

    def _set(self, host: Host, state: str) -> None:
        port = f"port{self.hosts.index(host) + 1}"
        _ip("-n", self._bridge, "link", "set", port, state)

    def close(self) -> None:
        """End the nodes, then the machines."""
        try:
            # Who joined last leaves first.
            for host in reversed(self.hosts):
                host.close()
        finally:
            for name in self._names:
                _ip("netns", "delete", name)


def why_not_here() -> str:
    """Why there cannot be namespaces; empty if there can."""
    if shutil.which("ip") is None:
        return "the command ip (iproute2) is not installed"
    name = f"air-{os.getpid()}-probe"
    made = run(["ip", "netns", "add", name])
    if made.returncode:
        return f"network namespaces cannot be made: {made.stderr.strip()}"
    _ip("netns", "delete", name)
    return ""


def _ip(*words: str) -> None:
    done = run(["ip", *words])
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
