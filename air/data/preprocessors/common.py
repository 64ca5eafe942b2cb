"""What encoders share that keep the most frequent categories of some columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from air.data.counts import ElementCounts, ValueCounts
from air.data.dataset import Dataset
from air.data.preprocessors.codes import Categories, check_limits, complete, kept
from air.data.preprocessors.columns import ColumnPreprocessor, check_columns


class CommonCategories(ColumnPreprocessor):
    """The categories of columns, at most *max_categories* of each.

    Attributes:
        stats_: ``{"unique_values(a)": {category: position, ...}}`` after :meth:`fit`.
    """

    _counts: ClassVar[type[ValueCounts] | type[ElementCounts]]
    """What is counted: the values of a column, or the elements of the lists that they are."""

    def __init__(
        self, columns: list[str], *, max_categories: Mapping[str, int] | None = None
    ) -> None:
        self.columns = columns
        self.max_categories = max_categories
        self._check_limits(check_columns(self, columns))

    def input_columns(self, available: Sequence[str]) -> list[str]:
        return check_columns(self, self.columns)

    def _check_limits(self, names: list[str]) -> dict[str, int]:
        return check_limits(type(self).__name__, self.max_categories, names)

    def _fit(self, ds: Dataset) -> None:
        names = self.input_columns(())
        limits = self._check_limits(names)
        found = self._summarize(ds, {name: [self._counts] for name in names})
        stats: dict[str, Categories] = {}
        for name in names:
            counts = complete(type(self).__name__, name, found[self._counts, name])
            stats[f"unique_values({name})"] = kept(name, counts, limits.get(name))
        self.stats_ = stats

    def _categories(self, name: str) -> Categories:
        return self.stats_[f"unique_values({name})"]
