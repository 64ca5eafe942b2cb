"""What this machine offers; backends ask here so that they agree."""

from __future__ import annotations

import math
import os

from air.executor.cgroups import cpu_limit, memory_groups


def count_cpus() -> int:
    """The CPUs that this process may use, by affinity and by its container's share of time."""
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    limit = cpu_limit()
    return found if limit == math.inf else max(1, min(found, math.ceil(limit)))


def memory_bytes() -> int:
    """The machine's memory, or what its container may use of that."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *(group.limit for group in memory_groups())])
