"""Computes a step whose blocks are kept: only what is not there already."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace

from air.data.blocks.handle import BlockHandle
from air.data.checkpointing.keepers import BLOCKS, NoteParts, SaveBlocks, key_of
from air.data.checkpointing.store import CheckpointStore
from air.data.datasource import ReadTask
from air.data.execution.run import Run
from air.data.execution.stages import Stage, Unit, grouped
from air.data.plan import Checkpointed, InputBlocks, Map, Node, Read
from air.data.udf.calling import Call


def checkpointed(run: Run, node: Checkpointed, _limit: int | None) -> Iterator[BlockHandle]:
    """The blocks of the step before; those that are in files are read there.

    All of a unit is kept or nothing of it, so a limit makes no difference to what is computed.
    """
    store = CheckpointStore(node.filesystem, node.directory)
    store.claim(node.manifest)
    whole = store.whole()
    if whole is not None:
        yield from run.over_units(Stage(), [Unit((task,)) for task in whole])
        return
    files: dict[str, tuple[int, int]] = {}
    for handle in _blocks(run, _with_kept_inputs(node), store):
        name = handle.metadata.lineage + BLOCKS
        rows, size = files.get(name, (0, 0))
        files[name] = (rows + handle.num_rows, size + handle.size_bytes)
        handle.metadata = replace(handle.metadata, lineage="")  # that is of no use to others
        yield handle
    store.complete(files)


def _blocks(run: Run, node: Checkpointed, store: CheckpointStore) -> Iterator[BlockHandle]:
    """All blocks, in order; those that are there already are read by this process in their turn.

    Tasks for that might wait for a CPU that others hold which wait for their blocks to be taken.
    """
    stages, given = run.chain(node.input)
    stages = stages or [Stage()]
    least = max(stage.min_rows for stage in stages)
    units = iter(_keyed(grouped(given.units, least)))
    passed: deque[tuple[str, list[str] | None]] = deque()

    def missing() -> Iterator[Unit]:
        for unit in units:
            names = store.files_of(unit.lineage, len(stages))
            passed.append((unit.lineage, names))
            if names is None:
                yield unit

    def merged(made: Iterator[BlockHandle]) -> Generator[BlockHandle, None, None]:
        nonlocal units
        for unit in units:
            names = store.files_of(unit.lineage, len(stages))
            if names is None:
                units = itertools.chain([unit], units)
                break
            yield from store.read(names)
        else:
            return  # so nothing is started
        for handle in made:
            while passed[0][0] != key_of(handle.metadata.lineage):
                yield from store.read(passed.popleft()[1] or [])
            yield handle
        for _, names in passed:
            yield from store.read(names or [])

    note, save = (kind(node.filesystem, node.directory) for kind in (NoteParts, SaveBlocks))
    kept = [replace(stage, keeper=note) for stage in stages[:-1]]
    kept.append(replace(stages[-1], keeper=save))
    yield from run.segment(kept, replace(given, units=missing(), merge=merged))


def _keyed(units: Iterable[Unit]) -> Iterator[Unit]:
    """Each unit with a key: the numbers of its pieces where they are to be read, or of its rows."""
    piece = row = 0
    for unit in units:
        if isinstance(unit.pieces[0], ReadTask):
            key = f"pieces-{piece:06d}-{piece + len(unit.pieces):06d}"
            piece += len(unit.pieces)
        else:
            rows = unit.num_rows or 0
            key = f"rows-{row:012d}-{row + rows:012d}-{piece:06d}"
            row += rows
            piece += 1
        yield replace(unit, lineage=key)


def _with_kept_inputs(node: Checkpointed) -> Checkpointed:
    """The same, below whose exchange, if it is one, what goes into that is kept as well.

    Otherwise all of that would have to be made again for rows of which each may be anywhere.
    """
    maps: list[Map] = []
    below = node.input
    while isinstance(below, Map):
        maps.append(below)
        below = below.input
    if not isinstance(below, (Read, InputBlocks, Checkpointed)):
        kept = [
            one if _is_cheap(one) else node.below(one, f"input-{n}")
            for n, one in enumerate(below.inputs)
        ]
        below = below.with_inputs(tuple(kept))
    for one in reversed(maps):
        below = replace(one, input=below)
    return replace(node, input=below)


def _is_cheap(node: Node) -> bool:
    """Whether nothing is lost if it has to be made again: it is only read, by the library."""
    while isinstance(node, Map) and not isinstance(node.transform, Call):
        node = node.input
    return isinstance(node, (Read, InputBlocks, Checkpointed))
