"""What a task or an actor is told to do with a unit, and how what comes of it is sent back."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from air.data.blocks.block import Block, compact
from air.data.blocks.handle import BlockHandle, cut
from air.data.blocks.origins import Origins, Runs
from air.data.datasource import ReadTask
from air.data.errors import NotRepeatable
from air.data.execution.exchange.marks import described
from air.data.execution.stages import OpenStage, Unit, runs_of
from air.data.read_tasks import read_blocks
from air.data.udf.functions import TaskContext
from air.executor.handles import ObjectRef


@dataclass(frozen=True, slots=True)
class _Range:
    """Which rows of the next block that a task is given it works on; see :func:`cut`."""

    offset: int | None
    num_rows: int
    runs: Runs


@dataclass(frozen=True, slots=True)
class Work:
    """What a task is told: where its blocks come from, beside those that it is given.

    Attributes:
        had: the rows of each of the blocks that have been taken of it already, if it was begun
            before: they are made again, but not given again.
    """

    pieces: tuple[ReadTask | BlockHandle | _Range, ...]
    context: TaskContext
    had: tuple[int, ...] = ()

    def blocks(self, given: tuple[Block, ...], origins: Origins) -> Iterator[Block]:
        """The blocks to work on, noted in *origins*."""
        fetched = iter(given)
        for piece in self.pieces:
            if isinstance(piece, ReadTask):
                yield from read_blocks(piece, origins)
            elif isinstance(piece, BlockHandle):
                origins.note_all(runs_of(piece.metadata))
                yield piece.get()
            else:
                origins.note_all(piece.runs)
                yield cut(next(fetched), piece.offset, piece.num_rows)


def work_on(
    unit: Unit, context: TaskContext, *, is_kept: bool = True
) -> tuple[Work, list[ObjectRef[Any]]]:
    """What to send for *unit*, and the references that are to be fetched for it.

    Args:
        is_kept: see :meth:`BlockHandle.ref`.
    """
    pieces: list[ReadTask | BlockHandle | _Range] = []
    refs = []
    for piece in unit.pieces:
        if isinstance(piece, BlockHandle) and not piece.travels_by_value:
            refs.append(piece.ref(is_kept=is_kept))
            pieces.append(_Range(piece.offset, piece.num_rows, runs_of(piece.metadata)))
        else:
            pieces.append(piece)
    return Work(tuple(pieces), context), refs


def results(stage: OpenStage, work: Work, given: Sequence[Block]) -> Iterator[Any]:
    """For each block that comes out: first itself, then what it is like and what it took.

    In this order whoever has fetched the small second part knows that the block is there, and no
    error stands for it because the process died in between.

    Raises:
        NotRepeatable: it was begun before, and does not give again what it gave then.
    """
    number = -1
    made_of = stage.run(partial(work.blocks, tuple(given)), work.context)
    for number, (made, cost) in enumerate(made_of):
        metadata, block = described(made, work.context.source)
        del made
        if number < len(work.had):
            if metadata.num_rows != work.had[number]:
                raise _gave_otherwise(work, number, metadata.num_rows)
            continue
        if isinstance(metadata.schema, type) and not _travels(metadata.schema):
            metadata = replace(metadata, schema=object)
        block = compact(block)
        yield block
        del block  # it has been sent when the next one is made
        yield metadata, cost
    if number + 1 < len(work.had):
        raise _gave_otherwise(work, number + 1, None)


def _gave_otherwise(work: Work, number: int, rows: int | None) -> NotRepeatable:
    now = "is none now" if rows is None else f"has {rows} rows now"
    return NotRepeatable(
        f"{work.context.source} was worked on again because the process died, and block {number} of"
        f" what comes of it, which had {work.had[number]} rows and has been given out, {now}."
        " Functions must give the same for the same rows (seed what is random), or must not be"
        " tried again: max_retries=0"
    )


def _travels(kind: type) -> bool:
    """Whether a class can be sent. Some of the interpreter's own are found nowhere by their name.

    Locks are of such a class. What is wrong with these is told of the objects.
    """
    if kind.__module__ not in sys.builtin_module_names or kind in vars(types).values():
        return True
    return getattr(sys.modules[kind.__module__], kind.__qualname__, None) is kind
