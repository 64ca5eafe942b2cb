"""Datasets made from those of PyTorch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from air.data.dataset import Dataset
from air.data.reading.datasets import read_datasource
from air.data.torch.source import TorchDatasource
from air.executor.keywords import suggests_keywords


@suggests_keywords
def from_torch(dataset: Any, *, parallelism: int = -1) -> Dataset:
    """A row for each item of a ``torch.utils.data.Dataset``, read when rows are wanted.

    Items that are dictionaries become records, their tensors columns of arrays; any other item,
    such as a pair, is a plain object.

    Args:
        dataset: one with a length and items by number is read in pieces, in parallel; any other
            from its start to its end. It travels to where it is read, so it must be picklable.
        parallelism: how many pieces; -1 chooses.

    Raises:
        TypeError: *dataset* has neither items by number nor can be gone through.
    """
    if not isinstance(dataset, Iterable) and not hasattr(dataset, "__getitem__"):
        raise TypeError(
            f"from_torch takes a torch.utils.data.Dataset, got {type(dataset).__name__}"
        )
    return read_datasource(TorchDatasource(dataset), parallelism=parallelism)
