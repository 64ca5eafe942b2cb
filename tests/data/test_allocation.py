"""Freed memory goes back to the system where budgets are small."""

from __future__ import annotations

import subprocess
import sys
import types

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from air import data
from air.data.datasources import parquet as reading

_PROGRAM = """
import re, sys
from pyarrow import parquet
from air.data.blocks.allocation import give_back, keep_pieces

def kept():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read()).group(1)) >> 10

keep_pieces(128 << 10)
with parquet.ParquetFile(sys.argv[1], pre_buffer=False) as file:
    file.read_row_group(0, columns=["x0"], use_threads=False)
    give_back()
    before = kept()
    file.read_row_group(0, use_threads=False)
    give_back()
    print(kept() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_parquet_was_decoded_with_is_given_back(tmp_path):
    path = tmp_path / "0.parquet"
    columns = {f"x{number}": np.random.default_rng(number).random(50_000) for number in range(20)}
    parquet.write_table(pa.table(columns), path)
    command = [sys.executable, "-c", _PROGRAM, str(path)]
    mib = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert mib <= 3  # of the 16 that decoding takes


@pytest.mark.parametrize(("budget", "reads_ahead"), [(16 << 20, False), (1 << 30, True)])
def test_threads_read_files_ahead_where_there_is_memory(
    tmp_path, monkeypatch, backend, budget, reads_ahead
):
    path = str(tmp_path / "0.parquet")
    parquet.write_table(pa.table({"x": [1, 2]}), path)
    monkeypatch.setattr(data.DataContext.get_current(), "memory_budget", budget)
    (task,) = data.read_parquet(path)._plan.tasks()
    asked = []

    def opened(*args, **options):
        asked.append(options["pre_buffer"])
        return parquet.ParquetFile(*args, **options)

    monkeypatch.setattr(reading, "parquet", types.SimpleNamespace(ParquetFile=opened))
    (block,) = task.read_fn()
    assert block.column("x").to_pylist() == [1, 2]
    assert asked == [reads_ahead]
