"""The directories in which the daemons of this user keep their sockets and logs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
import time
from typing import NamedTuple

from air.errors import BackendError
from air_cluster.credentials import Credentials
from air_cluster.private_files import write_private

_MAX_ROOT_LENGTH = 50
_STALE_S = 5.0
_ABOUT = "node.json"
SOCKET = "daemon.sock"
"""The name of the socket on which a daemon serves the processes of its machine."""

TOKEN = "token"
"""The name of the token file in a session's directory."""


class RunningNode(NamedTuple):
    """A daemon of this user that takes more programs than the one that started it.

    Attributes:
        directory: its session's.
        pid: the daemon's process.
        number: of the node.
        head: where the head of its cluster listens, as ``HOST:PORT``.
        host: the node's address for others.
        is_head: whether the head lives in it.
        credentials: of its cluster.
    """

    directory: str
    pid: int
    number: int
    head: str
    host: str
    is_head: bool
    credentials: Credentials


def make_directory() -> str:
    """A fresh directory that only this user can enter; removes those of dead programs."""
    remove_dead()
    return tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=_root())


def remove_dead() -> None:
    """Remove what is left of daemons that were killed, and the programs they were started by."""
    for path, pid in _all():
        if os.path.exists(os.path.join(path, _ABOUT)):
            is_dead = not _serves(path)
        else:
            is_dead = not _alive(pid) and _age(path) > _STALE_S
        if is_dead:
            shutil.rmtree(path, ignore_errors=True)


def announce(node: RunningNode) -> None:
    """Let other programs of this user find a node, until its directory is removed."""
    about = node._asdict()
    del about["directory"], about["credentials"]
    node.credentials.write(os.path.join(node.directory, TOKEN))
    write_private(os.path.join(node.directory, _ABOUT), json.dumps(about).encode())


def running_nodes() -> list[RunningNode]:
    """The announced nodes of this user on this machine, those started last first."""
    found = []
    for path, _pid in sorted(_all(), key=lambda item: _age(item[0])):
        with contextlib.suppress(OSError, ValueError, TypeError, BackendError):
            with open(os.path.join(path, _ABOUT), "rb") as file:
                about = json.load(file)
            credentials = Credentials.read(os.path.join(path, TOKEN))
            node = RunningNode(directory=path, credentials=credentials, **about)
            if _serves(path):
                found.append(node)
    return found


def _root() -> str:
    root = tempfile.gettempdir()
    return root if len(root) <= _MAX_ROOT_LENGTH else "/tmp"  # paths of sockets must be short


def _prefix() -> str:
    return f"air-{os.getuid()}-"


def _all() -> list[tuple[str, int]]:
    """The session directories of this user, and the process that each was made by."""
    root, mine = _root(), _prefix()
    found = []
    for name in os.listdir(root):
        pid = name.removeprefix(mine).partition("-")[0]
        path = os.path.join(root, name)
        if name.startswith(mine) and pid.isdigit() and _is_mine(path):
            found.append((path, int(pid)))
    return found


def _is_mine(path: str) -> bool:
    """Whether this user made a directory; anybody may put names into the common one."""
    try:
        about = os.lstat(path)
    except FileNotFoundError:
        return False
    return about.st_uid == os.getuid() and about.st_mode & 0o077 == 0


def _serves(path: str) -> bool:
    """Whether a daemon listens in a session's directory; its number may be another's by now."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.path.join(path, SOCKET))
        except OSError:
            return False
    return True


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
