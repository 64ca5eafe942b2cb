from __future__ import annotations

import gzip
import io
import tarfile

import numpy as np
import pyarrow as pa
import pytest

from air import data
from air.data.errors import ReadError, WriteError
from air.data.webdataset.samples import divided
from air.errors import InvalidOption

pytestmark = pytest.mark.usefixtures("backend")
both = pytest.mark.usefixtures("placement")


def archive(path, files, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


FILES = [
    ("a/0.txt", "ä".encode()),
    ("a/0.cls", b"3"),
    ("a/0.META.json", b'{"x": 1, "y": [1, 2]}'),
    ("a/1.txt", b""),
    ("a/1.cls", b"-4"),
    ("a/1.bin", b"\x00\xff"),
]
ROWS = [
    {"__key__": "a/0", "txt": "ä", "cls": 3, "meta.json": {"x": 1, "y": [1, 2]}, "bin": None},
    {"__key__": "a/1", "txt": "", "cls": -4, "meta.json": None, "bin": b"\x00\xff"},
]


@both
@pytest.mark.parametrize(
    ("name", "mode"), [("x.tar", "w"), ("x.tgz", "w:gz"), ("x.tar.bz2", "w:bz2")]
)
def test_samples_are_rows(tmp_path, name, mode):
    archive(tmp_path / name, FILES, mode)
    assert data.read_webdataset(tmp_path).take_all() == ROWS
    picked = data.read_webdataset(tmp_path / name).select_columns(["cls"])
    assert picked.take_all() == [{"cls": 3}, {"cls": -4}]
    assert data.read_webdataset(tmp_path / name, suffixes=["cls"]).columns() == ["__key__", "cls"]


@both
@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
def test_what_is_written_is_read_back(tmp_path, compression):
    rows = [
        {
            "__key__": f"{i:03d}",
            "npy": np.full((2, 3), i, np.float32),
            "label.cls": i,
            "json": {"n": [i], "t": "ü"},
            "txt": f"{i}" if i % 2 else None,
            "txt.gz": "x" * i,
            "bin": bytes([i]),
        }
        for i in range(6)
    ]
    opening = None if compression is None else {"compression": compression}
    ds = data.from_items(rows, parallelism=3)
    ds.write_webdataset(tmp_path / "x", arrow_open_stream_args=opening)
    assert len(list((tmp_path / "x").iterdir())) == 3
    back = data.read_webdataset(tmp_path / "x").take_all()
    for found, row in zip(back, rows, strict=True):
        np.testing.assert_array_equal(found.pop("npy"), row.pop("npy"))
        assert found == row


def test_images(tmp_path):
    pytest.importorskip("PIL")
    rng = np.random.default_rng(0)
    sizes = [(4, 5), (6, 3)]
    rows = [
        {"__key__": str(i), "png": rng.integers(0, 256, (*size, 3), np.uint8), "cls": i}
        for i, size in enumerate(sizes)
    ]
    for count, target in ((1, "one"), (2, "two")):
        data.from_items(rows[:count]).write_webdataset(tmp_path / target)
        back = data.read_webdataset(tmp_path / target).take_all()
        for found, row in zip(back, rows, strict=False):
            found = np.array([[list(pixel) for pixel in line] for line in found["png"]])
            np.testing.assert_array_equal(found, row["png"])


def test_decoders_and_choices(tmp_path):
    archive(tmp_path / "x.tar", FILES)

    def lengths(sample):
        return {k: v if k == "__key__" else len(v) for k, v in sample.items()}

    def read(**options):
        return data.read_webdataset(tmp_path / "x.tar", **options).take_all()

    assert read(decoder=None, suffixes=[".txt"]) == [
        {"__key__": "a/0", "txt": "ä".encode()},
        {"__key__": "a/1", "txt": b""},
    ]
    chosen = {"fileselect": ["*.txt"], "decoder": [lengths, lambda s: {**s, "more": 1}]}
    assert read(**chosen) == [
        {"__key__": "a/0", "txt": 2, "more": 1},
        {"__key__": "a/1", "txt": 0, "more": 1},
    ]
    assert [row["__key__"] for row in read(filerename=[("a/", "b/")])] == ["b/0", "b/1"]
    assert read(fileselect=lambda name: name.endswith("0.cls"), filerename=str.upper) == [
        {"__key__": "A/0", "cls": 3}
    ]
    with pytest.raises(TypeError, match=r"decoder must give a dict, got int.*'a/0'"):
        read(decoder=len)
    for options in ({"decoder": "x"}, {"suffixes": "x"}, {"fileselect": 1}, {"filerename": ["a"]}):
        with pytest.raises(InvalidOption, match=next(iter(options))):
            read(**options)
    with pytest.raises(InvalidOption, match="no option 'verbose_open'"):
        read(verbose_open=True)


def test_an_encoder_of_ones_own(tmp_path):
    ds = data.range_table(3)
    ds.write_webdataset(
        tmp_path, encoder=lambda row: {"__key__": f"k{row['value']}", "n": bytes([row["value"]])}
    )
    assert data.read_webdataset(tmp_path).take(1) == [{"__key__": "k0", "n": b"\x00"}]


def test_bytes_depend_on_rows_alone(tmp_path):
    for name in "ab":
        data.from_items(ROWS, parallelism=1).write_webdataset(tmp_path / name)
    (one,), (two,) = ((tmp_path / name).iterdir() for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_names_of_files():
    assert divided("a.b/c.D.e") == ("a.b/c", "d.e")
    assert divided("c.jpg") == ("c", "jpg")
    for name in ("c", "a.b/c", ".c.jpg", "a/._c.jpg", "c.", "__meta__.json", ""):
        assert divided(name) is None


def test_damage_is_named(tmp_path):
    path = tmp_path / "x.tar"
    archive(path, [*FILES, ("b.txt", b"x" * 5000)])
    good = path.read_bytes()
    path.write_bytes(good[: good.rindex(b"xxx") - 2000])
    with pytest.raises(ReadError, match=r"x.tar cannot be read as a tar archive after 'b.txt'"):
        data.read_webdataset(path)
    path.write_bytes(b"no archive" * 100)
    with pytest.raises(ReadError, match=r"x.tar cannot be read as a tar archive at its beginning"):
        data.read_webdataset(path)
    archive(path, [("a.json", b"{"), ("a.cls", b"1")])
    with pytest.raises(ReadError, match=r"x.tar, sample 'a': its file 'json' cannot be decoded"):
        data.read_webdataset(path)
    archive(path, [("a.txt", b"1"), ("a.txt", b"2")])
    with pytest.raises(ReadError, match=r"has 'a.txt' twice in sample 'a'"):
        data.read_webdataset(path)
    archive(path, [])
    assert data.read_webdataset(path).take_all() == []


def test_samples_that_differ_from_those_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("air.data.webdataset.source._LOOK_BYTES", 1)
    monkeypatch.setattr("air.data.webdataset.source._LEAST_LOOK", 1)
    archive(tmp_path / "x.tar", FILES)
    with pytest.raises(ReadError, match=r"sample 'a/1': it has 'bin', which none.*suffixes="):
        data.read_webdataset(tmp_path).take_all()
    archive(tmp_path / "x.tar", [("a.json", b"1"), ("b.json", b'"x"')])
    with pytest.raises(ReadError, match=r"x.tar: column 'json' mixes.*decoder=None"):
        data.read_webdataset(tmp_path).take_all()
    monkeypatch.setattr("air.data.webdataset.source._PIECE_BYTES", 1)
    with pytest.raises(ReadError, match=r"x.tar, samples 'b' to 'b': .*'json'.*decoder=None"):
        data.read_webdataset(tmp_path).take_all()


def test_what_would_not_be_read_back_is_refused(tmp_path):
    for row, message in [
        ({"txt": "x"}, "needs a text of its own in the column '__key__', got None"),
        ({"__key__": "a.b", "txt": "x"}, "a file 'a.b.txt' would be read back as another"),
        ({"__key__": "a", "TXT": "x"}, "a file 'a.TXT' would be read back as another"),
        ({"__key__": "a", "cls": 1.5}, r"column 'cls' holds 1.5, and its name says no way"),
        ({"__key__": "a", "x": [1]}, r"column 'x' holds \[1\]"),
    ]:
        with pytest.raises(WriteError, match=message):
            data.from_items([row]).write_webdataset(tmp_path)
    with pytest.raises(WriteError, match="'a' twice"):
        data.from_items([{"__key__": "a", "txt": "x"}] * 2, parallelism=1).write_webdataset(
            tmp_path
        )
    with pytest.raises(WriteError, match="which is no bytes; with encoder=True"):
        data.from_items([{"__key__": "a", "cls": 1}]).write_webdataset(tmp_path, encoder=None)
    assert list(tmp_path.iterdir()) == []


def test_packed_files_in_archives(tmp_path):
    archive(tmp_path / "x.tar", [("a.json.gz", gzip.compress(b"[1]")), ("a.gz", b"\x1f")])
    rows = data.read_webdataset(tmp_path)
    assert rows.take_all() == [{"__key__": "a", "json.gz": [1], "gz": b"\x1f"}]
    assert rows.schema().field("json.gz").type == pa.list_(pa.int64())
