"""Reading from S3 and writing to it, on a server of it in a process of its own."""

from __future__ import annotations

import datetime
import json

import pandas as pd
import pytest
from pyarrow import fs

from air import data
from air.data.datasources.filesystems import filesystem_of
from air.data.writing.staging import leftovers
from air.errors import InvalidOption

pytest.importorskip("moto")

FRAME = pd.DataFrame({"a": range(6), "b": list("äbcdef")})


# The bucket first, so that the server is older than the backend.
pytestmark = pytest.mark.usefixtures("s3", "backend")
both = pytest.mark.usefixtures("placement")


def bucket():
    return fs.FileSystem.from_uri("s3://bucket")[0]


def keys():
    """What is in the bucket, as the server says."""
    system = bucket()
    found = system.get_file_info(fs.FileSelector("bucket", recursive=True))
    return sorted(info.path for info in found if info.type == fs.FileType.File)


def values(path):
    return [row["a"] for row in data.read_parquet(path).take_all()]


def put(key, content=b"a\n1\n"):
    with bucket().open_output_stream(f"bucket/{key}") as file:
        file.write(content)


@both
@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_what_is_written_is_read_back(kind):
    ds = data.from_pandas(FRAME).repartition(3)
    getattr(ds, f"write_{kind}")("s3://bucket/deep/x")
    assert len(keys()) == 3
    read = getattr(data, f"read_{kind}")
    pd.testing.assert_frame_equal(read("s3://bucket/deep/x").to_pandas(), FRAME)
    pd.testing.assert_frame_equal(read(f"s3://bucket/**/*.{kind}").to_pandas(), FRAME)
    one = read([f"s3://{key}" for key in keys()[::-1]])
    assert one.count() == 6
    assert one.take(1)[0]["a"] == 4


@both
def test_partitions():
    rows = [{"a": i, "k": i % 2, "city": "Zürich/West %"} for i in range(4)]
    ds = data.from_items(rows, parallelism=2)
    for mode in ("append", "overwrite"):
        ds.write_parquet("s3://bucket/p", partition_cols=["k", "city"], mode=mode)
    back = data.read_parquet("s3://bucket/p")
    assert sorted(back.take_all(), key=lambda row: row["a"]) == rows
    (name,) = {key.split("/")[3] for key in keys()}
    inside = data.read_parquet(f"s3://bucket/p/k=1/{name}", columns=["a"])
    assert [row["a"] for row in inside.take_all()] == [1, 3]


def test_modes():
    for mode in ("error", "ignore", "append", "overwrite"):
        data.from_items([{"a": 1}]).write_parquet(f"s3://bucket/{mode}", mode=mode)
        again = data.from_items([{"a": 2}, {"a": 3}], parallelism=2)
        if mode == "error":
            with pytest.raises(FileExistsError, match="mode='error'"):
                again.write_parquet(f"s3://bucket/{mode}", mode=mode)
        else:
            again.write_parquet(f"s3://bucket/{mode}", mode=mode)
    found = [values(f"s3://bucket/{m}") for m in ("error", "ignore", "append", "overwrite")]
    assert found == [[1], [1], [1, 2, 3], [2, 3]]
    assert all(key.endswith(".parquet") for key in keys())


def test_a_dataset_can_overwrite_what_it_is_read_from():
    data.range_table(5).write_parquet("s3://bucket/x")
    doubled = data.read_parquet("s3://bucket/x").map(lambda row: {"a": row["value"] * 2})
    doubled.write_parquet("s3://bucket/x", mode="overwrite")
    assert values("s3://bucket/x") == [0, 2, 4, 6, 8]


def fail(row):
    if row["value"] == 3:
        raise ValueError("three")
    return {"a": row["value"]}


@both
@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_a_failure_leaves_what_was_there(mode):
    ds = data.range_table(5).map(fail)
    with pytest.raises(ValueError, match="three"):
        ds.write_parquet("s3://bucket/x", mode=mode)
    assert bucket().get_file_info("bucket/x").type == fs.FileType.NotFound
    data.from_items([{"a": 1}]).write_parquet("s3://bucket/x")
    before = keys()
    with pytest.raises(ValueError, match="three"):
        ds.write_parquet("s3://bucket/x", mode=mode)
    assert keys() == before


def test_a_write_that_was_killed_while_it_was_published_is_finished_by_the_next():
    data.from_items([{"a": 1}]).write_parquet("s3://bucket/x")
    (old,) = keys()
    data.from_items([{"a": 2}, {"a": 3}], parallelism=2).write_parquet("s3://bucket/y")
    one, two = (key for key in keys() if "/y/" in key)
    hidden = "bucket/x/.20240101T000000000000-01234567"
    system = bucket()
    system.move(one, "bucket/x/1.parquet")
    system.move(two, f"{hidden}/2.parquet")
    plan = {"moved": ["1.parquet", "2.parquet"], "removed": [old]}
    with system.open_output_stream(f"{hidden}/_plan.json") as file:
        file.write(json.dumps(plan).encode())
    data.from_items([{"a": 4}]).write_parquet("s3://bucket/x")
    assert values("s3://bucket/x") == [2, 3, 4]
    assert not any("/." in key for key in keys())


def test_a_write_that_nobody_goes_on_with_is_removed_after_a_week(monkeypatch):
    put("x/.20240101T000000000000-01234567/1.parquet")
    put("x/.not-ours/1.parquet")
    data.from_items([{"a": 1}]).write_parquet("s3://bucket/x")
    assert len(keys()) == 3
    monkeypatch.setattr(leftovers, "_GIVEN_UP", datetime.timedelta(0))
    data.from_items([{"a": 2}]).write_parquet("s3://bucket/x")
    assert [key for key in keys() if "/." in key] == ["bucket/x/.not-ours/1.parquet"]
    assert values("s3://bucket/x") == [1, 2]


def test_keys_are_what_they_are():
    for key in ("a b.csv", "100%.csv", "k=Z%C3%BC/x.csv", "q?.csv", "[x].csv", "ä+&.csv"):
        put(key)
        (row,) = data.read_csv(f"s3://bucket/{key}", include_paths=True).take_all()
        assert row["path"] == f"bucket/{key}"
    assert data.read_csv("s3://bucket/?[ 0]*.csv").count() == 2


def test_what_is_not_there_is_named():
    put("x/train.csv")
    with pytest.raises(FileNotFoundError, match=r"'bucket/x/tran.csv'.*Did you mean 'train.csv'"):
        data.read_csv("s3://bucket/x/tran.csv")
    with pytest.raises(FileNotFoundError, match="no file matches the pattern 's3://bucket/z"):
        data.read_csv("s3://bucket/z/*.csv")
    with pytest.raises(FileNotFoundError, match=r"'elsewhere/x.csv' does not exist"):
        data.read_csv("s3://elsewhere/x.csv")
    with pytest.raises(OSError, match="elsewhere"):
        data.range_table(3).write_csv("s3://elsewhere/x")
    with pytest.raises(FileNotFoundError, match="try_create_dir=False"):
        data.range_table(3).write_csv("s3://bucket/new", try_create_dir=False)
    with pytest.raises(InvalidOption, match="names no bucket"):
        data.read_csv("s3:///x.csv")


def test_where_the_server_is_can_be_said_in_other_ways(s3_server, monkeypatch):
    put("x.csv")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    options = {"scheme": "http", "region": "us-east-1"}
    host = s3_server.removeprefix("http://")
    text = "&".join(f"{name}={value}" for name, value in options.items())
    uri = f"s3://bucket/x.csv?endpoint_override={host}&{text}"
    assert data.read_csv(uri).take_all() == [{"a": 1}]
    system = fs.S3FileSystem(endpoint_override=host, **options)
    ds = data.read_csv("bucket/x.csv", filesystem=system)
    ds.write_csv("bucket/y", filesystem=system)
    assert data.read_csv("bucket/y", filesystem=system).take_all() == [{"a": 1}]


def test_parts_of_uris():
    assert filesystem_of("s3://bucket", None)[1] == "bucket"
    assert filesystem_of("s3://bucket/", None)[1] == "bucket"
    assert filesystem_of("s3://bucket/a/b/?region=x", None)[1] == "bucket/a/b"
    assert filesystem_of("s3://bucket/a?b", None)[1] == "bucket/a?b"
