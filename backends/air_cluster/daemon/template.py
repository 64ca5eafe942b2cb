"""The process that workers are forked from.

It has imported what workers need and does nothing else: one thread, no sockets but the one
to the daemon, so that a fork is clean, takes milliseconds and shares its memory. A template
can fork another one that imports more modules first; the daemon asks for that when it hears
which modules coming tasks will import.

Commands and answers are JSON, one a packet of a sequential-packet socket.

What a worker has started ends soon after it (``air_cluster.leftovers``). A template that is
killed leaves its workers behind (``worker.lifeline``), which the daemon looks after then
(``daemon.adopted``), beside another template (``daemon.spawning``).
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
import time
from typing import Any, NamedTuple

from air.executor.threads import process_limits
from air_cluster.leftovers import Leftovers, end_all
from air_cluster.marks import descendants, mark_worker, marked, node_of_session
from air_cluster.worker.lifeline import die_with_parent, is_cut

_PACKET_BYTES = 1 << 16
_MAX_FDS = 3
_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36
_POLL_S = 0.005


class WorkerSetup(NamedTuple):
    """What a worker needs to join.

    Attributes:
        session: the directory with the sockets.
        token: what members of the cluster know.
        host: the address of this machine for others; empty if there are none.
        has_gpus: whether the node offers some, which only those see who hold them.
        in_environment: whether the process is in the worker's runtime environment already.
        lifeline: a pipe whose other end only the daemon has; see ``worker.lifeline``.
    """

    session: str
    token: bytes
    host: str
    has_gpus: bool = False
    in_environment: bool = False
    lifeline: int = -1


def adopt_orphans() -> None:
    """Become the parent of what children have started when these end, in place of init.

    Not every container's first process looks after such orphans.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """Set the name that ``ps`` and ``top`` show."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def run_template(
    control: socket.socket, setup: WorkerSetup, modules: list[str], process: str = ""
) -> None:
    """Import, then fork on command until the daemon is gone. Never returns.

    Args:
        process: of a template of a runtime environment, what a worker has made of its process.
    """
    try:
        die_with_parent()
        name_process("air-template")
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        import air_cluster.worker.main  # noqa: F401 - what every worker needs

        if process:
            from air_cluster.worker.environment import enter

            enter(process)
            setup = setup._replace(in_environment=True)
        for module in modules:
            # A module that cannot be imported is the business of the task that needs it.
            with contextlib.suppress(Exception):
                importlib.import_module(module)
        gc.collect()
        gc.freeze()
        _Template(control, setup).serve()
    finally:
        os._exit(0)


class _Template:
    def __init__(self, control: socket.socket, setup: WorkerSetup) -> None:
        self._control = control
        self._setup = setup
        self._wake_reader, wake_writer = socket.socketpair()
        for end in (self._wake_reader, wake_writer):
            end.setblocking(False)
        self._wake_writer = wake_writer
        self._workers: set[int] = set()
        self._templates: set[int] = set()
        self._node = node_of_session(setup.session)
        self._leftovers = Leftovers(setup.session)
        # From here on the end of the socket says that the daemon is gone; then there is
        # something to do before we end.
        die_with_parent(0)
        adopt_orphans()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake_writer.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        self._answer({"event": "ready"})
        while True:
            wait = self._leftovers.look()
            readable, _, _ = select.select([self._control, self._wake_reader], [], [], wait)
            if self._wake_reader in readable:
                with contextlib.suppress(BlockingIOError):
                    self._wake_reader.recv(_PACKET_BYTES)
                self._reap()
            if self._control in readable:
                try:
                    data, fds, _flags, _address = socket.recv_fds(
                        self._control, _PACKET_BYTES, _MAX_FDS
                    )
                except ConnectionResetError:  # the daemon has left before it read our last answer
                    data, fds = b"", []
                if not data:
                    self._end()
                    return
                self._obey(json.loads(data), fds)

    def _obey(self, command: dict[str, Any], fds: list[int]) -> None:
        worker = command.get("worker")
        try:
            pid = os.fork()
        except OSError as error:  # no more processes
            why = f"{error.strerror}; {process_limits()}"
            answer = {"event": "failed", "worker": worker, "error": why}
        else:
            if pid == 0:
                self._become(command, fds)
            answer = {"event": "forked", "worker": worker, "pid": pid}
            if worker is None:
                self._templates.add(pid)
            else:
                self._workers.add(pid)
                _lead_group(pid)
        for fd in fds:
            os.close(fd)
        self._answer(answer)

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
                process = command.get("process", "")
                run_template(control, self._setup, command["modules"], process)
            die_with_parent()
            _lead_group(os.getpid())
            mark_worker(self._node)
            name_process("air-worker")
            _redirect(*fds)
            from air_cluster.worker.main import run_worker

            run_worker(*self._setup, bytes.fromhex(command["worker"]))
        finally:
            os._exit(1)

    def _reap(self) -> bool:
        """Take note of ends; false if there are no children at all."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid in self._workers:
                self._workers.discard(pid)
                self._leftovers.of(pid)
                self._answer({"event": "exited", "pid": pid, "status": status})
            self._templates.discard(pid)

    def _end(self) -> None:
        """End all children, and what they have started, and wait until they are gone.

        If the daemon is gone, nobody else looks after what workers of other templates have left.
        """
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
        for pid in self._templates:
            os.kill(pid, signal.SIGTERM)  # ends one that still imports; others end by themselves
        while self._workers or self._templates:
            self._reap()
            self._leftovers.look()
            if self._workers or self._templates:
                time.sleep(_POLL_S)
        self._leftovers.finish(self._reap)
        me = os.getpid()
        if self._reap():
            end_all(lambda: descendants({me}), self._reap)
        if is_cut(self._setup.lifeline):
            end_all(lambda: marked(self._node), self._reap)

    def _answer(self, answer: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the daemon is gone: the end of the socket says so
            self._control.send(json.dumps(answer).encode())


def _lead_group(pid: int) -> None:
    with contextlib.suppress(OSError):  # done already by the other of parent and child
        os.setpgid(pid, pid)


def _redirect(out: int, err: int) -> None:
    """Standard output and error go to the daemon; there is no input."""
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the process's life
