"""Rows from data frames of Dask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from air.data.blocks.block import Block
from air.data.blocks.convert import check_distinct
from air.data.blocks.frames import table_from_pandas
from air.data.blocks.metadata import BlockMetadata
from air.data.dataset import Dataset
from air.data.datasource import Datasource, ReadTask
from air.data.reading.datasets import read_datasource
from air.executor.extras import import_extra
from air.executor.keywords import suggests_keywords


@suggests_keywords
def from_dask(df: Any) -> Dataset:
    """The rows of a ``dask.dataframe.DataFrame``, in order: a block for each partition.

    A partition is worked out where it is read, with everything that it depends on. What
    partitions share, such as a ``shuffle`` or a ``set_index``, is therefore worked out again for
    each of them: call ``df.persist()`` before, which keeps the partitions in memory. The index is
    dropped.

    Raises:
        TypeError: something else is given.
        UnsupportedValue: a column is there twice.
    """
    frames = import_extra("dask.dataframe", "from_dask", "airloom[dask]")
    if not isinstance(df, frames.DataFrame):
        raise TypeError(f"from_dask takes a dask.dataframe.DataFrame, got {type(df).__name__}")
    names = [str(name) for name in df.columns]
    check_distinct(names, "a DataFrame")
    optimized = df.optimize()
    source = DaskDatasource(dict(optimized.__dask_graph__()), optimized.__dask_keys__(), names)
    return read_datasource(source)


@dataclass(frozen=True)
class DaskDatasource(Datasource):
    """The partitions of a data frame of Dask.

    Attributes:
        graph: the tasks of all partitions, by key.
        keys: of the partitions, in order.
        names: of the columns.
    """

    graph: Mapping[Any, Any]
    keys: list[Any]
    names: list[str]

    def columns(self) -> list[str]:
        return self.names

    def get_read_tasks(self, parallelism: int) -> list[ReadTask]:
        cull = import_extra("dask.optimization", "from_dask", "airloom[dask]").cull
        # A read task holds what its own partition depends on, and nothing else.
        return [
            ReadTask(
                _ReadPartition(cull(self.graph, [key])[0], key),
                BlockMetadata(source=f"partition {number} of {self.name}", first_row=0),
            )
            for number, key in enumerate(self.keys)
        ]


@dataclass(frozen=True, slots=True)
class _ReadPartition:
    graph: Mapping[Any, Any]
    key: Any

    def __call__(self) -> Iterator[Block]:
        scheduler = import_extra("dask.local", "from_dask", "airloom[dask]")
        yield table_from_pandas(scheduler.get_sync(self.graph, self.key))
