"""What lies in the directory of a session, and how its files are written.

A session is a daemon with the processes that it serves. Only its user can enter the directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from air.errors import InvalidOption

SOCKET = "daemon.sock"
"""Where the daemon serves the processes of its machine."""

ABOUT = "node.json"
"""What programs have to know of a node that they did not start."""

TOKEN = "token"
"""The cluster's token file; see :mod:`air_cluster.credentials`."""

CERTIFICATES = "tls"
"""A directory with the cluster's certificates, if the cluster uses TLS."""

SPILLED = "spilled"
"""A directory for values that memory has no room for."""

ENVIRONMENTS = "environments"
"""A directory for what runtime environments bring along, unpacked."""

LOGS = "logs"
"""A directory with a file for each stream of each worker that has printed something."""

LOG = os.path.join(LOGS, "daemon.log")
"""What the daemon, and the head if that lives in it, have to say."""

_LOCK = "lock"
_MIB = 1 << 20


class LogLimits(NamedTuple):
    """How much the log files of a node may hold.

    Attributes:
        file_bytes: one file; ``AIR_ROTATION_MAX_BYTES`` in the environment.
        backups: older parts that are kept of each; ``AIR_ROTATION_BACKUP_COUNT``.
        total_bytes: all together, but the newest part of each running worker's is kept whatever
            that is; ``AIR_LOGS_MAX_BYTES``.
    """

    file_bytes: int = 16 * _MIB
    backups: int = 2
    total_bytes: int = 512 * _MIB

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> LogLimits:
        """What the environment says.

        Raises:
            InvalidOption: a variable holds something else than a number of that range.
        """

        def number(name: str, default: int, minimum: int, maximum: int) -> int:
            text = environment.get(name, "").strip()
            if not text:
                return default
            if not text.isdecimal() or not minimum <= int(text) <= maximum:
                raise InvalidOption(
                    f"{name} must be a whole number from {minimum} to {maximum}, got {text!r}"
                )
            return int(text)

        plain = cls()
        return cls(
            number("AIR_ROTATION_MAX_BYTES", plain.file_bytes, 4096, 1 << 40),
            number("AIR_ROTATION_BACKUP_COUNT", plain.backups, 0, 1000),
            number("AIR_LOGS_MAX_BYTES", plain.total_bytes, 4096, 1 << 50),
        )


def waits_for_head(reason: str, since: float) -> str:
    """What is said to those who need the head that a node has lost.

    Args:
        reason: why it has; names the head.
        since: when it did, in seconds of the Unix clock.
    """
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
    return (
        f"the node of this machine has waited for its head since {when}: {reason}."
        " Start the head again there ('air start --head' with the same --host, --port and"
        " --token-file), or end this node with 'air stop'"
    )


def write_private(path: str, content: bytes) -> None:
    """Write a file that only this user can read; it appears whole or not at all."""
    draft = f"{path}.{os.getpid()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(content)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def note_wait(directory: str, reason: str, since: float) -> None:
    """Have programs know that the node of a session serves nobody until it has a head again.

    Args:
        reason: why it has lost it.
        since: when, in seconds of the Unix clock; what was noted before holds until it has joined.

    Raises:
        OSError, ValueError: the file about the node cannot be read or written.
    """
    path = os.path.join(directory, ABOUT)
    with open(path, "rb") as file:
        about = json.load(file)
    about = {"waits_since": since, **about, "why_it_waits": reason}
    write_private(path, json.dumps(about).encode())


def hold(directory: str) -> int:
    """Show others that this process lives, as long as it does.

    A lock of this kind belongs to the process: its children do not have it, and it survives
    ``exec`` as long as the descriptor does.

    Returns:
        The descriptor, which stays open.
    """
    fd = os.open(os.path.join(directory, _LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.set_inheritable(fd, True)
    return fd


def is_held(directory: str) -> bool:
    """Whether the daemon of a session lives; not to be asked by itself."""
    try:
        fd = os.open(os.path.join(directory, _LOCK), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(fd)
    return False


def clear(directory: str) -> None:
    """Remove what a daemon leaves that starts anew in the same directory."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            if name.endswith(".sock"):
                os.unlink(os.path.join(directory, name))
