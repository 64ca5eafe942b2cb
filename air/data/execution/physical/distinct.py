"""Computes the rows that are not equal to any before them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence

import pyarrow as pa

from air.data.blocks.block import concat
from air.data.blocks.handle import BlockHandle
from air.data.execution.exchange.runs import Schemas
from air.data.execution.exchange.waiting import Rows, wait_as_parts, wait_as_rows
from air.data.execution.physical.exchanges import parts_for
from air.data.execution.physical.keyed import together_bytes
from air.data.execution.run import Given, Run
from air.data.execution.stages import Stage, Unit
from air.data.grouping.first import ROW_NUMBER, FirstRows, first_rows_of
from air.data.grouping.repeated import GatherRepeated, KeepRows, RowSet, ScatterKeys
from air.data.plan import Distinct, Map

_NUMBER_BYTES = 8


def distinct(run: Run, node: Distinct, _limit: int | None) -> Iterator[BlockHandle]:
    """The first of equal rows, of each block and then of all.

    Rows stay where they wait, in their order; only what they are compared by is exchanged, and
    what comes of it is which of them are left out.
    """
    files = run.files()
    try:
        budget = run.spills_beyond()
        noted = Schemas()
        first = noted.of(run.run(Map(node.input, FirstRows(node.names))))
        rows = wait_as_rows(first, budget, files)
        if not rows:
            return
        if not noted.found or sum(one.size_bytes for one in rows) <= together_bytes(budget):
            pieces = Unit(tuple(piece for one in rows for piece in one.slice(0, one.num_rows)))
            kept = first_rows_of(concat(list(pieces.blocks())), node.names)
            yield BlockHandle.of_block(kept, node.name)
            return
        common = noted.common()
        names = node.names or tuple(common.names)
        chosen = _first_of_all(run, rows, pa.schema([common.field(name) for name in names]), budget)
        files.held_bytes = 0  # what was held is let go of as it is given out
        yield from _kept(run, rows, chosen, KeepRows(common, names))
    finally:
        files.close()


def _first_of_all(run: Run, rows: Sequence[Rows], keys: pa.Schema, budget: int | None) -> RowSet:
    """Which of all rows have no equal one before them."""
    files = run.files()
    try:
        number = sum(one.num_rows for one in rows)
        starts = itertools.accumulate((one.num_rows for one in rows), initial=0)
        size = sum(one.size_bytes for one in rows) + _NUMBER_BYTES * number
        parts = parts_for(size, sum(one.num_rows > 0 for one in rows), budget)
        scatter = ScatterKeys(keys, tuple(starts), parts)
        units = [Unit(tuple(one.slice(0, one.num_rows))) for one in rows]
        scattered = run.over_units(Stage((scatter,)), units)
        waiting = wait_as_parts(scattered, budget, files)
        size = sum(one.size_bytes for one in waiting)
        of_parts = (Unit(tuple(one.part(part) for one in waiting)) for part in range(parts))
        gather = Stage((GatherRepeated(tuple(keys.names)),), gathers=True)
        chosen = RowSet(number)
        for handle in run.segment([gather], Given(of_parts, parts, size)):
            again = handle.get()
            assert isinstance(again, pa.Table)
            chosen.discard(again[ROW_NUMBER].to_numpy())
        return chosen
    finally:
        files.close()


def _kept(run: Run, rows: list[Rows], chosen: RowSet, keep: KeepRows) -> Iterator[BlockHandle]:
    """Those rows, block after block; of a block that is there and has no others nothing moves.

    *rows* are let go of.
    """
    units: list[Unit] = []
    found: deque[BlockHandle | None] = deque()
    start = 0
    for one in rows:
        stop = start + one.num_rows
        mask = chosen.between(start, stop)
        start = stop
        if not one.num_rows:
            continue
        held = one.held if isinstance(one.held, BlockHandle) and not mask.false_count else None
        if held is not None and held.metadata.schema == keep.schema:
            found.append(held)
            continue
        pieces = one.slice(0, one.num_rows)
        told = BlockHandle.of_block(pa.table([mask], [ROW_NUMBER]), pieces[0].metadata.source)
        units.append(Unit((told, *pieces)))
        found.append(None)
    rows.clear()
    given = run.given(units).let_go()
    del units
    made = run.segment([Stage((keep,), divides=False)], given) if given.count else iter(())
    while found:
        held = found.popleft()
        yield next(made) if held is None else held
