"""Rows by key, looked up by code that is imported when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from air.data.methods.ordering import OrderMethods
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_number, check_text

if TYPE_CHECKING:
    from air.data.random_access.dataset import RandomAccessDataset


@methods_suggest_keywords
class AccessMethods(OrderMethods):
    """The part of :class:`air.data.Dataset` that looks rows up."""

    def to_random_access_dataset(
        self, key: str, num_workers: int | None = None
    ) -> RandomAccessDataset:
        """Sort the rows by the column *key* and hold them in actors that find them by it.

        Runs the plan and starts the backend. Rows whose key is null or NaN are left out; of rows
        with equal keys the first one is found::

            with ds.to_random_access_dataset("id") as by_id:
                by_id.multiget([7, 3])  # [{"id": 7, ...}, None]

        Args:
            key: a column of whole numbers, floats, decimals, text, bytes, booleans, times, dates or
                spans of time.
            num_workers: actors, each of which holds as many rows, and needs no CPU while nobody
                asks; four for each node if ``None``. There are no more than rows.

        Raises:
            ColumnNotFound: there is no such column.
            UnsupportedValue: its values cannot be compared, or the rows are plain objects.
        """
        from air.data.random_access.dataset import RandomAccessDataset
        from air.data.random_access.rows import WHAT, RowsWithKey

        check_text(key, f"{WHAT}: key")
        if num_workers is not None:
            check_number(num_workers, f"{WHAT}: num_workers", minimum=1, integer=True)
        self.check_columns([key], WHAT)
        rows = self.with_transform(RowsWithKey(key)).sort(key)
        return RandomAccessDataset(rows, key, num_workers)
