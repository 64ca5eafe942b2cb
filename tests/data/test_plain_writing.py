"""Text by lines, and bytes by files: what is written is read back."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import data
from air.errors import InvalidOption

pytestmark = pytest.mark.usefixtures("placement")

LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=4))


def below(path):
    return sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.is_file())


def test_lines_come_back(tmp_path_factory):
    @settings(max_examples=25, deadline=None)
    @given(LINES, st.sampled_from([pa.string(), pa.large_string()]))
    def check(lines, kind):
        path = tmp_path_factory.mktemp("x")
        ds = data.from_arrow(pa.table({"t": pa.array(lines, kind)})).repartition(3)
        ds.write_text(path)
        if lines:
            found = data.read_text(path, drop_empty_lines=False).take_all()
            assert [row["text"] for row in found] == lines

    check()


def test_text_may_be_compressed_categories_or_one_of_several_columns(tmp_path):
    words = pa.array(["ä", "b", "ä"]).dictionary_encode()
    ds = data.from_arrow(pa.table({"n": [1, 2, 3], "w": words}))
    ds.write_text(tmp_path, column="w", arrow_open_stream_args={"compression": "gzip"})
    (name,) = below(tmp_path)
    assert name.endswith(".txt.gz")
    assert gzip.decompress((tmp_path / name).read_bytes()).decode() == "ä\nb\nä\n"
    data.from_items(["x", "y"]).write_text(tmp_path / "objects")
    assert data.read_text(tmp_path / "objects").take_all() == [{"text": "x"}, {"text": "y"}]


@pytest.mark.parametrize(
    ("table", "column", "message"),
    [
        ({"a": ["x"], "b": ["y"]}, None, r"have 2 columns \(a, b\).* name it, column=..."),
        ({"a": [1]}, None, "column 'a' has the type int64, which a file of text cannot hold"),
        ({"a": ["x", None]}, "a", "column 'a' .* there are nulls: fill them"),
        ({"a": ["x\ny"]}, "a", "column 'a' holds text with ends of lines"),
        ({"a": ["x\r"]}, "a", "column 'a' holds text with ends of lines"),
    ],
)
def test_what_is_no_line_is_refused(tmp_path, table, column, message):
    with pytest.raises(data.WriteError, match=f"write_text: .*{message}"):
        data.from_arrow(pa.table(table)).write_text(tmp_path / "x", column=column)
    assert below(tmp_path) == []
    with pytest.raises(data.ColumnNotFound, match="write_text: no column 'c'"):
        data.from_arrow(pa.table(table)).write_text(tmp_path / "x", column="c")


def files_in(path, contents):
    for name, content in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


CONTENTS = {"a.bin": b"\0\xff", "d/b.txt": b"", "d/e/c.gz": gzip.compress(b"text", mtime=0)}


def test_files_of_bytes_come_back_by_their_names(tmp_path):
    files_in(tmp_path / "in", CONTENTS)
    ds = data.read_binary_files(tmp_path / "in", include_paths=True)
    ds.write_binary_files(tmp_path / "out", names="path", base_dir=tmp_path / "in")
    assert below(tmp_path / "out") == sorted(CONTENTS)
    assert (tmp_path / "out" / "a.bin").read_bytes() == b"\0\xff"
    assert gzip.decompress((tmp_path / "out" / "d/e/c.gz").read_bytes()) == b"text"
    back = data.read_binary_files(tmp_path / "out").take_all()
    assert back == ds.drop_columns(["path"]).take_all()


def test_without_names_files_are_in_the_order_of_the_rows(tmp_path):
    values = [b"%d" % number for number in range(12)]
    ds = data.from_arrow(pa.table({"image": pa.array(values, pa.large_binary())})).repartition(3)
    ds.write_binary_files(tmp_path, "image", file_format=".jpg")
    assert all(name.endswith(".jpg") for name in below(tmp_path))
    found = data.read_binary_files(tmp_path).take_all()
    assert [row["bytes"] for row in found] == values
    data.from_items([{"t": "ä"}]).write_binary_files(tmp_path / "text", "t")
    assert data.read_binary_files(tmp_path / "text").take_all() == [{"bytes": "ä".encode()}]


def named(*names, value=b"x"):
    rows = [{"name": name, "bytes": value} for name in names]
    return data.from_items(rows, parallelism=max(len(rows), 1))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b", "a"], "the name 'a' in the column 'name' is there twice"),
        (["a", None], "the name None in the column 'name' is no text"),
        (["/etc/x"], "is no name below the directory: .* base_dir"),
        (["a/../b"], "is no name below the directory"),
        (["a//b"], "is no name below the directory"),
        ([".a"], "would be hidden"),
        (["d/_a"], "would be hidden"),
    ],
)
def test_names_that_are_none_are_refused(tmp_path, names, message):
    with pytest.raises(data.WriteError, match=f"write_binary_files: .*{message}"):
        named(*names).write_binary_files(tmp_path / "x", names="name")
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_there_stay(tmp_path):
    files_in(tmp_path, {"a": b"old", "z": b"old"})
    with pytest.raises(FileExistsError, match=r"/a' is there already.*mode='overwrite'"):
        named("b", "a").write_binary_files(tmp_path, names="name")
    assert below(tmp_path) == ["a", "z"]
    named("b").write_binary_files(tmp_path, names="name")
    assert below(tmp_path) == ["a", "b", "z"]
    named("a").write_binary_files(tmp_path, names="name", mode="overwrite")
    assert below(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"x"


def test_a_file_takes_the_place_of_one_where_directories_do_not_move(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("local")
    files_in(tmp_path, {"a": b"old", "z": b"old"})
    with pytest.raises(FileExistsError, match="is there already"):
        named("a").write_binary_files(tmp_path, names="name", filesystem=system)
    named("a", "d/b").write_binary_files(
        tmp_path, names="name", filesystem=system, mode="overwrite"
    )
    assert below(tmp_path) == ["a", "d/b"]
    assert (tmp_path / "a").read_bytes() == b"x"


def test_what_is_no_bytes_is_refused(tmp_path):
    with pytest.raises(data.WriteError, match=r"column 'bytes' .* there is a null: fill it"):
        named("a", value=None).map_batches(
            lambda table: table.set_column(1, "bytes", pa.array([None], pa.binary())),
            batch_format="pyarrow",
        ).write_binary_files(tmp_path)
    with pytest.raises(data.WriteError, match="column 'bytes' has the type int64, which a file"):
        named("a", value=1).write_binary_files(tmp_path)
    for column in ("bytes", "name"):
        with pytest.raises(data.ColumnNotFound, match=r"write_binary_files.*no column 'other'"):
            named("a").drop_columns([column]).write_binary_files(
                tmp_path,
                column="other" if column == "bytes" else "bytes",
                names="other" if column == "name" else None,
            )
    with pytest.raises(InvalidOption, match="base_dir says what names are relative to"):
        named("a").write_binary_files(tmp_path, base_dir="/x")
    with pytest.raises(InvalidOption, match="file_format must be an ending, got 'a/b'"):
        named("a").write_binary_files(tmp_path, file_format="a/b")
    with pytest.raises(data.WriteError, match="is not below base_dir='/x'"):
        named("/y/a").write_binary_files(tmp_path, names="name", base_dir="/x")
    assert below(tmp_path) == []


def test_without_rows_there_are_no_files(tmp_path):
    ds = named("a").filter(lambda row: False)
    ds.write_binary_files(tmp_path / "x", names="name")
    assert below(tmp_path) == []
