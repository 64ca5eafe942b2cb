"""Summaries of columns that are computed block by block and merged: one pass for all of them.

Nulls, and NaN among floating-point numbers, count as missing everywhere, as in pandas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar, cast

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.block import Block, accessor
from air.data.blocks.refusals import NO_CAST
from air.data.errors import UnsupportedValue, require_columns
from air.data.grouping.keys import plain
from air.data.plan import Map
from air.data.transforms import Summarize

if TYPE_CHECKING:
    from air.data.consumption import Consumption

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


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
Found = Mapping[tuple[str, type[Summary]], Summary]


class Summaries:
    """What :func:`summarize` found: ``found[Moments, "age"]``."""

    def __init__(self, found: Mapping[tuple[str, type[Summary]], Summary]) -> None:
        self._found = found

    def __getitem__(self, key: tuple[type[S], str]) -> S:
        kind, column = key
        return cast(S, self._found[column, kind])


def summarize(
    dataset: Consumption, request: Request, what: str, *, of_objects: bool = False
) -> Summaries | None:
    """Compute summaries of some columns, all in one pass over the data.

    Args:
        request: for each column, the summaries that are wanted.
        what: who asks, for messages.
        of_objects: rows may be plain objects, which are the column ``value``.

    Returns:
        ``None`` if there are no rows.

    Raises:
        ColumnNotFound: a column is not in the data.
        UnsupportedValue: a column's type has no such summary, or rows are plain objects.
    """
    columns = dataset.known_columns()
    if columns is not None:
        require_columns(request, columns, what)
    asks = _SummarizeColumns(dict(request), what, of_objects)
    # Values that are kept are not put together: that would be more than a block may be.
    keeps = any(kind is Quantiles for kinds in request.values() for kind in kinds)
    step = Summarize(asks, what, None if keeps else asks.merged, tuple(request))
    merged: Found | None = None
    for partial in dataset.over(lambda plan: Map(plan, step)).iter_rows():
        merged = partial if merged is None else asks.merged(merged, partial)
    return None if merged is None else Summaries(merged)


def no_columns(what: str) -> UnsupportedValue:
    """The complaint of *what* about plain objects, of which it should look at columns."""
    return UnsupportedValue(f"{what}: the rows are plain objects, which have no columns")


@dataclass(frozen=True, slots=True)
class _SummarizeColumns:
    request: Mapping[str, Sequence[type[Summary]]]
    what: str
    of_objects: bool = False

    def __call__(self, block: Block) -> Found | None:
        if not len(block):
            return None
        if isinstance(block, list) and not self.of_objects:
            raise no_columns(self.what)
        table = accessor(block).to_arrow()
        require_columns(self.request, table.column_names, self.what)
        found: dict[tuple[str, type[Summary]], Summary] = {}
        for name, kinds in self.request.items():
            column = table[name]
            for kind in kinds:
                try:
                    found[name, kind] = kind.of(column)
                except NO_CAST:
                    raise UnsupportedValue(
                        f"{self.what}: column {name!r} has the type {column.type}, which does not"
                        f" have {kind.label}"
                    ) from None
        return found

    def merged(self, found: Found, later: Found) -> Found:
        """What is known of some rows, and of those behind them."""
        made: dict[tuple[str, type[Summary]], Summary] = {}
        for key, summary in found.items():
            try:
                made[key] = summary.merge(later[key])
            except TypeError as error:
                raise UnsupportedValue(
                    f"{self.what}: column {key[0]!r} has values in different blocks that do not go"
                    f" together ({error}): make it one type"
                ) from None
        return made


@dataclass(frozen=True, slots=True)
class Moments:
    """How many numbers, and around what they lie."""

    label: ClassVar[str] = "a mean and a variance"
    count: int
    missing: int
    total: Any
    """Their sum, exact unless they are floats; 0 without values."""
    squares: float
    """Sum of the squared distances from the mean."""

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Moments:
        values = _numbers(column)
        count = len(values)
        if not count:
            return cls(0, len(column), 0, 0.0)
        with np.errstate(all="ignore"):  # infinite values, between which is NaN
            is_exact = not pa.types.is_floating(column.type)
            total = Total.of(column).total if is_exact else float(values.sum())
            squares = float(np.square(values - float(total / count)).sum())
        return cls(count, len(column) - count, total, squares)

    @property
    def mean(self) -> float:
        """The mean; 0 without values."""
        return float(self.total / self.count) if self.count else 0.0

    def merge(self, other: Moments) -> Moments:
        # Chan, Golub and LeVeque: no cancellation, whatever the order of merging.
        count = self.count + other.count
        missing = self.missing + other.missing
        if not count:
            return Moments(0, missing, 0, 0.0)
        delta = other.mean - self.mean
        squares = self.squares + other.squares + delta * delta * self.count * other.count / count
        return Moments(count, missing, _added(self.total, other.total), squares)

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
        values = present(column)
        if pa.types.is_boolean(values.type):
            values = values.cast(pa.int64())
        missing = len(column) - len(values)
        if pa.types.is_duration(values.type):
            whole = _exact_sum(values.cast(pa.int64()).to_numpy())
            return cls(len(values), missing, pa.scalar(whole, values.type).as_py())
        if pa.types.is_decimal(values.type):  # sums of Arrow run over without saying so
            values = values.cast(pa.decimal256(76, values.type.scale))
        if pa.types.is_int64(values.type) or pa.types.is_uint64(values.type):
            return cls(len(values), missing, _exact_sum(values.to_numpy()))
        return cls(len(values), missing, pc.sum(values).as_py())

    def merge(self, other: Total) -> Total:
        parts = [part for part in (self.total, other.total) if part is not None]
        total = _added(*parts) if len(parts) == 2 else (parts or [None])[0]
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
        values = present(column)
        missing = len(column) - len(values)
        if pa.types.is_duration(values.type):  # which Arrow does not compare
            bounds = pc.min_max(values.cast(pa.int64())).as_py()
            found = [pa.scalar(bounds[name], values.type).as_py() for name in ("min", "max")]
            return cls(missing, *found)
        found = pc.min_max(values)
        return cls(missing, found["min"].as_py(), found["max"].as_py())

    def merge(self, other: Extremes) -> Extremes:
        smallest = [v for v in (self.smallest, other.smallest) if v is not None]
        largest = [v for v in (self.largest, other.largest) if v is not None]
        return Extremes(
            self.missing + other.missing,
            min(smallest, default=None),
            max(largest, default=None),
        )


@dataclass(frozen=True, slots=True)
class Quantiles:
    """All the numbers of a column, for exact quantiles: 8 bytes of memory for each of them."""

    label: ClassVar[str] = "quantiles"
    missing: int
    parts: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Quantiles:
        values = _numbers(column)
        return cls(len(column) - len(values), (values,))

    def merge(self, other: Quantiles) -> Quantiles:
        return Quantiles(self.missing + other.missing, self.parts + other.parts)

    def at(self, fractions: Sequence[float]) -> list[float] | None:
        """The quantiles at *fractions* (0 to 1), between two values by their distance, as pandas.

        Returns:
            ``None`` if no value is there.
        """
        values = np.concatenate(self.parts)
        if not len(values):
            return None
        with np.errstate(all="ignore"):  # infinite values have no distance
            found: list[float] = np.quantile(values, fractions).tolist()
        return found


def present(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a column that are not missing; those of floats as Arrow can work with them."""
    column = plain(column)
    if column.null_count:
        column = column.drop_null()
    if pa.types.is_floating(column.type):
        is_nan = pc.is_nan(column)
        if pc.any(is_nan).as_py():
            column = column.filter(pc.invert(is_nan))
        # There are two zeros, which are equal.
        column = pc.add(column, pa.scalar(0.0, column.type))
    return column


def _exact_sum(values: np.ndarray) -> int | None:
    """The sum of whole numbers, which may be larger than they can be."""
    if not len(values):
        return None
    low = values & np.array(2**32 - 1, values.dtype)
    return (int((values >> np.array(32, values.dtype)).sum()) << 32) + int(low.sum())


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return _EXACT.add(one, other)
    try:
        return one + other
    except TypeError:
        if isinstance(one, timedelta) or isinstance(other, timedelta):
            raise
        return float(one) + float(other)  # a decimal and a float


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
    return present(column).cast(pa.float64(), safe=False).to_numpy()
