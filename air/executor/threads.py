"""Starting threads, of which a container or a user may have too few."""

from __future__ import annotations

import math
import resource
import threading

from air.executor.cgroups import process_limit


def start_thread(thread: threading.Thread) -> None:
    """Start a thread.

    Raises:
        RuntimeError: the system gives no more; the message says what limits are set.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise RuntimeError(
            f"cannot start the thread {thread.name}: {error}; {process_limits()}"
        ) from None


def process_limits() -> str:
    """What limits the number of processes and threads, for messages."""
    group = process_limit()
    user = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    told = []
    if group != math.inf:
        told.append(f"{group:.0f} in its control group, such as a container (pids.max)")
    if user != resource.RLIM_INFINITY:
        told.append(f"{user} of its user (ulimit -u)")
    if not told:
        return "no limit of processes and threads is set, so the machine may be out of memory"
    return f"there may be so many processes and threads together: {', '.join(told)}"
