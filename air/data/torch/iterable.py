"""A dataset as PyTorch's ``IterableDataset``; importing this imports torch."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cloudpickle

from air.data.batching.batches import Batches
from air.data.iterator import DataIterator
from air.data.torch.features import Features
from air.errors import NotInitialized
from air.executor.extras import import_extra

torch_data: Any = import_extra("torch.utils.data", "to_torch", "torch")


class IterableBatches(torch_data.IterableDataset):
    """Batches that are made anew each time it is gone through; give it to a ``DataLoader``.

    They have their size already, so the loader is to be told ``batch_size=None``. Each worker of
    a loader works out all rows by itself, and gives every ``num_workers``-th batch.
    """

    def __init__(self, iterator: DataIterator, options: Batches, features: Features) -> None:
        self._iterator = iterator
        self._options = options
        self._features = features

    def __len__(self) -> int:
        count = self._options.count(self._iterator.num_rows())
        if count is None:
            raise TypeError("how many batches there are is not known before they are made")
        return count

    def __iter__(self) -> Iterator[Any]:
        worker = torch_data.get_worker_info()
        if worker is None:
            return self._iterator.iterate(self._options, self._features.of_cut)
        return self._of_worker(worker)

    def _of_worker(self, worker: Any) -> Iterator[Any]:
        options = replace(self._options, share=(worker.id, worker.num_workers))
        if options.local_shuffle_buffer_size is not None and options.local_shuffle_seed is None:
            # All workers have to draw rows in one order, or some would come twice and others
            # never. This is the loader's own seed, a new one each time.
            options = replace(options, local_shuffle_seed=worker.seed - worker.id)
        try:
            yield from self._iterator.staying().iterate(options, self._features.of_cut)
        except NotInitialized as error:
            error.add_note(
                "in a worker of a DataLoader, which cannot fetch blocks that a cluster holds: give"
                " the loader num_workers=0; prefetch_batches of to_torch makes batches ahead"
            )
            raise

    def __reduce__(self) -> tuple[Any, ...]:
        # Workers that are started anew get this by pickle, which knows no functions of programs.
        state = (self._iterator, self._options, self._features)
        return _made_of, (cloudpickle.dumps(state, protocol=pickle.HIGHEST_PROTOCOL),)


def _made_of(state: bytes) -> IterableBatches:
    return IterableBatches(*cloudpickle.loads(state))
