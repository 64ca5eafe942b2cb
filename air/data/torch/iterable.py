"""A dataset as PyTorch's ``IterableDataset``; importing this imports torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from air.executor.extras import import_extra

torch_data: Any = import_extra("torch.utils.data", "to_torch", "torch")


class IterableBatches(torch_data.IterableDataset):
    """Batches that are made anew each time it is gone through; give it to a ``DataLoader``.

    They have their size already, so the loader is to be told ``batch_size=None``. Each worker of
    a loader works out all rows, and gives every ``num_workers``-th batch.
    """

    def __init__(self, batches: Callable[[], Iterator[Any]]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        worker = torch_data.get_worker_info()
        if worker is None:
            return self._batches()
        return itertools.islice(self._batches(), worker.id, None, worker.num_workers)
