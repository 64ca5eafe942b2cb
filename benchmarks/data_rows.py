"""The rows of ``data.py`` for each library; run with its name by an interpreter that has it.

A row is a function that does the whole work, from files or values to the answer, and gives a number
that says what the answer was. All that a library starts once is started before.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

CPUS = 2
LONG = 5.0
"""Rows that last so many seconds are not repeated."""
REPEATS = 3

Rows = dict[str, Callable[[], float]]

SUM = "read, map_batches, sum"
BATCHES = "read, map_batches, iter_batches(4096)"
GROUP = "group by 100 keys, mean"
SORT = "sort, 2 columns"
SHUFFLE = "shuffle, 10 columns"
ITEMS = "1,000 items, map, take_all"
ITEMS_LOCAL = "1,000 items, map, take_all, on local"
MEMORY_GROUP = "1,000,000 rows in memory, grouped"


def added(batch: dict[str, Any]) -> dict[str, Any]:
    """What the maps of all sides do."""
    batch["y"] = batch["x0"] * 2 + batch["x1"]
    return batch


def a_million_rows() -> Any:
    """A table of 1,000 keys and as many numbers as rows."""
    import numpy as np
    import pyarrow as pa

    random = np.random.default_rng(0)
    return pa.table({"k": random.integers(0, 1000, 1_000_000), "x": random.random(1_000_000)})


def toolkit_rows(data: Any, directory: str) -> Rows:
    """For this toolkit and Ray Data: the same program."""
    items = [{"a": number} for number in range(1000)]
    in_memory = data.from_arrow(a_million_rows())

    def batches() -> int:
        mapped = data.read_parquet(directory).map_batches(added)
        return sum(len(batch["y"]) for batch in mapped.iter_batches(batch_size=4096))

    def total_of_means(dataset: Any, column: str) -> float:
        return sum(row[f"mean({column})"] for row in dataset.groupby("k").mean(column).take_all())

    def smallest() -> float:
        chosen = data.read_parquet(directory, columns=["id", "x0"])
        return chosen.sort("x0").materialize().take(1)[0]["x0"]

    def mapped_items() -> int:
        rows = data.from_items(items).map(lambda row: {"a": row["a"] + 1}).take_all()
        return sum(row["a"] for row in rows)

    rows: Rows = {
        SUM: lambda: data.read_parquet(directory).map_batches(added).sum("y"),
        BATCHES: batches,
        GROUP: lambda: total_of_means(data.read_parquet(directory), "x0"),
        SORT: smallest,
        SHUFFLE: lambda: (
            data.read_parquet(directory).random_shuffle(seed=1).materialize().sum("id")
        ),
        ITEMS: mapped_items,
        MEMORY_GROUP: lambda: total_of_means(in_memory, "x"),
    }
    needs = {GROUP: "groupby", SORT: "sort", MEMORY_GROUP: "groupby"}
    return {
        name: row for name, row in rows.items() if hasattr(data.Dataset, needs.get(name, "map"))
    }


def air_rows(directory: str) -> Rows:
    """This toolkit on a cluster of its own."""
    import air
    from air import data

    air.init(num_cpus=CPUS, log_to_driver=False)
    return toolkit_rows(data, directory)


def local_rows(directory: str) -> Rows:
    """This toolkit in one process."""
    import air
    from air import data

    air.init(backend="local")
    return {ITEMS_LOCAL: toolkit_rows(data, directory)[ITEMS]}


def ray_rows(directory: str) -> Rows:
    """Ray Data, without its bars and dashboard."""
    import ray
    import ray.data

    ray.init(num_cpus=CPUS, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return toolkit_rows(ray.data, directory)


def polars_rows(directory: str) -> Rows:
    """Polars, with expressions in place of functions."""
    import polars as pl

    files = f"{directory}/*.parquet"
    y = pl.col("x0") * 2 + pl.col("x1")
    in_memory = pl.DataFrame(pl.from_arrow(a_million_rows()))
    return {
        SUM: lambda: pl.scan_parquet(files).select(y.sum()).collect().item(),
        GROUP: lambda: (
            pl.scan_parquet(files).group_by("k").agg(pl.col("x0").mean()).collect()["x0"].sum()
        ),
        SORT: lambda: pl.scan_parquet(files).select("id", "x0").sort("x0").collect()["x0"][0],
        SHUFFLE: lambda: (
            pl.read_parquet(files).sample(fraction=1.0, shuffle=True, seed=1)["id"].sum()
        ),
        MEMORY_GROUP: lambda: in_memory.group_by("k").agg(pl.col("x").mean())["x"].sum(),
    }


def daft_rows(directory: str) -> Rows:
    """Daft on its local engine, with expressions in place of functions."""
    import daft

    files = f"{directory}/*.parquet"
    in_memory = daft.from_arrow(a_million_rows())

    def read() -> Any:
        return daft.read_parquet(files)

    def sum_of(frame: Any, column: str) -> float:
        return sum(frame.to_pydict()[column])

    return {
        SUM: lambda: sum_of(
            read().with_column("y", daft.col("x0") * 2 + daft.col("x1")).sum("y"), "y"
        ),
        GROUP: lambda: sum_of(read().groupby("k").mean("x0"), "x0"),
        SORT: lambda: read().select("id", "x0").sort("x0").collect().limit(1).to_pydict()["x0"][0],
        MEMORY_GROUP: lambda: sum_of(in_memory.groupby("k").mean("x"), "x"),
    }


def pyarrow_rows(directory: str) -> Rows:
    """What Arrow and numpy need without anything around them, in one process."""
    import numpy as np
    from pyarrow import dataset

    in_memory = a_million_rows()

    def batches(size: int) -> Any:
        for batch in dataset.dataset(directory).to_batches(batch_size=size):
            yield added({name: batch[name].to_numpy() for name in batch.schema.names})

    def total_of_means(table: Any, column: str) -> float:
        means = table.group_by("k").aggregate([(column, "mean")])
        return float(means[f"{column}_mean"].to_numpy().sum())

    def read(*columns: str) -> Any:
        return dataset.dataset(directory).to_table(columns=list(columns) or None)

    def shuffled() -> int:
        table = read()
        order = np.random.default_rng(1).permutation(len(table))
        return int(table.take(order)["id"].to_numpy().sum())

    return {
        SUM: lambda: float(sum(batch["y"].sum() for batch in batches(65536))),
        BATCHES: lambda: sum(len(batch["y"]) for batch in batches(4096)),
        GROUP: lambda: total_of_means(read("k", "x0"), "x0"),
        SORT: lambda: read("id", "x0").sort_by("x0")["x0"][0].as_py(),
        SHUFFLE: shuffled,
        MEMORY_GROUP: lambda: total_of_means(in_memory, "x"),
    }


SIDES = {
    "air": air_rows,
    "air-local": local_rows,
    "ray": ray_rows,
    "polars": polars_rows,
    "daft": daft_rows,
    "pyarrow": pyarrow_rows,
}


def timed(work: Callable[[], float]) -> tuple[float, float]:
    """Seconds that *work* takes, and what it gives."""
    begin = time.perf_counter()
    answer = work()
    return time.perf_counter() - begin, answer


def main(side: str, directory: str, only: str) -> None:
    """Measure the rows of one side, and print a line of JSON for each."""
    for name, work in SIDES[side](directory).items():
        if only not in name:
            continue
        if name.startswith("1,000"):
            work()  # all that is imported at the first call has been
        seconds, answer = timed(work)
        if seconds < LONG:
            seconds = statistics.median([seconds, *(timed(work)[0] for _ in range(REPEATS - 1))])
        print("figure", json.dumps([name, seconds, float(answer)]), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
