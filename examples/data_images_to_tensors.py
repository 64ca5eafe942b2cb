"""A folder of images becomes tensors: read in one size, normalized, saved, and used in batches.

Run it with ``python examples/data_images_to_tensors.py``. It starts a cluster on this machine; with
``AIR_BACKEND=local`` in the environment everything runs in this one process, with the same results.
It needs Pillow (the extra ``image``) and scikit-learn, whose 1,797 digits are written to a folder
first, in a folder for each digit, as labelled images often come.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from air import data


def write_digits(directory):
    """The digits as images: ``directory/label=7/0042.png`` and so on."""
    digits = load_digits()
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        folder = directory / f"label={label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype(np.uint8)).save(folder / f"{number:04d}.png")


def normalize(batch):
    """A batch, a dictionary of arrays, with images of floats from -0.5 to 0.5."""
    batch["image"] = batch["image"].astype(np.float32) / 255 - 0.5
    return batch


def average(rows):
    """The average image of the rows of one label, as an image again."""
    pixels = (np.mean(rows["image"], axis=0, keepdims=True) + 0.5) * 255
    return {"label": rows["label"][:1], "image": pixels.round().astype(np.uint8)}


def main() -> None:
    """Write images, read them as tensors, and use those."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_digits(directory / "digits")

        # 1. Read: arrays of one shape, and what the folder of each image is named by.
        labels = data.Partitioning("hive")
        images = data.read_images(
            directory / "digits", size=(16, 16), mode="L", partitioning=labels
        )
        print(f"read {images.count()} images, of the shape {images.take(1)[0]['image'].shape}")

        # 2. Prepare them, piece by piece, and save the tensors.
        images.map_batches(normalize).write_parquet(directory / "tensors")
        tensors = data.read_parquet(directory / "tensors")
        print(f"saved tensors of {tensors.take(1)[0]['image'].dtype}")

        # 3. Go through them as a training does: in batches, shuffled.
        train, test = tensors.train_test_split(test_size=0.2, shuffle=True, seed=1)
        shapes = {
            batch["image"].shape for batch in train.iter_batches(batch_size=64, drop_last=True)
        }
        print(
            f"{train.count()} to train with, in batches of {shapes.pop()}; {test.count()} to test"
        )

        # 4. Arrays become images: the average one of each label.
        averages = tensors.groupby("label").map_groups(average, batch_format="numpy")
        averages.write_images(directory / "averages", "image")
        pictures = data.read_images(directory / "averages").take_batch(10)["image"]
        print(f"wrote {len(pictures)} average digits; the brightest pixel has {pictures.max()}")


if __name__ == "__main__":
    main()
