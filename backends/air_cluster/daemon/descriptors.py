"""The file descriptors that a daemon may have: each worker takes three, or more if it prints."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable

_MOST = 65536
_SPARE = 16
_LEAST = 24
"""What a daemon needs for itself, without any worker."""


def take_all() -> int:
    """Have as many as this process may have; the number.

    Workers were forked from a process that keeps the limit which the user's programs know.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _MOST if soft == resource.RLIM_INFINITY else soft
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return soft


def too_few(limit: int) -> str:
    """Why a daemon that may have so many cannot serve; empty if it can."""
    if limit >= _LEAST:
        return ""
    return (
        f"the node's daemon may open {limit} files, and needs {_LEAST} and some for each worker;"
        " raise the limit (ulimit -Hn) where the node is started"
    )


def lack_of(wanted: Callable[[], int]) -> str:
    """Why so many more, and a few to spare, are not to be had; empty if they are.

    Args:
        wanted: is not asked as long as there are plenty.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return ""
    try:
        lowest = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        lowest = limit
    else:
        os.close(lowest)
    # Most that are open are below the lowest that is free, and to look at that is quicker.
    if lowest < limit // 2 or limit - len(os.listdir("/proc/self/fd")) >= wanted() + _SPARE:
        return ""
    return (
        f"the node's daemon may open {limit} files, which are used up by its workers; raise the"
        " limit (ulimit -Hn) where the node is started"
    )
