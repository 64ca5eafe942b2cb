"""The logical plan: what a dataset is made of, as immutable nodes that run nothing.

Each node can say what is known of its result without computing it. ``None`` means that it is
not known: only running the plan would tell.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from air.data.block import Schema, column_names, mixed_kinds
from air.data.compute import ON_TASKS, Compute
from air.data.datasource import Datasource
from air.data.handle import BlockHandle
from air.data.schemas import unify
from air.data.transforms import Conform, Transform


@dataclass(frozen=True, eq=False)
class Node(abc.ABC):
    """One step of a plan."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """How messages and ``repr`` call the step."""

    @property
    @abc.abstractmethod
    def inputs(self) -> tuple[Node, ...]:
        """The steps whose results this one works on."""

    @abc.abstractmethod
    def num_rows(self) -> int | None:
        """Rows of the result."""

    @abc.abstractmethod
    def columns(self) -> list[str] | None:
        """Names of the result's columns; ``None`` also for plain objects."""

    @abc.abstractmethod
    def num_blocks(self) -> int:
        """Blocks of the result; what is planned, as far as reading decides it."""

    def schema(self) -> Schema | None:
        """Columns and types of the result."""
        return None

    def walk(self) -> Iterator[Node]:
        """This node, then all that it is made from."""
        yield self
        for node in self.inputs:
            yield from node.walk()


@dataclass(frozen=True, eq=False)
class Read(Node):
    """Rows from a datasource, in *parallelism* pieces or so."""

    source: Datasource
    parallelism: int

    @property
    def name(self) -> str:
        return f"Read{self.source.name}"

    @property
    def inputs(self) -> tuple[Node, ...]:
        return ()

    def num_rows(self) -> int | None:
        return self.source.num_rows()

    def columns(self) -> list[str] | None:
        return self.source.columns()

    def num_blocks(self) -> int:
        return len(self.source.get_read_tasks(self.parallelism))

    def schema(self) -> Schema | None:
        return self.source.schema()


@dataclass(frozen=True, eq=False)
class InputBlocks(Node):
    """Blocks that exist already."""

    handles: tuple[BlockHandle, ...]
    label: str = "Blocks"

    def __post_init__(self) -> None:
        for handle in self.handles:
            handle.keep()

    @property
    def name(self) -> str:
        return self.label

    @property
    def inputs(self) -> tuple[Node, ...]:
        return ()

    def num_rows(self) -> int:
        return sum(handle.num_rows for handle in self.handles)

    def columns(self) -> list[str] | None:
        return column_names(self.schema())

    def num_blocks(self) -> int:
        return len(self.handles)

    def schema(self) -> Schema | None:
        # Blocks without rows may not know their type.
        known = [h for h in self.handles if h.metadata.schema is not None]
        filled = [handle for handle in known if handle.num_rows] or known
        return filled[0].metadata.schema if filled else None

    def common_schema(self) -> pa.Schema | None:
        """What the blocks must be brought to so that all are alike; ``None`` if they are.

        Raises:
            UnsupportedValue: their columns do not go together, or only some are records.
        """
        filled = [handle for handle in self.handles if handle.num_rows]
        schemas = [handle.metadata.schema for handle in filled]
        records = [schema for schema in schemas if isinstance(schema, pa.Schema)]
        if not records:
            return None
        if len(records) < len(schemas):
            raise mixed_kinds()
        common = unify(records, [handle.metadata.source for handle in filled])
        return None if all(schema.equals(common) for schema in records) else common


@dataclass(frozen=True, eq=False)
class Map(Node):
    """A transform of each piece of the input by itself."""

    input: Node
    transform: Transform
    compute: Compute = field(default=ON_TASKS)

    @property
    def name(self) -> str:
        return self.transform.name

    @property
    def inputs(self) -> tuple[Node, ...]:
        return (self.input,)

    def num_rows(self) -> int | None:
        return self.input.num_rows() if self.transform.keeps_rows else None

    def columns(self) -> list[str] | None:
        return self.transform.columns(self.input.columns())

    def num_blocks(self) -> int:
        return self.input.num_blocks()

    def schema(self) -> Schema | None:
        return self.transform.schema if isinstance(self.transform, Conform) else None


@dataclass(frozen=True, eq=False)
class Limit(Node):
    """The first rows."""

    input: Node
    count: int

    @property
    def name(self) -> str:
        return f"limit({self.count})"

    @property
    def inputs(self) -> tuple[Node, ...]:
        return (self.input,)

    def num_rows(self) -> int | None:
        rows = self.input.num_rows()
        return rows if rows is None else min(rows, self.count)

    def columns(self) -> list[str] | None:
        return self.input.columns()

    def num_blocks(self) -> int:
        return self.input.num_blocks()

    def schema(self) -> Schema | None:
        return self.input.schema()


@dataclass(frozen=True, eq=False)
class Repartition(Node):
    """The same rows in the same order, in blocks of equal size (within one row)."""

    input: Node
    blocks: int

    @property
    def name(self) -> str:
        return f"repartition({self.blocks})"

    @property
    def inputs(self) -> tuple[Node, ...]:
        return (self.input,)

    def num_rows(self) -> int | None:
        return self.input.num_rows()

    def columns(self) -> list[str] | None:
        return self.input.columns()

    def num_blocks(self) -> int:
        return self.blocks

    def schema(self) -> Schema | None:
        return self.input.schema()


@dataclass(frozen=True, eq=False)
class RandomShuffle(Node):
    """All rows in an order that depends on the seed and on how many there are.

    Attributes:
        blocks: how many blocks to make; as many as there are if ``None``.
    """

    input: Node
    seed: int
    blocks: int | None = None

    @property
    def name(self) -> str:
        return f"random_shuffle(seed={self.seed})"

    @property
    def inputs(self) -> tuple[Node, ...]:
        return (self.input,)

    def num_rows(self) -> int | None:
        return self.input.num_rows()

    def columns(self) -> list[str] | None:
        return self.input.columns()

    def num_blocks(self) -> int:
        return self.blocks or self.input.num_blocks()

    def schema(self) -> Schema | None:
        return self.input.schema()


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
