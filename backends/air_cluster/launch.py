"""Starting the daemon of a node as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from air.errors import BackendError, InvalidOption
from air.executor.gpus import gpu_resources
from air.executor.machine import count_cpus, memory_bytes
from air_cluster.credentials import Credentials
from air_cluster.directories import cannot_write
from air_cluster.session_files import LOG, LOGS, LogLimits

_START_TIMEOUT_S = 30.0
_STORE_SHARE = 0.3
_LEAST_STORE = 1 << 20
_GIB = 1 << 30
_PROC = "/proc/meminfo"
_DAEMON = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " from air_cluster.daemon.main import main; main()"
)


class NodeOptions(NamedTuple):
    """What a node offers; ``None`` stands for what the machine has.

    Attributes:
        num_cpus, num_gpus: how many.
        resources: further ones, by name.
        labels: what to know it by.
        memory: bytes that tasks and actors may use together; more is not only not given out, a
            worker that takes it is ended.
        object_store_memory: bytes of shared memory for values.
        is_guest: whether it is there for a program on a machine outside the cluster: it offers
            nothing to anybody, and is not shown among the nodes.
    """

    num_cpus: float | None = None
    num_gpus: float | None = None
    resources: Mapping[str, float] = {}
    labels: Mapping[str, str] = {}
    memory: int | None = None
    object_store_memory: int | None = None
    is_guest: bool = False

    def check(self) -> None:
        """Refuse what this machine cannot offer.

        Raises:
            InvalidOption: its memory is smaller than the store of values, or that holds nothing.
        """
        machine, wanted = memory_bytes(), self.object_store_memory
        if wanted is None:
            return
        if wanted > machine:
            raise InvalidOption(
                f"object_store_memory must not be larger than this machine's memory, which has"
                f" {machine} bytes ({machine / _GIB:.1f} GiB), got {wanted}"
            )
        if wanted < _LEAST_STORE:
            raise InvalidOption(
                f"object_store_memory is in bytes and must be at least {_LEAST_STORE}, got {wanted}"
            )

    @property
    def store_bytes(self) -> int:
        """Bytes of shared memory for values."""
        if self.object_store_memory is not None:
            return self.object_store_memory
        return int(memory_bytes() * _STORE_SHARE)

    def total(self) -> dict[str, float]:
        """The resources of the node."""
        if self.is_guest:
            return {}
        resources: dict[str, Any] = {
            "CPU": count_cpus() if self.num_cpus is None else self.num_cpus,
            **(gpu_resources() if self.num_gpus is None else {"GPU": self.num_gpus}),
            "memory": memory_bytes() - self.store_bytes if self.memory is None else self.memory,
            "object_store_memory": self.store_bytes,
            **self.resources,
        }
        return {name: value for name, value in resources.items() if value}


class Network(NamedTuple):
    """How a node is reached by other machines.

    Attributes:
        host: the address to listen on, and to tell others.
        port: 0 for any.
        head: ``HOST:PORT`` of the head to join; empty to be the head.
        state: the file in which a head keeps what it has to know when it is started again; empty
            for none.
    """

    host: str
    port: int = 0
    head: str = ""
    state: str = ""


class Ready(NamedTuple):
    """What a daemon says once it serves.

    Attributes:
        number: of the node.
        name: what people see of it.
        host: its address for others; empty if there are none.
        address: where it listens for other machines, as ``HOST:PORT``; empty likewise.
        head: where the head of its cluster listens.
    """

    number: int
    name: str
    host: str
    address: str
    head: str


class DaemonProcess:
    """A daemon that is starting, or has started.

    One that stays is found by other programs of this user until it ends.

    Args:
        directory: of its session.
        credentials: of the cluster.
        options: what the node offers.
        network: ``None`` for a cluster of this machine alone.
        stays: whether it outlives the programs that use it.
        attached: whether what it complains about comes to :meth:`wait_for_end` instead of going
            to a file in *directory*; it ends with this process then, however that ends.
    """

    def __init__(
        self,
        directory: str,
        credentials: Credentials,
        options: NodeOptions,
        network: Network | None,
        *,
        stays: bool,
        attached: bool = False,
    ) -> None:
        if not os.path.exists(_PROC):
            raise BackendError(
                "a node reads /proc (how much memory is in use, which processes there are), and"
                " nothing is mounted there: mount it (mount -t proc proc /proc), or use"
                " backend='local'"
            )
        options.check()
        limits = LogLimits.from_environment(os.environ)
        try:
            credentials.install(directory)
            os.mkdir(os.path.join(directory, LOGS), mode=0o700)
        except OSError as error:
            raise cannot_write(directory, error) from error
        settings = {
            "session": directory,
            "argv": sys.argv,
            "token": credentials.token.hex(),
            "log": "" if attached else os.path.join(directory, LOG),
            "logs": limits,
            "node_id": secrets.token_hex(8),
            "resources": options.total(),
            "labels": dict(options.labels),
            "memory": options.memory,
            "object_store_memory": options.store_bytes,
            "is_guest": options.is_guest,
            "network": None if network is None else network._asdict(),
            "stays": stays,
            "program": 0 if stays and not attached else os.getpid(),
            "rejoins": False,
        }
        self._attached = attached
        self._process = subprocess.Popen(
            [sys.executable, "-c", _DAEMON, json.dumps(_importable_paths())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(json.dumps(settings).encode())
        self._process.stdin = None  # or communicate() would flush it

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def wait_until_ready(self) -> Ready:
        """Wait until it serves.

        Raises:
            BackendError: it does not start; the message holds what it said.
        """
        out = self._process.stdout
        assert out is not None
        readable, _, _ = select.select([out], [], [], _START_TIMEOUT_S)
        said = out.readline() if readable else b""
        with contextlib.suppress(ValueError):
            ready = Ready(**json.loads(said))
            if not self._attached:
                self._close_pipes()
            return ready
        self._process.kill()
        _, complaint = self._process.communicate()
        reason = complaint.decode(errors="replace").strip()
        if reason.startswith("air: "):
            raise BackendError(reason.removeprefix("air: "))
        raise BackendError(
            f"the node's daemon did not start within {_START_TIMEOUT_S:.0f} s:"
            f" {reason or 'it said nothing'}"
        )

    def wait_for_end(self) -> int:
        """Wait as long as it runs, and pass on what it complains about (if attached).

        Returns:
            0 if it was told to end.
        """
        assert self._process.stderr is not None
        for line in self._process.stderr:
            sys.stderr.write(line.decode(errors="replace"))
        return self._process.wait()

    def crash(self, timeout: float) -> str | None:
        """How it has ended, if it has, though nobody asked it to.

        Args:
            timeout: seconds to wait for that.
        """
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        if not status:
            return None
        return f"was ended by signal {-status}" if status < 0 else f"exited with code {status}"

    def wait(self, timeout: float) -> None:
        """Wait for its end; kill it if that takes longer than *timeout* seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            # Its template and its workers die with it; nothing of theirs is left in files.
            self._process.kill()
            self._process.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()


def _importable_paths() -> list[str]:
    """What this program can import, its workers can: the same paths, made absolute."""
    return [os.path.abspath(path) for path in sys.path]
