from __future__ import annotations

import gzip
import os

import numpy as np
import pandas as pd
import pyarrow as pa
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


def test_small_batches_do_not_make_small_files(tmp_path):
    ds = data.range_table(20_000, parallelism=2).map_batches(lambda batch: batch, batch_size=100)
    ds.write_parquet(tmp_path)
    assert len(below(tmp_path)) == 2
    assert data.read_parquet(tmp_path).sum("value") == sum(range(20_000))


@pytest.mark.parametrize(
    ("change", "files"),
    [
        (lambda ds: ds.repartition(8), 8),
        (lambda ds: ds.repartition(1), 1),
        (lambda ds: ds.repartition(8).map(lambda row: row), 8),
        (lambda ds: ds.repartition(8).materialize(), 8),
        (lambda ds: ds.repartition(8, shuffle=True), 8),
        (lambda ds: ds.random_shuffle(num_blocks=5), 5),
        (lambda ds: ds.repartition(8).filter(data.col("value") < 30), 3),
        (lambda ds: ds.repartition(200), 100),
        (lambda ds: ds.limit(3).repartition(8), 3),
        (lambda ds: data.from_arrow([pa.table({"value": [i]}) for i in range(70)]), 70),
        (lambda ds: ds.repartition(2).union(ds.repartition(3)), 5),
    ],
)
def test_there_is_a_file_for_each_block_that_has_rows(tmp_path, change, files):
    ds = change(data.range_table(100))
    ds.write_parquet(tmp_path)
    assert len(below(tmp_path)) == files
    assert data.read_parquet(tmp_path).count() == ds.count()


def test_blocks_are_files_however_large_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(data.DataContext.get_current(), "target_max_block_size", 1 << 20)
    data.from_numpy(np.zeros(1 << 20)).repartition(2).write_arrow(tmp_path / "made")
    assert len(below(tmp_path / "made")) == 2
    read = data.read_arrow(tmp_path / "made", parallelism=2)
    read.write_arrow(tmp_path / "read")
    assert len(below(tmp_path / "read")) == 2
    assert read.repartition(3).num_blocks() == 3
    read.repartition(3).write_arrow(tmp_path / "cut")
    assert len(below(tmp_path / "cut")) == 3


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "arrow"])
def test_rows_of_a_file_are_decided_by_blocks(tmp_path, form):
    with pytest.raises(InvalidOption, match=r"'num_rows_per_file': .* \.repartition\(n\)"):
        getattr(data.range_table(3), f"write_{form}")(tmp_path, num_rows_per_file=1)


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


@pytest.mark.parametrize("exists", [True, False])
def test_nobody_sees_files_before_all_are_there(tmp_path, exists):
    target = tmp_path / "out"
    if exists:
        target.mkdir()

    def look(row):
        assert target.exists() == exists
        assert not exists or [n for n in os.listdir(target) if not n.startswith(".")] == []
        return row

    data.from_pandas(FRAME).repartition(5).map(look).write_csv(target)
    assert len(below(target)) == 5
    assert os.listdir(tmp_path) == ["out"]


def test_a_directory_that_somebody_else_makes_meanwhile_keeps_what_is_in_it(tmp_path):
    target = tmp_path / "out"

    def interfere(row):
        target.mkdir(exist_ok=True)
        (target / "other.csv").write_text("a,b,c\n10,k,1\n")
        return row

    data.from_pandas(FRAME).repartition(5).map(interfere).write_csv(target)
    assert len(below(target)) == 6
    assert os.listdir(tmp_path) == ["out"]
    assert data.read_csv(target).count() == 11


def test_files_can_be_compressed_as_a_whole(tmp_path):
    ds = data.from_pandas(FRAME).repartition(2)
    ds.write_csv(tmp_path, arrow_open_stream_args={"compression": "gzip"})
    assert all(name.endswith(".csv.gz") for name in below(tmp_path))
    for name in below(tmp_path):
        assert gzip.decompress((tmp_path / name).read_bytes()).startswith(b'"a","b","c"\n')
    pd.testing.assert_frame_equal(data.read_csv(tmp_path).to_pandas(), FRAME)


def test_a_directory_is_not_made_if_it_should_be_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"out' does not exist, and try_create_dir=False"):
        data.from_pandas(FRAME).write_csv(tmp_path / "out", try_create_dir=False)
    assert os.listdir(tmp_path) == []
    data.from_pandas(FRAME).write_parquet(tmp_path, try_create_dir=False)
    assert len(below(tmp_path)) == 1


def test_no_directory_is_left_by_a_failure(tmp_path):
    ds = data.from_pandas(FRAME).repartition(5).map(refuse)
    with pytest.raises(ValueError, match="eight"):
        ds.write_parquet(tmp_path / "x" / "y" / "z")
    assert list(tmp_path.iterdir()) == []
    # What somebody else put there in the meantime is not ours to remove.
    beside = tmp_path / "x" / "y" / "other"

    def meddle(row):
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text("")
        return refuse(row)

    with pytest.raises(ValueError, match="eight"):
        data.from_pandas(FRAME).map(meddle).write_parquet(tmp_path / "x" / "y" / "z")
    assert list(tmp_path.rglob("*")) == [tmp_path / "x", tmp_path / "x" / "y", beside]


@pytest.mark.parametrize("values", [[1, None, 3], ["x", None], [None, None], [True, None]])
def test_missing_values_of_a_single_column_are_rows_in_csv(tmp_path, values):
    data.from_items([{"a": value} for value in values]).write_csv(tmp_path)
    assert [row["a"] for row in data.read_csv(tmp_path).take_all()] == values


def test_large_whole_numbers_survive_csv(tmp_path):
    items = [{"a": 2**53 + 1, "b": 2**64 - 1}, {"a": None, "b": 0}]
    data.from_items(items, parallelism=1).write_csv(tmp_path)
    assert data.read_csv(tmp_path).take_all() == items


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_that_could_not_be_read_together_are_not_written(tmp_path, kind):
    ds = data.range_table(4, parallelism=2).map_batches(
        lambda batch: {"a": [1]} if batch["value"][0] == 0 else {"a": ["x"]}
    )
    with pytest.raises(data.UnsupportedValue, match="column 'a' has the types int64 in range 0-1"):
        getattr(ds, f"write_{kind}")(tmp_path / "out")
    assert below(tmp_path) == []


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


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"a": [[1]]}), r"column 'a' has the type list<.*CSV cannot hold"),
        (pa.table({"a": [{"x": 1}]}), r"column 'a' has the type struct<.*CSV cannot hold"),
        (pa.table({"a": [b"\xff"], "b": [1]}), r"column 'a' has the type binary.*CSV cannot hold"),
        (pa.table({"a": pa.array([b"0" * 16], pa.uuid())}), r"column 'a' .*uuid.*CSV cannot hold"),
        (pa.table({"a": [1]}).select([]), "the rows have no columns"),
    ],
)
def test_what_csv_cannot_hold_is_named(tmp_path, table, message):
    with pytest.raises(data.WriteError, match=message):
        data.from_arrow(table).write_csv(tmp_path / "out")
    with pytest.raises(data.WriteError, match=r"column 'data' has the type .*CSV cannot hold"):
        data.range_tensor(3).write_csv(tmp_path / "out")
    assert below(tmp_path) == []


def test_plain_objects_become_a_column(tmp_path):
    data.range(3).write_csv(tmp_path)
    assert data.read_csv(tmp_path).take_all() == [{"value": 0}, {"value": 1}, {"value": 2}]


def test_files_are_smaller_where_memory_is_short(tmp_path, monkeypatch):
    table = pa.table({"a": range(1_000_000)})
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=50_000)
    counts = []
    for budget in (None, 1):
        monkeypatch.setattr(data.DataContext.get_current(), "memory_budget", budget)
        path = tmp_path / f"{budget}"
        data.read_parquet(tmp_path / "x.parquet", parallelism=1).write_parquet(path)
        assert data.read_parquet(path).to_arrow().equals(table)
        counts.append(len(os.listdir(path)))
    assert counts == [1, 2]  # of 4 MiB
