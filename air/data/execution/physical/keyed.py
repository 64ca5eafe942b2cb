"""Computes the steps that bring together rows with equal keys."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pyarrow as pa

from air.data.blocks.block import concat
from air.data.blocks.choosing import taken
from air.data.blocks.handle import BlockHandle
from air.data.execution.exchange.ordering import SortKey, stable_order
from air.data.execution.exchange.partitioners import KeyPart, key_parts
from air.data.execution.exchange.runs import Runs, Schemas, wait_as_runs
from air.data.execution.physical.exchanges import parts_for
from air.data.execution.run import Given, Run
from air.data.execution.stages import Stage, Unit
from air.data.grouping.keys import all_of
from air.data.grouping.transforms import CombineStates, StatesOfBlocks
from air.data.grouping.whole import GatherGroups, ScatterGroups, changes, group_keys
from air.data.plan import Aggregate, GroupRows, Map
from air.data.transforms import Conform, Transform

_TOGETHER_BYTES = 16 << 20
"""What is kept of all blocks is put together in one go, in this process, up to this size."""


def aggregate(run: Run, node: Aggregate, _limit: int | None) -> Iterator[BlockHandle]:
    """A row for each group: states of each block are combined in the order of the blocks."""
    plan = node.plan
    states = Map(node.input, StatesOfBlocks(plan))
    if not plan.keys:
        blocks = [handle.get() for handle in run.run(states)]
        if blocks:
            made = plan.combined(_table(blocks), all_of(len(blocks)))
            yield BlockHandle.of_block(plan.results(made), plan.name)
        return
    files = run.files()
    try:
        budget = run.spills_beyond()
        scatter = ScatterGroups(group_keys(plan.key_names), plan.name)
        noted = Schemas()
        runs = wait_as_runs(noted.of(run.run(Map(states, scatter))), budget, files)
        if not runs.filled:
            return
        # Results have the same types in all parts if states have.
        combine = (Conform(noted.common()), CombineStates(plan, scatter.keys))
        if runs.size_bytes > together_bytes(budget):
            yield from gathered(run, runs, scatter, combine)
            return
        whole = runs.whole()
        order = stable_order(whole, scatter.keys, is_runs=True)
        ordered = taken(whole, pa.array(order))
        yield BlockHandle.of_block(combine[1].apply(ordered), plan.name)
    finally:
        files.close()


def together_bytes(budget: int | None) -> int:
    """Up to so many bytes are put together in this process, and not by tasks."""
    return _TOGETHER_BYTES if budget is None else min(_TOGETHER_BYTES, budget)


def group_rows(
    run: Run, node: GroupRows, _limit: int | None, after: tuple[Transform, ...] = ()
) -> Iterator[BlockHandle]:
    """Rows sorted by their keys, in blocks that end where keys do, or what *after* makes."""
    files = run.files()
    try:
        scatter = ScatterGroups(node.keys, node.label)
        scattered = run.run(Map(node.input, scatter))
        runs = wait_as_runs(scattered, run.spills_beyond(), files)
        if runs.filled:
            yield from gathered(run, runs, scatter, after, divides=bool(after))
        elif after:
            yield from run.over_units(Stage(after), [Unit((handle,)) for handle in runs.empty])
        else:
            yield from runs.empty
    finally:
        files.close()


def gathered(
    run: Run,
    runs: Runs,
    scatter: ScatterGroups,
    after: tuple[Transform, ...] = (),
    *,
    divides: bool = False,
) -> Iterator[BlockHandle]:
    """Rows that *scatter* gave in blocks that end where keys do, and what *after* makes of them.

    Args:
        divides: what *after* makes too large is divided.
    """
    number = parts_for(runs.size_bytes, len(runs.filled), run.spills_beyond())
    parts, edges = divided(runs, scatter.keys, number)
    spread = runs.spread
    # Made when their turn comes: there are as many pieces as runs times parts.
    units = (Unit(tuple(runs.pieces(part.slices, spread))) for part in parts)
    gather = GatherGroups(scatter.keys, edges, scatter.label)
    stage = Stage((gather, *after), divides=divides, gathers=True)
    return run.segment([stage], Given(units, len(parts), runs.size_bytes))


def divided(
    runs: Runs, keys: tuple[SortKey, ...], parts: int, *, apart: bool = False
) -> tuple[list[KeyPart], pa.Table]:
    """About so many parts of sorted runs, and the first key of each but the first, a row for each.

    Args:
        apart: see :func:`key_parts`.
    """
    samples = concat(runs.keys)
    assert isinstance(samples, pa.Table)  # scatters have seen to that
    order = stable_order(samples, keys)
    is_new = changes(taken(samples, pa.array(order)), keys)
    found = key_parts(runs.spread, order, is_new, parts, apart=apart)
    edges = [part.last if part.is_one_key else after.first for part, after in pairwise(found)]
    return found, taken(samples, pa.array(edges, pa.int64()))


def _table(blocks: list[pa.Table | list[object]]) -> pa.Table:
    whole = concat(blocks)
    assert isinstance(whole, pa.Table)
    return whole
