"""Columns and types of a result that has no rows, as far as they can be known.

Blocks tell what they are made of, and where there are none, nobody does: a function that was never
called may give anything. So it is called then, with a batch without rows. What it gives is a guess
that labels an empty result and goes nowhere else: a function of pandas or numpy may say another
type of no values than of some, so operators that work on rows are never told of it.
"""

from __future__ import annotations

import pyarrow as pa

from air.data.blocks.handle import BlockHandle
from air.data.blocks.schemas import empty_table, unify
from air.data.plan import Aggregate, InputBlocks, Map, Node, Union
from air.data.plan.node import Step


def schema_of_no_rows(plan: Node) -> pa.Schema | None:
    """The schema of the result of *plan*, of which it is known that it has no rows.

    Functions are called in this process, each at most once. ``None`` if one cannot be, as it fails
    for a batch without rows, takes single rows, or is an instance of a class that is made for a
    pool; or if nothing is known of the source.
    """
    try:
        table = _of_no_rows(plan)
    except Exception:  # of a user's function, which has never promised anything of no rows
        return None
    return None if table is None else table.schema


def _of_no_rows(node: Node) -> pa.Table | None:
    schema = node.schema()
    if isinstance(schema, pa.Schema):
        return empty_table(schema)
    inputs = [_of_no_rows(below) for below in node.inputs]
    tables = [table for table in inputs if table is not None]
    if not tables or len(tables) < len(inputs):
        return None
    if isinstance(node, Map):
        return node.transform.of_no_rows(tables[0])
    if isinstance(node, Aggregate):
        return node.plan.results(node.plan.states_of(tables[0])) if node.plan.keys else None
    if isinstance(node, Step):
        return tables[0]
    if isinstance(node, Union):
        return empty_table(unify([table.schema for table in tables]))
    return _made(node.with_inputs(tuple(map(_source, tables))))


def _source(table: pa.Table) -> InputBlocks:
    return InputBlocks((BlockHandle.of_block(table),))


def _made(plan: Node) -> pa.Table | None:
    """What a step on tables without rows gives."""
    from air.data.execution.execute import execute  # which runs what needs this module

    for handle in execute(plan, stay=True):
        block = handle.get()
        if isinstance(block, pa.Table):
            return block
    return None
