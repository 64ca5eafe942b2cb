"""A table of a database becomes Parquet files, and a summary of them becomes a table again.

Run it with ``python examples/data_sql_to_parquet.py``. It starts a cluster on this machine; with
``AIR_BACKEND=local`` in the environment everything runs in this one process, with the same results.

The database is SQLite, which comes with Python. For another one give a function that opens a
connection to it, such as ``lambda: psycopg.connect("host=...")``, with its driver installed.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import pyarrow as pa

from air import data
from air.data import col

ORDERS = 20_000
CITIES = ["Basel", "Genf", "Zürich"]


class Shop:
    """Opens connections to the database; an object of it can be sent to other processes."""

    def __init__(self, path):
        self.path = str(path)

    def __call__(self):
        """A connection, as the Python DB-API has it."""
        return sqlite3.connect(self.path)


def orders():
    """Rows for the database: what was ordered where, and when; some have no price yet."""
    return data.range(ORDERS).map(
        lambda n: {
            "id": n,
            "city": CITIES[n // 7 % 3],
            "day": f"2024-{n % 12 + 1:02d}-{n % 28 + 1:02d}",
            "price": None if n % 100 == 0 else n % 500 / 4,
        }
    )


def main() -> None:
    """Fill a table, read it in parts, save it as Parquet, and write a summary back."""
    with tempfile.TemporaryDirectory() as name:
        connect = Shop(Path(name, "shop.db"))
        connection = connect()
        connection.execute(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, city TEXT, day TEXT, price REAL)"
        )
        connection.execute("CREATE TABLE cities (city TEXT, orders INTEGER, total REAL)")
        connection.close()

        # 1. Write rows: all of them or none.
        orders().write_sql("INSERT INTO orders VALUES (:id, :city, :day, :price)", connect)

        # 2. Read them in parts, by ranges of the key, and with the types that SQLite lacks.
        table = data.read_sql(
            "SELECT * FROM orders WHERE id >= ?",
            connect,
            sql_params=[1000],
            shard_keys="id",
            parallelism=8,
            schema={"day": pa.date32()},
        )
        print(f"read {table.count()} orders in {table.num_blocks()} parts")

        # 3. Save them as Parquet, in a directory for each city.
        table.write_parquet(Path(name, "orders"), partition_cols=["city"])
        saved = data.read_parquet(Path(name, "orders"))
        print(f"saved {saved.count()} orders of {', '.join(sorted(saved.unique('city')))}")

        # 4. Summarize what has a price, and write that to the database.
        priced = saved.filter(col("price").is_not_null())
        totals = priced.groupby("city").aggregate(
            data.aggregate.Count(), data.aggregate.Sum("price")
        )
        totals.write_sql("INSERT INTO cities VALUES (?, ?, ?)", connect)
        for row in data.read_sql("SELECT * FROM cities ORDER BY city", connect).take_all():
            print(f"{row['city']}: {row['orders']} orders for {row['total']:.2f}")


if __name__ == "__main__":
    main()
