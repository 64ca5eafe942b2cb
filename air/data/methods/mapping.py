"""What a user's function does to each row or batch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from air.data.arguments import check_batch_size
from air.data.batching.batch_format import (
    DEFAULT,
    PANDAS,
    annotated_format,
    check_batch_format,
    resolve_batch_format,
)
from air.data.consumption import Consumption
from air.data.datasources.filesystems import PathLike
from air.data.expressions.expr import Expression
from air.data.expressions.operators import FilterExpression
from air.data.udf.batches import AddColumn, MapBatches
from air.data.udf.compute import ActorPoolStrategy, Compute, check_compute
from air.data.udf.functions import UserFunction, check_function
from air.data.udf.rows import FilterRows, FlatMapRows, MapRows
from air.data.udf.skipping import check_skips
from air.errors import InvalidOption
from air.executor.extras import check_pandas
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_flag


@methods_suggest_keywords
class MapMethods(Consumption):
    """The part of :class:`air.data.Dataset` that calls functions."""

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
        max_concurrency: int | None = None,
        on_error: str = "raise",
        dead_letter: PathLike | None = None,
        max_errors: int | None = None,
        **options: Any,
    ) -> Self:
        """Replace each row by what *fn* makes of it.

        Args:
            fn: called as ``fn(row, *fn_args, **fn_kwargs)``; returns the new row, a dictionary
                or any other object. Dictionaries may have different keys: the dataset has them
                all, with nulls in the rows that lack one. Until all rows are there it is only
                known which keys some of them have, so ``schema()`` tells those of the first
                block, and the next function sees those of the rows in one block with it. A class
                is made into instances, which are called. It may be async: calls are made in one
                event loop for each task or actor, several at a time; results keep the order, and
                calls that nobody needs any more are cancelled.
            fn_constructor_args: arguments for the class; ``fn_constructor_kwargs`` likewise.
            compute: actors to work on; instances of a class are made there.
            concurrency: in place of *compute*: how many tasks (for functions) or actors (for
                classes, or ``(smallest, largest)``) work at the same time.
            num_cpus: what each of the tasks or actors holds; ``num_gpus`` likewise.
            max_concurrency: calls of an async *fn* under way at a time in each task or actor (16
                when ``None``).
            on_error: ``"skip"`` leaves out rows for which *fn* raises an error, or returns what no
                dataset can hold; ``ds.stats()`` tells how many. ``"raise"`` raises the error.
            dead_letter: a directory to which rows that are skipped are written, as Parquet files
                that :func:`air.data.read_parquet` reads: the columns of the row (``value`` for a
                plain object, or ``pickle`` if Arrow has no type for it) and ``_error``, which
                holds the ``operator``, the ``type`` and ``message`` of the error, the ``source``
                and ``row`` there (from 0) where that is known, and the ``column``. They appear as
                the rows around them are given out, and each is there once, however often a task
                is tried; running the dataset again writes the same files again. Operators, and
                parts of one dataset (such as those of ``split``), may write to one directory;
                different datasets should not. Nothing is written where no row is skipped.
            max_errors: more skipped rows than this raise ``TooManyErrors``; any number if
                ``None``.
            options: more options of the tasks or actors, such as ``memory`` and
                ``max_retries``.

        Raises:
            TypeError: *fn* cannot be called, or yields instead of returning.
            InvalidOption: an option that is unknown (names the nearest) or does not fit.
            TooManyErrors: when the plan runs: *max_errors* rows were skipped before.
        """
        user = check_function(
            "map",
            fn,
            streams=False,
            fn_args=fn_args,
            fn_kwargs=fn_kwargs,
            fn_constructor_args=fn_constructor_args,
            fn_constructor_kwargs=fn_constructor_kwargs,
            max_concurrency=max_concurrency,
        )
        where = _where("map", user, compute, concurrency, num_cpus, num_gpus, options)
        skips = check_skips("map", on_error, dead_letter, max_errors)
        return self.with_transform(MapRows(user, skips), where)

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
        max_concurrency: int | None = None,
        on_error: str = "raise",
        dead_letter: PathLike | None = None,
        max_errors: int | None = None,
        **options: Any,
    ) -> Self:
        """Replace each batch of rows by what *fn* makes of it.

        Columns that *fn* passes on, selects from or sorts keep their types and nulls, whatever the
        format; so do those it makes anew under a name that it was given, if they are of the same
        kind (whole numbers, floats, text, times ...) and all values fit exactly. What numpy and
        pandas say of a type themselves holds. Whole numbers with nulls are pandas' nullable ones
        (``Int64``), and floats with NaN in numpy (objects beyond ``2**53``): what is computed of
        these is floats. Maps are lists of pairs. pandas has no NaN beside missing values: both are
        nulls. A column without any value in a batch has no type by itself (Arrow's ``null``)
        where Python objects stand for the values.

        *fn* is given batches that have rows. If there turn out to be none in the whole result, a
        function (no class) is called once more in this process, with a batch without rows, to tell
        columns and types; if it fails for that, nothing is known of them.

        Args:
            fn: called as ``fn(batch, *fn_args, **fn_kwargs)``; returns a DataFrame, a table, a
                dictionary of arrays or a list of rows, with any number of rows, or yields
                several of them. What an async generator yields is taken when it has ended.
            batch_size: rows of a batch at most (for ``"default"`` 4096, or as many as make a
                block, ``target_max_block_size`` or less under a small budget, where rows are
                wide); ``None`` takes whole blocks. Batches end where blocks do, so they may be
                smaller.
            batch_format: what *fn* gets: ``"numpy"`` a dictionary of arrays, ``"pandas"`` a
                DataFrame, ``"polars"`` one of Polars (for types see
                :mod:`air.data.polars.batches`), ``"pyarrow"`` a table. ``"default"`` is what the
                first parameter of *fn* is annotated with, else ``"numpy"`` (for plain objects a
                list).
            zero_copy_batch: give *fn* arrays that share memory with the block and must not be
                changed.
            fn_constructor_args, compute, concurrency, num_cpus, num_gpus, max_concurrency, options:
                as for :meth:`map`.
            on_error, dead_letter, max_errors: as for :meth:`map`. Where *fn* fails for a batch,
                it is called again for each half of it, down to single rows, which are skipped; so
                it may see the same row in several batches, and what it had yielded before it
                failed is dropped.

        Raises:
            TypeError: *fn* cannot be called.
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
            max_concurrency=max_concurrency,
        )
        where = _where("map_batches", user, compute, concurrency, num_cpus, num_gpus, options)
        skips = check_skips("map_batches", on_error, dead_letter, max_errors)
        rows, least = check_batch_size("map_batches", batch_size)
        check_flag(zero_copy_batch, "map_batches: zero_copy_batch")
        return self.with_transform(
            MapBatches(
                user,
                skips,
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
        max_concurrency: int | None = None,
        on_error: str = "raise",
        dead_letter: PathLike | None = None,
        max_errors: int | None = None,
        **options: Any,
    ) -> Self:
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
            max_concurrency=max_concurrency,
        )
        where = _where("flat_map", user, compute, concurrency, num_cpus, num_gpus, options)
        skips = check_skips("flat_map", on_error, dead_letter, max_errors)
        return self.with_transform(FlatMapRows(user, skips), where)

    def filter(
        self,
        fn: Callable[..., Any] | Expression,
        *,
        fn_args: Sequence[Any] | None = None,
        fn_kwargs: Mapping[str, Any] | None = None,
        fn_constructor_args: Sequence[Any] | None = None,
        fn_constructor_kwargs: Mapping[str, Any] | None = None,
        compute: ActorPoolStrategy | None = None,
        concurrency: int | tuple[int, int] | None = None,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        max_concurrency: int | None = None,
        on_error: str = "raise",
        dead_letter: PathLike | None = None,
        max_errors: int | None = None,
        **options: Any,
    ) -> Self:
        """Keep the rows for which *fn* returns something true.

        Args:
            fn: a function or class as for :meth:`map`, or an expression such as
                ``col("age") >= 18``, which Arrow works out without calling Python for each row,
                and for which parts of Parquet files are not read that cannot have such a row.
                Rows for which an expression is missing are dropped.

        Other arguments are for functions alone; they and the errors are those of :meth:`map`.

        Raises:
            TypeError: an expression of pyarrow is given, or *fn* cannot be called.
            ColumnNotFound: an expression is of a column that there is not (at the call where
                the columns are known, otherwise when the plan runs).
            UnsupportedValue: when the plan runs: an expression is not defined for the types of
                its columns, or is no condition.
            InvalidOption: other arguments beside an expression.
        """
        if isinstance(fn, Expression):
            given = (fn_args, fn_kwargs, fn_constructor_args, fn_constructor_kwargs, compute)
            rest = (
                max_concurrency,
                concurrency,
                num_cpus,
                num_gpus,
                dead_letter,
                max_errors,
                *options.values(),
            )
            if on_error != "raise" or any(value is not None for value in (*given, *rest)):
                raise InvalidOption(
                    "filter: an expression is worked out where the rows are made; leave all other"
                    " arguments out"
                )
            self.check_columns(sorted(fn.columns()), "filter")
            return self.with_transform(FilterExpression(fn))
        user = check_function(
            "filter",
            fn,
            streams=False,
            fn_args=fn_args,
            fn_kwargs=fn_kwargs,
            fn_constructor_args=fn_constructor_args,
            fn_constructor_kwargs=fn_constructor_kwargs,
            max_concurrency=max_concurrency,
        )
        where = _where("filter", user, compute, concurrency, num_cpus, num_gpus, options)
        skips = check_skips("filter", on_error, dead_letter, max_errors)
        return self.with_transform(FilterRows(user, skips), where)

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
        on_error: str = "raise",
        dead_letter: PathLike | None = None,
        max_errors: int | None = None,
        **options: Any,
    ) -> Self:
        """Add a column, or replace the one of that name; the others stay as they are.

        Args:
            col: its name.
            fn: gets a batch and returns the column's values for it: a series, an array or a
                list with one value for each row, or one value for all rows. An async one is
                called for one batch after the other.
            batch_format: what *fn* gets, as for :meth:`map_batches`; ``"default"`` is what the
                first parameter of *fn* is annotated with, else ``"pandas"``.
            compute, concurrency, num_cpus, num_gpus, on_error, dead_letter, max_errors, options: as
                for :meth:`map_batches`.

        Raises:
            TypeError, InvalidOption, TooManyErrors: as for :meth:`map_batches`.
        """
        if not isinstance(col, str):
            raise InvalidOption(f"add_column: col must be text, got {col!r:.80}")
        user = check_function("add_column", fn)
        if user.is_class:
            raise TypeError("add_column takes a function; for a class use map_batches")
        where = _where("add_column", user, compute, concurrency, num_cpus, num_gpus, options)
        skips = check_skips("add_column", on_error, dead_letter, max_errors)
        if check_batch_format(batch_format) == DEFAULT:
            batch_format = annotated_format(fn) or PANDAS
            if batch_format == PANDAS:
                check_pandas("add_column, unless batch_format is another one,")
        self.check_columns([], "add_column")
        step = AddColumn(user, skips, column=col, batch_format=batch_format)
        return self.with_transform(step, where)


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
    own = inspect.signature(getattr(MapMethods, operator)).parameters
    return check_compute(operator, user, compute, concurrency, {**options, **resources}, own)
