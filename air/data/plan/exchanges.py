"""Steps for which every block may need rows of every other."""

from __future__ import annotations

from dataclasses import dataclass

from air.data.execution.exchange.ordering import SortKey, sort_name
from air.data.plan.node import Step


@dataclass(frozen=True, eq=False)
class Repartition(Step):
    """The same rows in the same order, in blocks of equal size (within one row)."""

    blocks: int

    @property
    def name(self) -> str:
        return f"repartition({self.blocks})"

    def num_blocks(self) -> int:
        return self.blocks


@dataclass(frozen=True, eq=False)
class RandomShuffle(Step):
    """All rows in an order that depends on the seed and on how many there are.

    Attributes:
        blocks: how many blocks to make; as many as there are if ``None``.
    """

    seed: int
    blocks: int | None = None

    @property
    def name(self) -> str:
        return f"random_shuffle(seed={self.seed})"

    def num_blocks(self) -> int:
        return self.blocks or self.input.num_blocks()


@dataclass(frozen=True, eq=False)
class Sort(Step):
    """All rows in the order of their keys; equal ones stay in theirs."""

    keys: tuple[SortKey, ...]

    @property
    def name(self) -> str:
        return sort_name(self.keys)


@dataclass(frozen=True, eq=False)
class TopOf(Step):
    """The first rows in the order of their keys, as one block."""

    keys: tuple[SortKey, ...]
    count: int

    @property
    def name(self) -> str:
        return f"{sort_name(self.keys)}, first {self.count}"

    def num_rows(self) -> int | None:
        rows = self.input.num_rows()
        return rows if rows is None else min(rows, self.count)

    def num_blocks(self) -> int:
        return 1
