"""Steps that only choose rows, or put those of several plans one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import pyarrow as pa

from air.data.blocks.block import Schema, mixed_kinds
from air.data.blocks.schemas import unify
from air.data.plan.node import Map, Node, Step
from air.data.transforms import Conform


@dataclass(frozen=True, eq=False)
class Limit(Step):
    """The first rows."""

    count: int

    @property
    def name(self) -> str:
        return f"limit({self.count})"

    def num_rows(self) -> int | None:
        rows = self.input.num_rows()
        return rows if rows is None else min(rows, self.count)


@dataclass(frozen=True, eq=False)
class Union(Node):
    """The rows of several plans, one after the other."""

    parts: tuple[Node, ...]

    @property
    def name(self) -> str:
        return "union"

    @property
    def inputs(self) -> tuple[Node, ...]:
        return self.parts

    def with_inputs(self, inputs: tuple[Node, ...]) -> Self:
        return replace(self, parts=inputs)

    def num_rows(self) -> int | None:
        total = 0
        for part in self.parts:
            rows = part.num_rows()
            if rows is None:
                return None
            total += rows
        return total

    def columns(self) -> list[str] | None:
        merged: dict[str, None] = {}
        for part in self.parts:
            columns = part.columns()
            if columns is None:
                return None
            merged.update(dict.fromkeys(columns))
        return list(merged)

    def num_blocks(self) -> int:
        return sum(part.num_blocks() for part in self.parts)

    def schema(self) -> Schema | None:
        schemas = {part.schema() for part in self.parts}
        return schemas.pop() if len(schemas) == 1 else None


def union(parts: Sequence[Node]) -> Union:
    """The rows of *parts* in turn, under one schema as far as theirs are known.

    Raises:
        UnsupportedValue: columns are known and do not go together, or only some are records.
    """
    known = [(part, part.schema()) for part in parts]
    filled = [(part, schema) for part, schema in known if schema is not None]
    if len({isinstance(schema, type) for _, schema in filled}) > 1:
        raise mixed_kinds()
    records = [schema for _, schema in filled if isinstance(schema, pa.Schema)]
    if len(records) < len(parts):
        return Union(tuple(parts))
    common = unify(records, [part.name for part, _ in filled])
    return Union(
        tuple(
            part if schema.equals(common) else Map(part, Conform(common))
            for part, schema in zip(parts, records, strict=True)
        )
    )
