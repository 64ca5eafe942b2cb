"""How often values occur in a column: summaries that are merged as those of numbers are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.kinds import is_list
from air.data.summaries import present


@dataclass(frozen=True, slots=True)
class ValueCounts:
    """How often each value occurs; a list counts as a tuple."""

    label: ClassVar[str] = "values that can be counted"
    missing: int
    counts: dict[Any, int] = field(default_factory=dict)

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> ValueCounts:
        values = present(column)
        missing = len(column) - len(values)
        counts: dict[Any, int] = {}
        if _holds_structs(values.type):
            raise pa.ArrowTypeError(f"{values.type} has no key")
        if pa.types.is_nested(values.type):
            for item in values.to_pylist():
                key = hashable(item)
                counts[key] = counts.get(key, 0) + 1
        else:
            for item in pc.value_counts(values).to_pylist():
                counts[item["values"]] = item["counts"]
        return cls(missing, counts)

    def merge(self, other: ValueCounts) -> ValueCounts:
        counts = dict(self.counts)
        for value, count in other.counts.items():
            counts[value] = counts.get(value, 0) + count
        return ValueCounts(self.missing + other.missing, counts)


@dataclass(frozen=True, slots=True)
class ElementCounts:
    """How often each value occurs inside the lists of a column, or as itself without lists."""

    label: ClassVar[str] = "values that can be counted"
    missing: int
    counts: dict[Any, int]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> ElementCounts:
        missing = 0
        if is_list(column.type):
            missing = column.null_count
            column = pc.list_flatten(column)
        values = ValueCounts.of(column)
        return cls(missing + values.missing, values.counts)

    def merge(self, other: ElementCounts) -> ElementCounts:
        values = ValueCounts(self.missing, self.counts).merge(
            ValueCounts(other.missing, other.counts)
        )
        return ElementCounts(values.missing, values.counts)


def hashable(value: Any) -> Any:
    """*value* as a key: lists and arrays become tuples."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(hashable(item) for item in value) if isinstance(value, list) else value


def _holds_structs(kind: pa.DataType) -> bool:
    while is_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_struct(kind) or pa.types.is_map(kind))
