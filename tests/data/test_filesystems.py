"""Where files may be: examples of the package, patterns anywhere, file systems of fsspec."""

from __future__ import annotations

import fnmatch
import re
import resource
import threading

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import fs as arrow_fs

from air import data
from air.data.datasources.filesystems import filesystem_of
from air.data.datasources.patterns import fixed_part, translated
from air.errors import InvalidOption

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def test_tables_come_with_the_package():
    csv = data.read_csv("example://iris.csv").to_pandas()
    pd.testing.assert_frame_equal(data.read_parquet("example://iris.parquet").to_pandas(), csv)
    assert csv.shape == (150, 5)
    assert csv.variety.value_counts().tolist() == [50, 50, 50]
    assert data.read_csv("example://breast_cancer.csv").count() == 569
    with pytest.raises(FileNotFoundError, match=r"'example://iris.cvs'\. Did you mean 'iris.csv'"):
        data.read_csv("example://iris.cvs")


def test_uris_of_fsspec(memory):
    frame = pd.DataFrame({"a": range(6), "b": list("äbcdef")})
    ds = data.from_pandas(frame).repartition(3)
    for mode in ("append", "overwrite"):
        ds.write_parquet("memory://bucket/x", mode=mode)
        back = data.read_parquet("memory://bucket/x")
        pd.testing.assert_frame_equal(back.to_pandas(), frame)
    ds.write_csv("memory://bucket/c", arrow_open_stream_args={"compression": "gzip"})
    pd.testing.assert_frame_equal(data.read_csv("memory://bucket/c/*.csv.gz").to_pandas(), frame)
    with pytest.raises(FileExistsError, match="mode='error'"):
        ds.write_csv("memory://bucket/c", mode="error")
    assert sorted(memory.ls("/bucket", detail=False)) == ["/bucket/c", "/bucket/x"]


def test_partitions_of_a_file_system_of_fsspec(memory):
    ds = data.from_items([{"a": i, "k": i % 2} for i in range(4)], parallelism=1)
    ds.write_parquet("memory://bucket/p", partition_cols=["k"])
    rows = data.read_parquet("memory://bucket/p/**/*.parquet").take_all()
    assert rows == [{"a": a, "k": k} for a, k in ((0, 0), (2, 0), (1, 1), (3, 1))]


def test_s3_by_fsspec(s3, s3_server):
    s3fs = pytest.importorskip("s3fs")
    frame = pd.DataFrame({"a": range(6), "b": list("äbcdef")})
    system = s3fs.S3FileSystem(endpoint_url=s3_server)
    ds = data.from_pandas(frame).repartition(3)
    for mode in ("append", "overwrite"):
        ds.write_parquet("bucket/x", filesystem=system, mode=mode)
        back = data.read_parquet("bucket/x", filesystem=system)
        pd.testing.assert_frame_equal(back.to_pandas(), frame)
    assert len(system.ls("bucket/x")) == 3


def test_unknown_uris_are_refused():
    with pytest.raises(InvalidOption, match=r"path 'nope://x'.*nope"):
        data.read_csv("nope://x")


def test_uris_may_be_given_with_their_file_system(memory, tmp_path):
    ds = data.range_table(3)
    ds.write_csv("memory://bucket/u", filesystem=memory)
    for path in ("memory://bucket/u", "memory:///bucket/u/*.csv", "/bucket/u"):
        assert data.read_csv(path, filesystem=memory).take_all() == ds.take_all()
    ds.write_csv(f"file://{tmp_path}/u", filesystem=arrow_fs.LocalFileSystem())
    assert data.read_csv(tmp_path / "u", filesystem=arrow_fs.LocalFileSystem()).count() == 3
    for system, named in ((memory, "fsspec"), (arrow_fs.LocalFileSystem(), "local")):
        with pytest.raises(InvalidOption, match=rf"'s3://b/k' is not in the .*\({named}.*: leave"):
            data.read_csv("s3://b/k", filesystem=system)


def test_what_was_being_written_is_told_when_there_is_no_room(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    rows = data.from_items([{"a": "b" * 200_000}])
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="too large") as failure:
            rows.write_csv(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"while write_csv wrote {tmp_path}" in "".join(failure.value.__notes__)
    assert list(tmp_path.iterdir()) == []


def test_patterns_fit_the_same_files_on_any_file_system(tmp_path):
    for name in ("a.csv", "b.csv", "x/c.csv", "x/y/a.csv", ".h/a.csv", "x/.h.csv", "a[1].csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("p\n1\n")
    # Not a local file system as far as patterns are concerned.
    inside = arrow_fs.SubTreeFileSystem(str(tmp_path), arrow_fs.LocalFileSystem())
    for pattern in ("*.csv", "?.csv", "**/*.csv", "x/**/a.csv", "[!a].csv", "[ab].csv", "x/*/*"):
        here = data.read_csv(f"{tmp_path}/{pattern}", include_paths=True)
        there = data.read_csv(pattern, filesystem=inside, include_paths=True)
        found = [row["path"] for row in there.take_all()]
        assert [f"{tmp_path}/{path}" for path in found] == [r["path"] for r in here.take_all()]
        assert found
    with pytest.raises(FileNotFoundError, match=r"no file matches the pattern 'z\*'"):
        data.read_csv("z*", filesystem=inside)


@settings(max_examples=200, deadline=None)
@given(st.text("ab*?[!]-^", max_size=8), st.text("ab[!]-^", min_size=1, max_size=4))
@example("[]", "[]")
@example("[]a]", "]")
@example("[!]", "[!]")
@example("[b-a]", "a")
@example("[!b-a]", "a")
@example("[^a]", "^")
def test_every_text_is_a_pattern(pattern, name):
    fits = re.compile(translated(f"x/{pattern}")).fullmatch
    assert bool(fits(f"x/{name}")) == fnmatch.fnmatchcase(name, pattern)


def test_what_is_fixed_in_a_pattern():
    assert fixed_part("a/b/*/c") == "a/b"
    assert fixed_part("*") == ""


def test_local_paths_are_made_absolute():
    system, path = filesystem_of("x.csv", None)
    assert isinstance(system, arrow_fs.LocalFileSystem)
    assert path.endswith("/x.csv")


class Meeting(fsspec.get_filesystem_class("file")):
    """A server that answers when somebody else asks as well."""

    cachable = False
    others = None

    def _open(self, path, mode="rb", **options):
        if self.others is not None:
            self.others.wait()
        return super()._open(path, mode, **options)


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_files_of_a_server_are_looked_at_together(tmp_path, kind):
    getattr(data.range_table(40).repartition(8), f"write_{kind}")(tmp_path)
    system = Meeting()
    system.others = threading.Barrier(2, timeout=60)
    threads = set(threading.enumerate())
    ds = getattr(data, f"read_{kind}")(tmp_path, filesystem=system)
    assert not [one for one in threading.enumerate() if one not in threads]
    system.others = None
    assert [row["value"] for row in ds.take_all()] == list(range(40))


def test_what_is_kept_is_in_the_order_of_the_files(tmp_path):
    for number in range(4):
        (tmp_path / f"{number}.json").write_text(f'{{"a": {number}}}')
    system = Meeting()
    system.others = threading.Barrier(4, timeout=60)
    ds = data.read_json(tmp_path, filesystem=system)
    kept = ds.plan.source.kept
    assert [path.rpartition("/")[2] for path in kept] == [f"{number}.json" for number in range(4)]


def test_of_several_bad_files_of_a_server_the_first_is_named(tmp_path):
    for name in "abcd":
        (tmp_path / f"{name}.json").write_text("{}" if name == "a" else "no JSON")
    with pytest.raises(data.ReadError, match=r"b\.json cannot be read"):
        data.read_json(tmp_path, filesystem=Meeting())
