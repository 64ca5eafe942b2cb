"""The quick tour of datasets: make them, read, transform, save, and divide one among four actors.

Run it with ``python examples/data_tour.py``. It starts a cluster on this machine; with
``AIR_BACKEND=local`` in the environment everything runs in this one process, with the same results.

The data that are read are 150 iris flowers of three varieties, 50 of each.
"""

from __future__ import annotations

import tempfile

import air
from air import data

IRIS = "example://iris.csv"


@air.remote(num_cpus=0)
class Counter:
    """Goes over the rows that it is given, as a worker of a training does."""

    def count(self, rows):
        """How many rows there are, batch by batch."""
        return sum(len(batch["variety"]) for batch in rows.iter_batches(batch_size=10))


def area(batch):
    """A batch (a dictionary of arrays) with one more column."""
    batch["petal area"] = batch["petal.length"] * batch["petal.width"]
    return batch


def counts(parts):
    """What four actors count, each in its part."""
    actors = [Counter.remote() for _ in parts]
    return air.get([actor.count.remote(part) for actor, part in zip(actors, parts, strict=True)])


def main() -> None:
    """Make, read, transform, save and divide, and print what comes out."""
    # 1. Make a dataset: of values, of numbers, of what pandas, numpy and Arrow have.
    squares = data.from_items([{"n": n, "square": n * n} for n in range(1000)])
    print(f"made {squares.count()} rows, the last one {squares.take_all()[-1]}")

    # 2. Read one. Nothing is read before it is needed.
    iris = data.read_csv(IRIS)
    print(f"read {iris.count()} rows of {', '.join(iris.columns())}")

    # 3. Transform it: functions of batches and of rows, one after another, block by block.
    large = iris.map_batches(area).filter(lambda row: row["petal area"] > 10)
    print(f"{large.count()} flowers have more than 10 cm² of petal: {large.unique('variety')}")

    # 4. Save it, and read it again: the rows are the same ones, in the same order.
    with tempfile.TemporaryDirectory() as directory:
        large.write_parquet(directory)
        again = data.read_parquet(directory)
        print(
            f"saved and read {again.count()} rows, the same: {again.take_all() == large.take_all()}"
        )

    # 5. Divide it among four actors: by shares, or into parts of equal size.
    by_share = iris.split_proportionately([0.3, 0.3, 0.2])
    print(f"four actors got {' + '.join(map(str, counts(by_share)))} rows")
    equal = iris.split(4, equal=True)
    print(f"four actors got {' + '.join(map(str, counts(equal)))} rows")


if __name__ == "__main__":
    main()
