"""How much memory is in use: of the machine, of the container, by each worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from air.executor.cgroups import memory_groups
from air_cluster.core.memory_watch import Usage
from air_cluster.marks import worker_of

_PAGE = os.sysconf("SC_PAGE_SIZE")


class MemoryUse:
    """Reads what the kernel says.

    Args:
        limit: bytes that the workers of this node may use together, if somebody set a limit.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._groups = memory_groups()

    def now(self, workers: Callable[[], Mapping[str, int]]) -> list[Usage]:
        """Everything that may run out.

        Args:
            workers: gives what each worker uses, if that has to be known.
        """
        total, available = _meminfo()
        found = [Usage(total - available, total, "the machine")]
        found += [Usage(group.used(), group.limit, "the container") for group in self._groups]
        if self._limit is not None:
            together = sum(workers().values())
            found.append(Usage(together, self._limit, "its share for tasks and actors"))
        return found


def private_bytes(leaders: Mapping[int, str], node: int) -> dict[str, int]:
    """What each worker uses alone, with the programs that it has started, by its name.

    Such programs are known by their marks (``air_cluster.marks``), or by their process groups.

    Pages that a worker shares with the process that it was forked from count for each; values
    in shared memory for none.

    Args:
        leaders: workers by their process ids, which are those of their process groups.
        node: the number in their marks.
    """
    found = dict.fromkeys(leaders.values(), 0)
    for name in os.listdir("/proc"):
        if name.isdigit():
            worker = leaders.get(worker_of(int(name), node) or _group_of(name))
            if worker is not None:
                found[worker] += _anonymous(name)
    return found


def _meminfo() -> tuple[int, int]:
    """Bytes of memory that there are, and that can be had without swapping."""
    values = {}
    with open("/proc/meminfo") as file:
        for line in file:
            key, _, rest = line.partition(":")
            if key in ("MemTotal", "MemAvailable"):
                values[key] = int(rest.split()[0]) * 1024
                if len(values) == 2:
                    break
    return values["MemTotal"], values["MemAvailable"]


def _group_of(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat") as file:
            # The name of the program, in parentheses, may hold anything.
            return int(file.read().rpartition(")")[2].split()[2])
    except (OSError, IndexError, ValueError):
        return 0  # it has ended


def _anonymous(pid: str) -> int:
    """Bytes of a process that are in no file and not shared."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            resident, shared = map(int, file.read().split()[1:3])
    except (OSError, ValueError):
        return 0
    return (resident - shared) * _PAGE
