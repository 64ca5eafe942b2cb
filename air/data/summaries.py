"""Summaries of columns that are computed block by block and merged: one pass for all of them.

Nulls, and NaN among floating-point numbers, count as missing everywhere, as in pandas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar, cast

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.block import Block, accessor
from air.data.errors import UnsupportedValue, require_columns
from air.data.plan import Map
from air.data.transforms import SummarizeBlocks

if TYPE_CHECKING:
    from air.data.dataset import Dataset

_NAN = math.nan  # one object, so that it equals itself as a key


class Summary(Protocol):
    """What is known of a column; values of these classes are small and picklable.

    ``label`` completes "which does not have ..." for columns whose type has no such summary.
    """

    label: ClassVar[str]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Self:
        """The summary of one block's part of the column.

        Raises:
            UnsupportedValue: the column's type has no such summary.
        """
        ...

    def merge(self, other: Self) -> Self:
        """The summary of these values and then those of *other*."""
        ...


S = TypeVar("S", bound=Summary)
Request = Mapping[str, Sequence[type[Summary]]]


class Summaries:
    """What :func:`summarize` found: ``found[Moments, "age"]``."""

    def __init__(self, found: Mapping[tuple[str, type[Summary]], Summary]) -> None:
        self._found = found

    def __getitem__(self, key: tuple[type[S], str]) -> S:
        kind, column = key
        return cast(S, self._found[column, kind])


def summarize(dataset: Dataset, request: Request, what: str) -> Summaries | None:
    """Compute summaries of some columns, all in one pass over the data.

    Args:
        request: for each column, the summaries that are wanted.
        what: who asks, for messages.

    Returns:
        ``None`` if there are no rows.

    Raises:
        ColumnNotFound: a column is not in the data.
        UnsupportedValue: a column's type has no such summary.
    """
    columns = dataset.known_columns()
    if columns is not None:
        require_columns(request, columns, what)
    step = SummarizeBlocks(_SummarizeColumns(dict(request), what), what)
    merged: dict[tuple[str, type[Summary]], Summary] | None = None
    for partial in dataset.over(lambda plan: Map(plan, step)).iter_rows():
        if partial is None:
            continue
        if merged is None:
            merged = dict(partial)
        else:
            for key, part in partial.items():
                merged[key] = merged[key].merge(part)
    return None if merged is None else Summaries(merged)


@dataclass(frozen=True, slots=True)
class _SummarizeColumns:
    request: Mapping[str, Sequence[type[Summary]]]
    what: str

    def __call__(self, block: Block) -> dict[tuple[str, type[Summary]], Summary] | None:
        if not len(block):
            return None
        table = accessor(block).to_arrow()
        require_columns(self.request, table.column_names, self.what)
        found: dict[tuple[str, type[Summary]], Summary] = {}
        for name, kinds in self.request.items():
            column = table[name]
            for kind in kinds:
                try:
                    found[name, kind] = kind.of(column)
                except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
                    raise UnsupportedValue(
                        f"{self.what}: column {name!r} has the type {column.type}, which does not"
                        f" have {kind.label}"
                    ) from None
        return found


@dataclass(frozen=True, slots=True)
class Moments:
    """How many numbers, and around what they lie."""

    label: ClassVar[str] = "a mean and a variance"
    count: int
    missing: int
    mean: float
    squares: float
    """Sum of the squared distances from the mean."""

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Moments:
        values = _numbers(column)
        count = len(values)
        mean = float(values.mean()) if count else 0.0
        with np.errstate(invalid="ignore"):  # among infinite values the deviation is NaN
            squares = float(np.square(values - mean).sum())
        return cls(count, len(column) - count, mean, squares)

    def merge(self, other: Moments) -> Moments:
        # Chan, Golub and LeVeque: no cancellation, whatever the order of merging.
        count = self.count + other.count
        missing = self.missing + other.missing
        if not count:
            return Moments(0, missing, 0.0, 0.0)
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count / count)
        squares = self.squares + other.squares + delta * delta * self.count * other.count / count
        return Moments(count, missing, mean, squares)

    def variance(self, ddof: int = 0) -> float | None:
        """The variance with *ddof* degrees of freedom taken off; ``None`` of too few values."""
        return self.squares / (self.count - ddof) if self.count > ddof else None

    def std(self, ddof: int = 0) -> float | None:
        """The square root of :meth:`variance`."""
        variance = self.variance(ddof)
        return None if variance is None else math.sqrt(variance)


@dataclass(frozen=True, slots=True)
class Total:
    """How many values, and what they add up to."""

    label: ClassVar[str] = "a sum"
    count: int
    missing: int
    total: Any

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Total:
        values = _present(column)
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int64())
        return cls(len(values), len(column) - len(values), pc.sum(values).as_py())

    def merge(self, other: Total) -> Total:
        parts = [part for part in (self.total, other.total) if part is not None]
        total = parts[0] + parts[1] if len(parts) == 2 else (parts or [None])[0]
        return Total(self.count + other.count, self.missing + other.missing, total)


@dataclass(frozen=True, slots=True)
class Extremes:
    """Between what the values lie."""

    label: ClassVar[str] = "a smallest and a largest value"
    missing: int
    smallest: Any
    largest: Any

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Extremes:
        values = _present(column)
        found = pc.min_max(values)
        return cls(len(column) - len(values), found["min"].as_py(), found["max"].as_py())

    def merge(self, other: Extremes) -> Extremes:
        smallest = [v for v in (self.smallest, other.smallest) if v is not None]
        largest = [v for v in (self.largest, other.largest) if v is not None]
        return Extremes(
            self.missing + other.missing,
            min(smallest, default=None),
            max(largest, default=None),
        )


@dataclass(frozen=True, slots=True)
class ValueCounts:
    """How often each value occurs; a list counts as a tuple."""

    label: ClassVar[str] = "values that can be counted"
    missing: int
    counts: dict[Any, int] = field(default_factory=dict)

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> ValueCounts:
        values = _present(column)
        missing = len(column) - len(values)
        counts: dict[Any, int] = {}
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
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            missing = column.null_count
            column = pc.list_flatten(column)
        values = ValueCounts.of(column)
        return cls(missing + values.missing, values.counts)

    def merge(self, other: ElementCounts) -> ElementCounts:
        values = ValueCounts(self.missing, self.counts).merge(
            ValueCounts(other.missing, other.counts)
        )
        return ElementCounts(values.missing, values.counts)


@dataclass(frozen=True, slots=True)
class Uniques:
    """Each value once, in the order of first appearance; ``None`` and NaN are values here."""

    label: ClassVar[str] = "values that can be compared"
    values: dict[Any, None]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Uniques:
        return cls({_NAN if item != item else item: None for item in pc.unique(column).to_pylist()})

    def merge(self, other: Uniques) -> Uniques:
        return Uniques({**self.values, **other.values})


def hashable(value: Any) -> Any:
    """*value* as a key: lists and arrays become tuples."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(hashable(item) for item in value) if isinstance(value, list) else value


def _present(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.null_count:
        column = column.drop_null()
    if pa.types.is_floating(column.type):
        is_nan = pc.is_nan(column)
        if pc.any(is_nan).as_py():
            column = column.filter(pc.invert(is_nan))
    return column


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    data_type = column.type
    is_number = (
        pa.types.is_integer(data_type)
        or pa.types.is_floating(data_type)
        or pa.types.is_boolean(data_type)
        or pa.types.is_decimal(data_type)
        or pa.types.is_null(data_type)
    )
    if not is_number:
        raise pa.ArrowTypeError(f"{data_type} is no number")
    if pa.types.is_boolean(data_type):
        column = column.cast(pa.int8())
    return _present(column).cast(pa.float64(), safe=False).to_numpy()
