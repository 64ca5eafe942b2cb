"""States of aggregations: of each block, and of several put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from air.data.blocks.block import Block
from air.data.blocks.choosing import taken
from air.data.errors import UnsupportedValue
from air.data.execution.exchange.ordering import SortKey
from air.data.grouping.aggregation import Aggregation
from air.data.grouping.keys import Groups, all_of, as_given, groups_of, key_columns
from air.data.grouping.whole import sorted_groups
from air.data.transforms import BlockFunction, ColumnsTransform, Transform
from air.data.udf.functions import TaskContext


@dataclass(frozen=True)
class Plan:
    """What is to be computed of which groups.

    A table of states has a row for each group: the keys in columns ``key0``, ``key1`` ..., and
    what each aggregation keeps in columns ``0:count``, ``0:sum`` ...
    """

    keys: tuple[str, ...]
    aggs: tuple[Aggregation, ...]

    @property
    def name(self) -> str:
        """How messages call it."""
        computed = ", ".join(agg.name for agg in self.aggs)
        if not self.keys:
            return f"aggregate({computed})"
        return f"groupby({', '.join(map(repr, self.keys))}).aggregate({computed})"

    @property
    def key_names(self) -> list[str]:
        """The columns of the keys in tables of states."""
        return [f"key{number}" for number in range(len(self.keys))]

    def states_of(self, block: Block) -> pa.Table:
        """The states of one block, groups in the order in which they appear."""
        if isinstance(block, list) and (self.keys or not all(a.takes_rows for a in self.aggs)):
            raise UnsupportedValue(
                f"{self.name} works on columns, but the rows are plain objects; make them records"
                ' first: .map(lambda x: {"value": x})'
            )
        if isinstance(block, list):
            groups, keys = all_of(len(block)), pa.table({})
        else:
            groups = groups_of(block, self.keys, self.name)
            keys = taken(key_columns(block, self.keys), pa.array(groups.first_row))
        made = {
            own: keys[name]
            if isinstance(block, list)
            else as_given(block[name], keys[name], groups)
            for own, name in zip(self.key_names, self.keys, strict=True)
        }
        # A table looks through all of its names for each that it is asked for.
        table = pa.table({}) if isinstance(block, list) else block
        known = dict(zip(table.column_names, table.columns, strict=True))
        for number, agg in enumerate(self.aggs):
            has_own = agg.on in known and not agg.takes_rows
            own = pa.table({agg.on: known[agg.on]}) if has_own else block
            for name, values in agg.first_state(own, groups, keys).items():
                made[f"{number}:{name}"] = values
        return pa.table(made)

    def combined(self, states: pa.Table, groups: Groups) -> pa.Table:
        """One row for each of *groups*, of a table with several."""
        keys = taken(states.select(self.key_names), pa.array(groups.first_row))
        made = dict(zip(self.key_names, keys.columns, strict=True))
        for number, (agg, own) in enumerate(zip(self.aggs, self._own(states), strict=True)):
            for name, values in agg.combined(own, groups).items():
                made[f"{number}:{name}"] = values
        return pa.table(made)

    def results(self, states: pa.Table) -> pa.Table:
        """What comes out: the keys under their names, and what was computed."""
        made = dict(zip(self.keys, states.select(self.key_names).columns, strict=True))
        for agg, own in zip(self.aggs, self._own(states), strict=True):
            made[agg.name] = agg.results(own)
        return pa.table(made)

    def _own(self, states: pa.Table) -> list[pa.Table]:
        """What each aggregation keeps, under its own names."""
        found: list[dict[str, pa.ChunkedArray]] = [{} for _ in self.aggs]
        for name, column in zip(states.column_names, states.columns, strict=True):
            number, is_own, own = name.partition(":")
            if is_own:
                found[int(number)][own] = column
        return [pa.table(columns) for columns in found]


@dataclass(frozen=True)
class StatesOfBlocks(Transform):
    """A table of states for each block."""

    plan: Plan

    @property
    def name(self) -> str:
        return self.plan.name

    def columns(self, columns: list[str] | None) -> list[str] | None:
        return None

    def open(self) -> BlockFunction:
        def run(blocks: Iterator[Block], context: TaskContext) -> Iterator[Block]:
            for block in blocks:
                if len(block):
                    yield self.plan.states_of(block)

        return run


@dataclass(frozen=True)
class CombineStates(ColumnsTransform):
    """The results for a table of states that is sorted by its keys."""

    plan: Plan
    sort_keys: tuple[SortKey, ...]
    keeps_rows = False

    @property
    def name(self) -> str:
        return self.plan.name

    def apply(self, table: pa.Table) -> pa.Table:
        groups = sorted_groups(table, self.sort_keys)
        return self.plan.results(self.plan.combined(table, groups))


def check_names(keys: Sequence[str], aggs: Sequence[Aggregation]) -> str | None:
    """The name that a key and a result would have both, if there is one."""
    return next((agg.name for agg in aggs if agg.name in keys), None)
