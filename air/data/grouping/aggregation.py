"""What every aggregation is: a state of each block, how states are combined, and a result."""

from __future__ import annotations

import abc
from collections import Counter
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.block import Block
from air.data.errors import require_columns
from air.data.grouping import columns
from air.data.grouping.keys import Groups
from air.errors import InvalidOption
from air.executor.validation import check_flag

State = dict[str, Any]
"""Arrays by name, with a value for each group."""


class Aggregation(abc.ABC):
    """Something about each group, computed from states of its blocks.

    Attributes:
        needs_column: whether there is nothing to compute without a column.
        takes_rows: whether it sees whole rows, so that no column may be left out.
    """

    needs_column: ClassVar[bool] = True
    takes_rows: ClassVar[bool] = False

    def __init__(self, on: str | None, ignore_nulls: bool, alias_name: str | None) -> None:
        kind = type(self).__name__
        if on is not None and not isinstance(on, str):
            raise InvalidOption(f"{kind}: on must be a column, got {on!r:.80}")
        if alias_name is not None and not isinstance(alias_name, str):
            raise InvalidOption(f"{kind}: alias_name must be text, got {alias_name!r:.80}")
        self.on = on
        self.ignore_nulls = check_flag(ignore_nulls, f"{kind}: ignore_nulls")
        self._alias_name = alias_name

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}>"

    @property
    def name(self) -> str:
        """Of the column with the results."""
        return self._alias_name or f"{self.kind}({self.on})"

    @property
    def kind(self) -> str:
        """As the method of a dataset that does the same is called."""
        return type(self).__name__.lower()

    @abc.abstractmethod
    def first_state(self, block: Block, groups: Groups, keys: pa.Table) -> State:
        """The state of a block.

        Args:
            keys: a row for each group.
        """

    @abc.abstractmethod
    def combined(self, states: pa.Table, groups: Groups) -> State:
        """The state of several blocks, of which each has one row for a group at most."""

    @abc.abstractmethod
    def results(self, state: pa.Table) -> pa.Array:
        """What the groups have in the end."""


class OfValues(Aggregation):
    """A number about the values of a column; states count them, and those that are missing."""

    def first_state(self, block: Block, groups: Groups, keys: pa.Table) -> State:
        assert self.on is not None
        assert isinstance(block, pa.Table)
        require_columns([self.on], block.column_names, self.name)
        column = block[self.on]
        valid = columns.present(column)
        return {"count": columns.counts(groups, valid), **self._of(column, valid, groups)} | (
            {} if self.ignore_nulls else {"missing": columns.counts(groups, ~valid)}
        )

    def combined(self, states: pa.Table, groups: Groups) -> State:
        counts = {
            name: columns.float_sums(states[name].to_numpy(), groups).astype(np.int64)
            for name in ("count", "missing")
            if name in states.column_names
        }
        return {**counts, **self._combined(states, groups)}

    def results(self, state: pa.Table) -> pa.Array:
        found = self._result(state)
        if self.ignore_nulls:
            return found
        missing = state["missing"].to_numpy() > 0
        return pc.if_else(pa.array(missing), pa.scalar(None, found.type), found)

    @abc.abstractmethod
    def _of(self, column: pa.ChunkedArray, valid: np.ndarray, groups: Groups) -> State:
        """The state, but for the counts."""

    @abc.abstractmethod
    def _combined(self, states: pa.Table, groups: Groups) -> State:
        """The combined state, but for the counts."""

    @abc.abstractmethod
    def _result(self, state: pa.Table) -> pa.Array:
        """The results, missing values left out."""


class OfColumn(OfValues):
    """An aggregation of a column that has no options of its own."""

    def __init__(
        self, on: str | None = None, ignore_nulls: bool = True, alias_name: str | None = None
    ) -> None:
        super().__init__(on, ignore_nulls, alias_name)


def check_aggregations(what: str, aggs: tuple[Any, ...]) -> tuple[Aggregation, ...]:
    """The aggregations that a method was given.

    Raises:
        TypeError: something else was given.
        InvalidOption: there is none, or two have one name, or a column is missing.
    """
    for agg in aggs:
        if not isinstance(agg, Aggregation):
            raise TypeError(
                f"{what} takes aggregations such as air.data.aggregate.Sum('x'), got {agg!r:.80}"
            )
        if agg.on is None and agg.needs_column:
            raise InvalidOption(f"{what}: {type(agg).__name__} needs the name of a column")
    names = [agg.name for agg in aggs]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if not aggs or twice is not None:
        why = (
            "takes at least one aggregation"
            if twice is None
            else f"would name two columns {twice!r}"
        )
        raise InvalidOption(f"{what} {why}")
    return aggs
