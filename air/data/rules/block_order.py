"""Blocks come in random order at no cost where they are read in that order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from air.data.blocks.block import Schema
from air.data.datasource import Datasource, ReadTask
from air.data.datasources.paths import FileSet
from air.data.expressions.expr import Expression
from air.data.plan import InputBlocks, Map, Node, RandomizeBlockOrder, Read
from air.data.read_tasks import tasks_of


def push_block_order(node: Node) -> Node | None:
    """The order goes below operators on single blocks, and into what is there or read."""
    if not isinstance(node, RandomizeBlockOrder):
        return None
    below = node.input
    if isinstance(below, Map):
        return replace(below, input=replace(node, input=below.input))
    if isinstance(below, InputBlocks):
        order = np.random.default_rng(node.seed).permutation(len(below.handles))
        return replace(below, handles=tuple(below.handles[index] for index in order))
    if isinstance(below, Read):
        return replace(below, source=_Reordered(below.source, node.seed))
    return None


@dataclass(frozen=True)
class _Reordered(Datasource):
    """A source of which the pieces come in another order."""

    source: Datasource
    seed: int

    @property
    def name(self) -> str:
        return self.source.name

    def get_read_tasks(self, parallelism: int) -> list[ReadTask]:
        tasks = tasks_of(self.source, parallelism)
        order = np.random.default_rng(self.seed).permutation(len(tasks))
        return [tasks[index] for index in order]

    def estimate_inmemory_data_size(self) -> int | None:
        return self.source.estimate_inmemory_data_size()

    def num_rows(self) -> int | None:
        return self.source.num_rows()

    def schema(self) -> Schema | None:
        return self.source.schema()

    def columns(self) -> list[str] | None:
        return self.source.columns()

    def pushed(self) -> str:
        return "; ".join(
            filter(None, [self.source.pushed(), f"in random order (seed={self.seed})"])
        )

    def files_to_read(self) -> FileSet | None:
        return self.source.files_to_read()

    def with_columns(self, columns: tuple[str, ...]) -> Datasource | None:
        narrow = self.source.with_columns(columns)
        return None if narrow is None else replace(self, source=narrow)

    def with_filter(self, condition: Expression) -> Datasource | None:
        # Fewer pieces would come in another order.
        return None
