"""Reading, transforming, grouping, sorting and shuffling, beside other libraries, in one run.

The data (8 million rows of 10 columns in 16 Parquet files) are made first, in a directory that is
removed at the end. Each library measures itself in a process of its own, one after another, and
says what it found as well: a library that found something else than ours is named below the table.
Rows that last less than five seconds are run three times, and the median is shown.

``--memory`` measures this toolkit alone: see ``data_memory.py``.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import data_memory
import data_rows
import numpy as np
import pyarrow as pa
from pyarrow import parquet

GOALS = {  # seconds that we promise, on two cores
    "read, map_batches, sum": 0.8,
    "read, map_batches, iter_batches(4096)": 1.5,
    "group by 100 keys, mean": 0.4,
    "sort, 2 columns": 1.5,
    "shuffle, 10 columns": 3.0,
    "1,000 items, map, take_all": 0.05,
    "1,000 items, map, take_all, on local": 0.005,
    "1,000,000 rows in memory, grouped": 0.3,
}
FILES = 16


class Found(dict[str, tuple[float, float]]):
    """Seconds and answer of each row of one side."""


def make_files(directory: Path, rows: int) -> None:
    """Write *rows* rows: a number of its own, a key of 100 and 8 normal numbers each."""
    random = np.random.default_rng(0)
    each = rows // FILES
    for index in range(FILES):
        columns = {
            "id": np.arange(index * each, (index + 1) * each),
            "k": random.integers(0, 100, each),
            **{f"x{place}": random.standard_normal(each) for place in range(8)},
        }
        parquet.write_table(pa.table(columns), directory / f"p{index:02d}.parquet")


def measure(python: str, side: str, directory: Path, only: str) -> Found:
    """Have one library measured by a process of its own; says on stderr how far it is."""
    command = [python, data_rows.__file__, side, str(directory), only]
    found = Found()
    with tempfile.TemporaryFile("w+") as complaints:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("figure "):
                    name, seconds, answer = json.loads(line.removeprefix("figure "))
                    found[name] = seconds, answer
                    print(f"{side}: {name}: {seconds:.4f} s", file=sys.stderr, flush=True)
        if process.returncode:
            complaints.seek(0)
            raise SystemExit(f"{side} ({python}) did not finish:\n{complaints.read()[-2000:]}")
    return found


def table(sides: dict[str, Found]) -> Iterator[str]:
    """The lines of the table: seconds of each side, ours against Ray Data's, and our goals."""
    ours, ray = sides["air"], sides.get("ray", Found())
    yield f"{'seconds':40}" + "".join(f"{side:>10}" for side in sides) + f"{'ratio':>9}{'goal':>9}"
    for name, goal in GOALS.items():
        if not any(name in found for found in sides.values()):
            continue
        cells = [
            f"{found[name][0]:10.4f}" if name in found else " " * 10 for found in sides.values()
        ]
        both = name in ours and name in ray
        ratio = f"{ray[name][0] / ours[name][0]:8.1f}x" if both else " " * 9
        yield f"{name:40}{''.join(cells)}{ratio}{goal:9}"
    for side, found in sides.items():
        for name, (_, answer) in found.items():
            if name in ours and not math.isclose(answer, ours[name][1], rel_tol=1e-6, abs_tol=1e-6):
                yield f"{side} gave another answer for {name!r}: {answer!r}, not {ours[name][1]!r}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ray", metavar="PYTHON", help="an interpreter that has Ray Data")
    parser.add_argument("--others", metavar="PYTHON", help="one that has Polars, Daft and pyarrow")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose names hold this")
    parser.add_argument("--rows", type=int, default=8_000_000, help="of the files (8 million)")
    parser.add_argument("--memory", action="store_true", help="measure memory under a budget")
    parser.add_argument("--budget", type=int, default=128, help="with --memory, in MiB (128)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="air-benchmark-") as name:
        directory = Path(name)
        if options.memory:
            budget = options.budget << 20
            make_files(directory, data_memory.TIMES * budget // data_memory.ROW_BYTES)
            for line in data_memory.curves(directory, budget, options.only):
                print(line, flush=True)
            return
        make_files(directory, options.rows)
        sides = {"air": measure(sys.executable, "air", directory, options.only)}
        sides["air"] |= measure(sys.executable, "air-local", directory, options.only)
        if options.ray:
            sides["ray"] = measure(options.ray, "ray", directory, options.only)
        for side in ("polars", "daft", "pyarrow") if options.others else ():
            sides[side] = measure(options.others, side, directory, options.only)
        for line in table(sides):
            print(line)


if __name__ == "__main__":
    main()
