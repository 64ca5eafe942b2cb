"""Datasets whose rows are grouped by keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from air.data.aggregate import (
    Aggregation,
    Count,
    Max,
    Mean,
    Min,
    Quantile,
    Std,
    Sum,
    Unique,
)
from air.data.batching.batch_format import resolve_batch_format
from air.data.errors import UnsupportedValue, require_columns
from air.data.grouping.aggregation import check_aggregations
from air.data.grouping.transforms import Plan, check_names
from air.data.grouping.whole import MapGroups, group_keys
from air.data.plan import Aggregate, GroupRows, Map, Node, Repartition
from air.data.udf.compute import ActorPoolStrategy, check_compute
from air.data.udf.functions import check_function
from air.data.viewing.shown import head
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords

if TYPE_CHECKING:
    from air.data.dataset import Dataset

On = str | Sequence[str] | None


@methods_suggest_keywords
class GroupedData:
    """What ``Dataset.groupby`` gives.

    All methods but :meth:`map_groups` give a dataset with a row for each group.

    Rows come in ascending order of the keys, which for categories is that of their values (see
    :meth:`Dataset.sort`). Rows whose key is missing, null or NaN, are a group
    too, the last one (pandas leaves them out; filter them first to do the same). The columns are
    the keys, then what was computed, named as ``sum(x)``.

    Missing values are left out of what is computed; with ``ignore_nulls=False`` a group that has
    any gets null. Methods that take ``on`` compute for that column or those columns, and for all
    but the keys if it is ``None``.

    All raise ``ColumnNotFound`` for an unknown column and ``UnsupportedValue`` for one whose type
    has no such number, at the call where columns are known and when the plan runs otherwise.
    """

    def __init__(self, dataset: Dataset, key: str | Sequence[str] | None) -> None:
        """Use ``Dataset.groupby``."""
        names = [key] if isinstance(key, str) else list(key) if isinstance(key, Sequence) else []
        if not all(isinstance(name, str) for name in names) or (key is not None and not names):
            raise InvalidOption(
                f"groupby: key must be a column, a list of columns or None, got {key!r:.80}"
            )
        if len(set(names)) < len(names):
            raise InvalidOption(f"groupby: a column is named twice in {key!r:.80}")
        if names:
            dataset.check_columns(names, "groupby")
        self._dataset = dataset
        self._keys = tuple(names)

    def aggregate(self, *aggs: Aggregation) -> Dataset:
        """Any aggregations of :mod:`air.data.aggregate` at once.

        Raises:
            TypeError: one is no aggregation.
            InvalidOption: there are none, or two results would have one name; give them an
                ``alias_name``.
        """
        checked = check_aggregations("aggregate", aggs)
        twice = check_names(self._keys, checked)
        if twice is not None:
            raise InvalidOption(f"aggregate: a key and a result would be named {twice!r} both")
        wanted = list(dict.fromkeys([*self._keys, *(agg.on for agg in checked if agg.on)]))
        known = self._dataset.known_columns()
        dataset = self._dataset
        if known is not None:
            require_columns(wanted, known, "aggregate")
            takes_all = any(agg.takes_rows for agg in checked)
            if wanted and not takes_all and set(wanted) < set(known):
                dataset = dataset.select_columns(wanted)
        return dataset.over(lambda plan: Aggregate(plan, Plan(self._keys, checked)))

    def count(self) -> Dataset:
        """How many rows each group has, in the column ``count()``."""
        return self.aggregate(Count())

    def sum(self, on: On = None, ignore_nulls: bool = True) -> Dataset:
        """The sum of columns of numbers or durations; 0 for a group without values."""
        return self.aggregate(*(Sum(name, ignore_nulls) for name in self._columns("sum", on)))

    def min(self, on: On = None, ignore_nulls: bool = True) -> Dataset:
        """The smallest value of columns."""
        return self.aggregate(*(Min(name, ignore_nulls) for name in self._columns("min", on)))

    def max(self, on: On = None, ignore_nulls: bool = True) -> Dataset:
        """The largest value of columns."""
        return self.aggregate(*(Max(name, ignore_nulls) for name in self._columns("max", on)))

    def mean(self, on: On = None, ignore_nulls: bool = True) -> Dataset:
        """The mean of columns of numbers, points in time or durations."""
        return self.aggregate(*(Mean(name, ignore_nulls) for name in self._columns("mean", on)))

    def std(self, on: On = None, ddof: int = 1, ignore_nulls: bool = True) -> Dataset:
        """The standard deviation of columns, with *ddof* degrees of freedom taken off.

        That of points in time and of durations is a duration.
        """
        names = self._columns("std", on)
        return self.aggregate(*(Std(name, ddof, ignore_nulls) for name in names))

    def quantile(self, on: On = None, q: float = 0.5, ignore_nulls: bool = True) -> Dataset:
        """A quantile of columns, the median if *q* is 0.5; exact.

        A float for numbers; for points in time and durations one of the column's type.
        """
        names = self._columns("quantile", on)
        return self.aggregate(*(Quantile(name, q, ignore_nulls) for name in names))

    def unique(self, on: On = None, ignore_nulls: bool = False) -> Dataset:
        """The different values of columns as lists, in order of appearance.

        A missing value is one of them unless *ignore_nulls*.
        """
        return self.aggregate(*(Unique(name, ignore_nulls) for name in self._columns("unique", on)))

    def map_groups(
        self,
        fn: Callable[..., Any],
        *,
        compute: ActorPoolStrategy | None = None,
        batch_format: str = "default",
        fn_args: Sequence[Any] | None = None,
        fn_kwargs: Mapping[str, Any] | None = None,
        fn_constructor_args: Sequence[Any] | None = None,
        fn_constructor_kwargs: Mapping[str, Any] | None = None,
        concurrency: int | tuple[int, int] | None = None,
        num_cpus: float | None = None,
        num_gpus: float | None = None,
        **options: Any,
    ) -> Dataset:
        """What *fn* makes of each group, one behind the other in the order of the keys.

        A group is given whole, keys and all, with its rows in the order that they had; so it must
        fit into the memory of a worker, several times: as it is put together, in the format that
        *fn* gets, and as what comes of it: numbers as a DataFrame take 2.3 times their size. Other
        groups are held beside it only as far as they are together a small part of
        ``DataContext.memory_budget``. There is one of each key, rows whose key is missing included.

        Args:
            fn: called as ``fn(group, *fn_args, **fn_kwargs)``; returns a DataFrame, a table, a
                dictionary of arrays or a list of rows, with any number of rows, or yields
                several of them.
            batch_format: what *fn* gets, as for ``Dataset.map_batches``.
            compute, concurrency, num_cpus, num_gpus, options: where it is called, as for
                ``Dataset.map``.
            fn_constructor_args: arguments for the class, if *fn* is one;
                ``fn_constructor_kwargs`` likewise.

        Raises:
            TypeError: *fn* cannot be called or is async.
            InvalidOption: a format or option that is unknown (names the nearest), or a value
                that does not fit.
        """
        user = check_function(
            "map_groups",
            fn,
            waits=False,
            fn_args=fn_args,
            fn_kwargs=fn_kwargs,
            fn_constructor_args=fn_constructor_args,
            fn_constructor_kwargs=fn_constructor_kwargs,
        )
        resources = {"num_cpus": num_cpus, "num_gpus": num_gpus}
        where = check_compute(
            GroupedData.map_groups, user, compute, concurrency, {**options, **resources}
        )
        keys = group_keys(self._keys)
        step = MapGroups(user, batch_format=resolve_batch_format(batch_format, fn), keys=keys)

        def made(plan: Node) -> Node:
            rows = GroupRows(plan, keys, step.name) if keys else Repartition(plan, 1)
            return Map(rows, step, where)

        return self._dataset.over(made)

    def _columns(self, what: str, on: On) -> list[str]:
        if on is not None:
            names = [on] if isinstance(on, str) else list(on) if isinstance(on, Sequence) else []
            if not names or not all(isinstance(name, str) for name in names):
                raise InvalidOption(
                    f"{what}: on must be a column or a list of columns, got {on!r:.80}"
                )
            self._dataset.check_columns(names, what)
            return names
        columns = self._dataset.columns()
        if columns is None:
            raise UnsupportedValue(f"{what}: the rows are plain objects, which have no columns")
        names = [name for name in columns if name not in self._keys]
        if not names:
            raise InvalidOption(f"{what}: there are no columns but the keys")
        return names

    def __repr__(self) -> str:
        return f"GroupedData({head(self._dataset)}, key={list(self._keys)!r})"
