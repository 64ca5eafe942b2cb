"""Several datasets made into one."""

from __future__ import annotations

from typing import Self

from air.data.consumption import Consumption
from air.data.plan import union
from air.executor.keywords import methods_suggest_keywords


@methods_suggest_keywords
class CombineMethods(Consumption):
    """The part of :class:`air.data.Dataset` that takes other datasets."""

    def union(self, *other: Consumption) -> Self:
        """These rows, then those of the other datasets in turn.

        Where the columns and types of all are known, all rows get common ones.

        Raises:
            UnsupportedValue: it is known that columns do not go together, or that only some of
                the rows are records.
        """
        for item in other:
            if not isinstance(item, Consumption):
                raise TypeError(f"union takes datasets, got {type(item).__name__}")
        return self.over(lambda plan: union([plan, *(item.plan for item in other)]))
