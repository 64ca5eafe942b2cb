"""A cluster of one machine, for one program: started by ``air.init``, gone with it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from air.errors import BackendError, UnsupportedByBackend
from air.executor.capabilities import Capability
from air.executor.interface import InitConfig
from air.executor.machine import count_cpus, count_gpus, memory_bytes

if TYPE_CHECKING:
    from air_cluster.client.client import Client
    from air_cluster.executor import ClusterExecutor
    from air_cluster.transport.interrupts import InterruptGuard

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 5.0
_STORE_SHARE = 0.3
_MAX_ROOT_LENGTH = 50
_DAEMON = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " from air_cluster.daemon.main import main; main()"
)
_PRELOADED = ("numpy", "pandas", "pyarrow", "torch", "xgboost", "sklearn")
"""Large libraries: if the program has loaded one, its tasks are likely to need it as well."""


def connect(config: InitConfig) -> ClusterExecutor:
    """Start a daemon on this machine and join it.

    Raises:
        BackendError: it does not start; the message holds what it said.
        UnsupportedByBackend: *config* has an address.
    """
    if config.address is not None:
        raise UnsupportedByBackend(
            "cluster",
            Capability.REMOTE_ADDRESS.value,
            f"got address {config.address!r}. Leave address out and unset AIR_ADDRESS to start"
            " a cluster on this machine",
        )
    session = _LocalSession(config)
    try:
        return session.join(config)
    except BaseException:
        session.stop()
        raise


class _LocalSession:
    """The session directory, the daemon in it and this program's client."""

    def __init__(self, config: InitConfig) -> None:
        self._directory = _session_directory()
        self._token = secrets.token_bytes(32)
        self._log = os.path.join(self._directory, "daemon.log")
        self._client: Client | None = None
        self._guard: InterruptGuard | None = None
        try:
            self._daemon = self._start(config)
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise

    def _start(self, config: InitConfig) -> subprocess.Popen[bytes]:
        settings = {
            "session": self._directory,
            "argv": sys.argv,
            "token": self._token.hex(),
            "log": self._log,
            "node_id": secrets.token_hex(8),
            "resources": _node_resources(config),
            "labels": dict(config.labels),
            "object_store_memory": _store_memory(config),
        }
        daemon = subprocess.Popen(
            [sys.executable, "-c", _DAEMON, json.dumps(_importable_paths())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert daemon.stdin is not None
        with contextlib.suppress(BrokenPipeError), daemon.stdin as pipe:
            pipe.write(json.dumps(settings).encode())
        return daemon

    def join(self, config: InitConfig) -> ClusterExecutor:
        """Wait for the daemon and register with it."""
        # Imported while the daemon starts, in parallel with it.
        from air_cluster.client.client import Client
        from air_cluster.executor import ClusterExecutor
        from air_cluster.protocol.ids import new_process_id
        from air_cluster.transport.interrupts import InterruptGuard

        client = self._client = Client(
            self._directory,
            self._token,
            new_process_id(),
            "driver",
            namespace=config.namespace,
            log_to_driver=config.log_to_driver,
        )
        executor = ClusterExecutor(client, self.stop)
        self._wait_until_ready()
        client.connect()
        client.reactor.start_background("air-background")
        if threading.current_thread() is threading.main_thread():
            self._guard = InterruptGuard.for_keyboard(client.reactor)
        loaded = [name for name in _PRELOADED if name in sys.modules]
        if loaded:
            executor.preload(loaded)
        return executor

    def _wait_until_ready(self) -> None:
        out = self._daemon.stdout
        assert out is not None
        readable, _, _ = select.select([out], [], [], _START_TIMEOUT_S)
        said = out.readline() if readable else b""
        if said.strip() == b"ready":
            out.close()
            assert self._daemon.stderr is not None
            self._daemon.stderr.close()
            return
        self._daemon.kill()
        _, complaint = self._daemon.communicate()
        raise BackendError(
            f"the node's daemon did not start within {_START_TIMEOUT_S:.0f} s:"
            f" {complaint.decode(errors='replace').strip() or 'it said nothing'}"
        )

    def stop(self) -> None:
        """End everything: workers, daemon, shared memory, files."""
        if self._guard is not None:
            self._guard.remove()
            self._guard = None
        if self._client is not None:
            from air_cluster.protocol.messages import Exit

            client, self._client = self._client, None
            if hasattr(client, "daemon"):
                # It sends what workers have printed so far, then closes the connection.
                client.leaving = True
                with client.reactor.lock:
                    client.daemon.send(Exit())
                deadline = time.monotonic() + _STOP_TIMEOUT_S
                client.reactor.wait_for(lambda: client.daemon.closed, deadline)
            client.close()
        try:
            self._daemon.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # Its template and its workers die with it; nothing of theirs is left in files.
            self._daemon.kill()
            self._daemon.wait()
        for pipe in (self._daemon.stdout, self._daemon.stderr):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self._directory, ignore_errors=True)


def _session_directory() -> str:
    """A fresh directory that only this user can enter; removes those of dead programs.

    A program and its daemon that are killed at the same moment leave theirs behind.
    """
    root = tempfile.gettempdir()
    if len(root) > _MAX_ROOT_LENGTH:
        root = "/tmp"  # the paths of sockets must be short
    mine = f"air-{os.getuid()}-"
    for name in os.listdir(root):
        pid = name.removeprefix(mine).partition("-")[0]
        if name.startswith(mine) and pid.isdigit() and not _alive(int(pid)):
            path = os.path.join(root, name)
            if _age(path) > _STOP_TIMEOUT_S:
                shutil.rmtree(path, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{mine}{os.getpid()}-", dir=root)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _age(path: str) -> float:
    try:
        return time.time() - os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0


def _node_resources(config: InitConfig) -> Mapping[str, float]:
    resources: dict[str, Any] = {
        "CPU": count_cpus() if config.num_cpus is None else config.num_cpus,
        "GPU": count_gpus() if config.num_gpus is None else config.num_gpus,
        "memory": memory_bytes() - _store_memory(config),
        "object_store_memory": _store_memory(config),
        **config.resources,
    }
    return {name: value for name, value in resources.items() if value}


def _store_memory(config: InitConfig) -> int:
    if config.object_store_memory is not None:
        return config.object_store_memory
    return int(memory_bytes() * _STORE_SHARE)


def _importable_paths() -> list[str]:
    """What this program can import, its workers can: the same paths, made absolute."""
    return [os.path.abspath(path) for path in sys.path]
