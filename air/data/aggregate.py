"""What can be computed of each group of rows, and of all rows together.

Give them to ``Dataset.aggregate`` or ``Dataset.groupby(...).aggregate``. Each block is worked on by
itself, and what that gives is combined in the order of the blocks, so results depend neither on
how many workers there are nor on how fast they are.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.block import Block
from air.data.grouping import columns
from air.data.grouping.aggregation import Aggregation, OfColumn, State
from air.data.grouping.collected import Quantile, Unique
from air.data.grouping.custom import AggregateFn
from air.data.grouping.keys import Groups, plain
from air.data.grouping.numbers import OfNumbers, Totals
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import check_number

__all__ = [
    "AbsMax",
    "AggregateFn",
    "Aggregation",
    "Count",
    "Max",
    "Mean",
    "Min",
    "Quantile",
    "Std",
    "Sum",
    "Unique",
]


@methods_suggest_keywords
class Count(Aggregation):
    """How many rows there are, in the column ``count()``."""

    needs_column = False

    def __init__(self, alias_name: str | None = None) -> None:
        super().__init__(None, True, alias_name)

    @property
    def name(self) -> str:
        return self._alias_name or "count()"

    def first_state(self, block: Block, groups: Groups, keys: pa.Table) -> State:
        return {"count": columns.counts(groups)}

    def combined(self, states: pa.Table, groups: Groups) -> State:
        sums = columns.float_sums(states["count"].to_numpy(), groups)
        return {"count": sums.astype(np.int64)}

    def results(self, state: pa.Table) -> pa.Array:
        return state["count"].combine_chunks()


@methods_suggest_keywords
class Sum(Totals):
    """The sum of a column of numbers or durations: exact unless it holds floats.

    It is 0 for a group without values, as pandas has it. Sums are 64 bits wide always (pandas
    narrows those that fit the type of the column, and lets those that do not fit 64 bits run
    over), and without a sign where whole numbers have none. Those of decimals have 38 digits, or
    76 if the type of the column may have more than 38.

    Raises:
        UnsupportedValue: a column holds neither numbers nor durations, or a sum does not fit.
    """

    of_times = False

    def _result_of_numbers(self, state: pa.Table) -> pa.Array:
        kinds = self._kinds(state)
        if kinds == ["decimal"]:
            return pc.fill_null(state["decimal"], 0).combine_chunks()
        if kinds and not {"decimal", "sum"} & set(kinds):
            return pa.array(self._as_64_bits(*self._halves(state), signed="high" in kinds))
        # No values, floats, or different kinds of numbers, which go together as floats.
        return pa.array(self._floats(state))

    def _result_of_times(self, state: pa.Table, kind: pa.DataType) -> pa.Array:
        return pa.array(self._as_64_bits(*self._halves(state), signed=True)).cast(kind)


@methods_suggest_keywords
class Min(OfColumn):
    """The smallest value of a column of numbers, texts or times; null for a group without any."""

    def _of(self, column: pa.ChunkedArray, valid: np.ndarray, groups: Groups) -> State:
        column = plain(column)
        kind = column.type
        if pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType):
            raise columns.no_number(kind, str(self.on), self.name)
        if pa.types.is_floating(kind):
            column = pc.if_else(pa.array(valid), column, pa.scalar(None, kind))
        return {"value": columns.by_group(column, groups, self.kind)}

    def _combined(self, states: pa.Table, groups: Groups) -> State:
        return {"value": columns.by_group(states["value"], groups, self.kind)}

    def _result(self, state: pa.Table) -> pa.Array:
        return state["value"].combine_chunks()


@methods_suggest_keywords
class Max(Min):
    """The largest value of a column of numbers, texts or times; null for a group without any."""


@methods_suggest_keywords
class AbsMax(OfColumn):
    """The largest absolute value of a column of numbers; null for a group without values."""

    @property
    def kind(self) -> str:
        return "abs_max"

    def _of(self, column: pa.ChunkedArray, valid: np.ndarray, groups: Groups) -> State:
        if not columns.is_number(column.type) and not pa.types.is_null(column.type):
            raise columns.no_number(column.type, str(self.on), self.name)
        column = plain(column)
        if pa.types.is_boolean(column.type) or pa.types.is_signed_integer(column.type):
            column = column.cast(pa.int64())  # the smallest number of a type has no positive one
        column = pc.if_else(pa.array(valid), pc.abs(column), pa.scalar(None, column.type))
        return {"value": columns.by_group(column, groups, "max")}

    def _combined(self, states: pa.Table, groups: Groups) -> State:
        return {"value": columns.by_group(states["value"], groups, "max")}

    def _result(self, state: pa.Table) -> pa.Array:
        return state["value"].combine_chunks()


@methods_suggest_keywords
class Mean(Totals):
    """The mean of a column of numbers, times or durations; null for a group without values.

    Sums are exact unless the column holds floats. Means of times are of the type of the column,
    rounded toward 0, which is 1970 for a point in time.

    Raises:
        UnsupportedValue: a column holds something else, dates for example (cast them to
            timestamps).
    """

    def _result_of_numbers(self, state: pa.Table) -> pa.Array:
        return _divided(self._floats(state), state["count"].to_numpy())

    def _result_of_times(self, state: pa.Table, kind: pa.DataType) -> pa.Array:
        count = state["count"].to_numpy()
        means = columns.quotients(*self._halves(state), np.maximum(count, 1))
        return pa.array(means, mask=count == 0).cast(kind)


@methods_suggest_keywords
class Std(OfNumbers):
    """The standard deviation of a column of numbers, times or durations.

    Combined by the formula of Chan, Golub and LeVeque (1979), which loses no digits where the
    mean is large. Null for a group with *ddof* values or fewer. That of times is a duration in
    their unit, rounded down.

    Args:
        ddof: degrees of freedom that are taken off the number of values.
    """

    def __init__(
        self,
        on: str | None = None,
        ddof: int = 1,
        ignore_nulls: bool = True,
        alias_name: str | None = None,
    ) -> None:
        super().__init__(on, ignore_nulls, alias_name)
        self.ddof = int(check_number(ddof, "Std: ddof", minimum=0, integer=True))

    def _of_numbers(self, column: pa.ChunkedArray, valid: np.ndarray, groups: Groups) -> State:
        values = columns.floats(column, str(self.on), self.name)
        count = columns.counts(groups, valid)
        mean = columns.float_sums(values, groups) / np.maximum(count, 1)
        with np.errstate(invalid="ignore"):  # infinite values have no distance
            apart = np.where(valid, values - mean[groups.of_row], 0.0)
        return {"mean": mean, "squares": columns.float_sums(apart**2, groups)}

    def _combined_numbers(self, states: pa.Table, groups: Groups) -> State:
        count, means = states["count"].to_numpy(), columns.filled(states["mean"])
        squares = columns.filled(states["squares"])
        total = columns.float_sums(count, groups)
        mean = columns.float_sums(count * means, groups) / np.maximum(total, 1)
        with np.errstate(invalid="ignore"):
            apart = means - mean[groups.of_row]
        return {"mean": mean, "squares": columns.float_sums(squares + count * apart**2, groups)}

    def _result_of_numbers(self, state: pa.Table) -> pa.Array:
        if "squares" not in state.column_names:
            return pa.nulls(len(state), pa.float64())
        variance = _divided(columns.filled(state["squares"]), state["count"].to_numpy() - self.ddof)
        return pc.sqrt(variance)

    def _result_of_times(self, state: pa.Table, kind: pa.DataType) -> pa.Array:
        whole = pc.floor(self._result_of_numbers(state)).cast(pa.int64())
        return whole.cast(pa.duration(kind.unit))


def _divided(total: np.ndarray, count: np.ndarray) -> pa.Array:
    """*total* by *count*; null where that is 0 or less."""
    return pa.array(total / np.maximum(count, 1), mask=count <= 0)
