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
from air.data.errors import UnsupportedValue
from air.data.grouping import columns
from air.data.grouping.aggregation import Aggregation, OfColumn, OfValues, State
from air.data.grouping.collected import Quantile, Unique
from air.data.grouping.custom import AggregateFn
from air.data.grouping.keys import Groups, plain
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
class Sum(OfColumn):
    """The sum of a column: exact for whole numbers, 0 for a group without values, as pandas has it.

    Sums are 64 bits wide always (pandas narrows those that fit the type of the column), and without
    a sign where whole numbers have none.

    Raises:
        UnsupportedValue: a column holds no numbers, or a sum of whole numbers needs more than 64
            bits.
    """

    def _of(self, column: pa.ChunkedArray, valid: np.ndarray, groups: Groups) -> State:
        kind = column.type
        if columns.is_whole(kind):
            high, low = columns.whole_sums(columns.wholes(column), groups)
            sign = "u" if pa.types.is_unsigned_integer(kind) else ""
            return {f"{sign}high": high, f"{sign}low": low}
        if pa.types.is_decimal(kind):
            return {"decimal": columns.by_group(column, groups, "sum")}
        return {"sum": columns.float_sums(columns.floats(column, str(self.on), self.name), groups)}

    def _combined(self, states: pa.Table, groups: Groups) -> State:
        made: State = {}
        for name in ("high", "low", "uhigh", "ulow"):
            if name in states.column_names:
                # Halves of sums are whole numbers themselves: their halves are added, and put
                # together again.
                highs, lows = columns.whole_sums(columns.wholes(states[name]), groups)
                made[name] = (highs << 32) + lows
        if "decimal" in states.column_names:
            made["decimal"] = columns.by_group(states["decimal"], groups, "sum")
        if "sum" in states.column_names:
            values = columns.floats(states["sum"], str(self.on), self.name)
            made["sum"] = columns.float_sums(values, groups)
        return made

    def _result(self, state: pa.Table) -> pa.Array:
        has = [name for name in ("decimal", "sum", "high", "uhigh") if name in state.column_names]
        if has == ["decimal"]:
            return pc.fill_null(state["decimal"], 0).combine_chunks()
        if has == ["sum"]:
            return state["sum"].combine_chunks()
        if "decimal" not in has and "sum" not in has:
            highs, lows = (
                sum(state[name].to_numpy() for name in state.column_names if name in both)
                for both in (("high", "uhigh"), ("low", "ulow"))
            )
            return self._whole(highs, lows, signed="high" in has)
        # Blocks hold numbers of different kinds, which go together as floats.
        total = np.zeros(len(state))
        for name in ("decimal", "sum", "high", "low", "uhigh", "ulow"):
            if name in state.column_names:
                scale = float(1 << 32) if name.endswith("high") else 1.0
                total += scale * columns.floats(state[name], str(self.on), self.name)
        return pa.array(total)

    def _whole(self, high: np.ndarray, low: np.ndarray, *, signed: bool) -> pa.Array:
        carried, rest = high + (low >> 32), low & ((1 << 32) - 1)
        least, most = (-(1 << 31), 1 << 31) if signed else (0, 1 << 32)
        if ((carried < least) | (carried >= most)).any():
            raise UnsupportedValue(
                f"{self.name}: the sum of a group needs more than 64 bits; make the column floats"
                " or decimals first"
            )
        bits = (carried << 32) | rest  # of numbers with and without a sign they are the same
        return pa.array(bits if signed else bits.view(np.uint64))


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
class Mean(OfColumn):
    """The mean of a column of numbers; null for a group without values."""

    def _of(self, column: pa.ChunkedArray, valid: np.ndarray, groups: Groups) -> State:
        values = columns.floats(column, str(self.on), self.name)
        return {"sum": columns.float_sums(values, groups)}

    def _combined(self, states: pa.Table, groups: Groups) -> State:
        return {"sum": columns.float_sums(states["sum"].to_numpy(), groups)}

    def _result(self, state: pa.Table) -> pa.Array:
        return _divided(state["sum"].to_numpy(), state["count"].to_numpy())


@methods_suggest_keywords
class Std(OfValues):
    """The standard deviation of a column of numbers.

    Combined by the formula of Chan, Golub and LeVeque (1979), which loses no digits where the
    mean is large. Null for a group with *ddof* values or fewer.

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

    def _of(self, column: pa.ChunkedArray, valid: np.ndarray, groups: Groups) -> State:
        values = columns.floats(column, str(self.on), self.name)
        count = columns.counts(groups, valid)
        mean = columns.float_sums(values, groups) / np.maximum(count, 1)
        apart = np.where(valid, values - mean[groups.of_row], 0.0)
        return {"mean": mean, "squares": columns.float_sums(apart**2, groups)}

    def _combined(self, states: pa.Table, groups: Groups) -> State:
        count, means = states["count"].to_numpy(), states["mean"].to_numpy()
        total = columns.float_sums(count, groups)
        mean = columns.float_sums(count * means, groups) / np.maximum(total, 1)
        apart = means - mean[groups.of_row]
        squares = columns.float_sums(states["squares"].to_numpy() + count * apart**2, groups)
        return {"mean": mean, "squares": squares}

    def _result(self, state: pa.Table) -> pa.Array:
        squares, count = state["squares"].to_numpy(), state["count"].to_numpy()
        variance = _divided(squares, count - self.ddof)
        return pc.sqrt(variance)


def _divided(total: np.ndarray, count: np.ndarray) -> pa.Array:
    """*total* by *count*; null where that is 0 or less."""
    return pa.array(total / np.maximum(count, 1), mask=count <= 0)
