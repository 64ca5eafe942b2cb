"""Datasets: what a user holds of data that may be large, elsewhere, or not computed yet."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from air.data import splitting
from air.data.aggregation import Aggregations
from air.data.arguments import check_batch_size, check_names, check_seed
from air.data.batch_format import (
    DEFAULT,
    PANDAS,
    annotated_format,
    check_batch_format,
    resolve_batch_format,
)
from air.data.block import Schema
from air.data.compute import ON_TASKS, ActorPoolStrategy, Compute, check_compute
from air.data.datasources.files import FileDatasource
from air.data.errors import UnsupportedValue, require_columns
from air.data.execution.exchange import divide, equal_bounds
from air.data.functions import UserFunction, check_function
from air.data.iterator import DataIterator
from air.data.plan import (
    InputBlocks,
    Map,
    Node,
    RandomShuffle,
    Read,
    Repartition,
    union,
)
from air.data.transforms import (
    AddColumn,
    DropColumns,
    FilterRows,
    FlatMapRows,
    MapBatches,
    MapRows,
    RenameColumns,
    SelectColumns,
    Transform,
)
from air.errors import InvalidOption
from air.executor.extras import check_pandas
from air.executor.keywords import methods_suggest_keywords, refuses
from air.executor.validation import check_flag, check_number

_NO_COMPUTE = "picking columns is done where the rows are made"
_NO_HINTS = "parts are the same rows wherever they are read, and are sent there; leave it out"


@methods_suggest_keywords
class Dataset(Aggregations):
    """Rows in blocks, with what is to be done to them.

    A row is a dictionary (of a table with columns) or any other plain object. A dataset never
    changes: each method that transforms gives a new one, and runs nothing. Methods that need
    rows (``take``, ``count``, iteration, writing ...) run the plan, streaming, and keep nothing
    of it; :meth:`materialize` keeps the result. The order of rows is always kept.

    Datasets can be sent to tasks and actors.
    """

    # Transforming ---------------------------------------------------------------------------

    def map(
        self,
        fn: Callable[..., Any],
        *,
        fn_args: Sequence[Any] | None = None,
        fn_kwargs: Mapping[str, Any] | None = None,
        fn_constructor_args: Sequence[Any] | None = None,
        fn_constructor_kwargs: Mapping[str, Any] | None = None,
        compute: ActorPoolStrategy | None = None,
        concurrency: int | tuple[int, int] | None = None,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        **options: Any,
    ) -> Dataset:
        """Replace each row by what *fn* makes of it.

        Args:
            fn: called as ``fn(row, *fn_args, **fn_kwargs)``; returns the new row, a dictionary
                or any other object. A class is made into instances, which are called.
            fn_constructor_args: arguments for the class; ``fn_constructor_kwargs`` likewise.
            compute: actors to work on; instances of a class are made there.
            concurrency: in place of *compute*: how many tasks (for functions) or actors (for
                classes, or ``(smallest, largest)``) work at the same time.
            num_cpus: what each of the tasks or actors holds; ``num_gpus`` likewise.
            options: more options of the tasks or actors, such as ``memory`` and
                ``max_retries``.

        Raises:
            TypeError: *fn* cannot be called, is async, or yields instead of returning.
            InvalidOption: an option that is unknown (names the nearest) or does not fit.
        """
        user = check_function(
            "map",
            fn,
            streams=False,
            fn_args=fn_args,
            fn_kwargs=fn_kwargs,
            fn_constructor_args=fn_constructor_args,
            fn_constructor_kwargs=fn_constructor_kwargs,
        )
        where = _where("map", user, compute, concurrency, num_cpus, num_gpus, options)
        return self._with(MapRows(user), where)

    def map_batches(
        self,
        fn: Callable[..., Any],
        *,
        batch_size: int | str | None = "default",
        batch_format: str = "default",
        zero_copy_batch: bool = False,
        fn_args: Sequence[Any] | None = None,
        fn_kwargs: Mapping[str, Any] | None = None,
        fn_constructor_args: Sequence[Any] | None = None,
        fn_constructor_kwargs: Mapping[str, Any] | None = None,
        compute: ActorPoolStrategy | None = None,
        concurrency: int | tuple[int, int] | None = None,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        **options: Any,
    ) -> Dataset:
        """Replace each batch of rows by what *fn* makes of it.

        Args:
            fn: called as ``fn(batch, *fn_args, **fn_kwargs)``; returns a DataFrame, a table, a
                dictionary of arrays or a list of rows, with any number of rows, or yields
                several of them.
            batch_size: rows of a batch at most (4096 for ``"default"``); ``None`` takes whole
                blocks. Batches end where blocks do, so they may be smaller.
            batch_format: what *fn* gets: ``"numpy"`` a dictionary of arrays, ``"pandas"`` a
                DataFrame, ``"pyarrow"`` a table. ``"default"`` is what the first parameter of
                *fn* is annotated with, else ``"numpy"`` (for plain objects a list).
            zero_copy_batch: give *fn* arrays that share memory with the block and must not be
                changed.
            fn_constructor_args, compute, concurrency, num_cpus, num_gpus, options: as for
                :meth:`map`.

        Raises:
            TypeError: *fn* cannot be called or is async.
            InvalidOption: a format or option that is unknown (names the nearest), or a value
                that does not fit.
        """
        user = check_function(
            "map_batches",
            fn,
            fn_args=fn_args,
            fn_kwargs=fn_kwargs,
            fn_constructor_args=fn_constructor_args,
            fn_constructor_kwargs=fn_constructor_kwargs,
        )
        where = _where("map_batches", user, compute, concurrency, num_cpus, num_gpus, options)
        rows, least = check_batch_size("map_batches", batch_size)
        check_flag(zero_copy_batch, "map_batches: zero_copy_batch")
        return self._with(
            MapBatches(
                user,
                rows,
                resolve_batch_format(batch_format, fn),
                zero_copy_batch,
                least,
            ),
            where,
        )

    def flat_map(
        self,
        fn: Callable[..., Any],
        *,
        fn_args: Sequence[Any] | None = None,
        fn_kwargs: Mapping[str, Any] | None = None,
        fn_constructor_args: Sequence[Any] | None = None,
        fn_constructor_kwargs: Mapping[str, Any] | None = None,
        compute: ActorPoolStrategy | None = None,
        concurrency: int | tuple[int, int] | None = None,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        **options: Any,
    ) -> Dataset:
        """Replace each row by the rows in the list that *fn* returns, or that it yields.

        Arguments and errors are those of :meth:`map`.
        """
        user = check_function(
            "flat_map",
            fn,
            fn_args=fn_args,
            fn_kwargs=fn_kwargs,
            fn_constructor_args=fn_constructor_args,
            fn_constructor_kwargs=fn_constructor_kwargs,
        )
        where = _where("flat_map", user, compute, concurrency, num_cpus, num_gpus, options)
        return self._with(FlatMapRows(user), where)

    def filter(
        self,
        fn: Callable[..., Any],
        *,
        fn_args: Sequence[Any] | None = None,
        fn_kwargs: Mapping[str, Any] | None = None,
        fn_constructor_args: Sequence[Any] | None = None,
        fn_constructor_kwargs: Mapping[str, Any] | None = None,
        compute: ActorPoolStrategy | None = None,
        concurrency: int | tuple[int, int] | None = None,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        **options: Any,
    ) -> Dataset:
        """Keep the rows for which *fn* returns something true.

        Arguments and errors are those of :meth:`map`.
        """
        user = check_function(
            "filter",
            fn,
            streams=False,
            fn_args=fn_args,
            fn_kwargs=fn_kwargs,
            fn_constructor_args=fn_constructor_args,
            fn_constructor_kwargs=fn_constructor_kwargs,
        )
        where = _where("filter", user, compute, concurrency, num_cpus, num_gpus, options)
        return self._with(FilterRows(user), where)

    def add_column(
        self,
        col: str,
        fn: Callable[..., Any],
        *,
        batch_format: str = "default",
        compute: ActorPoolStrategy | None = None,
        concurrency: int | None = None,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        **options: Any,
    ) -> Dataset:
        """Add a column, or replace the one of that name; the others stay as they are.

        Args:
            col: its name.
            fn: gets a batch and returns the column's values for it: a series, an array or a
                list with one value for each row, or one value for all rows.
            batch_format: what *fn* gets, as for :meth:`map_batches`; ``"default"`` is what the
                first parameter of *fn* is annotated with, else ``"pandas"``.
            compute, concurrency, num_cpus, num_gpus, options: as for :meth:`map`.

        Raises:
            TypeError, InvalidOption: as for :meth:`map_batches`.
        """
        if not isinstance(col, str):
            raise InvalidOption(f"add_column: col must be text, got {col!r:.80}")
        user = check_function("add_column", fn)
        if user.is_class:
            raise TypeError("add_column takes a function; for a class use map_batches")
        where = _where("add_column", user, compute, concurrency, num_cpus, num_gpus, options)
        if check_batch_format(batch_format) == DEFAULT:
            batch_format = annotated_format(fn) or PANDAS
            if batch_format == PANDAS:
                check_pandas("add_column, unless batch_format is another one,")
        self.check_columns([], "add_column")
        return self._with(AddColumn(col, user, batch_format), where)

    @refuses(compute=_NO_COMPUTE)
    def select_columns(self, cols: str | Sequence[str]) -> Dataset:
        """Keep only these columns, in this order; a Parquet file's others are not read.

        Raises:
            ColumnNotFound: there is no such column (at the call where the columns are known,
                otherwise when the plan runs).
        """
        names = check_names("select_columns", cols)
        self.check_columns(names, "select_columns")
        return self._with(SelectColumns(names))

    @refuses(compute=_NO_COMPUTE)
    def drop_columns(self, cols: str | Sequence[str]) -> Dataset:
        """Leave out these columns; errors as for :meth:`select_columns`."""
        names = check_names("drop_columns", cols)
        self.check_columns(names, "drop_columns")
        return self._with(DropColumns(names))

    def rename_columns(self, names: Mapping[str, str]) -> Dataset:
        """Give columns other names, as ``{"old": "new"}``.

        Raises:
            ColumnNotFound: as for :meth:`select_columns`.
            InvalidOption: *names* maps anything but text to text, or two columns would have
                one name.
        """
        is_text = isinstance(names, Mapping) and all(
            isinstance(name, str) for pair in names.items() for name in pair
        )
        if not is_text or not names:
            raise InvalidOption(
                f"rename_columns takes a mapping of old to new names, got {names!r:.80}"
            )
        self.check_columns(names, "rename_columns")
        step = RenameColumns(tuple(names.items()))
        renamed = step.columns(self._plan.columns()) or list(names.values())
        if len(set(renamed)) < len(renamed):
            twice = sorted({name for name in renamed if renamed.count(name) > 1})
            raise InvalidOption(f"rename_columns would name several columns {twice[0]!r}")
        return self._with(step)

    def limit(self, limit: int) -> Dataset:
        """The first *limit* rows; no more than needed is read.

        Raises:
            InvalidOption: *limit* is negative or no whole number.
        """
        return self._head(limit, "limit")

    def union(self, *other: Dataset) -> Dataset:
        """These rows, then those of the other datasets in turn.

        Where the columns and types of all are known, all rows get common ones.

        Raises:
            UnsupportedValue: it is known that columns do not go together, or that only some of
                the rows are records.
        """
        for item in other:
            if not isinstance(item, Dataset):
                raise TypeError(f"union takes datasets, got {type(item).__name__}")
        return self.over(lambda plan: union([plan, *(item.plan for item in other)]))

    def repartition(self, num_blocks: int, *, shuffle: bool = False) -> Dataset:
        """The same rows in *num_blocks* blocks of equal size, in the same order.

        All input is made before the first block comes out.

        Args:
            shuffle: bring the rows into random order as well, so that each block has some of
                every part of the data: :meth:`random_shuffle` with *num_blocks*.

        Raises:
            InvalidOption: *num_blocks* is below 1 or no whole number.
        """
        count = int(check_number(num_blocks, "num_blocks", minimum=1, integer=True))
        if check_flag(shuffle, "repartition: shuffle"):
            return self.random_shuffle(num_blocks=count)
        return self.over(lambda plan: Repartition(plan, count))

    @refuses(ray_remote_args="shuffling takes a CPU for each block")
    def random_shuffle(self, *, seed: int | None = None, num_blocks: int | None = None) -> Dataset:
        """All rows in random order.

        All input is made before the first block comes out.

        Args:
            seed: the same seed gives the same order for the same rows, however they are
                divided into blocks and wherever they are. ``None`` draws one now, so this
                dataset has one order, whenever it is looked at.
            num_blocks: blocks of the result; as many as there were if ``None``.

        Raises:
            InvalidOption: *seed* is negative or no whole number, or *num_blocks* is below 1.
        """
        drawn = check_seed(seed)
        count = None
        if num_blocks is not None:
            count = int(check_number(num_blocks, "num_blocks", minimum=1, integer=True))
        return self.over(lambda plan: RandomShuffle(plan, drawn, count))

    # Splitting ------------------------------------------------------------------------------

    @refuses(locality_hints=_NO_HINTS)
    def split(self, n: int, *, equal: bool = False) -> list[Dataset]:
        """Divide the rows, in order, into *n* materialized datasets; runs the plan.

        Sizes differ by one row at most.

        Args:
            equal: make all the same size, leaving out up to ``n - 1`` rows at the end.

        Raises:
            InvalidOption: *n* is below 1, or with *equal* there are fewer than *n* rows.
        """
        parts = int(check_number(n, "split: n", minimum=1, integer=True))
        check_flag(equal, "split: equal")
        whole = self.materialize()
        rows = whole.count()
        if not equal:
            return whole._cut(equal_bounds(rows, parts))
        if rows < parts:
            raise InvalidOption(f"split: {rows} rows cannot be divided equally among {parts} parts")
        return whole._cut([rows // parts * index for index in range(parts + 1)])

    def split_at_indices(self, indices: Sequence[int]) -> list[Dataset]:
        """Cut before the rows at *indices*: ``[2, 5]`` gives rows 0-1, 2-4 and 5 to the end.

        Runs the plan. Parts beyond the last row are empty.

        Raises:
            InvalidOption: *indices* is empty or not ascending whole numbers from 0.
        """
        wanted = splitting.check_indices(indices)
        whole = self.materialize()
        rows = whole.count()
        return whole._cut([0, *(min(index, rows) for index in wanted), rows])

    def split_proportionately(self, proportions: Sequence[float]) -> list[Dataset]:
        """Cut into parts of these shares of the rows, and one part with the rest.

        Runs the plan. Parts are rounded down; ``[0.2, 0.5]`` of 10 rows gives 2, 5 and 3.

        Raises:
            InvalidOption: a share is not above 0, or together they are not below 1.
        """
        splitting.indices_for_proportions(0, proportions)
        whole = self.materialize()
        rows = whole.count()
        return whole._cut([0, *splitting.indices_for_proportions(rows, proportions), rows])

    def train_test_split(
        self, test_size: float, *, shuffle: bool = False, seed: int | None = None
    ) -> tuple[Dataset, Dataset]:
        """Cut off rows at the end to test on; runs the plan.

        Args:
            test_size: a share between 0 and 1 (rounded up to rows), or a number of rows.
            shuffle: shuffle all rows first.
            seed: of the shuffle, as for :meth:`random_shuffle`.

        Returns:
            The rows to train and those to test on, materialized.

        Raises:
            InvalidOption: *test_size* is out of bounds or leaves one part empty, or a seed is
                given without *shuffle*.
        """
        splitting.check_test_size(test_size)
        check_flag(shuffle, "train_test_split: shuffle")
        if seed is not None and not shuffle:
            raise InvalidOption("train_test_split: seed needs shuffle=True")
        whole = (self.random_shuffle(seed=seed) if shuffle else self).materialize()
        rows = whole.count()
        test_rows = splitting.rows_for_test(rows, test_size)
        train, test = whole._cut([0, rows - test_rows, rows])
        return train, test

    @refuses(locality_hints=_NO_HINTS)
    def streaming_split(self, n: int, *, equal: bool = False) -> list[DataIterator]:
        """*n* iterators over parts of the rows, to be sent to as many workers.

        Parts are contiguous and in order, the same each time. Pieces of the source are dealt
        out whole and read where they are iterated, in that process, without keeping anything;
        if there are too few of them for that, or with *equal*, the plan runs now and the parts
        have equally many rows, as those of :meth:`split`.

        Raises:
            InvalidOption: *n* is below 1, or with *equal* there are fewer than *n* rows.
        """
        parts = int(check_number(n, "streaming_split: n", minimum=1, integer=True))
        if not equal and parts > 1:
            divided = splitting.divide_source(self._plan, parts)
            if divided is not None:
                return [DataIterator(Dataset(plan), stay=True) for plan in divided]
        shards = self.split(parts, equal=equal)
        return [DataIterator(shard, stay=True) for shard in shards]

    def __repr__(self) -> str:
        # Only what is known already: looking at a dataset must not read files.
        sources = [node.source for node in self._plan.walk() if isinstance(node, Read)]
        reads_files = any(isinstance(source, FileDatasource) for source in sources)
        rows = None if reads_files else self._plan.num_rows()
        schema = self._schema or (None if reads_files else self._plan.schema())
        facts = [f"num_blocks={self.num_blocks()}"] if self.is_materialized else []
        facts += [f"num_rows={'?' if rows is None else rows}", f"schema={_describe(schema)}"]
        lines = [f"Dataset({', '.join(facts)})"]
        if not self.is_materialized:
            lines += _tree(self._plan)
        return "\n".join(lines)

    # ----------------------------------------------------------------------------------------

    def _with(self, transform: Transform, compute: Compute = ON_TASKS) -> Dataset:
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

    def _cut(self, bounds: Sequence[int]) -> list[Dataset]:
        assert isinstance(self._plan, InputBlocks)
        ranges = divide(self._plan.handles, bounds)
        return [Dataset(InputBlocks(tuple(part)), stats=self._stats) for part in ranges]


def _where(
    operator: str,
    user: UserFunction,
    compute: object,
    concurrency: object,
    num_cpus: object,
    num_gpus: object,
    options: Mapping[str, Any],
) -> Compute:
    """What an operator was told about where to run, checked."""
    resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
    own = inspect.signature(getattr(Dataset, operator)).parameters
    return check_compute(operator, user, compute, concurrency, {**options, **resources}, own)


def _tree(node: Node, depth: int = 0) -> Iterator[str]:
    """A line for each step, those that it is made from indented below it."""
    yield f"{'   ' * depth}+- {node.name}"
    for below in node.inputs:
        yield from _tree(below, depth + 1)


def _describe(schema: Schema | None) -> str:
    if schema is None:
        return "unknown"
    if isinstance(schema, type):
        return repr(schema)
    fields = [f"{field.name}: {field.type}" for field in schema][:8]
    more = f", and {len(schema) - 8} more" if len(schema) > 8 else ""
    return "{" + ", ".join(fields) + more + "}"
