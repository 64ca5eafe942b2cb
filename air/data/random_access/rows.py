"""Rows that can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from air.data.blocks.choosing import kept
from air.data.grouping.keys import check_keys, comparable
from air.data.transforms import ColumnsTransform

WHAT = "to_random_access_dataset"


@dataclass(frozen=True)
class RowsWithKey(ColumnsTransform):
    """The rows whose key is not missing: neither null nor NaN."""

    column: str
    keeps_rows = False

    @property
    def name(self) -> str:
        return f"{WHAT}({self.column!r})"

    def apply(self, table: pa.Table) -> pa.Table:
        check_keys(table, [self.column], WHAT)
        has_key = comparable(table[self.column]).is_valid()
        return kept(table, has_key)
