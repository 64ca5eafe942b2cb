"""A worker ends with its daemon, whatever becomes of the process that it was forked from."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send a signal when the parent ends, however that happens; 0 for none."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    except (OSError, AttributeError):
        return  # another kernel; sockets say it as well, if this process looks at them


def outlive_template(lifeline: int) -> None:
    """From now on die with the daemon, not with the template.

    Nobody but the daemon has the other end of *lifeline*, a pipe into which nothing is ever
    written: when that is closed, the kernel kills this process, which need not look. The owner of
    such a signal belongs to what was opened, so each worker opens the pipe anew. Where that cannot
    be done, the worker goes on dying with its template.
    """
    try:
        mine = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(mine, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(mine, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(mine, fcntl.F_SETFL, fcntl.fcntl(mine, fcntl.F_GETFL) | os.O_ASYNC)
    except OSError:
        return
    die_with_parent(0)
    if is_cut(mine):  # meanwhile
        os._exit(1)


def is_cut(lifeline: int) -> bool:
    """Whether the daemon is gone that has the other end of a pipe."""
    poll = select.poll()
    poll.register(lifeline, 0)
    return bool(poll.poll(0))
