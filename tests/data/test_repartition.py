"""Blocks of equal size: for whom they are put together, and when they are let go of."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator
from operator import attrgetter

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import air.data
from air.data import DataContext
from air.data.batching.cutting import cuts

MIB = 1 << 20


def rows(count: int) -> air.data.Dataset:
    """Records made by a function, in blocks of some hundred rows and a last one without."""
    return air.data.range(count, parallelism=7).map_batches(lambda b: {"row": b})


def test_batches_of_an_asked_size_go_over_the_edges_of_blocks(placement):
    data = rows(1000).random_shuffle(seed=1, num_blocks=10)
    order = [row["row"] for row in data.take_all()]
    for same in (data, data.repartition(20)):
        seen = same.map_batches(lambda b: {"of": [b["row"].tolist()]}, batch_size=500).take_all()
        assert [len(row["of"]) for row in seen] == [500, 500]
        assert seen[0]["of"] + seen[1]["of"] == order


@pytest.mark.parametrize("budget", [None, 1])
@pytest.mark.parametrize("parts", [1, 3, 11])
def test_functions_behind_it_see_the_same_batches_whatever_there_is_of_memory(
    placement, monkeypatch, budget, parts
):
    monkeypatch.setattr(DataContext.get_current(), "memory_budget", budget)

    def measured(batch):
        return {"rows": [len(batch["row"])], "first": batch["row"][:1]}

    edges = [1000 * part // parts for part in range(parts + 1)]
    data = rows(1000).repartition(parts)
    whole = data.map_batches(measured, batch_size=None).take_all()
    assert whole == [
        {"rows": end - begin, "first": begin} for begin, end in itertools.pairwise(edges)
    ]
    divided = data.map(lambda row: row).map_batches(measured, batch_size=1000).take_all()
    assert sum(row["rows"] for row in divided) == 1000
    assert [row["first"] for row in divided] == np.cumsum(
        [0, *(row["rows"] for row in divided[:-1])]
    ).tolist()


def test_there_is_a_file_for_each_block_also_where_memory_is_short(
    placement, monkeypatch, tmp_path
):
    monkeypatch.setattr(DataContext.get_current(), "memory_budget", 1)
    table = pa.table({"row": np.arange(3 * MIB)})
    data = air.data.from_arrow(table).map_batches(dict)
    data.repartition(2).write_parquet(tmp_path / "in order")
    files = sorted((tmp_path / "in order").iterdir())
    assert [parquet.read_metadata(file).num_rows for file in files] == [3 * MIB // 2] * 2
    assert parquet.read_table(files).equals(table)
    data.random_shuffle(seed=1, num_blocks=2).write_parquet(tmp_path / "shuffled")
    files = sorted((tmp_path / "shuffled").iterdir())
    assert [parquet.read_metadata(file).num_rows for file in files] == [3 * MIB // 2] * 2
    assert np.array_equal(np.sort(parquet.read_table(files)["row"]), np.arange(3 * MIB))


def test_rows_alone_are_not_put_together(backend):
    data = rows(1000).repartition(3)
    assert [row["row"] for row in data.iter_rows()] == list(range(1000))
    assert "repartition" not in str(data.stats())
    sizes = [len(batch["row"]) for batch in data.iter_batches(batch_size=400)]
    assert sizes == [400, 400, 200]
    assert "repartition" not in str(data.stats())
    sizes = [len(batch["row"]) for batch in data.iter_batches(batch_size=None)]
    assert sizes == [333, 333, 334]
    assert "repartition" in str(data.stats())


@pytest.mark.parametrize("batch_size", [None, 2, 5, 7])
def test_a_block_is_let_go_of_before_the_next_is_made(batch_size):
    def blocks() -> Iterator[pa.Table]:
        for begin in range(3):
            block = pa.table({"row": np.arange(5) + 5 * begin})
            there = weakref.ref(block)
            yield block
            del block
            assert there() is None

    found = cuts(blocks(), batch_size)
    assert sum(map(attrgetter("num_rows"), found)) == 15
