"""Ends what workers have started: it gets a moment to clean up after them, then it is killed.

Programs that a task has started would outlive the cluster otherwise, those in sessions of their
own above all.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from air_cluster.marks import descendants, is_alive, node_of_session, processes, worker_of

GRACE_S = 1.0
"""What a worker has started has this long to clean up after it, such as multiprocessing's
tracker of shared memory."""

_GIVE_UP_S = 3.0
"""After so long nothing can be done: it belongs to another user by now, or hangs in the kernel."""

_POLL_S = 0.005
_LOOK_AGAIN_S = 0.02
_REST = 20
"""To look takes no more than one in so many parts of the time, however many processes there are."""


class Leftovers:
    """What dead workers of a node have left.

    It is found by its marks (``air_cluster.marks``), by its process group where the system lets
    nobody mark anything, and by what it has started itself.

    Args:
        session: the directory of the node's session.
    """

    def __init__(self, session: str) -> None:
        self._node = node_of_session(session)
        self._deadlines: dict[int, float] = {}  # of dead workers -> when theirs is killed
        self._asked: set[int] = set()  # to end
        self._next = 0.0
        self._rested = 0.0

    def of(self, worker: int) -> None:
        """A worker has ended, and its process id belongs to nobody now."""
        now = time.monotonic()
        self._deadlines[worker] = now + GRACE_S
        self._next = min(self._next, now)

    def look(self) -> float | None:
        """Do what is due; returns the seconds until there is more to do, or ``None``."""
        if not self._deadlines:
            return None
        now = time.monotonic()
        due = max(self._next, self._rested)
        if now < due:
            return due - now
        there = self._find()
        for worker, found in there.items():
            deadline = self._deadlines[worker]
            if not found or now >= deadline + _GIVE_UP_S:
                del self._deadlines[worker]
            elif now >= deadline:
                _signal(found, signal.SIGKILL)
            else:
                _signal(found - self._asked, signal.SIGTERM)
                self._asked |= found
        done = time.monotonic()
        self._rested = done + _REST * (done - now)
        if not self._deadlines:
            self._asked.clear()
            return None
        first = min(self._deadlines.values())
        self._next = first if first > done else done + _LOOK_AGAIN_S
        return self._next - done

    def finish(self, then: Callable[[], object]) -> None:
        """Wait until nothing is left.

        Args:
            then: called again and again meanwhile, to take note of ends.
        """
        while self._deadlines:
            self._next = self._rested = 0.0
            self.look()
            then()
            if self._deadlines:
                time.sleep(_POLL_S)

    def _find(self) -> dict[int, set[int]]:
        """By dead worker."""
        found: dict[int, set[int]] = {worker: set() for worker in self._deadlines}
        for pid in processes():
            worker = worker_of(pid, self._node) or _group_of(pid)
            if worker in found and is_alive(pid):
                found[worker].add(pid)
        for worker, pids in found.items():
            if worker in pids:  # another worker has its number by now
                pids.clear()
            elif pids:
                pids |= descendants(pids)
        return found


def end_all(find: Callable[[], set[int]], then: Callable[[], object] = bool) -> None:
    """End processes, also those that come while this happens, and wait for that.

    Args:
        find: finds them.
        then: called again and again meanwhile, to take note of ends.
    """
    asked: set[int] = set()
    deadline = time.monotonic() + GRACE_S
    while found := find():
        now = time.monotonic()
        if now >= deadline + _GIVE_UP_S:
            return
        if now >= deadline:
            _signal(found, signal.SIGKILL)
        else:
            _signal(found - asked, signal.SIGTERM)
            asked |= found
        time.sleep(_POLL_S)
        then()


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def _signal(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
