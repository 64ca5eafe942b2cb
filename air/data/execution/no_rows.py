"""Columns and types of a result that has no rows, as far as they can be known.

Blocks tell what they are made of, and where there are none, nobody does: a function that was never
called may give anything. So it is called then, with a batch without rows. What it gives is a guess
that labels an empty result and goes nowhere else: a function of pandas or numpy may say another
type of no values than of some, so operators that work on rows are never told of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from air.data.blocks.handle import BlockHandle
from air.data.blocks.schemas import empty_table, unify
from air.data.plan import Aggregate, InputBlocks, Map, Node, Union
from air.data.plan.node import Step
from air.data.udf.calling import NotOfNoRows
from air.errors import AirError


def schema_of_no_rows(plan: Node) -> pa.Schema | None:
    """The schema of the result of *plan*, of which it is known that it has no rows.

    Functions are called in this process, each at most once. ``None`` if one cannot be, as it fails
    for a batch without rows, takes single rows, or is an instance of a class that is made for a
    pool; or if nothing is known of the source. Errors of ours are not taken for those of functions.
    """
    try:
        table = _of_no_rows(plan)
    except (NotOfNoRows, AirError):  # a step may not take what a function gives for no rows
        return None
    return None if table is None else table.schema


def _of_no_rows(plan: Node) -> pa.Table | None:
    steps: list[Node] = []
    node = plan
    while not isinstance(schema := node.schema(), pa.Schema) and len(node.inputs) == 1:
        steps.append(node)
        (node,) = node.inputs
    table = empty_table(schema) if isinstance(schema, pa.Schema) else _of_several(node)
    for step in reversed(steps):
        if table is None:
            return None
        table = _of_step(step, table)
    return table


def _of_step(step: Node, table: pa.Table) -> pa.Table | None:
    if isinstance(step, Map):
        return step.transform.of_no_rows(table)
    if isinstance(step, Aggregate):
        return step.plan.results(step.plan.states_of(table)) if step.plan.keys else None
    return table if isinstance(step, Step) else _made(step, [table])


def _of_several(node: Node) -> pa.Table | None:
    """What a step gives that works on several inputs, or on none."""
    inputs = [_of_no_rows(below) for below in node.inputs]
    tables = [table for table in inputs if table is not None]
    if not tables or len(tables) < len(inputs):
        return None
    if isinstance(node, Union):
        return empty_table(unify([table.schema for table in tables]))
    return _made(node, tables)


def _made(step: Node, tables: Sequence[pa.Table]) -> pa.Table | None:
    """What a step on tables without rows gives."""
    from air.data.execution.execute import execute  # which runs what needs this module

    sources = tuple(InputBlocks((BlockHandle.of_block(table),)) for table in tables)
    for handle in execute(step.with_inputs(sources), stay=True):
        block = handle.get()
        if isinstance(block, pa.Table):
            return block
    return None
