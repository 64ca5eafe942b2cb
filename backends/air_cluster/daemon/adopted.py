"""Workers whose template has ended: nobody else tells the daemon of their ends."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from air_cluster.daemon.template import GRACE_S, signal_group
from air_cluster.transport.poller import READ
from air_cluster.transport.reactor import Reactor

_REAP_S = 1.0
_POLL_S = 0.005


class _Watch:
    """Sees the end of one process."""

    def __init__(self, adopted: Adopted, pid: int) -> None:
        self._adopted = adopted
        self._pid = pid
        self._fd = os.pidfd_open(pid)

    def fileno(self) -> int:
        """The descriptor, which is readable once the process has ended."""
        return self._fd

    def on_events(self, _mask: int) -> None:
        """Called by the reactor."""
        self._adopted.has_ended(self._pid)

    def close(self) -> None:
        os.close(self._fd)


class Adopted:
    """Does for such workers what a template does for its own: hears of their ends, and ends what
    they have started a moment after them.

    Those of the first template become children of the daemon, which asks for orphans; those of
    others become children of the first one, which says nothing of them.

    Args:
        ended: called with a process id, and what ``waitpid`` says, or ``None`` if it says nothing.
    """

    def __init__(self, reactor: Reactor, ended: Callable[[int, int | None], None]) -> None:
        self._reactor = reactor
        self._ended = ended
        self._watches: dict[int, _Watch] = {}
        self._groups: dict[int, float] = {}  # of dead workers -> when they are killed
        self._reaps = False

    def add(self, pid: int) -> None:
        """Watch one more."""
        try:
            watch = _Watch(self, pid)
        except OSError:  # it has ended as well, most likely
            self._reactor.call_soon(lambda: self._ended(pid, _status(pid)))
            return
        self._watches[pid] = watch
        self._reactor.register(watch, READ)
        if not self._reaps:
            self._reaps = True
            self._look_after()

    def has_ended(self, pid: int) -> None:
        """A process that is watched is gone."""
        watch = self._watches.pop(pid)
        self._reactor.unregister(watch)
        watch.close()
        status = _status(pid)
        if signal_group(pid, signal.SIGTERM):
            self._groups[pid] = time.monotonic() + GRACE_S
        self._ended(pid, status)

    def _look_after(self) -> None:
        """Now and then: kill what is left of groups, reap other orphans."""
        now = time.monotonic()
        for group in [group for group, deadline in self._groups.items() if now >= deadline]:
            signal_group(group, signal.SIGKILL)
            del self._groups[group]
        self._reap()
        self._reactor.call_later(_REAP_S, self._look_after)

    def _reap(self) -> None:
        """Take note of the ends of what dead workers have started; not of workers' own."""
        with contextlib.suppress(ChildProcessError):
            while True:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is None or found.si_pid in self._watches:
                    return
                os.waitpid(found.si_pid, os.WNOHANG)

    def close(self) -> None:
        """Workers have been killed: end what they have started, and wait for that."""
        groups = {*self._watches, *self._groups}
        for watch in self._watches.values():
            self._reactor.unregister(watch)
            watch.close()
        self._watches.clear()
        for group in groups:
            signal_group(group, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_S
        while groups and time.monotonic() < deadline:
            self._reap()
            groups = {group for group in groups if signal_group(group, 0)}
            if groups:
                time.sleep(_POLL_S)
        for group in groups:
            signal_group(group, signal.SIGKILL)


def _status(pid: int) -> int | None:
    """How a child has ended; ``None`` of another process's."""
    with contextlib.suppress(ChildProcessError):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
    return None
