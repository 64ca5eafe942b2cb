"""Plans as datasets: what is known of them, steps that are put on them, and their run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, Self

import pyarrow as pa

from air.data.blocks.block import Block, Schema
from air.data.blocks.handle import BlockHandle
from air.data.blocks.schemas import empty_table
from air.data.context import DataContext
from air.data.errors import UnsupportedValue, require_columns
from air.data.execution.execute import execute
from air.data.execution.no_rows import schema_of_no_rows
from air.data.execution.stats import ExecutionStats
from air.data.plan import InputBlocks, Map, Node, place_of
from air.data.transforms import Conform, Transform
from air.data.udf.compute import ON_TASKS, Compute
from air.data.viewing.shown import Shown
from air.executor.keywords import methods_suggest_keywords


@methods_suggest_keywords
class Planned:
    """The part of :class:`air.data.Dataset` that has the plan and runs it."""

    def __init__(self, plan: Node, *, stats: ExecutionStats | None = None) -> None:
        """Use ``air.data.read_*`` and ``air.data.from_*`` instead."""
        self._plan = plan
        self._stats = stats
        self._schema: Schema | None = None
        self._begun_by: Planned | None = None

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

    def of_blocks(self, blocks: InputBlocks) -> Self:
        """Rows that a run of this one has made, of which :meth:`stats` tells how."""
        return type(self)(blocks, stats=self._stats)

    def copy(self) -> Self:
        """The same rows as a dataset of its own, whose runs :meth:`stats` of this one leaves out.

        The plan is shared, as datasets never change, and rows that exist are.
        """
        return type(self)(self._plan, stats=self._stats)

    @property
    def context(self) -> DataContext:
        """The settings that the dataset is run with: those of this process, for all datasets."""
        return DataContext.get_current()

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

    def known_rows(self) -> int | None:
        """The number of rows if it is known without running anything."""
        return self._plan.num_rows()

    def known_columns(self) -> list[str] | None:
        """The names of the columns if they are known without running anything."""
        return self._plan.columns()

    def num_blocks(self) -> int:
        """The number of blocks; of a plan that has not run, how many are planned."""
        return self._plan.num_blocks()

    @property
    def is_materialized(self) -> bool:
        """Whether the rows exist already, so that nothing has to be run for them."""
        return isinstance(self._plan, InputBlocks)

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

    def new_stats(self) -> ExecutionStats:
        """What a run that begins now shall fill, for :meth:`stats` to tell."""
        self._stats = ExecutionStats()
        if self._begun_by is not None and not self._begun_by.is_materialized:
            self._begun_by._stats = self._stats
        return self._stats

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

    def _part(self, plan: Node) -> Self:
        """Something of these rows, of which a run is one of this dataset."""
        part = type(self)(plan)
        part._begun_by = self
        return part

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
        """The schema where there are no rows, as far as it can be known; *told* as above."""
        if isinstance(told, pa.Schema) and pa.null() not in told.types:
            return told
        return schema_of_no_rows(self._plan) or told

    def __getstate__(self) -> dict[str, Any]:
        # How an execution went is of interest where it was started.
        return {"_plan": self._plan, "_stats": None, "_schema": self._schema, "_begun_by": None}
