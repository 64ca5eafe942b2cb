from __future__ import annotations

import os
import shutil

import pyarrow as pa
import pytest

from air import data
from air.errors import InvalidOption

pytestmark = pytest.mark.usefixtures("placement")


def write(values, path, **options):
    data.from_items([{"a": value} for value in values]).write_parquet(path, **options)


def values(path):
    return [row["a"] for row in data.read_parquet(path).take_all()]


def test_modes_on_a_directory_that_holds_something(tmp_path):
    target = tmp_path / "out"
    for mode in ("error", "ignore", "append"):
        write([1], target / mode, mode=mode)
        assert values(target / mode) == [1]
    with pytest.raises(FileExistsError, match=r"holds files already.*mode='overwrite'"):
        write([2], target / "error", mode="error")
    write([2], target / "ignore", mode="ignore")
    write([2], target / "append")
    assert [values(target / m) for m in ("error", "ignore", "append")] == [[1], [1], [1, 2]]
    write([3], target / "append", mode="overwrite")
    assert values(target / "append") == [3]
    assert sorted(os.listdir(target)) == ["append", "error", "ignore"]


def test_a_dataset_can_overwrite_what_it_is_read_from(tmp_path):
    write(range(5), tmp_path / "x")
    data.read_parquet(tmp_path / "x").map(lambda row: {"a": row["a"] * 2}).write_parquet(
        tmp_path / "x", mode="overwrite"
    )
    assert values(tmp_path / "x") == [0, 2, 4, 6, 8]
    (tmp_path / "link").symlink_to(tmp_path / "x")
    write([7], tmp_path / "link", mode="overwrite")
    assert (tmp_path / "link").is_symlink()
    assert values(tmp_path / "x") == [7]


def test_a_failure_leaves_what_was_to_be_overwritten(tmp_path):
    write([1], tmp_path / "x")

    def fail(row):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        data.range_table(3).map(fail).write_parquet(tmp_path / "x", mode="overwrite")
    assert values(tmp_path / "x") == [1]
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("why", ["a volume is mounted there", "not ours to write beside"])
def test_a_directory_that_must_stay_is_overwritten_in_its_place(tmp_path, monkeypatch, why):
    path = str(tmp_path / "t")
    data.range_table(3).write_parquet(path)
    shutil.copytree(path, tmp_path / "t" / "part")
    before = os.stat(path).st_ino
    if why.startswith("a volume"):
        monkeypatch.setattr(os.path, "ismount", lambda found: found == path)
    else:
        monkeypatch.setattr(os, "access", lambda found, mode: found != str(tmp_path))
    data.range_table(5, parallelism=2).write_parquet(path, mode="overwrite")
    assert os.stat(path).st_ino == before
    assert data.read_parquet(path).count() == 5
    assert len([name for name in os.listdir(path) if name.endswith(".parquet")]) == 2
    assert [name for name in os.listdir(path) if name.startswith(".")] == []
    assert os.listdir(tmp_path) == ["t"]


def test_an_unknown_mode_is_refused(tmp_path):
    with pytest.raises(InvalidOption, match=r"write_csv: unknown mode 'overwrit'.*'overwrite'"):
        data.range_table(3).write_csv(tmp_path, mode="overwrit")


def test_partitions_are_read_back(tmp_path):
    rows = [
        {"x": 1.5, "city": "Zürich/West", "year": 2024},
        {"x": 2.5, "city": None, "year": 2023},
        {"x": 3.5, "city": "a=b %", "year": None},
        {"x": 4.5, "city": "Zürich/West", "year": 2024},
    ]
    ds = data.from_items(rows, parallelism=2)
    ds.write_parquet(tmp_path / "p", partition_cols=["year", "city"])
    back = data.read_parquet(tmp_path / "p")
    assert sorted(back.take_all(), key=lambda row: row["x"]) == [
        {"x": row["x"], "year": row["year"], "city": row["city"]} for row in rows
    ]
    assert sorted(os.listdir(tmp_path / "p")) == [
        "year=2023",
        "year=2024",
        "year=__HIVE_DEFAULT_PARTITION__",
    ]
    ds.write_parquet(tmp_path / "p", partition_cols="year", mode="overwrite")
    assert data.read_parquet(tmp_path / "p").columns() == ["x", "city", "year"]
    ds.write_parquet(tmp_path / "p", partition_cols=["year"])
    assert data.read_parquet(tmp_path / "p").count() == 8


def test_partitions_that_would_not_come_back_are_refused(tmp_path):
    ds = data.from_arrow(pa.table({"a": [1.5], "b": [1]}))
    with pytest.raises(data.WriteError, match="column 'a' has the type double, which names"):
        ds.write_parquet(tmp_path / "p", partition_cols=["a"])
    with pytest.raises(data.WriteError, match="names all columns"):
        ds.write_parquet(tmp_path / "p", partition_cols=["a", "b"])
    with pytest.raises(data.ColumnNotFound, match="'c'"):
        ds.write_parquet(tmp_path / "p", partition_cols=["c"])
    assert os.listdir(tmp_path) == []
