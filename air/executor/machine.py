"""What this machine offers; backends ask here so that they agree."""

from __future__ import annotations

import math
import os
import re

from air.executor.cgroups import cpu_limit, memory_groups


def count_cpus() -> int:
    """The CPUs that this process may use, by affinity and by its container's share of time."""
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    limit = cpu_limit()
    return found if limit == math.inf else max(1, min(found, math.ceil(limit)))


def count_gpus() -> int:
    """The NVIDIA GPUs that this process may use: ``CUDA_VISIBLE_DEVICES``, or all there are."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        # CUDA ignores everything from the first invalid number, such as -1, on.
        names = [name.strip() for name in visible.split(",")]
        return next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    return sum(1 for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name))


def memory_bytes() -> int:
    """The machine's memory, or what its container may use of that."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([total, *(group.limit for group in memory_groups())])
