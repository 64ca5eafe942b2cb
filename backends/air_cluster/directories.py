"""The directories in which the daemons of this user keep their sockets and logs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from typing import NamedTuple

from air.errors import BackendError, InvalidOption
from air_cluster.credentials import Credentials
from air_cluster.leftovers import end_all
from air_cluster.marks import marked, node_of_session
from air_cluster.session_files import ABOUT, LOGS, TOKEN, is_held

_MAX_ROOT_BYTES = 50
_STALE_S = 5.0
_CRASHED = "crashed-"
_KEPT_CRASHES = 3


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
        waits_since: when it lost its head, in seconds of the Unix clock; it serves nobody until it
            has one again. 0 if it has one.
        why_it_waits: why it lost it.
    """

    directory: str
    pid: int
    number: int
    head: str
    host: str
    is_head: bool
    credentials: Credentials
    waits_since: float = 0.0
    why_it_waits: str = ""


def make_directory() -> str:
    """A fresh directory that only this user can enter; removes those of dead programs.

    Raises:
        BackendError: it cannot be made.
        InvalidOption: ``AIR_CRASHED_SESSIONS`` holds no number.
    """
    try:
        remove_dead()
        return tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-", dir=_root())
    except OSError as error:
        raise cannot_write(_root(), error) from error


def cannot_write(path: str, error: OSError) -> BackendError:
    """The error for a session that finds no place on disk."""
    return BackendError(
        f"a node keeps sockets and log files under {path}, which cannot be written:"
        f" {error.strerror or error}; TMPDIR in the environment names another directory"
    )


def remove_dead() -> None:
    """Remove what is left of daemons that were killed, but for the newest log files of them."""
    for path, pid in _all():
        if is_held(path):
            continue
        # A program makes the directory before its daemon is there to hold it.
        was_held = os.path.exists(os.path.join(path, ABOUT))
        if was_held or (not _alive(pid) and _age(path) > _STALE_S):
            end_what_is_left(path)
            keep_logs(path)
    _forget_crashes()


def end_what_is_left(path: str) -> None:
    """End what workers of a session have started, and what is left of these.

    Where its daemon was killed and no template was left either, nobody else has seen to that.
    """
    node = node_of_session(path)
    end_all(lambda: marked(node))


def keep_logs(path: str) -> str:
    """Remove the directory of a session that has crashed, but for its log files.

    Of the last three only, or as many as ``AIR_CRASHED_SESSIONS`` says.

    Returns:
        Where the log files are now; empty if there are none.
    """
    logs, kept = os.path.join(path, LOGS), ""
    with contextlib.suppress(OSError):  # such as of another program that does the same just now
        if _kept_crashes() and any(entry.stat().st_size for entry in os.scandir(logs)):
            made = tempfile.mkdtemp(prefix=f"{_prefix()}{_CRASHED}", dir=_root())
            try:
                os.rename(logs, os.path.join(made, LOGS))
                kept = made
            except OSError:
                os.rmdir(made)
    shutil.rmtree(path, ignore_errors=True)
    _forget_crashes()
    return kept


def _forget_crashes() -> None:
    for path in sorted(crashed(), key=_age)[_kept_crashes() :]:
        shutil.rmtree(path, ignore_errors=True)


def crashed() -> list[str]:
    """The directories with log files of crashed sessions of this user."""
    root, mine = _root(), _prefix() + _CRASHED
    paths = [os.path.join(root, name) for name in _names() if name.startswith(mine)]
    return [path for path in paths if _is_mine(path)]


def _kept_crashes() -> int:
    text = os.environ.get("AIR_CRASHED_SESSIONS", "").strip()
    if text and not text.isdecimal():
        raise InvalidOption(f"AIR_CRASHED_SESSIONS must be a whole number, got {text!r}")
    return int(text) if text else _KEPT_CRASHES


def running_nodes() -> list[RunningNode]:
    """The announced nodes of this user on this machine, those started last first."""
    found = []
    for path, _pid in sorted(_all(), key=lambda item: _age(item[0])):
        with contextlib.suppress(OSError, ValueError, TypeError, BackendError):
            with open(os.path.join(path, ABOUT), "rb") as file:
                about = json.load(file)
            credentials = Credentials.read(os.path.join(path, TOKEN))
            node = RunningNode(directory=path, credentials=credentials, **about)
            if is_held(path):
                found.append(node)
    return found


def _root() -> str:
    # Not what tempfile falls back to where that cannot be written: nodes would not be found any
    # more as soon as their disk is full.
    root = os.path.abspath(os.environ.get("TMPDIR") or tempfile.gettempdir())
    return root if _can_hold_sockets(root) else "/tmp"


def _can_hold_sockets(root: str) -> bool:
    """Whether the paths of sockets in it are short, and text that can be sent to others."""
    try:
        return len(root.encode()) <= _MAX_ROOT_BYTES
    except UnicodeEncodeError:  # such as of letters that the locale does not have
        return False


def _names() -> list[str]:
    """What lies where sessions have their directories; nothing if that is not there."""
    try:
        return os.listdir(_root())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _prefix() -> str:
    return f"air-{os.getuid()}-"


def _all() -> list[tuple[str, int]]:
    """The session directories of this user, and the process that each was made by."""
    root, mine = _root(), _prefix()
    found = []
    for name in _names():
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
