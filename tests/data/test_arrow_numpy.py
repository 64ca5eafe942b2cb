from __future__ import annotations

import datetime
import gzip
import re

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, ipc

from air import data
from air.data.datasources import npy
from air.errors import InvalidOption

pytestmark = pytest.mark.usefixtures("placement")

TABLE = pa.table({"a": [1, None, 3], "b": ["x", "ü", None], "c": [[1.5], [], None]})


# Arrow ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["lz4", "zstd", None])
@pytest.mark.parametrize("form", ["file", "stream"])
def test_arrow_comes_back(tmp_path, form, codec):
    data.from_arrow([TABLE, TABLE]).write_arrow(tmp_path, format=form, compression=codec)
    assert {path.suffix for path in tmp_path.iterdir()} == {
        ".arrow" if form == "file" else ".arrows"
    }
    ds = data.read_arrow(tmp_path)
    assert ds.to_arrow().equals(pa.concat_tables([TABLE, TABLE]))
    assert ds.select_columns(["c", "a"]).take(1) == [{"c": [1.5], "a": 1}]
    assert data.read_arrow(tmp_path, columns=["b"]).columns() == ["b"]
    assert ds.count() == 6


def test_record_batches_are_read_apart(tmp_path):
    table = pa.table({"a": range(100), "b": pa.array(["x", "y"] * 50).dictionary_encode()})
    feather.write_feather(table, tmp_path / "x.feather", chunksize=10)
    ds = data.read_arrow(tmp_path, include_paths=True, parallelism=4)
    assert ds.num_blocks() == 4
    assert ds.columns() == ["a", "b", "path"]
    found = ds.to_arrow()
    assert found.select(["a", "b"]).to_pylist() == table.to_pylist()
    assert pa.types.is_dictionary(found.schema.field("b").type)
    handle = next(data.read_arrow(tmp_path, parallelism=4).run())
    assert "x.feather (record batches 0-2)" in handle.metadata.source


def test_dictionaries_of_several_blocks_are_written_as_one(tmp_path):
    blocks = [pa.table({"d": pa.array([t]).dictionary_encode()}) for t in ("x", "y", "z")]
    data.from_arrow(blocks).repartition(1).write_arrow(tmp_path)
    found = data.read_arrow(tmp_path).to_arrow()
    assert found["d"].to_pylist() == ["x", "y", "z"]


def test_a_whole_file_may_be_compressed(tmp_path):
    sink = pa.BufferOutputStream()
    with ipc.new_file(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    (tmp_path / "x.arrow.gz").write_bytes(gzip.compress(sink.getvalue()))
    assert data.read_arrow(tmp_path).to_arrow().equals(TABLE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "null or length 0"),
        (b"no arrow at all", "Expected to read"),
        (b"ARROW1\0\0" + b"x" * 100, "Not an Arrow file"),
        (b"FEA1\0\0\0\0", "it is Feather version 1; read it with pandas"),
    ],
)
def test_what_is_not_arrow_is_named(tmp_path, content, message):
    (tmp_path / "x.arrow").write_bytes(content)
    where = re.escape(str(tmp_path / "x.arrow"))
    with pytest.raises(data.ReadError, match=f"{where} cannot be read as Arrow .*{message}"):
        data.read_arrow(tmp_path)


def test_arrow_without_rows_or_columns(tmp_path):
    data.from_arrow(TABLE.slice(0, 0)).write_arrow(tmp_path / "a")
    assert data.read_arrow(tmp_path / "a").to_arrow().schema == TABLE.schema
    assert data.read_arrow(tmp_path / "a").take_all() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "gzip"}, "unknown compression 'gzip'"),
        ({"format": "files"}, "unknown format 'files'. Did you mean 'file'?"),
        ({"arrow_open_stream_args": {}}, "compressed inside: give compression"),
    ],
)
def test_options_of_writers_are_checked(tmp_path, options, message):
    with pytest.raises(InvalidOption, match=re.escape(message)):
        data.from_arrow(TABLE).write_arrow(tmp_path / "x", **options)
    assert list(tmp_path.iterdir()) == []


# numpy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        np.arange(10),
        np.arange(24, dtype=np.float32).reshape(4, 2, 3),
        np.asfortranarray(np.arange(6, dtype=np.int16).reshape(3, 2)),
        np.array([True, False]),
        np.zeros((3, 2), bool),
        np.array([1.5, np.nan], np.float16),
        np.array(["a", "bü", ""]),
        np.array([b"a", b"bc"]),
        np.array(["2024-01-01", "NaT"], "M8[D]"),
        np.array(["2024-01-01T00:00:00.000000001", "NaT"], "M8[ns]"),
        np.array([1, 2], "m8[s]"),
        np.zeros((0, 2)),
        np.zeros((2, 0)),
        np.array([1, 2], ">i4"),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_arrays_come_back(tmp_path, array, monkeypatch):
    monkeypatch.setattr(npy, "_PIECE_BYTES", 20)
    np.save(tmp_path / "x.npy", array)
    ds = data.read_numpy(tmp_path)
    assert ds.count() == len(array)
    ds.write_numpy(tmp_path / "out")
    files = sorted((tmp_path / "out").iterdir())
    again = np.concatenate([np.load(file) for file in files])
    np.testing.assert_array_equal(again, array)
    assert again.dtype.kind == array.dtype.kind
    found = [row["data"] for row in data.read_numpy(tmp_path / "out").take_all()]
    assert len(found) == len(array)


def test_files_of_arrays_are_pieces(tmp_path):
    for index in range(3):
        np.save(
            tmp_path / f"{index}.npy", np.full((2, 2), index, [np.int8, np.int32, float][index])
        )
    ds = data.read_numpy(tmp_path, include_paths=True)
    assert ds.count() == 6
    assert ds.num_blocks() == 3
    batch = ds.take_batch(6)
    np.testing.assert_array_equal(batch["data"], np.repeat([0.0, 1, 2], 4).reshape(6, 2))
    assert batch["path"][5] == str(tmp_path / "2.npy")
    assert ds.select_columns(["path"]).count() == 6


def test_objects_need_a_word(tmp_path):
    np.save(tmp_path / "x.npy", np.array([1, None, 3], object), allow_pickle=True)
    with pytest.raises(data.ReadError, match=r"x\.npy cannot be read as an array.*allow_pickle"):
        data.read_numpy(tmp_path)
    rows = data.read_numpy(tmp_path, allow_pickle=True).take_all()
    assert [row["data"] for row in rows] == [1, None, 3]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array(3), "a single value"),
        (np.array([1j]), "column 'data'"),
        (np.array([(1, 2.0)], [("a", int), ("b", float)]), r"fields \(a, b\): save an array for"),
    ],
)
def test_arrays_that_are_no_rows_are_named(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(data.ReadError, match=rf"x\.npy cannot be read as an array of .*{message}"):
        data.read_numpy(tmp_path)


def test_files_that_are_no_arrays_are_named(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.arange(3))
    (tmp_path / "y.npy").write_bytes(b"hello, this is text")
    np.save(tmp_path / "z.npy", np.arange(100))
    (tmp_path / "z.npy").write_bytes((tmp_path / "z.npy").read_bytes()[:-1])
    with pytest.raises(data.ReadError, match=r"x\.npz .*an archive of arrays \(\.npz\): save each"):
        data.read_numpy(tmp_path / "x.npz")
    with pytest.raises(data.ReadError, match=r"y\.npy cannot be read.*magic string"):
        data.read_numpy(tmp_path / "y.npy")
    with pytest.raises(data.ReadError, match=r"z\.npy cannot be read.*ends before its array does"):
        data.read_numpy(tmp_path / "z.npy").take_all()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1, None], "int64.*for there are nulls in it: fill them"),
        ([[1], [2, 3]], "list<.*turn it into numbers or text, or use write_parquet"),
        ([datetime.time(1)], "time64"),
        (["a\0"], "zeros at the end"),
        ([b"\0"], "zeros at the end"),
        ([datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)], "tz=UTC"),
        (pa.array(["a"]).dictionary_encode(), "dictionary"),
        ([{"x": 1}], "struct"),
    ],
)
def test_what_an_array_cannot_hold_is_named(tmp_path, column, message):
    ds = data.from_arrow(pa.table({"x": column}))
    with pytest.raises(data.WriteError, match=f"write_numpy: column 'x' has the type .*{message}"):
        ds.write_numpy(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_which_column_is_written(tmp_path):
    ds = data.from_arrow(TABLE)
    with pytest.raises(
        data.WriteError, match=r"the rows have 3 columns \(a, b, c\), .*column=\.\.\."
    ):
        ds.write_numpy(tmp_path / "x")
    with pytest.raises(data.ColumnNotFound, match="write_numpy: no column 'd'"):
        ds.write_numpy(tmp_path / "x", column="d")
    with pytest.raises(InvalidOption, match="has no option 'colum'"):
        ds.write_numpy(tmp_path / "x", colum="a")
    with pytest.raises(InvalidOption, match="'mmap_mode': files may be on any file system"):
        data.read_numpy(tmp_path, mmap_mode="r")
    with pytest.raises(InvalidOption, match="Did you mean 'allow_pickle'"):
        data.read_numpy(tmp_path, allow_pickel=True)
    data.from_arrow(TABLE.slice(0, 1)).write_numpy(tmp_path / "y", column="a")
    assert data.read_numpy(tmp_path / "y").take_all() == [{"data": 1}]
