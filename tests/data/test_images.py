from __future__ import annotations

import re
import sys

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from air import data
from air.errors import InvalidOption

pytestmark = pytest.mark.usefixtures("placement")

RANDOM = np.random.default_rng(7)


def pixels(*shape, kind=np.uint8):
    return RANDOM.integers(0, 2 if kind is bool else 200, shape).astype(kind)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def images(ds):
    return [np.array(row["image"]) for row in ds.take_all()]


def test_images_of_one_shape_are_arrays_of_it(tmp_path):
    arrays = [pixels(4, 5, 3) for _ in range(5)]
    for index, array in enumerate(arrays):
        save(tmp_path / f"{index}.png", array)
    (tmp_path / "notes.txt").write_text("no image")
    ds = data.read_images(tmp_path, include_paths=True)
    assert ds.count() == 5
    assert ds.columns() == ["image", "path"]
    table = ds.to_arrow()
    assert table.schema.field("image").type == pa.fixed_shape_tensor(pa.uint8(), (4, 5, 3))
    np.testing.assert_array_equal(ds.take_batch(5)["image"], np.stack(arrays))
    assert table["path"][4].as_py() == str(tmp_path / "4.png")
    assert ds.select_columns(["path"]).count() == 5


def test_images_of_several_shapes_are_lists_of_lists(tmp_path):
    arrays = [pixels(4, 5, 3), pixels(2, 7, 3), pixels(3, 3, 3)]
    for index, array in enumerate(arrays):
        save(tmp_path / f"{index}.png", array)
    ds = data.read_images(tmp_path)
    schemas = {handle.get().schema for handle in ds.run()}
    kind = pa.list_(pa.list_(pa.list_(pa.uint8())))
    assert schemas == {pa.schema({"image": kind})}
    for found, array in zip(images(ds), arrays, strict=True):
        np.testing.assert_array_equal(found, array)
    ds.write_images(tmp_path / "out", "image")
    for found, array in zip(images(data.read_images(tmp_path / "out")), arrays, strict=True):
        np.testing.assert_array_equal(found, array)


def test_size_and_mode_make_them_one(tmp_path):
    save(tmp_path / "a.png", pixels(4, 5, 3))
    save(tmp_path / "b.png", pixels(9, 3))
    save(tmp_path / "c.png", pixels(6, 6, 4))
    ds = data.read_images(tmp_path, size=(6, 4), mode="L")
    assert ds.take_batch(3)["image"].shape == (3, 6, 4)
    whole = np.asarray(Image.open(tmp_path / "b.png"))
    same = data.read_images(tmp_path / "b.png", size=(9, 3)).take(1)[0]["image"]
    np.testing.assert_array_equal(same, whole)
    expected = Image.open(tmp_path / "a.png").convert("L").resize((4, 6))
    np.testing.assert_array_equal(ds.take(1)[0]["image"], np.asarray(expected))


def test_grey_and_coloured_images_are_told_what_makes_them_one(tmp_path):
    save(tmp_path / "a.png", pixels(4, 5, 3))
    save(tmp_path / "b.png", pixels(9, 3))
    with pytest.raises(data.ReadError, match=r"a\.png and .*b\.png.* make .*, as mode='RGB' does"):
        data.read_images(tmp_path).take_all()
    assert data.read_images(tmp_path, mode="RGB").count() == 2


@pytest.mark.parametrize("placed", [False, True])
def test_colours_of_a_palette_are_looked_up(tmp_path, placed):
    array = np.repeat(pixels(2, 2, 3), 2, axis=0)
    image = Image.fromarray(array).quantize(4)
    image.save(tmp_path / "x.gif", **({"transparency": 0} if placed else {}))
    [found] = images(data.read_images(tmp_path))
    assert found.shape == (4, 2, 4 if placed else 3)
    np.testing.assert_array_equal(found[..., :3], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        *((kind, pixels(3, 4)) for kind in ("png", "tiff", "bmp")),
        *((kind, pixels(3, 4, 3)) for kind in ("png", "tiff", "bmp")),
        *((kind, pixels(3, 4, n)) for kind in ("png", "tiff") for n in (2, 4)),
        *((kind, pixels(3, 4, kind=bool)) for kind in ("png", "tiff", "bmp")),
        *((kind, pixels(3, 4, kind=np.uint16) * 300) for kind in ("png", "tiff")),
        ("tiff", pixels(3, 4, kind=np.float32) / 7),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.dtype}{value.shape}",
)
def test_every_number_comes_back(tmp_path, kind, array):
    ds = data.from_numpy(np.stack([array] * 3)).repartition(2)
    ds.write_images(tmp_path / "x", "data", kind)
    assert [path.suffix for path in (tmp_path / "x").iterdir()] == [f".{kind}"] * 3
    batch = data.read_images(tmp_path / "x").take_batch(3)["image"]
    np.testing.assert_array_equal(batch, np.stack([array] * 3))
    assert batch.dtype == array.dtype


def test_the_order_of_rows_is_kept(tmp_path):
    arrays = np.arange(40, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    ds = data.from_numpy(arrays).repartition(7)
    ds.write_images(tmp_path, "data", file_format="jpg")
    batch = data.read_images(tmp_path).take_batch(40)["image"]
    assert np.abs(batch.astype(int) - arrays).max() <= 2
    data.from_numpy(arrays[:0]).write_images(tmp_path / "none", "data")
    assert list((tmp_path / "none").iterdir()) == []


def test_what_is_no_image_is_named(tmp_path):
    save(tmp_path / "a.png", pixels(30, 30, 3))
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(data.ReadError, match=r"b\.png cannot be read as an image: .*truncated"):
        data.read_images(tmp_path).take_all()
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(
        data.ReadError, match=r"b\.png cannot be read as an image: cannot identify its format$"
    ):
        data.read_images(tmp_path)
    (tmp_path / "b.png").write_bytes(content[:40] + b"garbage" + content[47:])
    with pytest.raises(data.ReadError, match=r"b\.png cannot be read as an image: "):
        data.read_images(tmp_path).take_all()
    with pytest.raises(FileNotFoundError, match=r"'.*/c\.png' does not exist"):
        data.read_images(tmp_path / "c.png")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (["x"], "has the type string, with nulls or lists of different"),
        ([None], "has the type null, with"),
        ([[1, 2]], r"arrays of the shape \(2,\): an image has \(height, width\)"),
        ([[[1], [1, 2]]], "lists of different lengths"),
        (
            [[[1, 2]]],
            r"of int64 of the shape \(1, 2\), which a png image cannot hold: it takes bool",
        ),
        (np.zeros((1, 2, 2, 5), np.uint8), r"of uint8 of the shape \(2, 2, 5\), which a png"),
        (np.zeros((1, 0, 2), np.uint8), r"of the shape \(0, 2\), which a png image .* one pixel"),
    ],
)
def test_what_an_image_cannot_hold_is_named(tmp_path, column, message):
    ds = data.from_items([{"a": 1}]).map_batches(lambda _: {"x": column})
    with pytest.raises(data.WriteError, match=f"write_images: column 'x' .*{message}"):
        ds.write_images(tmp_path / "out", "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "rgb"}, "unknown mode 'rgb'. Did you mean 'RGB'?"),
        ({"size": 3}, "size must be (height, width), got 3"),
        ({"size": (0, 3)}, "height and width in size must be a whole number >= 1, got 0"),
        ({"arrow_open_file_args": {}}, "'arrow_open_file_args': files are opened as they are"),
    ],
)
def test_options_of_readers_are_checked(tmp_path, options, message):
    with pytest.raises(InvalidOption, match=re.escape(message)):
        data.read_images(tmp_path, **options)


def test_options_of_writers_are_checked(tmp_path):
    ds = data.from_numpy(np.zeros((2, 3, 3), np.uint8))
    with pytest.raises(InvalidOption, match="unknown file_format 'gif'"):
        ds.write_images(tmp_path, "data", "gif")
    with pytest.raises(InvalidOption, match="column must name the column of the images, got 3"):
        ds.write_images(tmp_path, 3)
    with pytest.raises(data.ColumnNotFound, match="write_images: no column 'image'"):
        ds.write_images(tmp_path, "image")


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    save(tmp_path / "a.png", pixels(3, 3))
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r'read_images needs PIL.*pip install "airloom\[image\]"'):
        data.read_images(tmp_path)
