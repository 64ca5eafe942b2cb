"""Where rows come from: the base class to subclass for a source of one's own."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from air.data.blocks.block import Block, Schema, column_names
from air.data.blocks.metadata import BlockMetadata
from air.data.blocks.origins import Origins
from air.data.datasources.partitioning import Partitioning as Partitioning
from air.data.datasources.partitioning import PartitionStyle as PartitionStyle
from air.data.expressions.expr import Expression

if TYPE_CHECKING:
    from air.data.datasources.paths import FileSet


class NotedRead(abc.ABC):
    """A read function that says of each block where its rows come from."""

    @abc.abstractmethod
    def noting(self, origins: Origins) -> Iterable[Block]:
        """The blocks in order, each noted in *origins* before it is given."""

    def __call__(self) -> Iterable[Block]:
        return self.noting(Origins())


@dataclass(frozen=True, slots=True)
class ReadTask:
    """One piece of a read.

    Attributes:
        read_fn: called without arguments, perhaps in another process and more than once; gives
            the blocks in order, each as what functions of ``map_batches`` return: a
            ``pyarrow.Table``, a DataFrame, a dictionary of arrays, or a list of rows, where
            dictionaries are records and all else plain objects. A generator keeps memory low.
        metadata: what is known before reading; rows, bytes and schema may be ``None``, the
            source is what messages call this piece (if it is empty, ``"piece 0 of NAME"``).
    """

    read_fn: Callable[[], Iterable[Any]]
    metadata: BlockMetadata = field(default_factory=BlockMetadata)


class Datasource(abc.ABC):
    """A source of rows; read it with ``air.data.read_datasource``.

    A subclass needs one method::

        class Numbers(Datasource):
            def get_read_tasks(self, parallelism):
                return [ReadTask(lambda i=i: [[i]]) for i in range(parallelism)]

    Instances travel to where the reading is done, so they must be picklable.
    """

    @abc.abstractmethod
    def get_read_tasks(self, parallelism: int) -> list[ReadTask]:
        """The pieces to read, in the order of the rows.

        Args:
            parallelism: how many pieces are wanted, at least 1; fewer or more are fine.
        """

    @property
    def name(self) -> str:
        """How messages call the source."""
        return type(self).__name__.removesuffix("Datasource") or type(self).__name__

    def estimate_inmemory_data_size(self) -> int | None:
        """Bytes that all of it will take in memory, roughly; ``None`` if not known."""
        return None

    def num_rows(self) -> int | None:
        """The number of rows if it costs much less to know than to read them."""
        return None

    def schema(self) -> Schema | None:
        """What rows look like if it costs much less to know than to read them."""
        return None

    def columns(self) -> list[str] | None:
        """Names of the columns, where they are known more cheaply than their types."""
        return column_names(self.schema())

    def pushed(self) -> str:
        """What of later steps it does itself, in words, for ``Dataset.explain``."""
        return ""

    def files_to_read(self) -> FileSet | None:
        """The files that the rows are in; ``None`` for what reads no files."""
        return None

    def with_columns(self, columns: tuple[str, ...]) -> Datasource | None:
        """A source of these columns only, or ``None`` if it would have to read all anyway."""
        return None

    def with_filter(self, condition: Expression) -> Datasource | None:
        """A source that may leave out rows for which *condition* is not true.

        ``None`` if it would read all anyway, or has been told so already. Rows that it still
        gives are looked at afterwards.
        """
        return None
