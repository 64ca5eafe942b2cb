"""Training XGBoost from Parquet to a checkpoint, and predicting, beside XGBoost alone, in one run.

The data (a million rows of 28 columns and a label, in 8 files) are made first, in a directory that
is removed at the end. Each side measures itself in processes of its own, one after another: this
toolkit; XGBoost in one process with two threads; and two processes of one thread each, joined by
its collective by hand. Every side reads the same files by batches, and keeps its model. What
starting processes and importing libraries takes is left out, for all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import train_rows
from pyarrow import parquet

FILES = 8
COLUMNS = 28
GOALS = {  # times of XGBoost alone, or seconds
    "1 worker, 2 threads": "1.02x",
    "2 workers, 1 thread each": "1.02x",
    "predict": "1.0 s",
}


def make_files(directory: Path, rows: int) -> None:
    """Write rows of normal numbers with a label that depends on them."""
    random = np.random.default_rng(0)
    weights = random.standard_normal(COLUMNS)
    for index in range(FILES):
        values = random.standard_normal((rows // FILES, COLUMNS)).astype("f4")
        label = values @ weights + 2 * random.standard_normal(len(values)) > 0
        columns = {f"f{place}": values[:, place] for place in range(COLUMNS)}
        table = pa.table({**columns, "label": label.astype("i1")})
        parquet.write_table(table, directory / f"p{index}.parquet")


def measure(side: str, directory: Path) -> dict[str, tuple[float, float]]:
    """Have one side measured by a process of its own."""
    found = {}
    command = [sys.executable, train_rows.__file__, side, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("figure "):
                name, seconds, answer = json.loads(line.removeprefix("figure "))
                found[name] = seconds, answer
                print(f"{side}: {name}: {seconds:.2f} s", file=sys.stderr, flush=True)
    if process.returncode:
        raise SystemExit(f"{side} did not finish")
    return found


def table(
    ours: dict[str, tuple[float, float]], alone: dict[str, tuple[float, float]]
) -> Iterator[str]:
    """The lines of the table: seconds of both, ours against the other, and our goals."""
    yield f"{'seconds':40}{'air':>10}{'alone':>10}{'ratio':>9}{'goal':>9}{'answers':>22}"
    for name, (seconds, answer) in ours.items():
        if name not in alone:
            yield f"{name:40}{seconds:10.2f}"
            continue
        other, expected = alone[name]
        answers = f"{answer:.6g} {expected:.6g}"
        ratio = f"{seconds / other:8.3f}x"
        yield f"{name:40}{seconds:10.2f}{other:10.2f}{ratio}{GOALS[name]:>9}{answers:>22}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the files (a million)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="air-benchmark-") as name:
        directory = Path(name)
        make_files(directory, options.rows)
        alone = measure("one", directory) | measure("two", directory)
        for line in table(measure("air", directory), alone):
            print(line)


if __name__ == "__main__":
    main()
