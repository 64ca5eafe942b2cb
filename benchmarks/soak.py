"""A million tasks through one program: what its processes take of memory meanwhile.

Prints a row every so many tasks: unique memory (Linux: ``Private_*`` of ``smaps_rollup``) of the
program, of the daemon and of all workers, and how many entries their tables hold (see
``air_cluster.core.inventory``). Memory that is flat from the second row on is what we promise.

Most tasks take and return a number. One in a hundred takes a reference inside a list, one in a
thousand returns a megabyte, and each round makes and drops an actor.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import time

import air
from air.executor.current import get_executor
from air_cluster.core.inventory import count_entries

BATCH = 5_000
MB = 1e6


@air.remote
def small(x: int) -> int:
    return x


@air.remote
def inside(refs: list[air.ObjectRef[int]]) -> int:
    return air.get(refs[0])


@air.remote
def large(x: int) -> bytes:
    return bytes(1_000_000)


@air.remote(num_cpus=0)
class Short:
    def call(self, x: int) -> int:
        return x


def unique_mb(pid: int) -> float:
    """What a process shares with nobody."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_")) * 1024 / MB


def processes(pid: int) -> list[tuple[str, float]]:
    """The names of all descendants, and what each shares with nobody."""
    found: list[tuple[str, float]] = []
    parents = [pid]
    for parent in parents:
        with contextlib.suppress(OSError):  # it may end meanwhile
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children") as file:
                    parents += map(int, file.read().split())
            with open(f"/proc/{parent}/comm") as comm:
                found.append((comm.read().strip(), unique_mb(parent)))
    return found[1:]


def batch(start: int) -> None:
    """So many tasks, and the values that they should have."""
    refs: list[air.ObjectRef[object]] = []
    for number in range(start, start + BATCH):
        if number % 1000 == 0:
            refs.append(large.remote(number))
        elif number % 100 == 0:
            refs.append(inside.remote([air.put(number)]))
        else:
            refs.append(small.remote(number))
    for number, found in zip(range(start, start + BATCH), air.get(refs), strict=True):
        assert found == (bytes(1_000_000) if number % 1000 == 0 else number)
    actor = Short.remote()
    assert air.get(actor.call.remote(start)) == start


def row(done: int, rate: float) -> str:
    """The figures of this moment."""
    gc.collect()
    air.put(None)  # counts off what was dropped
    client = get_executor()._client  # type: ignore[attr-defined]
    with client.reactor.lock:
        entries = sum(count_entries(client).values())
    others = processes(os.getpid())
    daemon = sum(size for name, size in others if name == "air-daemon")
    workers = [size for name, size in others if name == "air-worker"]
    return (
        f"{done:>12,}{rate:>10,.0f}{unique_mb(os.getpid()):>12.1f}{daemon:>12.1f}"
        f"{max(workers):>16.1f}{entries:>10,}{sum(client.ask('entries').values()):>10,}"
    )


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--every", type=int, default=100_000, help="tasks between two rows")
    options = parser.parse_args()
    air.init(num_cpus=2)
    print(
        f"{'tasks':>12}{'/s':>10}{'program, MB':>12}{'daemon, MB':>12}{'top worker, MB':>16}"
        f"{'entries':>10}{'of daemon':>10}"
    )
    before = time.perf_counter()
    for start in range(0, options.tasks, BATCH):
        batch(start)
        done = start + BATCH
        if done % options.every == 0:
            rate = options.every / (time.perf_counter() - before)
            print(row(done, rate), flush=True)
            before = time.perf_counter()


if __name__ == "__main__":
    main()
