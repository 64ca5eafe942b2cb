"""A classifier of handwritten digits: trained with PyTorch on two workers, then used on images.

Run it with ``python examples/train_torch_digits.py``. It needs torch and scikit-learn (whose 1,797
digits it learns from), and starts a cluster on this machine; with ``AIR_BACKEND=local`` in the
environment everything runs in this one process, on one worker.

What makes a plain script of PyTorch one for several workers is marked with ``# <-``.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits

from air import ScalingConfig, data
from air.train import BatchPredictor, get_dataset_shard, report
from air.train.torch import (
    TorchCheckpoint,
    TorchPredictor,
    TorchTrainer,
    full_state_dict,
    prepare_model,
)


def new_model():
    """A small network of convolutions, for images of 8 x 8 pixels."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 8)),
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * 4 * 4, 10),
    )


def train(config):
    """What each worker does, with its part of the images."""
    model = prepare_model(new_model())  # <-
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    images = get_dataset_shard("train")  # <-
    for epoch in range(config["epochs"]):
        for batch in images.iter_torch_batches(
            batch_size=64, local_shuffle_buffer_size=512, local_shuffle_seed=epoch
        ):
            loss = torch.nn.functional.cross_entropy(model(batch["image"]), batch["digit"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        kept = TorchCheckpoint.from_state_dict(full_state_dict(model))  # <-
        report({"loss": loss.item()}, checkpoint=kept)  # <-


def main() -> None:
    digits = load_digits()
    images = data.from_items(
        [
            {"image": (image / 16).astype(np.float32), "digit": int(digit)}
            for image, digit in zip(digits.images, digits.target, strict=True)
        ]
    )
    train_images, test_images = images.train_test_split(test_size=0.2, shuffle=True, seed=1)
    result = TorchTrainer(  # <-
        train,
        train_loop_config={"lr": 0.01, "epochs": 8},
        datasets={"train": train_images},
        scaling_config=ScalingConfig(num_workers=2),
    ).fit()
    losses = result.metrics_dataframe["loss"]
    print(f"trained {len(losses)} epochs; the loss fell: {losses.iloc[-1] < losses.iloc[0] / 2}")

    predictor = BatchPredictor.from_checkpoint(result.checkpoint, TorchPredictor, model=new_model())
    scored = predictor.predict(test_images, feature_columns=["image"], keep_columns=["digit"])
    frame = scored.to_pandas()
    right = (np.stack(frame["predictions"]).argmax(axis=1) == frame["digit"]).mean()
    print(f"of {len(frame)} new images at least 95 % are right: {right >= 0.95}")


if __name__ == "__main__":
    main()
