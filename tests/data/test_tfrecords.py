from __future__ import annotations

import gzip
import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import data
from air.data.errors import ReadError, WriteError
from air.data.tfrecords.decoding import varints
from air.data.tfrecords.encoding import messages
from air.data.tfrecords.framing import checksum, framed, masked
from air.errors import InvalidOption

pytest.importorskip("google_crc32c")
pytestmark = pytest.mark.usefixtures("backend")
both = pytest.mark.usefixtures("placement")

ROWS = [
    {"i": 1, "f": 0.5, "b": b"\x00\xff", "t": "ä", "l": [1, -2, 1 << 40], "y": True},
    {"i": -1, "f": None, "b": b"", "t": None, "l": [], "y": False},
    {"i": None, "f": -2.0, "b": None, "t": "", "l": None, "y": None},
]


def written(path, content):
    crc = checksum()
    path.write_bytes(b"".join(framed(each, crc) for each in content))


def encoded(*features):
    """An ``Example`` by hand: pairs of a name and its encoded list, with its tag."""
    entries = b""
    for name, value in features:
        entry = b"\x0a" + bytes([len(name)]) + name + b"\x12" + bytes([len(value)]) + value
        entries += b"\x0a" + bytes([len(entry)]) + entry
    return b"\x0a" + bytes([len(entries)]) + entries


@both
@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_what_is_written_is_read_back(tmp_path, compression):
    opening = None if compression is None else {"compression": compression}
    ds = data.from_items(ROWS, parallelism=2)
    ds.write_tfrecords(tmp_path / "x", arrow_open_stream_args=opening)
    back = data.read_tfrecords(tmp_path / "x")
    text = [None if row["t"] is None else row["t"].encode() for row in ROWS]
    flag = [None if row["y"] is None else int(row["y"]) for row in ROWS]
    wanted = [{**r, "t": t, "y": y} for r, t, y in zip(ROWS, text, flag, strict=True)]
    assert back.take_all() == wanted
    kinds = {c.name: c.type for c in back.schema()}
    assert kinds == {
        "i": pa.int64(),
        "f": pa.float32(),
        "b": pa.binary(),
        "t": pa.binary(),
        "l": pa.list_(pa.int64()),
        "y": pa.int64(),
    }
    assert back.select_columns(["l", "i"]).take_all() == [
        {"l": row["l"], "i": row["i"]} for row in ROWS
    ]
    assert back.count() == 3


SCHEMA = pa.schema(
    {
        "i": pa.int64(),
        "f": pa.float32(),
        "s": pa.string(),
        "li": pa.list_(pa.int64()),
        "lf": pa.list_(pa.float32()),
        "lb": pa.list_(pa.binary()),
    }
)
INTS = st.integers(-(1 << 63), (1 << 63) - 1)
FLOATS = st.floats(width=32, allow_nan=False)


@settings(max_examples=25)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "i": st.none() | INTS,
                "f": st.none() | FLOATS,
                "s": st.none() | st.text(max_size=200),
                "li": st.none() | st.lists(INTS, max_size=200),
                "lf": st.none() | st.lists(FLOATS),
                "lb": st.none() | st.lists(st.binary(max_size=3)),
            }
        ),
        max_size=5,
    )
)
def test_rows_come_back_as_the_schema_says(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("x")
    table = pa.Table.from_pylist(rows, SCHEMA)
    data.from_arrow(table).write_tfrecords(path)
    back = data.read_tfrecords(path, schema=SCHEMA)
    assert back.take_all() == rows
    assert back.schema() == SCHEMA


def test_bytes_are_those_of_the_format(tmp_path):
    # A record of TensorFlow's, as tf.io.TFRecordWriter wrote it.
    example = b"\n\x0f\n\r\n\x01a\x12\x08\x1a\x06\n\x04\x01\x02\x83\x01"
    assert list(messages(pa.table({"a": [[1, 2, 131]]}))) == [example]
    assert checksum()(b"123456789") == 0xE3069283  # RFC 3720
    assert framed(b"", checksum())[:12] == struct.pack("<QI", 0, masked(checksum()(bytes(8))))


def test_other_ways_to_encode_the_same(tmp_path):
    content = [
        encoded((b"n", b"\x1a\x05\x08\x01\x08\x83\x01")),
        encoded((b"n", b"\x1a\x05\x0a\x03\x01\x83\x01")),
        encoded((b"n", b"\x1a\x00"), (b"x", b"")),
        b"",
        b"\x52\x01\x00" + encoded((b"n", b"\x1a\x02\x08\x07")),  # a field of a later version
    ]
    written(tmp_path / "x", content)
    rows = data.read_tfrecords(tmp_path / "x").take_all()
    assert [row["n"] for row in rows] == [[1, 131], [1, 131], [], None, [7]]


def test_compressed_by_ending(tmp_path):
    written(tmp_path / "x", [encoded((b"n", b"\x1a\x02\x08\x07"))] * 3)
    content = (tmp_path / "x").read_bytes()
    (tmp_path / "x.gz").write_bytes(gzip.compress(content))
    (tmp_path / "x.zlib").write_bytes(zlib.compress(content))
    assert data.read_tfrecords(tmp_path).take_all() == [{"n": 7}] * 9
    (tmp_path / "x.zlib").write_bytes(zlib.compress(content)[:-6])
    with pytest.raises(ReadError, match=r"x.zlib"):
        data.read_tfrecords(tmp_path / "x.zlib").take_all()


def test_damage_is_named(tmp_path):
    path = tmp_path / "x"
    written(path, [encoded((b"n", b"\x1a\x02\x08\x07"))] * 3)
    good = path.read_bytes()
    size = len(good) // 3
    for place, message in [
        (size + 13, rf"x is damaged in the record at byte {size} \(\d+ bytes\)"),
        (2 * size + 3, rf"x is damaged at byte {2 * size}, or holds no TFRecords"),
    ]:
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(ReadError, match=message):
            data.read_tfrecords(path)
    path.write_bytes(good[:-3])
    with pytest.raises(ReadError, match=f"cut short: the record at byte {2 * size}"):
        data.read_tfrecords(path)
    written(path, [b"\x0a\x05no"])
    with pytest.raises(ReadError, match="record at byte 0: it is no Example message"):
        data.read_tfrecords(path)
    one, other = encoded((b"n", b"\x1a\x02\x08\x07")), encoded((b"n", b"\x0a\x03\x0a\x01a"))
    written(path, [one, other])
    with pytest.raises(ReadError, match=r"byte 29: its feature 'n' holds bytes, and.* ints"):
        data.read_tfrecords(path)


def test_columns_that_come_later_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("air.data.tfrecords.source._LOOK_BYTES", 1)
    monkeypatch.setattr("air.data.tfrecords.source._LEAST_LOOK", 1)
    monkeypatch.setattr("air.data.tfrecords.source._PIECE_BYTES", 40)
    one, two = encoded((b"n", b"\x1a\x02\x08\x07")), encoded((b"n", b"\x1a\x04\x08\x07\x08\x08"))
    new = encoded((b"z", b"\x1a\x02\x08\x07"))
    written(tmp_path / "a", [one, one, two])
    with pytest.raises(ReadError, match=r"byte 58: its feature 'n' has 2 values.*schema="):
        data.read_tfrecords(tmp_path / "a").take_all()
    written(tmp_path / "b", [one, new])
    with pytest.raises(ReadError, match=r"byte 29: it has the feature 'z'.*schema="):
        data.read_tfrecords(tmp_path / "b").take_all()
    schema = pa.schema({"n": pa.list_(pa.int64()), "z": pa.int64()})
    rows = data.read_tfrecords(tmp_path, schema=schema).take_all()
    assert [row["n"] for row in rows] == [[7], [7], [7, 8], [7], None]
    assert [row["z"] for row in rows] == [None] * 4 + [7]


def test_files_that_differ(tmp_path):
    written(tmp_path / "a", [encoded((b"n", b"\x1a\x02\x08\x07"))])
    written(
        tmp_path / "b", [encoded((b"n", b"\x1a\x04\x08\x07\x08\x08"), (b"m", b"\x1a\x02\x08\x01"))]
    )
    ds = data.read_tfrecords(tmp_path, include_paths=True)
    assert [(row["n"], row["m"]) for row in ds.take_all()] == [([7], None), ([7, 8], 1)]
    assert [row["path"][-1] for row in ds.take_all()] == ["a", "b"]


def test_what_cannot_be_held_is_refused(tmp_path):
    bad = [
        pa.array([1], pa.timestamp("s")),
        pa.array([{"x": 1}]),
        pa.array([[[1]]]),
        pa.array([1 << 63], pa.uint64()),
        pa.array([1e300]),
        pa.array([[1, None]]),
    ]
    for values in bad:
        with pytest.raises(WriteError, match="write_tfrecords: column 'a'"):
            data.from_arrow(pa.table({"a": values})).write_tfrecords(tmp_path / "x")
    with pytest.raises(WriteError, match="column 'data'"):
        data.range_tensor(3, shape=(2,)).write_tfrecords(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidOption, match="no option 'tf_schema'"):
        data.range_table(3).write_tfrecords(tmp_path / "x", tf_schema=None)
    with pytest.raises(InvalidOption, match=r"no option 'tf_schema'.*schema=pyarrow.schema"):
        data.read_tfrecords(tmp_path, tf_schema=None)


def test_numbers_are_decoded_together():
    numbers, ends = varints(b"\x01\xff\x01\x00" + b"\xff" * 9 + b"\x01")
    assert numbers.tolist() == [1, 255, 0, -1]
    assert ends.tolist() == [0, 2, 3, 13]
    assert varints(b"")[0].dtype == np.int64


@pytest.mark.tensorflow
def test_tensorflow_reads_and_writes_the_same(tmp_path):
    tf = pytest.importorskip("tensorflow")
    rows = [{"i": i - 5, "s": f"é{i}".encode(), "l": list(range(i))} for i in range(20)]
    data.from_items(rows, parallelism=1).write_tfrecords(
        tmp_path / "x", arrow_open_stream_args={"compression": "gzip"}
    )
    (file,) = (tmp_path / "x").iterdir()
    wanted = {
        "i": tf.io.FixedLenFeature([], tf.int64),
        "s": tf.io.FixedLenFeature([], tf.string),
        "l": tf.io.VarLenFeature(tf.int64),
    }
    for record, row in zip(tf.data.TFRecordDataset([str(file)], "GZIP"), rows, strict=True):
        found = tf.io.parse_single_example(record, wanted)
        numbers = tf.sparse.to_dense(found["l"]).numpy().tolist()
        assert {"i": found["i"], "s": found["s"], "l": numbers} == row

    def ints(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    for ending, compression in (("-00000-of-00001", ""), (".gz", "GZIP"), (".zlib", "ZLIB")):
        path = f"{tmp_path}/y.tfrecord{ending}"
        with tf.io.TFRecordWriter(path, options=compression) as writer:
            for row in rows:
                text = tf.train.Feature(bytes_list=tf.train.BytesList(value=[row["s"]]))
                features = {"i": ints([row["i"]]), "s": text, "l": ints(row["l"])}
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
        assert data.read_tfrecords(path).take_all() == rows
