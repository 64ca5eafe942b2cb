"""Steps that put rows side by side, or choose them by where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from air.data.plan.node import Node, Step


@dataclass(frozen=True, eq=False)
class Zip(Node):
    """The rows of two plans side by side."""

    left: Node
    right: Node

    @property
    def name(self) -> str:
        return "zip"

    @property
    def inputs(self) -> tuple[Node, ...]:
        return (self.left, self.right)

    def with_inputs(self, inputs: tuple[Node, ...]) -> Self:
        left, right = inputs
        return type(self)(left, right)

    def num_rows(self) -> int | None:
        rows = self.left.num_rows()
        return self.right.num_rows() if rows is None else rows

    def columns(self) -> list[str] | None:
        left, right = self.left.columns(), self.right.columns()
        return None if left is None or right is None else [*left, *apart(right, left)]

    def num_blocks(self) -> int:
        return self.left.num_blocks()


def apart(names: list[str], taken: list[str]) -> list[str]:
    """*names* with a number behind those that are *taken*: ``a_1``, ``a_2`` ..."""
    used = {*taken, *names}
    made = []
    for name in names:
        number = 1
        free = name
        while free in taken or (free != name and free in used):
            free = f"{name}_{number}"
            number += 1
        used.add(free)
        made.append(free)
    return made


@dataclass(frozen=True, eq=False)
class RandomSample(Step):
    """About a fraction of the rows, each chosen by the seed and its position."""

    fraction: float
    seed: int

    @property
    def name(self) -> str:
        return f"random_sample({self.fraction}, seed={self.seed})"

    def num_rows(self) -> int | None:
        return None


@dataclass(frozen=True, eq=False)
class RandomizeBlockOrder(Step):
    """The same blocks in an order that the seed decides."""

    seed: int

    @property
    def name(self) -> str:
        return f"randomize_block_order(seed={self.seed})"
