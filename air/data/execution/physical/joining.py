"""Computes joins."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from air.data.blocks.handle import BlockHandle
from air.data.blocks.metadata import Sampled
from air.data.blocks.schemas import conform, empty_table
from air.data.execution.exchange.ordering import SortKey
from air.data.execution.exchange.partitioners import KeyPart, Slices, Spread
from air.data.execution.exchange.runs import Runs, Schemas, wait_as_runs
from air.data.execution.exchange.sections import SpillDirectory
from air.data.execution.exchange.transforms import SortRuns
from air.data.execution.no_rows import schema_of_no_rows
from air.data.execution.physical.exchanges import merged, parts_for
from air.data.execution.physical.keyed import divided
from air.data.execution.run import Given, Run
from air.data.execution.stages import Stage, Unit
from air.data.grouping.first import ROW_NUMBER, DropRowNumber, NumberRows
from air.data.grouping.whole import ScatterGroups, group_keys
from air.data.joining.spec import JoinSpec
from air.data.joining.transforms import DistinctKeys, JoinParts, JoinWith, PartOfJoin, as_keys
from air.data.plan import Join, Map, Node

_HELD_BYTES = 32 << 20
"""Every task may have a whole side up to this size."""

_MADE_BYTES = 32 << 20
_SMALLEST = 1 << 20
_HELD_SHARE = 4


def join(run: Run, node: Join, _limit: int | None) -> Iterator[BlockHandle]:
    """Rows with equal keys: all of one side with each block of the other, if that side is small.

    Otherwise both sides are sorted by key, and divided at the same keys; rows of the result come
    back into their order by numbers that they had before.
    """
    files = run.files()
    try:
        spec = node.spec
        budget = run.spills_beyond()
        small = _HELD_BYTES if budget is None else min(_HELD_BYTES, budget // _HELD_SHARE)
        made = _MADE_BYTES if budget is None else max(min(_MADE_BYTES, budget // 4), _SMALLEST)
        share = None if budget is None else budget // 4
        stream_node, held_node = _sides(node)
        stream_keys, held_keys = _ordered(spec)
        held = _Side(run, held_node, held_keys, spec, share, files)
        if spec.how != "outer" and held.runs.size_bytes <= small:
            whole = BlockHandle.of_block(held.whole(), spec.name)
            yield from run.run(Map(stream_node, JoinWith(spec, made, whole)))
            return
        if spec.how != "outer":
            stream_node = Map(stream_node, NumberRows(spec.name))
        stream = _Side(run, stream_node, stream_keys, spec, share, files)
        if stream.schema is None and (held.schema is None or spec.how != "outer"):
            return
        given, transform = _parts(spec, stream, held, budget, made)
        del stream, held
        if spec.how == "outer":
            yield from run.segment([Stage((transform,), gathers=True)], given)
            return
        in_order = (SortKey(ROW_NUMBER),)
        scattered = run.segment([Stage((transform, SortRuns(in_order)), gathers=True)], given)
        del given
        yield from merged(run, scattered, in_order, after=(DropRowNumber(),))
    finally:
        files.close()


def _ordered(spec: JoinSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys of the side that comes out in order, and those of the other."""
    both = (spec.left_on, spec.right_on)
    return both[::-1] if spec.streams_right else both


def _sides(node: Join) -> tuple[Node, Node]:
    """The side whose rows come out in their order, and the other."""
    spec = node.spec
    if spec.streams_right:
        return node.right, node.left
    if not spec.only_left:
        return node.left, node.right
    # Of the other side nothing is wanted but whether there is such a key.
    return node.left, Map(node.right, DistinctKeys(spec.right_on, spec.name))


class _Side:
    """One side of a join: runs sorted by key that wait until all are there.

    Attributes:
        schema: of all its rows; ``None`` if there is no block.
    """

    def __init__(
        self,
        run: Run,
        node: Node,
        keys: tuple[str, ...],
        spec: JoinSpec,
        budget: int | None,
        files: SpillDirectory,
    ) -> None:
        self.keys = keys
        noted = Schemas()
        scatter = ScatterGroups(group_keys(keys), spec.name)
        self.runs = wait_as_runs(noted.of(run.run(Map(node, scatter))), budget, files)
        self.schema = noted.common() if noted.found else _guessed(node, keys)

    @property
    def known_schema(self) -> pa.Schema:
        """Its schema; keys without a type if there is nothing to know it from."""
        return self.schema or pa.schema([(name, pa.null()) for name in dict.fromkeys(self.keys)])

    def whole(self) -> pa.Table:
        """All rows as a table, those with equal keys in the order that they had."""
        if not self.runs.filled:
            return empty_table(self.known_schema)
        whole = self.runs.whole()
        return conform(whole, self.known_schema).combine_chunks()

    def samples(self, spec: JoinSpec, kinds: pa.Schema) -> list[Sampled]:
        """The samples of each run, in the types in which keys are compared."""
        return [
            replace(one, keys=as_keys(spec, one.keys, self.keys, kinds))
            for one in self.runs.samples
            if isinstance(one.keys, pa.Table)
        ]


def _guessed(node: Node, keys: tuple[str, ...]) -> pa.Schema | None:
    """The columns of a side of which there is no block, so that the result has them too.

    Keys have no type then: what is guessed of them might not go together with the other side.
    """
    schema = schema_of_no_rows(node)
    if schema is None:
        return None
    kinds = [
        pa.null() if name in keys else kind
        for name, kind in zip(schema.names, schema.types, strict=True)
    ]
    return pa.schema(list(zip(schema.names, kinds, strict=True)))


def _parts(
    spec: JoinSpec, stream: _Side, held: _Side, budget: int | None, made: int
) -> tuple[Given, JoinParts]:
    """Units with the rows of both sides that have some keys, and what joins them."""
    sides = (stream, held)
    left, right = sides[::-1] if spec.streams_right else sides
    kinds = spec.key_types(left.known_schema, right.known_schema)
    runs = Runs(
        [*stream.runs.filled, *held.runs.filled],
        [*stream.samples(spec, kinds), *held.samples(spec, kinds)],
        [],
    )
    streams = len(stream.runs.filled)
    number = parts_for(runs.size_bytes, max(streams, 1), budget)
    if not runs.filled:
        parts, edges = [KeyPart(np.zeros((0, 3), np.int64), None, None)], empty_table(kinds)
    else:
        is_outer = spec.how == "outer"
        parts, edges = divided(runs, group_keys(kinds.names), number, apart=is_outer)
    # A part of one key may be much larger than others: its rows are joined some at a time.
    most = max(2 * runs.size_bytes // number, _SMALLEST)
    spread = runs.spread
    found, own = [], []
    for at, part in enumerate(parts):
        first = edges.slice(at - 1, 1) if at else None
        last = edges.slice(at, 1) if at < len(edges) else None
        is_held = part.slices[:, 0] >= streams
        whole = part.slices[is_held]
        # Rows that come out by their keys are not divided, unless they all have one.
        has_key = any(run < streams for run in part.sampled)
        size = most if spec.how != "outer" or has_key else None
        for some in _some(spread, part.slices[~is_held], size):
            if len(some) or len(whole):
                found.append(np.concatenate([some, whole]))
                rows = int((some[:, 2] - some[:, 1]).sum())
                own.append(PartOfJoin(rows, first, last, part.is_after, part.is_one_key, has_key))
    schemas = (stream.known_schema, held.known_schema)
    # Made when their turn comes: there are as many pieces as runs times parts.
    units = (Unit(tuple(runs.pieces(slices, spread))) for slices in found)
    given = Given(units, len(found), runs.size_bytes)
    held_bytes = None if spec.how == "outer" else most
    return given, JoinParts(spec, made, tuple(own), schemas, held_bytes)


def _some(runs: Spread, slices: Slices, most: int | None) -> Iterator[Slices]:
    """Slices of runs, no more together than *most* bytes or so; at least once, if none."""
    size = sum(runs.bytes_of(*one) for one in slices.tolist())
    if most is None or size <= most:
        yield slices
        return
    pending: list[tuple[int, int, int]] = []
    held = 0
    for run, begin, end in slices.tolist():
        pieces = max(-(-runs.bytes_of(run, begin, end) // most), 1)
        edges = [begin + (end - begin) * number // pieces for number in range(pieces + 1)]
        for one in itertools.pairwise(edges):
            size = runs.bytes_of(run, *one)
            if pending and held + size > most:
                yield np.array(pending)
                pending, held = [], 0
            pending.append((run, *one))
            held += size
    if pending:
        yield np.array(pending)
