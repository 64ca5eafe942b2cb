"""Steps of a plan, and those that every plan has: reading, blocks that exist, and maps."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import pyarrow as pa

from air.data.blocks.block import Schema, column_names, mixed_kinds
from air.data.blocks.handle import BlockHandle
from air.data.blocks.schemas import unify
from air.data.datasource import Datasource, ReadTask
from air.data.read_tasks import tasks_of
from air.data.transforms import Conform, Transform
from air.data.udf.compute import ON_TASKS, Compute


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
    def with_inputs(self, inputs: tuple[Node, ...]) -> Self:
        """The same step on other inputs, as many of them."""

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
        todo: list[Node] = [self]
        while todo:
            node = todo.pop()
            yield node
            todo.extend(reversed(node.inputs))


@dataclass(frozen=True, eq=False)
class _Source(Node):
    """A step that works on no other."""

    @property
    def inputs(self) -> tuple[Node, ...]:
        return ()

    def with_inputs(self, inputs: tuple[Node, ...]) -> Self:
        assert not inputs
        return self


@dataclass(frozen=True, eq=False)
class Step(Node):
    """A step on the result of one other; unless it says otherwise, that has the same columns."""

    input: Node

    @property
    def inputs(self) -> tuple[Node, ...]:
        return (self.input,)

    def with_inputs(self, inputs: tuple[Node, ...]) -> Self:
        (below,) = inputs
        return replace(self, input=below)

    def num_rows(self) -> int | None:
        return self.input.num_rows()

    def columns(self) -> list[str] | None:
        return self.input.columns()

    def num_blocks(self) -> int:
        return self.input.num_blocks()

    def schema(self) -> Schema | None:
        return self.input.schema()


@dataclass(frozen=True, eq=False)
class Read(_Source):
    """Rows from a datasource, in *parallelism* pieces or so.

    Attributes:
        place: which one it is of the parts that it was divided into, if it was.
    """

    source: Datasource
    parallelism: int
    place: str = ""

    @property
    def name(self) -> str:
        return f"Read{self.source.name}"

    def num_rows(self) -> int | None:
        return self.source.num_rows()

    def columns(self) -> list[str] | None:
        return self.source.columns()

    def tasks(self) -> list[ReadTask]:
        """The pieces, in the order of the rows."""
        return tasks_of(self.source, self.parallelism)

    def num_blocks(self) -> int:
        return len(self.tasks())

    def schema(self) -> Schema | None:
        return self.source.schema()


@dataclass(frozen=True, eq=False)
class InputBlocks(_Source):
    """Blocks that exist already.

    Attributes:
        place: which one it is of the parts that they were divided into, if they were.
    """

    handles: tuple[BlockHandle, ...]
    label: str = "Blocks"
    place: str = ""

    def __post_init__(self) -> None:
        for handle in self.handles:
            handle.keep()

    @property
    def name(self) -> str:
        return self.label

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
class Map(Step):
    """A transform of each piece of the input by itself."""

    transform: Transform
    compute: Compute = field(default=ON_TASKS)

    @property
    def name(self) -> str:
        return self.transform.name

    def num_rows(self) -> int | None:
        return self.input.num_rows() if self.transform.keeps_rows else None

    def columns(self) -> list[str] | None:
        return self.transform.columns(self.input.columns())

    def schema(self) -> Schema | None:
        schema = self.input.schema()
        if isinstance(schema, pa.Schema):
            return self.transform.schema_for(schema)
        return self.transform.schema if isinstance(self.transform, Conform) else None


def place_of(node: Node) -> str:
    """Which parts a plan works on of what was divided, if it does; the same in every program."""
    places = [one.place for one in node.walk() if isinstance(one, (Read, InputBlocks))]
    return "-".join(place for place in places if place)


def part_of(place: str, number: int) -> str:
    """The place of part *number* of what is at *place*."""
    return f"{place}.{number}" if place else str(number)
