"""What a user's function does to each batch."""

from __future__ import annotations

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
from air.data.udf.batches import AddColumn, MapBatches
from air.data.udf.compute import ActorPoolStrategy, check_compute
from air.data.udf.functions import check_function
from air.data.udf.skipping import check_skips
from air.errors import InvalidOption
from air.executor.extras import check_pandas
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_flag


@methods_suggest_keywords
class BatchMapMethods(Consumption):
    """The part of :class:`air.data.Dataset` that calls functions for batches."""

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
        resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        where = check_compute(
            BatchMapMethods.map_batches, user, compute, concurrency, {**options, **resources}
        )
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
        resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        where = check_compute(
            BatchMapMethods.add_column, user, compute, concurrency, {**options, **resources}
        )
        skips = check_skips("add_column", on_error, dead_letter, max_errors)
        if check_batch_format(batch_format) == DEFAULT:
            batch_format = annotated_format(fn) or PANDAS
            if batch_format == PANDAS:
                check_pandas("add_column, unless batch_format is another one,")
        self.check_columns([], "add_column")
        step = AddColumn(user, skips, column=col, batch_format=batch_format)
        return self.with_transform(step, where)
