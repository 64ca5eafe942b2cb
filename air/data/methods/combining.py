"""Several datasets made into one."""

from __future__ import annotations

from typing import Self

from air.data.consumption import Consumption
from air.data.errors import UnsupportedValue
from air.data.plan import Zip, union
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

    def zip(self, other: Consumption) -> Self:
        """The rows of both datasets side by side, in blocks as here.

        Records get the columns of *other* behind their own; one whose name is taken gets a
        number behind it: ``a_1``. Plain objects become pairs. The rows of *other* are all made
        before the first block comes out.

        Raises:
            TypeError: *other* is no dataset.
            UnsupportedValue: they have different numbers of rows (at the call where both are
                known, otherwise when the plan runs), or rows of only one are records.
        """
        if not isinstance(other, Consumption):
            raise TypeError(f"zip takes a dataset, got {type(other).__name__}")
        rows, others = self.plan.num_rows(), other.plan.num_rows()
        if rows is not None and others is not None and rows != others:
            raise UnsupportedValue(f"zip needs as many rows on both sides, got {rows} and {others}")
        return self.over(lambda plan: Zip(plan, other.plan))
