"""The process that workers are forked from.

It has imported what workers need and does nothing else: one thread, no sockets but the one
to the daemon, so that a fork is clean, takes milliseconds and shares its memory. A template
can fork another one that imports more modules first; the daemon asks for that when it hears
which modules coming tasks will import.

Commands and answers are JSON, one a packet of a sequential-packet socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any

_PACKET_BYTES = 1 << 16
_MAX_FDS = 3
_PR_SET_NAME, _PR_SET_PDEATHSIG = 15, 1


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, however that happens."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def name_process(name: str) -> None:
    """Set the name that ``ps`` and ``top`` show."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def run_template(control: socket.socket, session: str, token: bytes, modules: list[str]) -> None:
    """Import, then fork on command until the daemon is gone. Never returns."""
    try:
        die_with_parent()
        name_process("air-template")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        import air_cluster.worker.main  # noqa: F401 - what every worker needs

        for module in modules:
            # A module that cannot be imported is the business of the task that needs it.
            with contextlib.suppress(Exception):
                importlib.import_module(module)
        gc.collect()
        gc.freeze()
        _Template(control, session, token).serve()
    finally:
        os._exit(0)


class _Template:
    def __init__(self, control: socket.socket, session: str, token: bytes) -> None:
        self._control = control
        self._session = session
        self._token = token
        self._wake_reader, wake_writer = socket.socketpair()
        for end in (self._wake_reader, wake_writer):
            end.setblocking(False)
        self._wake_writer = wake_writer
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake_writer.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        self._answer({"event": "ready"})
        while True:
            readable, _, _ = select.select([self._control, self._wake_reader], [], [])
            if self._wake_reader in readable:
                with contextlib.suppress(BlockingIOError):
                    self._wake_reader.recv(_PACKET_BYTES)
                self._reap()
            if self._control in readable:
                data, fds, _flags, _address = socket.recv_fds(
                    self._control, _PACKET_BYTES, _MAX_FDS
                )
                if not data:
                    return
                self._obey(json.loads(data), fds)

    def _obey(self, command: dict[str, Any], fds: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            self._become(command, fds)
        for fd in fds:
            os.close(fd)
        self._answer({"event": "forked", "pid": pid, "worker": command.get("worker")})

    def _become(self, command: dict[str, Any], fds: list[int]) -> None:
        """In the child: a worker, or a template that has imported more."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (self._control, self._wake_reader, self._wake_writer):
                end.close()
            gc.unfreeze()
            if "modules" in command:
                control = socket.socket(fileno=fds[0])
                run_template(control, self._session, self._token, command["modules"])
            die_with_parent()
            name_process("air-worker")
            _redirect(*fds)
            from air_cluster.worker.main import run_worker

            run_worker(self._session, self._token, bytes.fromhex(command["worker"]))
        finally:
            os._exit(1)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._answer({"event": "exited", "pid": pid, "status": status})

    def _answer(self, answer: dict[str, Any]) -> None:
        self._control.send(json.dumps(answer).encode())


def _redirect(out: int, err: int) -> None:
    """Standard output and error go to the daemon; there is no input."""
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the process's life
