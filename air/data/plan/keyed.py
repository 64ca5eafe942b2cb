"""Steps that bring together rows with equal keys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from air.data.execution.exchange.ordering import SortKey
from air.data.grouping.first import distinct_name
from air.data.grouping.transforms import Plan
from air.data.joining.spec import JoinSpec
from air.data.plan.node import Node, Step


@dataclass(frozen=True, eq=False)
class Aggregate(Step):
    """A row for each group, in the order of the keys."""

    plan: Plan

    @property
    def name(self) -> str:
        return self.plan.name

    def num_rows(self) -> int | None:
        return None

    def columns(self) -> list[str] | None:
        return [*self.plan.keys, *(agg.name for agg in self.plan.aggs)]

    def num_blocks(self) -> int:
        return 1

    def schema(self) -> None:
        return None


@dataclass(frozen=True, eq=False)
class GroupRows(Step):
    """All rows in the order of their keys; no two blocks have rows with equal ones.

    Attributes:
        label: what is to be made of the groups, for messages.
    """

    keys: tuple[SortKey, ...]
    label: str

    @property
    def name(self) -> str:
        return self.label


@dataclass(frozen=True, eq=False)
class Distinct(Step):
    """Of the rows that are equal in some columns the first; ``None`` are all columns."""

    names: tuple[str, ...] | None

    @property
    def name(self) -> str:
        return distinct_name(self.names)

    def num_rows(self) -> int | None:
        return None

    def num_blocks(self) -> int:
        return 1


@dataclass(frozen=True, eq=False)
class Join(Node):
    """Rows of two plans that have equal keys."""

    left: Node
    right: Node
    spec: JoinSpec

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def inputs(self) -> tuple[Node, ...]:
        return (self.left, self.right)

    def with_inputs(self, inputs: tuple[Node, ...]) -> Self:
        left, right = inputs
        return replace(self, left=left, right=right)

    def num_rows(self) -> int | None:
        return None

    def columns(self) -> list[str] | None:
        left, right = self.left.columns(), self.right.columns()
        if left is None or right is None:
            return None
        return [column.name for column in self.spec.columns(left, right)]

    def num_blocks(self) -> int:
        return self.left.num_blocks()
