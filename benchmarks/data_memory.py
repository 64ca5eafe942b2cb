"""How much memory operators take of data that are four times as large as their budget.

Each operator runs on a cluster of its own, consumed as a stream. What is measured is the
proportional set size of the program, the daemon and the workers together (Linux: ``Pss`` of
``smaps_rollup``, where a page that several share is divided among them), and what the object store
has that no process has mapped; less the least that each took since before the operator began, when
it had been through a few rows: interpreters and libraries are there then.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

TIMES = 4
ROW_BYTES = 80
PAUSE = 0.05
POINTS = 10
CPUS = 2
MIB = 1 << 20
WIDE_BYTES = MIB
MANY_COLUMNS = 500
FILES = 16
FEW_ROWS = 2000
MODULES = ("numpy", "pandas", "pyarrow", "pyarrow.compute", "air.data.execution.segment")


def same(batch: dict[str, Any]) -> dict[str, Any]:
    """What is done with few rows, so that they go to tasks."""
    return batch


def added(batch: dict[str, Any]) -> dict[str, Any]:
    """What the map does."""
    batch["x0"] = batch["x0"] * 2 + batch["x1"]
    return batch


def demeaned(group: pd.DataFrame) -> pd.DataFrame:
    """What is done with each group."""
    return group.assign(x0=group.x0 - group.x0.mean())


def skewed(batch: dict[str, Any]) -> dict[str, Any]:
    """A key that half of the rows share; all others have one of their own."""
    batch["k"] = np.where(batch["id"] % 2 == 0, 7, batch["id"])
    return batch


def with_skewed_key(ds: Any) -> Any:
    """Joined with a row for each key, of which one has half of all matches."""
    names = ds.select_columns(["id", "x1"]).rename_columns({"id": "k", "x1": "name"})
    return ds.map_batches(skewed).join(names, on="k")


OPERATORS: dict[str, Callable[[Any], Any]] = {
    "map": lambda ds: ds.map_batches(added),
    "shuffle": lambda ds: ds.random_shuffle(seed=1),
    "sort": lambda ds: ds.sort("x0"),
    "group, 100 keys": lambda ds: ds.groupby("k").mean("x1"),
    "group, all keys": lambda ds: ds.groupby("id").mean("x1"),
    "map_groups": lambda ds: ds.groupby("k").map_groups(demeaned),
    "repartition": lambda ds: ds.repartition(64),
    "distinct": lambda ds: ds.select_columns(["id", "k", "x0"]).distinct(),
    "join": lambda ds: ds.join(ds.select_columns(["id", "x0"]), on="id"),
    "join, skewed key": with_skewed_key,
    "sort, wide rows": lambda ds: ds.sort("x0"),
    "shuffle, wide rows": lambda ds: ds.random_shuffle(seed=1),
    "sort, 500 columns": lambda ds: ds.sort("x0"),
    "shuffle, 500 columns": lambda ds: ds.random_shuffle(seed=1),
}


def curves(directory: Path, budget: int, only: str) -> Iterator[str]:
    """For each operator a line with its peak and one with the curve."""
    data = TIMES * budget // MIB
    yield f"{data} MiB of data, a budget of {budget // MIB} MiB; MiB over idle:"
    yield f"{'operator':20}{'seconds':>9}{'peak':>9}{'peak / budget':>15}   on the way"
    with tempfile.TemporaryDirectory(prefix="air-benchmark-") as others:
        for name in OPERATORS:
            if only in name:
                source = _source(name, Path(others), TIMES * budget) or directory
                seconds, sizes = _run(name, source, budget)
                points = [sizes[round(i * (len(sizes) - 1) / POINTS)] for i in range(POINTS + 1)]
                curve = " ".join(f"{size / MIB:.0f}" for size in points)
                peak = max(sizes)
                yield f"{name:20}{seconds:9.2f}{peak / MIB:9.0f}{peak / budget:14.2f}x   {curve}"


def _source(operator: str, directory: Path, size: int) -> Path | None:
    """Files of other rows for those operators whose names say so, made once in *directory*."""
    for kind, columns in (("wide rows", _wide_rows), ("500 columns", _many_columns)):
        if operator.endswith(kind):
            found = directory / kind
            if not found.exists():
                found.mkdir()
                random = np.random.default_rng(0)
                for index in range(FILES):
                    table = pa.table(columns(random, size // FILES))
                    parquet.write_table(table, found / f"{index:02}.parquet")
            return found
    return None


def _wide_rows(random: np.random.Generator, size: int) -> dict[str, Any]:
    """A few very large rows."""
    rows = size // WIDE_BYTES
    large = [random.bytes(WIDE_BYTES) for _ in range(rows)]
    return {"x0": random.standard_normal(rows), "large": large}


def _many_columns(random: np.random.Generator, size: int) -> dict[str, Any]:
    """Rows of very many columns."""
    rows = size // 8 // MANY_COLUMNS
    return {f"x{place}": random.standard_normal(rows) for place in range(MANY_COLUMNS)}


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
        idle = _bytes_taken(program.pid)
        while True:
            # Processes that have just begun still grow, which would count as the operator's.
            time.sleep(10 * PAUSE)
            before, idle = idle, _bytes_taken(program.pid)
            if before.keys() == idle.keys() and all(
                abs(size - before[each]) < MIB for each, size in idle.items()
            ):
                break
        taken = [idle]
        begin = time.perf_counter()
        program.stdin.write("begin\n")
        program.stdin.flush()
        while not select.select([program.stdout], [], [], PAUSE)[0]:
            taken.append(_bytes_taken(program.pid))
        seconds = time.perf_counter() - begin
        if not program.stdout.readline().startswith("rows "):
            raise SystemExit(f"{operator} did not finish")
        program.stdin.write("end\n")
    # What processes had when they were idle, and then gave back, makes up for nothing.
    for now in taken:
        idle = {each: min(size, now.get(each, size)) for each, size in idle.items()}
    return seconds, [sum(now[each] - idle.get(each, 0) for each in now) for now in taken]


def _bytes_taken(pid: int) -> dict[int, int]:
    """What a process and all below it take, each by itself, and under 0 the object store."""
    found = [pid]
    segments: dict[int, int] = {}
    taken = {}
    shared = 0
    for each in found:
        process = Path(f"/proc/{each}")
        try:
            for task in os.listdir(process / "task"):
                found += map(int, (process / "task" / task / "children").read_text().split())
            taken[each] = 0
            for line in (process / "smaps_rollup").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in ("Pss_Anon", "Pss_File"):
                    taken[each] += int(rest.split()[0]) << 10
                elif name == "Pss_Shmem":
                    shared += int(rest.split()[0]) << 10
            for file in os.listdir(process / "fd"):
                with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
                    if "air-objects" in os.readlink(process / "fd" / file):
                        found_in = os.stat(process / "fd" / file)
                        segments[found_in.st_ino] = found_in.st_blocks * 512
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
    taken[0] = max(shared, sum(segments.values()))
    return taken


def main(operator: str, directory: str, budget: str) -> None:
    """Run one operator when told to; the parent looks on."""
    import air
    from air import data

    air.init(num_cpus=CPUS, log_to_driver=False)
    data.DataContext.get_current().memory_budget = int(budget)
    with tempfile.TemporaryDirectory() as few:
        _warm_up(OPERATORS[operator], Path(directory), Path(few))
    dataset = OPERATORS[operator](data.read_parquet(directory))
    print("idle", flush=True)
    sys.stdin.readline()
    rows = 0
    for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
        rows += len(batch)
    print("rows", rows, flush=True)
    sys.stdin.readline()


def _warm_up(operator: Callable[[Any], Any], source: Path, directory: Path) -> None:
    """Have the same done with a few rows, in as many workers as there will be."""
    import air
    from air import data

    path = min(source.iterdir())
    few = next(parquet.ParquetFile(path).iter_batches(FEW_ROWS))
    for index in range(4):
        parquet.write_table(pa.Table.from_batches([few]), directory / f"{index}.parquet")

    def run() -> None:
        on_tasks = data.read_parquet(str(directory)).map_batches(same, concurrency=CPUS)
        for _ in operator(on_tasks).iter_batches(batch_size=None):
            pass

    run()  # this has a template made that has imported all that is needed

    @air.remote
    class Fresh:
        def has_everything(self) -> bool:
            return all(name in sys.modules for name in MODULES)

        def pid(self) -> int:
            return os.getpid()

    while True:
        fresh = Fresh.remote()
        is_ready = air.get(fresh.has_everything.remote())
        _end(fresh)
        if is_ready:
            break

    @air.remote(num_cpus=0, max_concurrency=CPUS)
    class Rendezvous:
        def __init__(self) -> None:
            self.all = threading.Barrier(CPUS)

        def arrive(self) -> None:
            self.all.wait()

        def pid(self) -> int:
            return os.getpid()

    @air.remote
    def meet(rendezvous: Any) -> None:
        air.get(rendezvous.arrive.remote())

    rendezvous = Rendezvous.remote()
    air.get([meet.remote(rendezvous) for _ in range(CPUS)])
    _end(rendezvous)
    run()


def _end(actor: Any) -> None:
    """End an actor, and wait until its memory is free."""
    import air

    process = Path(f"/proc/{air.get(actor.pid.remote())}")
    air.kill(actor)
    while process.exists():
        time.sleep(PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
