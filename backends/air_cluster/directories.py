"""The directories in which the daemons of this user keep their sockets and logs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from typing import NamedTuple

_MAX_ROOT_LENGTH = 50
_STALE_S = 5.0
_ABOUT = "node.json"
_TOKEN = "token"


class RunningNode(NamedTuple):
    """A daemon of this user that takes more programs than the one that started it.

    Attributes:
        directory: its session's.
        pid: the daemon's process.
        number: of the node.
        head: where the head of its cluster listens, as ``HOST:PORT``.
        host: the node's address for others.
        is_head: whether the head lives in it.
        token: what members of the cluster know.
    """

    directory: str
    pid: int
    number: int
    head: str
    host: str
    is_head: bool
    token: bytes


def make_directory() -> str:
    """A fresh directory that only this user can enter; removes those of dead programs.

    A program and its daemon that are killed at the same moment leave theirs behind.
    """
    for path, pid in _all():
        if not _alive(pid) and _age(path) > _STALE_S:
            shutil.rmtree(path, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=_root())


def write_private(path: str, content: bytes) -> None:
    """Write a file that only this user can read; it appears whole or not at all."""
    draft = f"{path}.{os.getpid()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(fd, "wb") as file:
        file.write(content)
    os.replace(draft, path)


def announce(node: RunningNode) -> None:
    """Let other programs of this user find a node, until its directory is removed."""
    about = node._asdict()
    del about["directory"], about["token"]
    write_private(os.path.join(node.directory, _TOKEN), node.token)
    write_private(os.path.join(node.directory, _ABOUT), json.dumps(about).encode())


def running_nodes() -> list[RunningNode]:
    """The announced nodes of this user on this machine, those started last first."""
    found = []
    for path, _pid in sorted(_all(), key=lambda item: _age(item[0])):
        with contextlib.suppress(OSError, ValueError, TypeError):
            with open(os.path.join(path, _ABOUT), "rb") as file:
                about = json.load(file)
            with open(os.path.join(path, _TOKEN), "rb") as file:
                node = RunningNode(directory=path, token=file.read(), **about)
            if _alive(node.pid):
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
            found.append((path, _pid_of(path, int(pid))))
    return found


def _is_mine(path: str) -> bool:
    """Whether this user made a directory; anybody may put names into the common one."""
    try:
        about = os.lstat(path)
    except FileNotFoundError:
        return False
    return about.st_uid == os.getuid() and about.st_mode & 0o077 == 0


def _pid_of(path: str, made_by: int) -> int:
    """The process that a session lives with: a daemon that stays, else the program."""
    try:
        with open(os.path.join(path, _ABOUT), "rb") as file:
            return int(json.load(file)["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return made_by


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
