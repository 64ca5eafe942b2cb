from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from air import data
from air.data.budget import Budget
from air.data.datasources import parquet as reading


def test_wide_rows_of_a_large_row_group_are_decoded_a_few_at_a_time(tmp_path, monkeypatch):
    texts = [np.random.default_rng(i).bytes(1000) for i in range(100)]
    parquet.write_table(pa.table({"a": texts}), tmp_path / "x.parquet", use_dictionary=False)
    monkeypatch.setattr(reading, "_STREAM_ROW_GROUP_BYTES", 50_000)
    monkeypatch.setattr(reading, "_STREAM_BYTES", 10_000)
    ds = data.read_parquet(tmp_path)
    source = ds.plan.source
    (fragment,) = source.fragments()
    tables = list(source.read_fragment(fragment))
    assert max(map(len, tables)) <= 10
    assert [row for table in tables for row in table["a"].to_pylist()] == texts


@pytest.mark.parametrize("columns", [None, ("b",), ("c", "a")])
def test_under_a_small_budget_columns_are_decoded_one_by_one_or_a_few_rows_at_a_time(
    tmp_path, monkeypatch, columns
):
    rows = 3000
    table = pa.table(
        {
            "a": np.arange(rows),
            "b": [f"text {n}" for n in range(rows)],
            "c": [{"x": n, "y": [n, None]} for n in range(rows)],
        }
    )
    parquet.write_table(table, tmp_path / "x.parquet")
    monkeypatch.setattr(data.DataContext.get_current(), "memory_budget", 1 << 20)
    source = data.read_parquet(tmp_path).plan.source
    source = source if columns is None else source.with_columns(columns)
    expected = table if columns is None else table.select(columns)

    def read() -> list[pa.Table]:
        (task,) = source.get_read_tasks(1)
        return list(task.read_fn())

    (whole,) = read()
    assert whole == expected
    monkeypatch.setattr(Budget, "decodes_whole", lambda *_: False)
    monkeypatch.setattr(reading, "_STREAM_ROWS", 1000)
    parts = read()
    assert [len(part) for part in parts] == [1000, 1000, 1000]
    assert pa.concat_tables(parts) == expected


def test_columns_whose_memory_grows_are_those_of_texts_and_lists(tmp_path):
    rows = 1000
    table = pa.table(
        {
            "n": np.arange(rows),
            "t": [f"{n:0100}" for n in range(rows)],
            "l": [[float(n)] * 50 for n in range(rows)],
            "s": [{"x": n, "y": [n]} for n in range(rows)],
            "d": pa.array([b"01234567"] * rows, pa.binary(8)),
        }
    )
    parquet.write_table(table, tmp_path / "x.parquet", use_dictionary=False)
    footer = parquet.read_metadata(tmp_path / "x.parquet")

    def largest(*columns: str) -> int:
        return reading._largest_varying(footer, 0, columns)

    assert largest("n", "d") == 0
    assert 100 * rows <= largest("n", "t") < 120 * rows
    assert 400 * rows <= largest("t", "l") == largest("l") < 450 * rows
    assert 8 * rows <= largest("s") < 20 * rows
