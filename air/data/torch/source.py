"""Rows from datasets of PyTorch."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from air.data.blocks.block import Block
from air.data.blocks.making import block_from_rows
from air.data.blocks.metadata import BlockMetadata
from air.data.datasource import Datasource, ReadTask
from air.data.torch.arrays import as_array

_ROWS_AT_A_TIME = 256


@dataclass(frozen=True)
class TorchDatasource(Datasource):
    """The items of a ``torch.utils.data.Dataset``.

    One that says how long it is, and is asked for items by number, is read in pieces; any other
    is gone through from start to end, in one.

    Attributes:
        dataset: it travels to where it is read, so it must be picklable.
    """

    dataset: Any

    @property
    def name(self) -> str:
        return f"Torch({type(self.dataset).__name__})"

    @property
    def _is_indexed(self) -> bool:
        # An IterableDataset may have a length, and has `__getitem__`, which only raises.
        torch_data = sys.modules.get("torch.utils.data")
        if torch_data is not None and isinstance(self.dataset, torch_data.IterableDataset):
            return False
        return hasattr(self.dataset, "__getitem__") and hasattr(self.dataset, "__len__")

    def num_rows(self) -> int | None:
        return len(self.dataset) if self._is_indexed else None

    def get_read_tasks(self, parallelism: int) -> list[ReadTask]:
        if not self._is_indexed:
            return [ReadTask(_ReadAll(self.dataset), BlockMetadata(source=self.name, first_row=0))]
        rows = len(self.dataset)
        pieces = max(min(parallelism, rows), 1)
        bounds = [rows * index // pieces for index in range(pieces + 1)]
        return [
            ReadTask(_ReadItems(self.dataset, start, stop), self._metadata(start, stop))
            for start, stop in itertools.pairwise(bounds)
        ]

    def _metadata(self, start: int, stop: int) -> BlockMetadata:
        return BlockMetadata(num_rows=stop - start, source=self.name, first_row=start)


@dataclass(frozen=True, slots=True)
class _ReadItems:
    dataset: Any
    start: int
    stop: int

    def __call__(self) -> Iterator[Block]:
        for start in range(self.start, max(self.stop, self.start + 1), _ROWS_AT_A_TIME):
            stop = min(start + _ROWS_AT_A_TIME, self.stop)
            yield block_from_rows([_row(self.dataset[index]) for index in range(start, stop)])


@dataclass(frozen=True, slots=True)
class _ReadAll:
    dataset: Any

    def __call__(self) -> Iterator[Block]:
        items = iter(self.dataset)
        while rows := [_row(item) for item in itertools.islice(items, _ROWS_AT_A_TIME)]:
            yield block_from_rows(rows)


def _row(item: Any) -> Any:
    """A record whose tensors are arrays; any other item as it is."""
    if not isinstance(item, Mapping):
        return item
    return {name: as_array(value) for name, value in item.items()}
