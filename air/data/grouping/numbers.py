"""What is computed of numbers, and of times and durations as numbers of their units."""

from __future__ import annotations

import abc
from typing import ClassVar

import numpy as np
import pyarrow as pa

from air.data.errors import UnsupportedValue
from air.data.grouping import columns
from air.data.grouping.aggregation import OfColumn, OfValues, State
from air.data.grouping.keys import Groups, plain

_LIKE = "like"
"""A state of times: nothing but nulls of the column's type."""


class OfNumbers(OfValues):
    """Something about numbers, which points in time and durations have as well.

    Those are whole numbers of their unit, so what is kept of them begins with it: ``us:sum``.
    """

    of_times: ClassVar[bool] = True
    """Whether points in time have it; durations always do."""

    def _of(self, column: pa.ChunkedArray, valid: np.ndarray, groups: Groups) -> State:
        column = plain(column)
        kind = column.type
        if pa.types.is_null(kind):
            return {}
        if not (pa.types.is_duration(kind) or (self.of_times and pa.types.is_timestamp(kind))):
            return self._of_numbers(column, valid, groups)
        made = self._of_numbers(column.cast(pa.int64()), valid, groups)
        return _named(kind.unit, {**made, _LIKE: pa.nulls(len(groups), kind)})

    def _combined(self, states: pa.Table, groups: Groups) -> State:
        made: State = {}
        for unit in _units(states):
            own = _of_unit(states, unit)
            some = self._combined_numbers(own, groups)
            if unit:
                some[_LIKE] = pa.nulls(len(groups), own[_LIKE].type)
            made |= _named(unit, some)
        return made

    def _result(self, state: pa.Table) -> pa.Array:
        units = _units(state)
        if len(units) > 1:
            kinds = " and ".join(f"times in {unit}" if unit else "numbers" for unit in units)
            raise UnsupportedValue(
                f"{self.name}: blocks of column {self.on!r} hold {kinds}; make them one type first"
            )
        if units and units[0]:
            own = _of_unit(state, units[0])
            return self._result_of_times(own, own[_LIKE].type)
        return self._result_of_numbers(state)

    @abc.abstractmethod
    def _of_numbers(self, column: pa.ChunkedArray, valid: np.ndarray, groups: Groups) -> State:
        """The state of a column that is neither of times nor of nothing but nulls.

        Raises:
            UnsupportedValue: it does not hold numbers.
        """

    @abc.abstractmethod
    def _combined_numbers(self, states: pa.Table, groups: Groups) -> State:
        """The combined state; there may be nulls in *states*, of blocks without values."""

    @abc.abstractmethod
    def _result_of_numbers(self, state: pa.Table) -> pa.Array:
        """The results; *state* has nothing but counts if no block has values."""

    @abc.abstractmethod
    def _result_of_times(self, state: pa.Table, kind: pa.DataType) -> pa.Array:
        """The results of times of the type *kind*, where *state* is of their numbers."""


class Totals(OfNumbers, OfColumn):
    """Something that follows from a sum, which is exact where the column is not of floats.

    The state has a sum for each kind of numbers that there are: ``sum`` of floats, ``decimal``,
    and of whole numbers two halves, ``high * 2**32 + low``, or ``uhigh`` and ``ulow`` if they have
    no sign.
    """

    def _of_numbers(self, column: pa.ChunkedArray, valid: np.ndarray, groups: Groups) -> State:
        kind = column.type
        if columns.is_whole(kind):
            high, low = columns.whole_sums(columns.wholes(column), groups)
            sign = "u" if pa.types.is_unsigned_integer(kind) else ""
            return {f"{sign}high": high, f"{sign}low": low}
        if pa.types.is_decimal(kind):
            return {"decimal": self._decimal_sums(column, groups)}
        return {"sum": columns.float_sums(columns.floats(column, str(self.on), self.name), groups)}

    def _combined_numbers(self, states: pa.Table, groups: Groups) -> State:
        made: State = {}
        for name in ("high", "low", "uhigh", "ulow"):
            if name in states.column_names:
                # Halves of sums are whole numbers themselves: their halves are added, and put
                # together again.
                highs, lows = columns.whole_sums(columns.wholes(states[name]), groups)
                made[name] = (highs << 32) + lows
        if "decimal" in states.column_names:
            made["decimal"] = self._decimal_sums(states["decimal"], groups)
        if "sum" in states.column_names:
            made["sum"] = columns.float_sums(columns.filled(states["sum"]), groups)
        return made

    def _decimal_sums(self, column: pa.ChunkedArray, groups: Groups) -> pa.Array:
        try:
            return columns.decimal_sums(column, groups)
        except pa.ArrowInvalid as error:
            raise UnsupportedValue(
                f"{self.name}: the sum of a group's decimals does not fit its type: {error}; make"
                " the column floats or wider decimals first"
            ) from None

    def _kinds(self, state: pa.Table) -> list[str]:
        """Of which kinds of numbers there are sums: ``decimal``, ``sum``, ``high``, ``uhigh``."""
        kinds = ("decimal", "sum", "high", "uhigh")
        return [name for name in kinds if name in state.column_names]

    def _halves(self, state: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """The sums of all whole numbers."""
        none = np.zeros(len(state), np.int64)
        high, low = (
            sum((columns.wholes(state[n]) for n in state.column_names if n in both), none)
            for both in (("high", "uhigh"), ("low", "ulow"))
        )
        return high, low

    def _floats(self, state: pa.Table) -> np.ndarray:
        """The sums of all numbers as floats."""
        high, low = self._halves(state)
        total = high * float(1 << 32) + low  # rounded once, since both fit a float
        for name in ("decimal", "sum"):
            if name in state.column_names:
                total = total + columns.filled(state[name].cast(pa.float64()))
        return np.asarray(total)

    def _as_64_bits(self, high: np.ndarray, low: np.ndarray, *, signed: bool) -> np.ndarray:
        """Sums of whole numbers as such."""
        carried, rest = columns.carried(high, low)
        least, most = (-(1 << 31), 1 << 31) if signed else (0, 1 << 32)
        if ((carried < least) | (carried >= most)).any():
            raise UnsupportedValue(
                f"{self.name}: the sum of a group needs more than 64 bits; make the column floats"
                " or decimals first"
            )
        bits = (carried << 32) | rest  # of numbers with and without a sign they are the same
        return bits if signed else bits.view(np.uint64)


def _named(unit: str, state: State) -> State:
    return {f"{unit}:{name}": values for name, values in state.items()} if unit else state


def _units(states: pa.Table) -> list[str]:
    """The units that states have; an empty one for those of numbers."""
    names = [name for name in states.column_names if name not in ("count", "missing")]
    return sorted({name.partition(":")[0] if ":" in name else "" for name in names})


def _of_unit(states: pa.Table, unit: str) -> pa.Table:
    own = {"count": states["count"]}
    for name, column in zip(states.column_names, states.columns, strict=True):
        of, is_of_time, short = name.rpartition(":")
        if of == unit and (is_of_time or not unit):
            own[short] = column
    return pa.table(own)
