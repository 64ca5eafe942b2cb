"""The limits that containers are given: control groups of Linux, both versions.

See the kernel's ``Documentation/admin-guide/cgroup-v2.rst``, and ``memory.rst`` and ``pids.rst``
below ``cgroup-v1``. A limit may be set on a group or on any that it is part of, so all of them are
looked at.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

ROOT = "/sys/fs/cgroup"
_NO_LIMIT = 1 << 60  # version 1 says so with a very large number


class MemoryGroup:
    """A group whose memory is limited.

    Attributes:
        limit: bytes.
    """

    def __init__(self, directory: str, limit: int, *, version: int) -> None:
        self.limit = limit
        self._usage = "memory.current" if version == 2 else "memory.usage_in_bytes"
        self._inactive = "inactive_file" if version == 2 else "total_inactive_file"
        self._directory = directory

    def used(self) -> int:
        """Bytes that are in use, without those that the kernel takes back first."""
        usage = _number(os.path.join(self._directory, self._usage)) or 0
        return max(0, usage - self._statistic(self._inactive))

    def _statistic(self, name: str) -> int:
        for line in _text(os.path.join(self._directory, "memory.stat")).splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
        return 0


def memory_groups(root: str = ROOT, membership: str = "/proc/self/cgroup") -> list[MemoryGroup]:
    """The groups that limit the memory of this process; none outside of containers."""
    found = []
    for version, directory in _directories(root, membership, "memory"):
        name = "memory.max" if version == 2 else "memory.limit_in_bytes"
        limit = _number(os.path.join(directory, name))
        if limit is not None and limit < _NO_LIMIT:
            found.append(MemoryGroup(directory, limit, version=version))
    return found


def cpu_limit(root: str = ROOT, membership: str = "/proc/self/cgroup") -> float:
    """How many CPUs this process may use together, by time; infinite if there is no limit."""
    limit = math.inf
    for version, directory in _directories(root, membership, "cpu"):
        if version == 2:
            quota, _, period = _text(os.path.join(directory, "cpu.max")).partition(" ")
        else:
            quota = _text(os.path.join(directory, "cpu.cfs_quota_us"))
            period = _text(os.path.join(directory, "cpu.cfs_period_us"))
        if quota.strip().isdigit() and period.strip().isdigit():
            limit = min(limit, int(quota) / int(period))
    return limit


def process_limit(root: str = ROOT, membership: str = "/proc/self/cgroup") -> float:
    """How many processes and threads there may be in this group; infinite if there is no limit."""
    limit = math.inf
    for _, directory in _directories(root, membership, "pids"):
        limit = min(limit, _number(os.path.join(directory, "pids.max")) or math.inf)
    return limit


def _directories(root: str, membership: str, controller: str) -> Iterator[tuple[int, str]]:
    """The version and the directory of each group that this process is part of, inner ones first.

    Inside a container the path that the kernel names may be that of the machine, of which only
    the container's own part can be seen, at the top.
    """
    for line in _text(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            version, top = 2, root
        elif controller in controllers.split(","):
            version, top = 1, os.path.join(root, controller)
        else:
            continue
        inner = os.path.normpath(path).strip("/")
        while inner:
            yield version, os.path.join(top, inner)
            inner = os.path.dirname(inner)
        yield version, top


def _number(path: str) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
