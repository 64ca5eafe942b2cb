"""What runs: stages of fused operators over units of work.

A *unit* is a piece of the data that goes through a stage as a whole: a read task, a block, or a
few of them that belong together. A *stage* is as many operators as can be done in one go, so
that data moves between processes only where operators must be apart.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from air.data.blocks.block import Block, split_large
from air.data.blocks.handle import BlockHandle
from air.data.blocks.metadata import BlockMetadata
from air.data.blocks.origins import Origin, Origins, Runs
from air.data.budget import Budget
from air.data.datasource import ReadTask
from air.data.each_block import BlockStep, EachBlock, through
from air.data.errors import ColumnNotFound
from air.data.execution.cost import QUICK_SECONDS, Cost, Meter
from air.data.execution.exchange.marks import Marked
from air.data.plan import Map
from air.data.read_tasks import read_blocks
from air.data.transforms import TakeRows, Transform
from air.data.udf.calling import Call
from air.data.udf.compute import ON_TASKS, Compute
from air.data.udf.functions import TaskContext
from air.data.udf.skipping import Skipped

_UP_TO = " ... "
"""Between the first and the last of several sources; no name of a file is likely to have it."""
_MOST_STREAMS = 64
"""Functions of a stage that ask one another for blocks: each is up to eight calls deeper, and
Python allows for a thousand."""
_OF_ONE_BLOCK = (
    "what columns there are is known of one block here: those that functions gave its rows, and"
    " other blocks may have others. .materialize() before this step gives all rows all columns"
)


@dataclass(frozen=True, slots=True)
class Unit:
    """Pieces of data that are worked on together, in order.

    Attributes:
        lineage: what they are made from, where that is kept track of.
    """

    pieces: tuple[ReadTask | BlockHandle, ...]
    lineage: str = ""

    @property
    def num_rows(self) -> int | None:
        """Rows that it holds, if that is known before reading."""
        rows = [piece.metadata.num_rows for piece in self.pieces]
        return None if None in rows else sum(n for n in rows if n is not None)

    @property
    def size_bytes(self) -> int | None:
        """Bytes that it holds or will give, if there is an estimate."""
        sizes = [piece.metadata.size_bytes for piece in self.pieces]
        return None if None in sizes else sum(n for n in sizes if n is not None)

    @property
    def source(self) -> str:
        """Where its rows come from, for messages."""
        first, last = self.pieces[0].metadata.source, self.pieces[-1].metadata.source
        if first == last:
            return first
        # What comes out of an exchange has two ends itself: with all of them, this would be twice
        # as long after each one.
        return f"{first.partition(_UP_TO)[0]}{_UP_TO}{last.rpartition(_UP_TO)[2]}"

    def context(self, index: int) -> TaskContext:
        """What operators are told of it as the piece of work *index* of a stage."""
        lineage = self.lineage or self.pieces[0].metadata.lineage
        before = tuple(itertools.chain.from_iterable(p.metadata.rejected for p in self.pieces))
        return TaskContext(index, self.source, lineage=lineage, before=before)

    def blocks(self, origins: Origins | None = None) -> Iterator[Block]:
        """Its blocks, read or fetched one after the other, and noted in *origins*."""
        origins = Origins() if origins is None else origins
        for piece in self.pieces:
            if isinstance(piece, ReadTask):
                yield from read_blocks(piece, origins)
            else:
                origins.note_all(runs_of(piece.metadata))
                yield piece.get()


@dataclass(frozen=True, slots=True)
class Stage:
    """Fused operators, which run in the same place.

    Attributes:
        transforms: in the order in which they are applied; none only reads.
        compute: on what to run.
        divides: whether blocks that come out too large are divided.
        gathers: whether all pieces of a unit are needed at a time.
        keeper: what all blocks go through last, when they have been divided. It follows each unit
            by itself, so these are not put together.
    """

    transforms: tuple[Transform, ...] = ()
    compute: Compute = ON_TASKS
    divides: bool = True
    gathers: bool = False
    keeper: Transform | None = None

    @property
    def name(self) -> str:
        """The operators' names with arrows between."""
        return " -> ".join(transform.name for transform in self.transforms) or "read"

    @property
    def min_rows(self) -> int:
        """How many rows units should have, where small blocks can be put together."""
        if self.keeper is not None:
            return 0
        for transform in self.transforms:
            if transform.min_rows or not transform.keeps_rows:
                return transform.min_rows
        return 0

    @property
    def has_user_code(self) -> bool:
        """Whether there is any function in it whose cost nobody knows."""
        return any(isinstance(transform, Call) for transform in self.transforms)

    def open(self, budget: Budget) -> OpenStage:
        """The stage made ready to run in this process."""
        if not self.divides:
            return OpenStage(self.transforms, sys.maxsize, sys.maxsize, self.keeper)
        pieces = budget.piece_bytes if budget.is_tight else sys.maxsize
        return OpenStage(self.transforms, pieces, budget.block_bytes, self.keeper)


class OpenStage:
    """A stage with the instances of its callable classes, ready for any number of units.

    Args:
        piece_bytes: how large the blocks may be that transforms are given.
        block_bytes: how large those may be that come out.
    """

    def __init__(
        self,
        transforms: Sequence[Transform],
        piece_bytes: int,
        block_bytes: int,
        keeper: Transform | None = None,
    ) -> None:
        self._functions = [(transform.open(), transform.keeps_rows) for transform in transforms]
        self._piece_bytes = piece_bytes
        self._block_bytes = block_bytes
        self._keeper = None if keeper is None else keeper.open()
        self._is_quick = False  # measuring would take as long as making a block

    def run(
        self, read: Callable[[Origins], Iterator[Block]], context: TaskContext
    ) -> Iterator[tuple[Block | Marked, Cost]]:
        """The blocks that come out, each with what it took to make.

        Args:
            read: gives the blocks that go in, and notes where they come from.
        """
        # Where results are kept, only units that are not done are counted.
        unit = context.lineage or f"{context.index:06d}"
        origins, skipped = Origins(), Skipped(unit, context.before)
        blocks: Iterator[Block] = (
            piece for block in read(origins) for piece in split_large(block, self._piece_bytes)
        )
        context = replace(context, origins=origins, skipped=skipped, block_bytes=self._block_bytes)
        steps: list[tuple[BlockStep, TaskContext]] = []
        for function, keeps_rows in self._functions:
            if isinstance(function, EachBlock):
                steps.append((function.step, context))
            else:
                blocks, steps = function(through(steps, blocks), context), []
            if not keeps_rows:
                context = replace(context, origins=None)
        blocks = through(steps, blocks)
        pieces: Iterator[Block | Marked] = (
            piece for block in blocks for piece in _divided(block, self._block_bytes)
        )
        pieces = _with_last(pieces, skipped)
        if self._keeper is not None:
            pieces = self._keeper(cast(Iterator[Block], pieces), context)
        rows = 0
        while True:
            meter = Meter(light=self._is_quick)
            try:
                block = next(pieces, None)
            except Exception as error:
                if isinstance(error, ColumnNotFound) and not hasattr(error, "__notes__"):
                    error.add_note(_OF_ONE_BLOCK)
                if rejected := skipped.taken():
                    yield Marked([], rejected=rejected, lineage=context.lineage), Cost()
                raise
            if block is None:
                return
            rejected = skipped.taken()
            if context.origins is not None and not isinstance(block, Marked):
                begin, rows = rows, rows + len(block)
                runs = origins.runs(begin, rows - 1)
                block = Marked(block, runs=runs) if runs else block
            if rejected:
                known = block if isinstance(block, Marked) else Marked(block)
                block = replace(known, rejected=rejected)
            cost = meter.read()
            self._is_quick = cost.seconds < QUICK_SECONDS
            yield block, cost
            del block  # whoever has it may be done with it while the next one is made


def _with_last(pieces: Iterator[Block | Marked], skipped: Skipped) -> Iterator[Block | Marked]:
    """*pieces*, and one without rows to go with what was left out after the last of them."""
    yield from pieces
    if skipped.is_waiting:
        yield []


def _divided(given: Block | Marked, target_bytes: int) -> Iterator[Block | Marked]:
    return iter([given]) if isinstance(given, Marked) else split_large(given, target_bytes)


def runs_of(metadata: BlockMetadata) -> Runs:
    """Where the rows of a block come from."""
    whole = (metadata.num_rows or 0, Origin(metadata.source, metadata.first_row))
    return metadata.runs or (whole,)


def working_bytes(unit: Unit, stage: Stage, budget: Budget) -> int:
    """Bytes that whoever puts *unit* through *stage* takes for it, beside what comes out.

    That is what is being read, and as much for one more copy as there is of a block.
    """
    reading = largest = stored = 0
    gathers = stage.gathers or not stage.divides
    for piece in unit.pieces:
        size = piece.metadata.size_bytes
        largest += budget.block_bytes if size is None else size
        if isinstance(piece, ReadTask):
            reading = reading + (size or 0) if gathers else max(reading, budget.reading(size))
        elif piece.is_here and not piece.travels_by_value:
            stored += size or 0  # a copy of it is made for the task
    return stored + reading + (largest if gathers else min(largest, budget.piece_bytes))


def fuse(maps: Sequence[Map], *, reads: bool, limit: int | None = None) -> list[Stage]:
    """Stages for a chain of operators, in the order of the data.

    Operators share a stage if they ask for the same resources. One that runs no user code
    joins whatever comes before it; a pool of actors always begins a stage, and what asks for
    nothing does not join what asks for something (a GPU is not kept for it). So many operators
    that ask for blocks are a stage by themselves, as Python's calls do not go any deeper.

    Args:
        reads: whether the input still has to be read: actors take only blocks.
        limit: rows that are wanted of the result; no unit needs to give more.
    """
    stages: list[Stage] = []
    if reads and (not maps or maps[0].compute.asked or maps[0].compute.pool):
        stages.append(Stage())
    streams = 0
    for node in maps:
        transform, compute = node.transform, node.compute
        last = stages[-1] if stages else None
        joins = last is not None and compute.pool is None
        joins = joins and (streams < _MOST_STREAMS or transform.is_for_each_block)
        if joins and last is not None and isinstance(transform, Call):
            joins = compute == last.compute
        if joins and last is not None:
            stages[-1] = Stage((*last.transforms, transform), last.compute)
        else:
            stages.append(Stage((transform,), compute))
            streams = 0
        streams += not transform.is_for_each_block
    if limit is not None and stages:
        last = stages[-1]
        stages[-1] = Stage((*last.transforms, TakeRows(limit)), last.compute)
    return stages


def grouped(units: Iterable[Unit], min_rows: int) -> Iterator[Unit]:
    """Neighbouring units put together until each has *min_rows* rows (the last may have less).

    A unit whose rows are not known is left alone.
    """
    pending: list[Unit] = []
    rows = 0
    for unit in units:
        pending.append(unit)
        rows += min_rows if unit.num_rows is None else unit.num_rows
        if rows >= min_rows:
            yield together(pending)
            pending, rows = [], 0
    if pending:
        yield together(pending)


def together(units: Sequence[Unit]) -> Unit:
    """Several units as one."""
    if len(units) == 1:
        return units[0]
    return Unit(tuple(itertools.chain.from_iterable(unit.pieces for unit in units)))
