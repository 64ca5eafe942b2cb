"""Groups of rows with equal keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from air.data.aggregate import Aggregation, Count, Sum, check_aggregations
from air.data.consumption import Consumption
from air.executor.keywords import methods_suggest_keywords

if TYPE_CHECKING:
    from air.data.dataset import Dataset
    from air.data.grouped import GroupedData


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
        from air.data.grouped import GroupedData

        return GroupedData(cast("Dataset", self), key)

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
