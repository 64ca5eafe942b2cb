"""The preprocessor that applies transforms of torchvision, and other functions of images."""

from __future__ import annotations

import importlib
import io
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from air import data
from air.data import ColumnNotFound, UnsuitableData, UnsupportedValue
from air.data.preprocessors import Chain, TorchVisionPreprocessor
from air.errors import InvalidOption

IMAGES = np.arange(5 * 4 * 6 * 3, dtype=np.uint8).reshape(5, 4, 6, 3)


def images(count: int = 5) -> data.Dataset:
    rows = [{"image": IMAGES[i % 5], "label": i} for i in range(count)]
    return data.from_items(rows, parallelism=2)


def different() -> data.Dataset:
    lists = [IMAGES[i, : i + 1].tolist() for i in range(3)]
    kind = pa.list_(pa.list_(pa.list_(pa.uint8())))
    return data.from_arrow(pa.table({"image": pa.array(lists, kind), "label": [0, 1, 2]}))


def upside_down(image: np.ndarray) -> np.ndarray:
    image[:] = image[::-1].copy()  # it is the function's own
    return image


def mean(image: np.ndarray) -> float:
    return float(image.mean())


def twice(image: np.ndarray) -> np.ndarray:
    return image * 2.0


def test_images_are_replaced(placement: str) -> None:
    made = TorchVisionPreprocessor(["image"], upside_down).transform(images())
    assert made.columns(fetch_if_missing=False) == ["image", "label"]
    rows = made.take_all()
    assert [row["label"] for row in rows] == list(range(5))
    for row, image in zip(rows, IMAGES, strict=True):
        assert (row["image"] == image[::-1]).all()
    assert made.schema().field("image").type == pa.fixed_shape_tensor(pa.uint8(), (4, 6, 3))
    assert (images().take(1)[0]["image"] == IMAGES[0]).all()


def test_images_of_different_shapes(placement: str) -> None:
    rows = TorchVisionPreprocessor(["image"], mean).transform(different()).take_all()
    assert [row["image"] for row in rows] == [IMAGES[i, : i + 1].mean() for i in range(3)]
    kept = TorchVisionPreprocessor(["image"], upside_down).transform(different()).take_all()
    assert [np.array(row["image"]).shape for row in kept] == [(i + 1, 6, 3) for i in range(3)]


def test_more_columns(placement: str) -> None:
    prep = TorchVisionPreprocessor(["image"], mean, output_columns=["mean"])
    made = prep.transform(images())
    assert made.columns(fetch_if_missing=False) == ["image", "label", "mean"]
    assert [row["mean"] for row in made.take_all()] == [image.mean() for image in IMAGES]
    assert repr(prep).endswith("output_columns=['mean'], batched=False)")
    with pytest.raises(InvalidOption, match="makes a column 'label', and there is another one"):
        TorchVisionPreprocessor(["image"], mean, ["label"]).transform(images())


def test_batches(placement: str) -> None:
    lengths = []

    def of_batch(batch: np.ndarray) -> np.ndarray:
        lengths.append(len(batch))
        return batch[:, ::2].astype(np.float32)

    made = TorchVisionPreprocessor(["image"], of_batch, batched=True).transform(images(300))
    rows = made.take_all()
    assert len(rows) == 300
    assert all((row["image"] == IMAGES[i % 5][::2]).all() for i, row in enumerate(rows))
    if placement == "here":
        assert max(lengths) == 128


def test_missing_images_stay_missing() -> None:
    ds = data.from_items([{"image": None}, {"image": IMAGES[0]}, {"image": None}])
    rows = TorchVisionPreprocessor(["image"], twice).transform(ds).take_all()
    assert [row["image"] is None for row in rows] == [True, False, True]
    assert np.array_equal(rows[1]["image"], IMAGES[0] * 2.0)
    with pytest.raises(UnsuitableData, match="'image' has missing images"):
        TorchVisionPreprocessor(["image"], twice, batched=True).transform(ds).take_all()


@pytest.mark.parametrize("kind", [dict, pd.DataFrame, pa.Table])
def test_one_batch(kind: type) -> None:
    batch: Any = {"image": IMAGES, "label": np.arange(5)}
    formats = {pd.DataFrame: "pandas", pa.Table: "pyarrow"}
    if kind is not dict:
        batch = images().take_batch(5, batch_format=formats[kind])
    made = TorchVisionPreprocessor(["image"], mean).transform_batch(batch)
    assert isinstance(made, kind)
    values = made["image"].to_pylist() if kind is pa.Table else list(made["image"])
    assert values == [image.mean() for image in IMAGES]


def test_no_rows_and_no_images() -> None:
    prep = TorchVisionPreprocessor(["image"], mean)
    assert prep.transform(images().filter(lambda row: False)).take_all() == []
    assert prep.transform_batch({"image": IMAGES[:0]})["image"].tolist() == []
    with pytest.raises(ColumnNotFound, match="'image'"):
        prep.transform_batch({"imag": IMAGES})
    with pytest.raises(ColumnNotFound, match="TorchVisionPreprocessor: no column 'imag'"):
        TorchVisionPreprocessor(["imag"], mean).transform(images())


def test_errors_name_the_image() -> None:
    def fails(image: np.ndarray) -> float:
        return 1 / (int(image[0, 0, 0]) - int(IMAGES[2, 0, 0, 0]))

    with pytest.raises(ZeroDivisionError) as caught:
        TorchVisionPreprocessor(["image"], fails).transform_batch({"image": IMAGES})
    assert caught.value.__notes__ == ["in TorchVisionPreprocessor, image 2 of the column 'image'"]
    with pytest.raises(UnsuitableData, match="must give tensors, arrays or numbers, got NoneType"):
        TorchVisionPreprocessor(["image"], lambda image: None).transform_batch({"image": IMAGES})
    with pytest.raises(UnsuitableData, match=r"an array of 5 results .* got float"):
        TorchVisionPreprocessor(["image"], mean, batched=True).transform_batch({"image": IMAGES})
    with pytest.raises(UnsuitableData, match="images of different shapes"):
        TorchVisionPreprocessor(["image"], mean, batched=True).transform(different()).take_all()
    uneven = {"image": [[[1], [2, 3]]]}
    with pytest.raises(UnsupportedValue, match="lists of different lengths inside of one row"):
        TorchVisionPreprocessor(["image"], mean).transform_batch(uneven)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"columns": "image"}, InvalidOption, "columns must be a list of names"),
        ({"transform": 3}, TypeError, "transform must be a function"),
        ({"output_columns": ["a", "b"]}, InvalidOption, "names 2 columns for the 1 in columns"),
        ({"batched": "yes"}, InvalidOption, "batched must be True or False"),
    ],
)
def test_bad_arguments(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TorchVisionPreprocessor(**{"columns": ["image"], "transform": mean, **arguments})


def test_other_values_are_given_as_they_are() -> None:
    files = [{"file": str(i).encode()} for i in range(3)]
    prep = TorchVisionPreprocessor(["file"], lambda file: int(file), ["number"])
    assert [row["number"] for row in prep.transform(data.from_items(files)).take_all()] == [0, 1, 2]


# With torchvision ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def transforms() -> Iterator[Any]:
    torch = pytest.importorskip("torch")
    library = torch.library.Library("torchvision", "FRAGMENT")
    try:
        module = pytest.importorskip("torchvision.transforms")
    except RuntimeError:
        # PyPI has the build for CUDA only. Beside the CPU build of torch it cannot load its
        # operators, and not be imported without two of them, which no transform needs.
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        module = importlib.import_module("torchvision.transforms")
    yield module
    del library  # with what it defines


@pytest.mark.torch
def test_transforms_of_torchvision(transforms: Any) -> None:
    steps = [transforms.ToTensor(), transforms.Resize((2, 2)), transforms.Normalize(0.5, 0.5)]
    prep = TorchVisionPreprocessor(["image"], transforms.Compose(steps))
    rows = prep.transform(images()).take_all()
    for row, image in zip(rows, IMAGES, strict=True):
        assert (row["image"].shape, row["image"].dtype) == ((3, 2, 2), np.float32)
        assert np.array_equal(row["image"], transforms.Compose(steps)(image).numpy())
    assert np.array_equal(prep.transform_batch({"image": IMAGES})["image"][3], rows[3]["image"])


@pytest.mark.torch
def test_different_sizes_become_one_and_go_to_tensors(transforms: Any) -> None:
    import torch

    steps = transforms.Compose([transforms.ToTensor(), transforms.Resize((4, 4))])
    (batch,) = TorchVisionPreprocessor(["image"], steps).transform(different()).iter_torch_batches()
    assert (batch["image"].shape, batch["image"].dtype) == ((3, 3, 4, 4), torch.float32)


@pytest.mark.torch
def test_a_transform_of_batches(transforms: Any) -> None:
    import torch

    def channels_first(batch: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(batch).permute(0, 3, 1, 2)

    steps = transforms.Compose([transforms.Lambda(channels_first), transforms.Resize((2, 2))])
    batched = TorchVisionPreprocessor(["image"], steps, batched=True).transform(images())
    shapes = {row["image"].shape for row in batched.take_all()}
    assert shapes == {(3, 2, 2)}


@pytest.mark.torch
def test_modules_and_chains(transforms: Any) -> None:
    import torch

    files = []
    for image in IMAGES:
        file = io.BytesIO()
        transforms.ToPILImage()(image).save(file, "png")
        files.append({"file": file.getvalue()})
    decode = TorchVisionPreprocessor(["file"], _decoded, ["image"])
    whole = torch.nn.Sequential(torch.nn.Flatten(0), torch.nn.Linear(72, 2))  # has gradients
    chain = Chain(decode, TorchVisionPreprocessor(["image"], transforms.ToTensor()))
    made = chain.fit_transform(data.from_items(files))
    assert [row["image"].shape for row in made.take_all()] == [(3, 4, 6)] * 5
    scored = TorchVisionPreprocessor(["image"], transforms.Compose([transforms.ToTensor(), whole]))
    assert pickle.loads(pickle.dumps(scored)).transform(images()).take(1)[0]["image"].shape == (2,)


def _decoded(file: bytes) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(file)))
