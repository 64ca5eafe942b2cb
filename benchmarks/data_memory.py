"""How much memory operators take of data that are four times as large as their budget.

Each operator runs on a cluster of its own, consumed as a stream. What is measured is the
proportional set size of the program, the daemon and the workers together (Linux: ``Pss`` of
``smaps_rollup``, where a page that several share is divided among them), less what they took before
the operator began, ten times a second or more.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TIMES = 4
ROW_BYTES = 80
PAUSE = 0.05
POINTS = 10
CPUS = 2
MIB = 1 << 20


def added(batch: dict[str, Any]) -> dict[str, Any]:
    """What the map does."""
    batch["x0"] = batch["x0"] * 2 + batch["x1"]
    return batch


OPERATORS = {
    "map": lambda ds: ds.map_batches(added),
    "shuffle": lambda ds: ds.random_shuffle(seed=1),
    "sort": lambda ds: ds.sort("x0"),
    "repartition": lambda ds: ds.repartition(7),
}


def curves(directory: Path, budget: int, only: str) -> Iterator[str]:
    """For each operator a line with its peak and one with the curve."""
    data = TIMES * budget // MIB
    yield f"{data} MiB of data, a budget of {budget // MIB} MiB; MiB over idle:"
    yield f"{'operator':14}{'seconds':>9}{'peak':>9}{'peak / budget':>15}   on the way"
    for name in OPERATORS:
        if only in name:
            seconds, sizes = _run(name, directory, budget)
            points = [sizes[round(i * (len(sizes) - 1) / POINTS)] for i in range(POINTS + 1)]
            curve = " ".join(f"{size / MIB:.0f}" for size in points)
            peak = max(sizes)
            yield f"{name:14}{seconds:9.2f}{peak / MIB:9.0f}{peak / budget:14.2f}x   {curve}"


def _run(operator: str, directory: Path, budget: int) -> tuple[float, list[int]]:
    """Run one operator in a fresh program; seconds, and bytes over idle on the way."""
    with subprocess.Popen(
        [sys.executable, __file__, operator, str(directory), str(budget)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        if program.stdout.readline() != "idle\n":
            raise SystemExit(f"{operator} did not begin")
        idle = _proportional_bytes(program.pid)
        sizes = [0]
        begin = time.perf_counter()
        program.stdin.write("begin\n")
        program.stdin.flush()
        while not select.select([program.stdout], [], [], PAUSE)[0]:
            sizes.append(_proportional_bytes(program.pid) - idle)
        seconds = time.perf_counter() - begin
        if not program.stdout.readline().startswith("rows "):
            raise SystemExit(f"{operator} did not finish")
        program.stdin.write("end\n")
    return seconds, sizes


def _proportional_bytes(pid: int) -> int:
    """What a process and all below it take."""
    found = [pid]
    total = 0
    for each in found:
        try:
            for task in os.listdir(f"/proc/{each}/task"):
                found += map(int, Path(f"/proc/{each}/task/{task}/children").read_text().split())
            for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) << 10
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    return total


def main(operator: str, directory: str, budget: str) -> None:
    """Run one operator when told to; the parent looks on."""
    import air
    from air import data

    @air.remote
    def warm() -> None:
        import pandas  # noqa: F401
        import pyarrow.parquet  # noqa: F401

        import air.data.dataset  # noqa: F401

        time.sleep(0.5)  # so that each worker gets one of these

    air.init(num_cpus=CPUS, log_to_driver=False)
    air.get([warm.remote() for _ in range(CPUS)])
    data.DataContext.get_current().memory_budget = int(budget)
    dataset = OPERATORS[operator](data.read_parquet(directory))
    print("idle", flush=True)
    sys.stdin.readline()
    rows = 0
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        rows += len(batch)
    print("rows", rows, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
