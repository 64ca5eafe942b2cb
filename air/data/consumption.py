"""What the rows of a dataset are handed out as."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from air.data.blocks.block import Block, Schema, accessor, column_names, concat, records_of
from air.data.blocks.convert import rows_of_same_keys
from air.data.execution.execute import execute
from air.data.iterator import DataIterator
from air.data.plan import InputBlocks, Limit, Map, Node
from air.data.planned import Planned
from air.data.transforms import SelectColumns
from air.errors import InvalidOption
from air.executor.extras import check_pandas
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_flag, check_number

if TYPE_CHECKING:
    import pandas as pd


@methods_suggest_keywords
class Consumption(Planned):
    """The part of :class:`air.data.Dataset` that hands out rows."""

    def of_columns(self, names: tuple[str, ...]) -> Consumption:
        """The rows with these columns only, as far as others need not be made for that.

        What a run of it took is told by :meth:`stats` of this one.
        """
        return self._part(Map(self._plan, SelectColumns(names)))

    def take(self, limit: int = 20) -> list[Any]:
        """The first rows, at most *limit*.

        Records all have the same keys, as in :meth:`take_all`: those of the blocks that they are
        in, which are not all of the dataset's where a function gives rows with different keys.
        """
        return self._head(limit, "take: limit").take_all()

    def take_all(self, limit: int | None = None) -> list[Any]:
        """All rows.

        Records all have the same keys, in the order in which they first appear in the dataset; a
        key that a function has not given for a row is ``None`` there, as in a DataFrame of all.

        Raises:
            InvalidOption: there are more than *limit*.
        """
        if limit is None:
            rows: list[Any] = []
            parts: list[tuple[int, Sequence[str]]] = []
            with closing(self.run(any_blocks=True)) as handles:
                for handle in handles:
                    block = handle.get()
                    rows.extend(accessor(block).rows())
                    if isinstance(block, pa.Table) and len(block):
                        parts.append((len(block), block.column_names))
            return rows_of_same_keys(rows, parts)
        check_number(limit, "take_all: limit", minimum=0, integer=True)
        rows = self.take(limit + 1)
        if len(rows) > limit:
            raise InvalidOption(f"take_all: the dataset has more than limit={limit} rows")
        return rows

    def take_batch(self, batch_size: int = 20, *, batch_format: str = "default") -> Any:
        """The first rows, at most *batch_size*, as one batch; see :meth:`iter_batches`.

        Raises:
            ValueError: there are no rows.
        """
        check_number(batch_size, "take_batch: batch_size", minimum=1, integer=True)
        head = self._head(batch_size, "take_batch: batch_size")
        batches = head.iter_batches(
            batch_size=batch_size, batch_format=batch_format, prefetch_batches=0
        )
        for batch in batches:
            return batch
        raise ValueError("take_batch: the dataset has no rows")

    def show(self, limit: int = 20) -> None:
        """Print the first rows, one a line."""
        for row in self._head(limit, "show: limit").take_all():
            print(row)

    def count(self) -> int:
        """The number of rows; runs the plan unless it is known."""
        known = self.known_rows()
        if known is not None:
            return known
        columns = self.known_columns() or []
        counted = self.of_columns((columns[0],)) if len(columns) > 1 else self
        return sum(handle.num_rows for handle in counted.run())

    def schema(self, fetch_if_missing: bool = True) -> Schema | None:
        """The Arrow schema of records, or the class of plain objects.

        ``None`` if there are no rows.

        Args:
            fetch_if_missing: make the first block if the schema is not known, which is ``None``
                otherwise.
        """
        check_flag(fetch_if_missing, "schema: fetch_if_missing")
        if self._schema is None:
            self._schema = self._plan.schema()
        if self._schema is None and fetch_if_missing:
            self._schema = self._first_schema()
        return self._schema

    def columns(self, fetch_if_missing: bool = True) -> list[str] | None:
        """The names of the columns; ``None`` for plain objects. See :meth:`schema`."""
        check_flag(fetch_if_missing, "columns: fetch_if_missing")
        return self.known_columns() or column_names(self.schema(fetch_if_missing))

    def default_batch_format(self) -> type:
        """What batches are if nobody says otherwise: ``dict``, of arrays, or ``list``, of objects.

        The first block is made if it is not known what rows are.

        Raises:
            ValueError: there are no rows, and nothing is known of them.
        """
        schema = self.schema()
        if schema is None:
            raise ValueError("default_batch_format: there are no rows to tell what batches are")
        return dict if isinstance(schema, pa.Schema) else list

    def size_bytes(self) -> int:
        """Bytes of all rows in memory; runs the plan unless it is materialized."""
        if isinstance(self._plan, InputBlocks):
            return sum(handle.size_bytes for handle in self._plan.handles)
        return sum(handle.size_bytes for handle in self.run())

    def iterator(self) -> DataIterator:
        """Something that goes through the rows and can be sent to other processes."""
        return DataIterator(self)

    def iter_rows(self) -> Iterator[Any]:
        """The rows in order: dictionaries of Python values, or plain objects.

        They come as they are made, before it is known which keys later ones have: where a function
        gives rows with different keys, a row has at least its own, and ``None`` for those that
        others of its block have. :meth:`take_all` and :meth:`materialize` give all the same.
        """
        return self.iterator().iter_rows()

    def iter_batches(
        self,
        *,
        prefetch_batches: int = 1,
        batch_size: int | None = 256,
        batch_format: str = "default",
        drop_last: bool = False,
        local_shuffle_buffer_size: int | None = None,
        local_shuffle_seed: int | None = None,
    ) -> Iterator[Any]:
        """The rows in batches, in order; see :meth:`DataIterator.iter_batches`."""
        return self.iterator().iter_batches(
            prefetch_batches=prefetch_batches,
            batch_size=batch_size,
            batch_format=batch_format,
            drop_last=drop_last,
            local_shuffle_buffer_size=local_shuffle_buffer_size,
            local_shuffle_seed=local_shuffle_seed,
        )

    def to_arrow(self) -> pa.Table:
        """All rows as one table; plain objects are its column ``value``."""
        return accessor(self._whole()).to_arrow()

    def to_pandas(self, limit: int | None = 100_000) -> pd.DataFrame:
        """All rows as one DataFrame.

        Args:
            limit: rows that are expected at most, so that nobody brings a large dataset into
                one process by mistake; ``None`` for any number.

        Raises:
            InvalidOption: there are more than *limit* rows.
            ImportError: pandas is not installed.
        """
        check_pandas("to_pandas")
        if limit is None:
            return accessor(self._whole()).to_batch("pandas")
        most = int(check_number(limit, "to_pandas: limit", minimum=0, integer=True))
        return accessor(self._whole(most)).to_batch("pandas")

    def _head(self, limit: int, what: str) -> Self:
        """The first rows, of which a run is one of this dataset."""
        return self._part(self._limited(limit, what))

    def _limited(self, limit: int, what: str) -> Node:
        return Limit(self._plan, int(check_number(limit, what, minimum=0, integer=True)))

    def _whole(self, limit: float = math.inf) -> Block:
        """All rows as one block; complains as soon as there are more than *limit*."""
        rows = 0
        blocks: list[Block] = []
        sources: list[str] = []
        with closing(self.run(any_blocks=True)) as handles:
            for handle in handles:
                rows += handle.num_rows
                if rows > limit:
                    raise InvalidOption(
                        f"to_pandas: the dataset has more than limit={limit} rows; give a higher"
                        " limit, or limit=None for all of them, or take the first ones: .limit(n)"
                    )
                blocks.append(handle.get())
                sources.append(handle.metadata.source)
        whole = concat(blocks, sources)
        return whole if rows else self._no_rows(records_of(whole))

    def _first_schema(self) -> Schema | None:
        told = None
        with closing(execute(Limit(self._plan, 1))) as handles:
            for handle in handles:
                if handle.num_rows:
                    return handle.metadata.schema
                told = told or handle.metadata.schema
        return self._known_of_no_rows(told)
