"""Groups of rows with equal keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, cast

from air.data.aggregate import Aggregation, Count, Sum
from air.data.arguments import check_names
from air.data.consumption import Consumption
from air.data.grouping.aggregation import check_aggregations
from air.data.plan import Distinct
from air.executor.keywords import methods_suggest_keywords

if TYPE_CHECKING:
    from air.data.dataset import Dataset
    from air.data.grouped_data import GroupedData


@methods_suggest_keywords
class GroupMethods(Consumption):
    """The part of :class:`air.data.Dataset` that groups rows."""

    def groupby(self, key: str | Sequence[str] | None) -> GroupedData:
        """Group the rows by a column or several; see :class:`air.data.GroupedData`.

        Args:
            key: ``None`` makes one group of all rows.

        Raises:
            ColumnNotFound: it is known that there is no such column.
            InvalidOption: *key* is no column and no list of columns.
        """
        from air.data.grouped_data import GroupedData

        return GroupedData(cast("Dataset", self), key)

    def distinct(self, keys: str | Sequence[str] | None = None) -> Self:
        """Each row once: of those that are equal the first, in the order in which they appear.

        Missing values, null and NaN, are equal to each other, as in ``drop_duplicates`` of pandas.
        All input is read before the first block comes out; what is kept of each block and is
        together more than half of ``DataContext.memory_budget`` waits in files.

        Args:
            keys: columns that rows must be equal in; all if ``None``, for plain objects the
                objects themselves, which need a hash.

        Raises:
            InvalidOption: *keys* is no column and no list of columns.
            ColumnNotFound: there is no such column (at the call where columns are known).
            UnsupportedValue: when the plan runs: a column has a type whose values cannot be
                compared (lists, structs, tensors), or objects have no hash.
        """
        names = None if keys is None else check_names("distinct", keys)
        if names is not None:
            self.check_columns(names, "distinct")
        return self.over(lambda plan: Distinct(plan, names))

    def aggregate(self, *aggs: Aggregation) -> dict[str, Any]:
        """What aggregations of :mod:`air.data.aggregate` give for all rows; runs the plan.

        Returns:
            The results by name, such as ``{"sum(x)": 3}``; without rows ``None``, and 0 for sums
            and counts.

        Raises:
            TypeError, InvalidOption, ColumnNotFound, UnsupportedValue: as for ``GroupedData``.
        """
        checked = check_aggregations("aggregate", aggs)
        rows = self.groupby(None).aggregate(*checked).take_all()
        if rows:
            (found,) = rows
            return dict(found)
        return {agg.name: 0 if isinstance(agg, Count | Sum) else None for agg in checked}
