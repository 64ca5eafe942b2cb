"""Rows from datasets of Hugging Face."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from air.data.blocks.block import Block, Schema
from air.data.blocks.metadata import BlockMetadata
from air.data.datasource import Datasource, ReadTask
from air.data.huggingface.columns import plain_schema, plain_table

_ROWS_AT_A_TIME = 1024


@dataclass(frozen=True)
class MappedDatasource(Datasource):
    """The rows of a ``datasets.Dataset`` that lies in files, which are mapped where they are read.

    Attributes:
        dataset: in the format ``arrow``; it travels as the names of its files.
    """

    dataset: Any

    @property
    def name(self) -> str:
        return "HuggingFace"

    def num_rows(self) -> int:
        return len(self.dataset)

    def schema(self) -> Schema:
        return plain_schema(self.dataset.features.arrow_schema)

    def estimate_inmemory_data_size(self) -> int | None:
        # Of all rows that the files hold, of which some may be left out.
        share = len(self.dataset) / max(self.dataset.data.num_rows, 1)
        return round(self.dataset.data.nbytes * share)

    def with_columns(self, columns: tuple[str, ...]) -> Datasource | None:
        return MappedDatasource(self.dataset.select_columns(list(columns)))

    def get_read_tasks(self, parallelism: int) -> list[ReadTask]:
        rows = len(self.dataset)
        pieces = max(min(parallelism, rows), 1)
        bounds = [rows * index // pieces for index in range(pieces + 1)]
        return [self._task(start, stop) for start, stop in itertools.pairwise(bounds)]

    def _task(self, start: int, stop: int) -> ReadTask:
        metadata = BlockMetadata(
            num_rows=stop - start, schema=self.schema(), source=self.name, first_row=start
        )
        return ReadTask(_ReadRows(self.dataset.select(range(start, stop))), metadata)


@dataclass(frozen=True, slots=True)
class _ReadRows:
    dataset: Any

    def __call__(self) -> Iterator[Block]:
        yield plain_table(self.dataset[:])


@dataclass(frozen=True)
class StreamedDatasource(Datasource):
    """The rows of a ``datasets.IterableDataset``.

    Attributes:
        dataset: in the format ``arrow``.
        shards: it is gone through in as many pieces at most; in one if there is one.
    """

    dataset: Any
    shards: int

    @property
    def name(self) -> str:
        return "HuggingFace"

    def schema(self) -> Schema | None:
        features = self.dataset.features
        return None if features is None else plain_schema(features.arrow_schema)

    def get_read_tasks(self, parallelism: int) -> list[ReadTask]:
        if self.shards == 1:
            return [self._task(self.dataset, self.name)]
        return [
            self._task(
                self.dataset.shard(num_shards=self.shards, index=index),
                f"shard {index} of {self.name}",
            )
            for index in range(self.shards)
        ]

    def _task(self, dataset: Any, source: str) -> ReadTask:
        return ReadTask(_ReadStream(dataset), BlockMetadata(source=source, first_row=0))


@dataclass(frozen=True, slots=True)
class _ReadStream:
    dataset: Any

    def __call__(self) -> Iterator[Block]:
        for table in self.dataset.iter(batch_size=_ROWS_AT_A_TIME):
            assert isinstance(table, pa.Table)  # that is what the format is
            yield plain_table(table)
