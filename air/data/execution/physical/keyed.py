"""Computes the steps that bring together rows with equal keys."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from air.data.block import accessor, concat
from air.data.execution.exchange.ordering import SortKey, stable_order
from air.data.execution.exchange.partitioners import KeyPart, key_parts
from air.data.execution.exchange.runs import Runs, wait_as_runs
from air.data.execution.exchange.sections import SpillDirectory
from air.data.execution.physical.exchanges import parts_for
from air.data.execution.run import Run
from air.data.execution.stages import Stage, Unit
from air.data.grouping.transforms import CombineStates, Plan, StatesOfBlocks
from air.data.grouping.whole import GatherGroups, ScatterGroups, changes
from air.data.handle import BlockHandle
from air.data.plan import Aggregate, GroupRows, InputBlocks, Map, Sort

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
    files = SpillDirectory()
    try:
        budget = run.spills_beyond()
        scatter = ScatterGroups(node.keys, node.label)
        runs = wait_as_runs(run.run(Map(node.input, scatter)), budget, files)
        if not runs.filled:
            yield from runs.empty
            return
        parts, edges = divided(
            runs, node.keys, parts_for(runs.size_bytes, len(runs.filled), budget)
        )
        units = [Unit(tuple(runs.pieces(part.slices))) for part in parts]
        del runs
        gather = GatherGroups(node.keys, edges, node.label)
        yield from run.over_units(Stage((gather,), divides=False), units)
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
