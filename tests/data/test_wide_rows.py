from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from air import data
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
