"""Aggregations that have to keep values: a list for each group."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.block import Block
from air.data.blocks.choosing import taken
from air.data.errors import require_columns
from air.data.execution.exchange.partitioners import sorted_order
from air.data.grouping import columns
from air.data.grouping.aggregation import Aggregation, OfValues, State
from air.data.grouping.first import is_repeated
from air.data.grouping.keys import Groups, check_keys, plain
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_number


@methods_suggest_keywords
class Quantile(OfValues):
    """A quantile of a column of numbers, times or durations, the median if *q* is 0.5.

    It is exact, and lies between two values in proportion to its distance from them, as in
    pandas; those of times are of the type of the column, rounded toward 0, which is 1970 for a
    point in time. For that 8 bytes are kept for each number; with :meth:`Dataset.aggregate`,
    which makes one group of all rows, that is in the memory of the program. Null for a group
    without values.

    Args:
        q: from 0, the smallest value, to 1, the largest.
    """

    def __init__(
        self,
        on: str | None = None,
        q: float = 0.5,
        ignore_nulls: bool = True,
        alias_name: str | None = None,
    ) -> None:
        super().__init__(on, ignore_nulls, alias_name)
        self.q = float(check_number(q, "Quantile: q", minimum=0, maximum=1))

    def _of(self, column: pa.ChunkedArray, valid: np.ndarray, groups: Groups) -> State:
        values: Any
        if pa.types.is_null(column.type):
            return {}
        if pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type):
            values = column.drop_null()
        else:
            values = pa.array(columns.floats(column, str(self.on), self.name)[valid])
        return {"values": _lists(values, groups.of_row[valid], len(groups))}

    def _combined(self, states: pa.Table, groups: Groups) -> State:
        if "values" not in states.column_names:
            return {}
        values, of = _elements(states["values"])
        return {"values": _lists(values, groups.of_row[of], len(groups))}

    def _result(self, state: pa.Table) -> pa.Array:
        if "values" not in state.column_names:
            return pa.nulls(len(state), pa.float64())
        array, group = _elements(state["values"])
        kind = array.type
        values = array.cast(kind if pa.types.is_floating(kind) else pa.int64()).to_numpy()
        counts = np.bincount(group, minlength=len(state))
        is_there = counts > 0
        found = np.zeros(len(state), values.dtype)
        # By value, then by group: two sorts of numbers take a third of the time of one by both.
        order = np.argsort(values)
        order = order[sorted_order(group[order])]
        found[is_there] = self._of_sorted(values[order], counts[is_there])
        return pa.array(found, mask=~is_there).cast(kind)

    def _of_sorted(self, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The quantile of each group, of which none is empty, whose values are sorted."""
        last = counts - 1
        begin = np.cumsum(counts) - counts
        place = self.q * last
        below = np.floor(place).astype(np.int64)
        low, high = values[begin + below], values[begin + np.minimum(below + 1, last)]
        if values.dtype.kind == "f":
            with np.errstate(invalid="ignore"):  # infinite values have no distance
                between = low + (high - low) * (place - below)
            return np.where((low == high) | (place == below), low, between)
        further = (high.view(np.uint64) - low.view(np.uint64)) * (place - below)
        between = low + np.floor(further).astype(np.int64)
        return between + ((between < 0) & (further % 1 > 0))


@methods_suggest_keywords
class Unique(Aggregation):
    """The different values of a column as a list, in the order in which they appear.

    A missing value is one of them, as in pandas; null and NaN count as the same.

    Args:
        ignore_nulls: leave the missing value out.
    """

    def __init__(
        self, on: str | None = None, ignore_nulls: bool = False, alias_name: str | None = None
    ) -> None:
        super().__init__(on, ignore_nulls, alias_name)

    def first_state(self, block: Block, groups: Groups, keys: pa.Table) -> State:
        assert isinstance(block, pa.Table)
        name = str(self.on)
        require_columns([name], block.column_names, self.name)
        check_keys(block, [name], self.name)
        column, of_row = plain(block[name]), groups.of_row
        if self.ignore_nulls:
            valid = columns.present(column)
            column, of_row = column.filter(pa.array(valid)), of_row[valid]
        return {"values": self._distinct(column, of_row, len(groups))}

    def combined(self, states: pa.Table, groups: Groups) -> State:
        values, of = _elements(states["values"])
        return {"values": self._distinct(values, groups.of_row[of], len(groups))}

    def results(self, state: pa.Table) -> pa.Array:
        lists = state["values"].combine_chunks()
        return lists.cast(pa.list_(lists.type.value_type))

    def _distinct(self, values: Any, of_row: np.ndarray, number: int) -> pa.Array:
        both = pa.table({"group": of_row, "value": values})
        first = np.flatnonzero(~is_repeated(both, ["group", "value"], self.name))
        return _lists(taken(both, pa.array(first))["value"], of_row[first], number)


def _lists(values: Any, of_row: np.ndarray, number: int) -> pa.Array:
    """A list for each of *number* groups, with the values whose row is of it, in their order."""
    ends = np.cumsum(np.bincount(of_row, minlength=number))
    ordered = values.take(pa.array(sorted_order(of_row)))
    if isinstance(ordered, pa.ChunkedArray):
        ordered = ordered.combine_chunks()
    return pa.LargeListArray.from_arrays(pa.array(np.concatenate([[0], ends])), ordered)


def _elements(lists: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """The values in lists, one list after the other, and in which list each is."""
    whole = lists.combine_chunks()
    lengths = whole.value_lengths().to_numpy()
    return whole.flatten(), np.repeat(np.arange(len(whole)), lengths)
