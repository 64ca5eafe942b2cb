"""Workers whose template has ended: nobody else tells the daemon of their ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from air_cluster.leftovers import Leftovers
from air_cluster.transport.poller import READ
from air_cluster.transport.reactor import Reactor

_REAP_S = 1.0


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
    they have started soon after them.

    Those of the first template become children of the daemon, which asks for orphans; those of
    others become children of the first one, which says nothing of them.

    Args:
        session: the directory of the node's session.
        ended: called with a process id, and what ``waitpid`` says, or ``None`` if it says nothing.
    """

    def __init__(
        self, reactor: Reactor, session: str, ended: Callable[[int, int | None], None]
    ) -> None:
        self._reactor = reactor
        self._ended = ended
        self._watches: dict[int, _Watch] = {}
        self._leftovers = Leftovers(session)
        self._looks = False
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
        self._leftovers.of(pid)
        if not self._looks:
            self._look()
        self._ended(pid, status)

    def _look(self) -> None:
        """End what dead workers have left, as long as there is something."""
        wait = self._leftovers.look()
        self._looks = wait is not None
        if wait is not None:
            self._reactor.call_later(wait, self._look)

    def _look_after(self) -> None:
        """Now and then: reap other orphans."""
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
        for pid, watch in self._watches.items():
            self._reactor.unregister(watch)
            watch.close()
            self._leftovers.of(pid)
        self._watches.clear()
        self._leftovers.finish(self._reap)


def _status(pid: int) -> int | None:
    """How a child has ended; ``None`` of another process's."""
    with contextlib.suppress(ChildProcessError):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
    return None
