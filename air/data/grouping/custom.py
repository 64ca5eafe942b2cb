"""Aggregations that users write."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.blocks.block import Block, accessor
from air.data.blocks.infer import column_from_values
from air.data.errors import UnsupportedValue
from air.data.execution.exchange.partitioners import sorted_order
from air.data.grouping.aggregation import Aggregation, State
from air.data.grouping.keys import Groups
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords


@methods_suggest_keywords
class AggregateFn(Aggregation):
    """An aggregation of your own: a state, to which rows are added.

    Each block gets states of its own, which are merged in the order of the blocks; so results are
    always the same if *merge* and adding rows agree with each other.

    Args:
        init: called with the key of a group (a tuple if there are several, ``None`` if there is
            none); returns the state before any row. States must be picklable.
        merge: called with a state and that of rows behind; returns the state of both.
        accumulate_row: called with a state and a row, a dictionary or a plain object; returns the
            state with it. Either this or *accumulate_block* is given.
        accumulate_block: called with a state and rows of one group, a ``pyarrow.Table`` or a list
            of plain objects.
        finalize: called with the last state; returns the result, which is the state itself
            without it.
        name: of the column with the results; ``"accumulate_row()"`` with the name of that function
            by default.

    Raises:
        TypeError: a function is none.
        InvalidOption: none or both of *accumulate_row* and *accumulate_block* are given.
    """

    needs_column = False
    takes_rows = True

    def __init__(
        self,
        init: Callable[[Any], Any],
        merge: Callable[[Any, Any], Any],
        accumulate_row: Callable[[Any, Any], Any] | None = None,
        accumulate_block: Callable[[Any, Any], Any] | None = None,
        finalize: Callable[[Any], Any] | None = None,
        name: str | None = None,
    ) -> None:
        if (accumulate_row is None) == (accumulate_block is None):
            raise InvalidOption("AggregateFn takes either accumulate_row or accumulate_block")
        accumulate = accumulate_row or accumulate_block
        functions = {"init": init, "merge": merge, "accumulate": accumulate, "finalize": finalize}
        for role, function in functions.items():
            if not callable(function) and (role, function) != ("finalize", None):
                raise TypeError(f"AggregateFn: {role} must be a function, got {function!r:.80}")
        default = f"{getattr(accumulate, '__name__', type(accumulate).__name__)}()"
        super().__init__(None, True, default if name is None else name)
        self._init, self._merge, self._finalize = init, merge, finalize
        self._add_row, self._add_block = accumulate_row, accumulate_block

    def first_state(self, block: Block, groups: Groups, keys: pa.Table) -> State:
        ordered = accessor(block).take(sorted_order(groups.of_row))
        counts = np.bincount(groups.of_row, minlength=len(groups)).tolist()
        states = []
        begin = 0
        for key, count in zip(_keys_of(keys, len(groups)), counts, strict=True):
            with _Named(self.name):
                state = self._init(key)
                state = self._added(state, accessor(ordered).slice(begin, begin + count))
            states.append(self._packed(state))
            begin += count
        return {"state": pa.array(states, pa.large_binary())}

    def _added(self, state: Any, rows: Block) -> Any:
        if self._add_block is not None:
            return self._add_block(state, rows)
        assert self._add_row is not None
        for row in accessor(rows).rows():
            state = self._add_row(state, row)
        return state

    def combined(self, states: pa.Table, groups: Groups) -> State:
        made: list[Any] = [None] * len(groups)
        is_there = [False] * len(groups)
        packed = states["state"].to_pylist()
        for group, one in zip(groups.of_row.tolist(), packed, strict=True):
            state = pickle.loads(one)
            if is_there[group]:
                with _Named(self.name):
                    state = self._merge(made[group], state)
            made[group], is_there[group] = state, True
        return {"state": pa.array([self._packed(one) for one in made], pa.large_binary())}

    def results(self, state: pa.Table) -> pa.Array:
        with _Named(self.name):
            found = [pickle.loads(one) for one in state["state"].to_pylist()]
            if self._finalize is not None:
                found = [self._finalize(one) for one in found]
        return column_from_values(self.name, found)

    def _packed(self, state: Any) -> bytes:
        try:
            return pickle.dumps(state, protocol=5)
        except Exception as error:
            raise UnsupportedValue(
                f"{self.name}: a state of type {type(state).__name__} cannot be pickled: {error}"
            ) from error


def _keys_of(keys: pa.Table, groups: int) -> Iterator[Any]:
    if not keys.num_columns:
        yield from [None] * groups
    elif keys.num_columns == 1:
        yield from keys.column(0).to_pylist()
    else:
        yield from zip(*(column.to_pylist() for column in keys.columns), strict=True)


class _Named:
    """Tells the errors of users' functions whose they are."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, Exception):
            error.add_note(f"in the aggregation {self._name!r}")
