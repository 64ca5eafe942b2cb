"""Datasets as sources of rows: running the plan, and what its result is handed out as."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from air.data.blocks.block import (
    Block,
    Schema,
    accessor,
    column_names,
    concat,
    records_of,
)
from air.data.blocks.convert import rows_of_same_keys
from air.data.blocks.handle import BlockHandle
from air.data.blocks.schemas import empty_table
from air.data.context import DataContext
from air.data.errors import UnsupportedValue, require_columns
from air.data.execution.execute import execute
from air.data.execution.no_rows import schema_of_no_rows
from air.data.execution.stats import ExecutionStats
from air.data.iterator import DataIterator
from air.data.plan import InputBlocks, Limit, Map, Node, place_of
from air.data.transforms import Conform, SelectColumns, Transform
from air.data.udf.compute import ON_TASKS, Compute
from air.data.viewing.shown import Shown
from air.errors import InvalidOption
from air.executor.extras import check_pandas
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_flag, check_number

if TYPE_CHECKING:
    import pandas as pd


@methods_suggest_keywords
class Consumption:
    """The part of :class:`air.data.Dataset` that runs the plan and hands out rows."""

    def __init__(self, plan: Node, *, stats: ExecutionStats | None = None) -> None:
        """Use ``air.data.read_*`` and ``air.data.from_*`` instead."""
        self._plan = plan
        self._stats = stats
        self._schema: Schema | None = None
        self._begun_by: Consumption | None = None

    @property
    def plan(self) -> Node:
        """The logical plan."""
        return self._plan

    def over(self, make: Callable[[Node], Node]) -> Self:
        """A dataset with a step more in its plan; for code that adds operators."""
        return type(self)(make(self._plan)).begun()

    def begun(self) -> Self:
        """This dataset as a transformation gives it: with its rows, where these are not lazy."""
        return self.materialize() if DataContext.get_current().eager else self

    def with_transform(self, transform: Transform, compute: Compute = ON_TASKS) -> Self:
        """A dataset whose blocks go through *transform* as well."""
        return self.over(lambda plan: Map(plan, transform, compute))

    def check_columns(self, names: Iterable[str], what: str) -> None:
        """Complain in the name of *what* about columns that are known not to be there.

        Raises:
            ColumnNotFound: the columns are known, and one of *names* is not among them.
            UnsupportedValue: the rows are known to be plain objects.
        """
        columns = self.known_columns()
        if columns is not None:
            require_columns(names, columns, what)
        elif isinstance(self._plan.schema(), type):
            raise UnsupportedValue(
                f"{what} works on columns, but the rows are plain objects; make them records"
                ' first: .map(lambda x: {"value": x})'
            )

    def run(
        self, *, stay: bool = False, any_blocks: bool = False
    ) -> Generator[BlockHandle, None, None]:
        """Run the plan: its blocks in order, each made when it is asked for.

        Args:
            stay: start no tasks, whatever they would gain.
            any_blocks: whether the rows may come in other blocks, in the same order.
        """
        # Of rows that are there it is of interest how they were made.
        stats = ExecutionStats() if self.is_materialized else self.new_stats()
        return execute(self._plan, stats=stats, stay=stay, any_blocks=any_blocks)

    def of_columns(self, names: tuple[str, ...]) -> Consumption:
        """The rows with these columns only, as far as others need not be made for that.

        What a run of it took is told by :meth:`stats` of this one.
        """
        picked = type(self)(Map(self._plan, SelectColumns(names)))
        picked._begun_by = self
        return picked

    def of_blocks(self, blocks: InputBlocks) -> Self:
        """Rows that a run of this one has made, of which :meth:`stats` tells how."""
        return type(self)(blocks, stats=self._stats)

    def new_stats(self) -> ExecutionStats:
        """What a run that begins now shall fill, for :meth:`stats` to tell."""
        self._stats = ExecutionStats()
        if self._begun_by is not None and not self._begun_by.is_materialized:
            self._begun_by._stats = self._stats
        return self._stats

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

    def known_rows(self) -> int | None:
        """The number of rows if it is known without running anything."""
        return self._plan.num_rows()

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

    def known_columns(self) -> list[str] | None:
        """The names of the columns if they are known without running anything."""
        return self._plan.columns()

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

    @property
    def context(self) -> DataContext:
        """The settings that the dataset is run with: those of this process, for all datasets."""
        return DataContext.get_current()

    def copy(self) -> Self:
        """The same rows as a dataset of its own, whose runs :meth:`stats` of this one leaves out.

        The plan is shared, as datasets never change, and rows that exist are.
        """
        return type(self)(self._plan, stats=self._stats)

    def num_blocks(self) -> int:
        """The number of blocks; of a plan that has not run, how many are planned."""
        return self._plan.num_blocks()

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

    def materialize(self) -> Self:
        """Run the plan and keep its blocks; this dataset itself if that was done.

        Blocks that tasks made stay where they are and are referred to; those made in this
        process are stored when they are first sent elsewhere. Blocks with different columns or
        types are brought to common ones.

        Raises:
            UnsupportedValue: columns of different blocks do not go together, or only some of
                the rows are records.
        """
        if self.is_materialized:
            return self
        place = place_of(self._plan)
        blocks = InputBlocks(tuple(self.run()), place=place)
        if not blocks.num_rows() and not isinstance(blocks.schema(), pa.Schema):
            handles = [BlockHandle.of_block(self._no_rows(None)) for _ in blocks.handles or [None]]
            blocks = InputBlocks(tuple(handles), place=place)
        common = blocks.common_schema()
        if common is not None:
            blocks = InputBlocks(tuple(execute(Map(blocks, Conform(common)))), place=place)
        return self.of_blocks(blocks)

    @property
    def is_materialized(self) -> bool:
        """Whether the rows exist already, so that nothing has to be run for them."""
        return isinstance(self._plan, InputBlocks)

    def stats(self) -> str:
        """What the last run of the plan took: a line for each stage, in the order of the data.

        A line tells rows, blocks and bytes that came out, the time from the first piece of work to
        the end of the last, the work itself and its CPU time summed over all processes, and the
        most memory that a process had which did some of it, with everything that is in it. A stage
        is one operator, or several that run as one; a materialized dataset tells how it was made.
        """
        if self._stats is None or not self._stats.stages:
            return Shown("not run yet")
        return Shown(self._stats.describe())

    def _head(self, limit: int, what: str) -> Self:
        """The first rows, of which a run is one of this dataset."""
        head = type(self)(self._limited(limit, what))
        head._begun_by = self
        return head

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

    def _no_rows(self, told: Schema | None) -> Block:
        """What there is where there are no rows.

        Args:
            told: what a block without rows says.
        """
        schema = self._known_of_no_rows(told)
        if isinstance(schema, pa.Schema):
            return empty_table(schema)
        names = self._plan.columns()
        return [] if names is None else empty_table(pa.schema([(n, pa.null()) for n in names]))

    def _known_of_no_rows(self, told: Schema | None) -> Schema | None:
        if isinstance(told, pa.Schema) and pa.null() not in told.types:
            return told
        return schema_of_no_rows(self._plan) or told

    def _first_schema(self) -> Schema | None:
        told = None
        with closing(execute(Limit(self._plan, 1))) as handles:
            for handle in handles:
                if handle.num_rows:
                    return handle.metadata.schema
                told = told or handle.metadata.schema
        return self._known_of_no_rows(told)

    def __getstate__(self) -> dict[str, Any]:
        # How an execution went is of interest where it was started.
        return {"_plan": self._plan, "_stats": None, "_schema": self._schema, "_begun_by": None}
