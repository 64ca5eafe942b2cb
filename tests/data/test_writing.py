from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest
from pyarrow import csv, parquet
from pyarrow import fs as arrow_fs

from air import data
from air.errors import InvalidOption

FRAME = pd.DataFrame({"a": range(10), "b": list("abcdefghij"), "c": np.linspace(0, 1, 10)})

pytestmark = pytest.mark.usefixtures("placement")


def below(path):
    return sorted(
        os.path.relpath(os.path.join(d, f), path) for d, _, fs in os.walk(path) for f in fs
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_is_written_is_read_back(tmp_path, kind):
    target = tmp_path / "new" / "out"
    ds = data.from_pandas(FRAME).repartition(3).map_batches(lambda frame: frame)
    getattr(ds, f"write_{kind}")(target)
    files = below(target)
    assert len(files) == 3
    assert all(name.endswith(f".{kind}") for name in files)
    back = getattr(data, f"read_{kind}")(target)
    pd.testing.assert_frame_equal(back.to_pandas(), FRAME)


def test_a_second_write_adds_files_that_are_read_later(tmp_path):
    for start in (5, 0):
        data.from_items([{"a": start + i} for i in range(5)]).write_parquet(tmp_path)
    rows = [row["a"] for row in data.read_parquet(tmp_path).take_all()]
    assert rows == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]


def test_blocks_without_rows_are_not_written(tmp_path):
    ds = data.range_table(10, parallelism=5).filter(lambda row: row["value"] > 7)
    ds.write_parquet(tmp_path)
    assert len(below(tmp_path)) == 1


def test_a_dataset_without_rows_keeps_its_columns(tmp_path):
    data.from_pandas(FRAME).filter(lambda row: False).write_csv(tmp_path / "out")
    (file,) = below(tmp_path / "out")
    assert (tmp_path / "out" / file).read_text() == '"a","b","c"\n'
    data.from_items([]).write_parquet(tmp_path / "nothing")
    assert below(tmp_path / "nothing") == []


def refuse(row):
    if row["a"] == 8:
        raise ValueError("eight")
    return row


@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_nothing_half_written(tmp_path, exists):
    target = tmp_path / "out"
    if exists:
        target.mkdir()
        (target / "kept.csv").write_text("a\n1\n")
    with pytest.raises(ValueError, match="eight"):
        data.from_pandas(FRAME).repartition(5).map(refuse).write_csv(target)
    assert list(tmp_path.rglob("*")) == ([target, target / "kept.csv"] if exists else [])


def test_nobody_sees_files_before_all_are_there(tmp_path):
    target = tmp_path / "out"

    def look(row):
        assert [name for name in os.listdir(target) if not name.startswith(".")] == []
        return row

    data.from_pandas(FRAME).repartition(5).map(look).write_csv(target)
    assert len(below(target)) == 5


def test_options_are_those_of_arrow(tmp_path):
    ds = data.from_pandas(FRAME)
    ds.write_parquet(tmp_path / "p", compression="zstd")
    (file,) = below(tmp_path / "p")
    group = parquet.ParquetFile(tmp_path / "p" / file).metadata.row_group(0)
    assert group.column(0).compression == "ZSTD"
    ds.write_csv(tmp_path / "c", write_options=csv.WriteOptions(include_header=False))
    (file,) = below(tmp_path / "c")
    assert (tmp_path / "c" / file).read_text().startswith('0,"a",0')
    with pytest.raises(InvalidOption, match=r"no option 'compresion'\. Did you mean 'compression'"):
        ds.write_parquet(tmp_path / "p", compresion="zstd")


def test_a_file_system_may_be_given(tmp_path):
    inside = arrow_fs.SubTreeFileSystem(str(tmp_path), arrow_fs.LocalFileSystem())
    data.from_pandas(FRAME).write_parquet("x/y", filesystem=inside)
    assert data.read_parquet("x/y", filesystem=inside).count() == 10
    assert len(below(tmp_path / "x" / "y")) == 1


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(NotADirectoryError, match=r"out' is a file"):
        data.from_pandas(FRAME).write_csv(tmp_path / "out")


def test_what_csv_cannot_hold_is_named(tmp_path):
    with pytest.raises(data.WriteError, match=r"column 'data' has the type .*CSV cannot hold"):
        data.range_tensor(3).write_csv(tmp_path / "out")
    assert below(tmp_path) == []


def test_plain_objects_become_a_column(tmp_path):
    data.range(3).write_csv(tmp_path)
    assert data.read_csv(tmp_path).take_all() == [{"value": 0}, {"value": 1}, {"value": 2}]
