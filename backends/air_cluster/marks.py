"""Which worker a process comes from, whatever has become of its parents, group and environment.

A worker sets a limit of its own to a number that nobody else has, and everything that it starts
inherits that: through ``fork`` and ``exec``, sessions and groups, cleared environments and parents
that have ended. The limit is the one on file locks, which Linux has not looked at since 2.4. Only
the soft one is set, so whoever is below may set another one: a worker of a cluster within.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
from collections.abc import Iterator

_LIMIT = 10  # RLIMIT_LOCKS, which Python has no name for
_PID_BITS = 22  # the most that Linux has
_NODE_BITS = 41


def node_of_session(session: str) -> int:
    """The number of a node, which lies in the marks of its workers: never 0.

    Args:
        session: the directory of its session.
    """
    digest = hashlib.blake2b(os.fsencode(session), digest_size=8).digest()
    return int.from_bytes(digest, "big") % ((1 << _NODE_BITS) - 1) + 1


def mark_worker(node: int) -> None:
    """In a fresh worker: mark this process, and with it all that it will start.

    Where the system does not let it (some sandboxes), nothing is marked.
    """
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(_LIMIT)[1]
        resource.setrlimit(_LIMIT, (node << _PID_BITS | os.getpid(), hard))


def worker_of(pid: int, node: int) -> int:
    """The process id of the worker of a node that a process comes from, or is; 0 if of none."""
    try:
        mark = resource.prlimit(pid, _LIMIT)[0]
    except (OSError, ValueError):  # it has ended, or is another user's
        return 0
    return mark & ((1 << _PID_BITS) - 1) if mark >> _PID_BITS == node else 0


def marked(node: int) -> set[int]:
    """The processes of this machine that are workers of a node, or come from one."""
    return {pid for pid in processes() if worker_of(pid, node) and is_alive(pid)}


def processes() -> Iterator[int]:
    """All processes that can be seen; none without ``/proc``."""
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdecimal():
                yield int(name)


def is_alive(pid: int) -> bool:
    """Whether a process is there and has not ended: zombies have."""
    state, _ = _about(pid)
    return state not in ("", "Z", "X")


def descendants(roots: set[int]) -> set[int]:
    """What is below some processes, without these, and without zombies."""
    children: dict[int, list[int]] = {}
    for pid in processes():
        state, parent = _about(pid)
        if state not in ("", "Z", "X"):
            children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    front = list(roots)
    while front:
        for child in children.get(front.pop(), ()):
            if child not in found and child not in roots:
                found.add(child)
                front.append(child)
    return found


def _about(pid: int) -> tuple[str, int]:
    """State and parent of a process; ("", 0) if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            words = file.read().rpartition(b")")[2].split()  # its name may hold anything
    except OSError:
        return "", 0
    return words[0].decode(), int(words[1])
