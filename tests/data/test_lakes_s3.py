"""Tables in S3, on a server of it in a process of its own."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyarrow import fs

from air import data
from air.data import col

pytest.importorskip("moto")
deltalake = pytest.importorskip("deltalake")

# The bucket first, so that the server is older than the backend.
pytestmark = pytest.mark.usefixtures("s3", "iceberg_catalog", "backend")


@pytest.fixture(scope="session", autouse=True)
def _s3_is_warm(s3_server, deltalake_is_warm):
    """Connections are kept from the first table on; they are no leak of a test."""
    with pytest.raises(OSError, match="NoSuchBucket"):
        deltalake.DeltaTable.is_deltatable("s3://nothing/x", {"AWS_ALLOW_HTTP": "true"})


def keys():
    """What is in the bucket besides logs."""
    system = fs.FileSystem.from_uri("s3://bucket")[0]
    found = system.get_file_info(fs.FileSelector("bucket", recursive=True))
    return [i.path for i in found if i.type == fs.FileType.File and "_delta_log" not in i.path]


@pytest.mark.usefixtures("placement")
def test_a_delta_table_comes_back():
    table = pa.table({"a": range(6), "p": ["x", "a b/é%", None] * 2})
    data.from_arrow(table).repartition(2).write_delta("s3://bucket/deep/t", partition_cols=["p"])
    data.from_items([{"a": 6, "p": "x"}]).write_delta("s3://bucket/deep/t")
    ds = data.read_delta("s3://bucket/deep/t")
    assert ds.count() == 7
    assert sorted(row["a"] for row in ds.take_all()) == list(range(7))
    assert ds.filter(col("p") == "a b/é%").select_columns(["a"]).take_all() == [{"a": 1}, {"a": 4}]
    assert data.read_delta("s3://bucket/deep/t", version=0).count() == 6
    before = keys()
    assert len(before) == 7
    with pytest.raises(Exception, match="division"):
        ds.map(lambda row: {"a": 1 // (6 - row["a"]), "p": "y"}).write_delta("s3://bucket/deep/t")
    assert keys() == before
    with pytest.raises(FileNotFoundError, match="there is no Delta table at 's3://bucket/none'"):
        data.read_delta("s3://bucket/none")


@pytest.mark.usefixtures("placement")
def test_an_iceberg_table_comes_back(iceberg_catalog, s3_server):
    catalog = iceberg_catalog
    schema = pa.schema({"a": pa.int64(), "t": pa.string()})
    place = {
        "s3.endpoint": s3_server,
        "s3.access-key-id": "key",
        "s3.secret-access-key": "secret",
        "s3.region": "us-east-1",
    }
    catalog.properties.update(place)
    catalog.create_table("ns.s3", schema, location="s3://bucket/deep/ice")
    try:
        rows = data.from_arrow(pa.table({"a": range(6), "t": list("abcdef")}))
        rows.repartition(2).write_iceberg("ns.s3", catalog=catalog)
        ds = data.read_iceberg("ns.s3", catalog=catalog)
        assert [row["a"] for row in ds.take_all()] == list(range(6))
        assert ds.filter(col("t") == "e").take_all() == [{"a": 4, "t": "e"}]
        before = keys()
        broken = rows.map(lambda row: {"a": 1 // (5 - row["a"])})
        with pytest.raises(Exception, match="division"):
            broken.write_iceberg("ns.s3", catalog=catalog)
        assert keys() == before
        assert ds.count() == 6
    finally:
        catalog.drop_table("ns.s3")
        for name in place:
            del catalog.properties[name]
