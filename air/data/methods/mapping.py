"""What a user's function does to each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from air.data.consumption import Consumption
from air.data.datasources.filesystems import PathLike
from air.data.expressions.expr import Expression
from air.data.expressions.operators import FilterExpression
from air.data.udf.compute import ActorPoolStrategy, check_compute
from air.data.udf.functions import check_function
from air.data.udf.rows import FilterRows, FlatMapRows, MapRows
from air.data.udf.skipping import check_skips
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords


@methods_suggest_keywords
class MapMethods(Consumption):
    """The part of :class:`air.data.Dataset` that calls functions for rows."""

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
        resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        where = check_compute(MapMethods.map, user, compute, concurrency, {**options, **resources})
        skips = check_skips("map", on_error, dead_letter, max_errors)
        return self.with_transform(MapRows(user, skips), where)

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
        resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        where = check_compute(
            MapMethods.flat_map, user, compute, concurrency, {**options, **resources}
        )
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
        resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        where = check_compute(
            MapMethods.filter, user, compute, concurrency, {**options, **resources}
        )
        skips = check_skips("filter", on_error, dead_letter, max_errors)
        return self.with_transform(FilterRows(user, skips), where)
