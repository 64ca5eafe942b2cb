"""Small tasks, actor calls, values and placement groups a second, beside Ray.

The rows are those of Ray's own ``ray microbenchmark``, defined once for both: the same program runs
with either toolkit, in processes of their own that take turns. A row repeats its work for some time
and counts; of several such windows the median is shown.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

WINDOWS = 3
CPUS = 2
GOALS = {  # what we promise, a second, on two cores
    "get, small value": 100_000,
    "put, small value": 50_000,
    "put, small value, 10 clients": 10_000,
    "put, 800 MB arrays (GB)": 10,
    "get an object with 10,000 references": 50,
    "wait on 1,000 references one by one": 10,
    "tasks, one by one": 3_500,
    "tasks, all at once": 10_000,
    "tasks, all at once, 4 clients": 10_000,
    "actor calls, one by one": 8_000,
    "actor calls, all at once": 19_000,
    "actor calls, all at once, 16 threads": 15_000,
    "placement group, create and remove": 2_800,
}


class Row(NamedTuple):
    """Something to repeat: ``work()`` does it *count* times."""

    name: str
    count: float
    work: Callable[[], object]


def rows(toolkit: Any) -> list[Row]:
    """All rows, with what they need made already."""
    import numpy as np

    groups = importlib.import_module(f"{toolkit.__name__}.util.placement_group")

    @toolkit.remote
    def small() -> bytes:
        return b"ok"

    class Plain:
        def small(self) -> bytes:
            return b"ok"

        def take(self, _value: object) -> bytes:
            return b"ok"

    class Async:
        async def small(self) -> bytes:
            return b"ok"

        async def take(self, _value: object) -> bytes:
            return b"ok"

    @toolkit.remote(num_cpus=0)
    class Client:
        """Another process that does what a program does."""

        def __init__(self, targets: list[Any]) -> None:
            self._targets = targets

        def tasks(self, count: int) -> None:
            toolkit.get([small.remote() for _ in range(count)])

        def calls(self, count: int) -> None:
            each = count // len(self._targets)
            toolkit.get([t.small.remote() for t in self._targets for _ in range(each)])

        def calls_with_reference(self, count: int) -> None:
            value = toolkit.put(0)
            each = count // len(self._targets)
            toolkit.get([t.take.remote(value) for t in self._targets for _ in range(each)])

        def puts(self, count: int) -> None:
            for _ in range(count):
                toolkit.put(0)

    plain, threaded, looped = (toolkit.remote(num_cpus=0)(kind) for kind in (Plain, Plain, Async))
    actor = plain.remote()
    concurrent = threaded.options(max_concurrency=16).remote()
    several = [plain.remote() for _ in range(CPUS)]
    async_actor = looped.remote()
    several_async = [looped.remote() for _ in range(CPUS)]
    clients = [Client.remote(several) for _ in range(CPUS)]
    async_clients = [Client.remote(several_async) for _ in range(CPUS)]
    four = [Client.remote([]) for _ in range(4)]
    ten = [Client.remote([]) for _ in range(10)]
    toolkit.get([each.small.remote() for each in (actor, concurrent, async_actor, *several_async)])
    toolkit.get([each.puts.remote(1) for each in (*clients, *async_clients, *four, *ten)])

    value = toolkit.put(0)
    array = np.ones(100_000_000)  # 800 MB

    @toolkit.remote
    def many_references() -> list[Any]:
        return [toolkit.put(1) for _ in range(10_000)]

    holder = many_references.remote()

    def repeat(count: int, work: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            for _ in range(count):
                work()

        return run

    def wait_one_by_one() -> None:
        left = [small.remote() for _ in range(1000)]
        while left:
            _, left = toolkit.wait(left)

    def group() -> None:
        made = groups.placement_group([{"CPU": 0.01}])
        toolkit.get(made.ready())
        groups.remove_placement_group(made)

    def all_of(targets: list[Any], count: int, *arguments: object) -> Callable[[], object]:
        name = "take" if arguments else "small"
        return lambda: toolkit.get(
            [getattr(t, name).remote(*arguments) for t in targets for _ in range(count)]
        )

    def by(processes: list[Any], method: str, count: int) -> Callable[[], object]:
        return lambda: toolkit.get([getattr(p, method).remote(count) for p in processes])

    return [
        Row("get, small value", 1000, repeat(1000, lambda: toolkit.get(value))),
        Row("put, small value", 1000, repeat(1000, lambda: toolkit.put(0))),
        Row("put, small value, 10 clients", 5000, by(ten, "puts", 500)),
        Row("put, 800 MB arrays (GB)", 0.8, lambda: toolkit.put(array)),
        Row("get an object with 10,000 references", 1, lambda: toolkit.get(holder)),
        Row("wait on 1,000 references one by one", 1, wait_one_by_one),
        Row("tasks, one by one", 200, repeat(200, lambda: toolkit.get(small.remote()))),
        Row(
            "tasks, all at once",
            2000,
            lambda: toolkit.get([small.remote() for _ in range(2000)]),
        ),
        Row("tasks, all at once, 4 clients", 4000, by(four, "tasks", 1000)),
        Row("actor calls, one by one", 200, repeat(200, lambda: toolkit.get(actor.small.remote()))),
        Row("actor calls, all at once", 2000, all_of([actor], 2000)),
        Row("actor calls, all at once, 16 threads", 2000, all_of([concurrent], 2000)),
        Row("actor calls, 1 to n", 2000, all_of(several, 2000 // CPUS)),
        Row("actor calls, n to n", 4000, by(clients, "calls", 2000)),
        Row(
            "actor calls, n to n, with a reference", 2000, by(clients, "calls_with_reference", 1000)
        ),
        Row(
            "async actor, one by one",
            200,
            repeat(200, lambda: toolkit.get(async_actor.small.remote())),
        ),
        Row("async actor, all at once", 2000, all_of([async_actor], 2000)),
        Row("async actor, all at once, with a value", 2000, all_of([async_actor], 2000, 1)),
        Row("async actor, 1 to n", 2000, all_of(several_async, 2000 // CPUS)),
        Row("async actor, n to n", 4000, by(async_clients, "calls", 2000)),
        Row("placement group, create and remove", 50, repeat(50, group)),
    ]


def per_second(row: Row, seconds: float) -> float:
    """The median over several windows, after one run to warm up."""
    row.work()
    found = []
    for _ in range(WINDOWS):
        begin = time.perf_counter()
        done = 0.0
        while time.perf_counter() - begin < seconds:
            row.work()
            done += row.count
        found.append(done / (time.perf_counter() - begin))
    return statistics.median(found)


def run_side(module: str, only: str, seconds: float) -> None:
    """Measure one toolkit in this process, and print a line of JSON for each row."""
    toolkit = importlib.import_module(module)
    quiet = {"logging_level": "ERROR", "include_dashboard": False} if module == "ray" else {}
    toolkit.init(num_cpus=CPUS, log_to_driver=False, **quiet)
    for row in rows(toolkit):
        if only in row.name:
            print("figure", json.dumps([row.name, per_second(row, seconds)]), flush=True)
    toolkit.shutdown()


def measure(python: str, module: str, only: str, seconds: float) -> dict[str, float]:
    """Have one toolkit measured by a process of its own; says on stderr how far it is."""
    command = [python, __file__, "--side", module, "--only", only, "--seconds", str(seconds)]
    found: dict[str, float] = {}
    with tempfile.TemporaryFile("w+") as complaints:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("figure "):
                    name, value = json.loads(line.removeprefix("figure "))
                    found[name] = value
                    print(f"{module}: {name}: {value:,.1f}", file=sys.stderr, flush=True)
        if process.returncode or not found:
            complaints.seek(0)
            raise SystemExit(f"{python} did not finish:\n{complaints.read()[-2000:]}")
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ray", metavar="PYTHON", help="an interpreter that has Ray")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose names hold this")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a window (default 1)")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run_side(options.side, options.only, options.seconds)
        return
    ours = measure(sys.executable, "air", options.only, options.seconds)
    theirs = measure(options.ray, "ray", options.only, options.seconds) if options.ray else {}
    print(f"{'a second':42}{'air':>12}{'ray':>12}{'ratio':>9}{'our goal':>12}")
    for name, value in ours.items():
        other = theirs.get(name)
        goal = GOALS.get(name, None if other is None else 10 * other)
        cells = [
            f"{value:12,.1f}" if value < 100 else f"{value:12,.0f}",
            "" if other is None else f"{other:12,.1f}",
            "" if other is None else f"{value / other:8.1f}x",
            "" if goal is None else f"{goal:12,.0f}",
        ]
        print(f"{name:42}{cells[0]:>12}{cells[1]:>12}{cells[2]:>9}{cells[3]:>12}")


if __name__ == "__main__":
    main()
