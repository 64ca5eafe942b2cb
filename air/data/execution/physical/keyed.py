"""Computes the steps that bring together rows with equal keys."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from air.data.block import accessor, concat
from air.data.execution.exchange.ordering import SortKey, stable_order
from air.data.execution.exchange.partitioners import KeyPart, key_parts
from air.data.execution.exchange.runs import Runs, wait_as_runs
from air.data.execution.exchange.sections import SpillDirectory
from air.data.execution.exchange.transforms import SortRuns
from air.data.execution.exchange.waiting import wait_as_rows
from air.data.execution.physical.exchanges import merged, parts_for
from air.data.execution.run import Run
from air.data.execution.stages import Stage, Unit
from air.data.grouping.first import (
    ROW_NUMBER,
    DropRowNumber,
    FirstRows,
    NumberRows,
    first_rows_of,
)
from air.data.grouping.transforms import CombineStates, Plan, StatesOfBlocks
from air.data.grouping.whole import GatherGroups, ScatterGroups, changes, group_keys
from air.data.handle import BlockHandle
from air.data.plan import Aggregate, Distinct, GroupRows, InputBlocks, Map, Sort
from air.data.schemas import unify
from air.data.transforms import Conform, Transform

_TOGETHER_BYTES = 64 << 20
"""States up to this size are combined in one go, in this process."""


def aggregate(run: Run, node: Aggregate, _limit: int | None) -> Iterator[BlockHandle]:
    """A row for each group: states of each block are combined in the order of the blocks."""
    plan = node.plan
    handles = list(run.run(Map(node.input, StatesOfBlocks(plan))))
    if not handles:
        return
    sort_keys = tuple(SortKey(name) for name in plan.key_names)
    if not sort_keys or sum(handle.size_bytes for handle in handles) <= _TOGETHER_BYTES:
        states = plan.combined(_table([handle.get() for handle in handles]))
        if sort_keys:
            states = states.take(pa.array(stable_order(states, sort_keys)))
        yield _made(plan, states)
        return
    # So many groups that they are sorted first, on tasks. Then those that are equal are beside
    # each other, at most one of them in two blocks.
    ordered = Map(Sort(InputBlocks(tuple(handles)), sort_keys), CombineStates(plan))
    del handles
    last: pa.Table | None = None
    for handle in run.run(ordered):
        states = _table([handle.get()])
        if not len(states):
            continue
        if last is not None:
            states = plan.combined(_table([last, states]))
        last = states.slice(len(states) - 1)
        if len(states) > 1:
            yield _made(plan, states.slice(0, len(states) - 1))
    if last is not None:
        yield _made(plan, last)


def group_rows(run: Run, node: GroupRows, _limit: int | None) -> Iterator[BlockHandle]:
    """Rows sorted by their keys, in blocks that end where keys do."""
    scatter = ScatterGroups(node.keys, node.label)
    return gathered(run, run.run(Map(node.input, scatter)), scatter)


def gathered(
    run: Run,
    scattered: Iterator[BlockHandle],
    scatter: ScatterGroups,
    after: tuple[Transform, ...] = (),
) -> Iterator[BlockHandle]:
    """Rows that *scatter* gave in blocks that end where keys do, and what *after* makes of them."""
    files = SpillDirectory()
    try:
        budget = run.spills_beyond()
        runs = wait_as_runs(scattered, budget, files)
        if not runs.filled:
            yield from runs.empty
            return
        number = parts_for(runs.size_bytes, len(runs.filled), budget)
        parts, edges = divided(runs, scatter.keys, number)
        units = [Unit(tuple(runs.pieces(part.slices))) for part in parts]
        del runs
        gather = GatherGroups(scatter.keys, edges, scatter.label)
        yield from run.over_units(Stage((gather, *after), divides=False), units)
    finally:
        files.close()


def distinct(run: Run, node: Distinct, _limit: int | None) -> Iterator[BlockHandle]:
    """The first of equal rows, of each block and then of all."""
    files = SpillDirectory()
    try:
        budget = run.spills_beyond()
        schemas: list[pa.Schema] = []

        def noted(handles: Iterator[BlockHandle]) -> Iterator[BlockHandle]:
            for handle in handles:
                if handle.num_rows and isinstance(handle.metadata.schema, pa.Schema):
                    schemas.append(handle.metadata.schema)
                yield handle

        numbered = Map(node.input, NumberRows(node.name))
        first = noted(run.run(Map(numbered, FirstRows(node.names))))
        rows = wait_as_rows(first, budget, files)
        if not rows:
            return
        together = _TOGETHER_BYTES if budget is None else min(_TOGETHER_BYTES, budget)
        if not schemas or sum(one.size_bytes for one in rows) <= together:
            pieces = Unit(tuple(piece for one in rows for piece in one.slice(0, one.num_rows)))
            kept = first_rows_of(concat(list(pieces.blocks())), node.names)
            if isinstance(kept, pa.Table):
                kept = kept.drop_columns([ROW_NUMBER])
            yield BlockHandle.of_block(kept, node.name)
            return
        common = unify(schemas)
        names = node.names or tuple(name for name in common.names if name != ROW_NUMBER)
        scatter = ScatterGroups(group_keys(names), node.name)
        units = [Unit(tuple(one.slice(0, one.num_rows))) for one in rows if one.num_rows]
        del rows
        scattered = run.over_units(Stage((Conform(common), scatter)), units)
        in_order = (SortKey(ROW_NUMBER),)
        sorted_again = (FirstRows(names), SortRuns(in_order))
        kept_runs = gathered(run, scattered, scatter, sorted_again)
        yield from merged(run, kept_runs, in_order, after=(DropRowNumber(),))
    finally:
        files.close()


def divided(runs: Runs, keys: tuple[SortKey, ...], parts: int) -> tuple[list[KeyPart], pa.Table]:
    """About so many parts of sorted runs, and the keys between them, a row for each."""
    samples = concat(runs.samples)
    assert isinstance(samples, pa.Table)  # scatters have seen to that
    order = stable_order(samples, keys)
    is_new = changes(samples.take(pa.array(order)), keys)
    found = key_parts(runs.sizes, runs.steps, order, is_new, parts)
    edges = [part.first for part in found if part.first is not None]
    return found, samples.take(pa.array(edges, pa.int64()))


def _table(blocks: list[pa.Table | list[object]]) -> pa.Table:
    whole = concat(blocks)
    assert isinstance(whole, pa.Table)
    return whole


def _made(plan: Plan, states: pa.Table) -> BlockHandle:
    return BlockHandle.of_block(accessor(plan.results(states)).to_arrow(), plan.name)
