"""Sort and save data that are four times as large as the memory they may take.

Run it with ``python examples/data_larger_than_memory.py``; a number after it is the mebibytes of
data (256 without one). It starts a cluster on this machine; with ``AIR_BACKEND=local`` in the
environment everything runs in this one process. Files are written to a temporary directory.

Blocks of rows are read, transformed and written one after another. The budget bounds what all
processes take for that together: blocks that wait between the steps, and what is being read and
worked on. A sort has to see all rows before it can give the first one: what does not fit into a
share of the budget waits in files until then.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from air import data

TIMES = 4
ROW_BYTES = 3 * 8


def readings(batch):
    """Readings of sensors for the seconds in a batch (a dictionary of arrays)."""
    seconds = batch["value"]
    random = np.random.default_rng(int(seconds[0]))
    return {
        "second": seconds,
        "sensor": random.integers(0, 1000, len(seconds)),
        "value": random.standard_normal(len(seconds)),
    }


def main(mebibytes: int = 256) -> None:
    """Write readings, then sort those that count by sensor, and check the order."""
    data.DataContext.get_current().memory_budget = (mebibytes << 20) // TIMES
    rows = (mebibytes << 20) // ROW_BYTES
    with tempfile.TemporaryDirectory() as directory:
        raw, by_sensor = Path(directory) / "raw", Path(directory) / "by_sensor"

        # 1. Make the data, block by block.
        data.range_table(rows).map_batches(readings, batch_size=100_000).write_parquet(str(raw))
        print(f"wrote {data.read_parquet(str(raw)).count()} rows, {mebibytes} MiB of numbers")

        # 2. Sort and save them. Nothing comes back to this program.
        data.read_parquet(str(raw)).sort(["sensor", "second"]).write_parquet(str(by_sensor))

        # 3. Go over the result, a batch at a time.
        last, seen, ascending = -1, 0, True
        for batch in data.read_parquet(str(by_sensor)).iter_batches(batch_size=100_000):
            places = batch["sensor"] * rows + batch["second"]
            ascending &= bool(places[0] > last and (np.diff(places) > 0).all())
            last, seen = places[-1], seen + len(places)
        print(f"read {seen} rows, sorted by sensor and second: {ascending}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
