"""Means and deviations of whole columns of numbers, of points in time and of durations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from air.data.summaries import Moments


@dataclass(frozen=True, slots=True)
class Measures:
    """:class:`Moments` that times have as well, as whole numbers of their unit."""

    label: ClassVar[str] = Moments.label
    moments: Moments
    kind: pa.DataType | None
    """The type of times; ``None`` if they are numbers."""

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Measures:
        kind = column.type
        if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
            return cls(Moments.of(column.cast(pa.int64())), kind)
        return cls(Moments.of(column), None)

    def merge(self, other: Measures) -> Measures:
        kinds = {one.kind for one in (self, other) if one.kind is not None or one.moments.count}
        if len(kinds) > 1:
            names = sorted("numbers" if kind is None else str(kind) for kind in kinds)
            raise TypeError(" and ".join(names))
        return Measures(self.moments.merge(other.moments), kinds.pop() if kinds else None)

    @property
    def missing(self) -> int:
        """How many values are not there."""
        return self.moments.missing

    @property
    def mean(self) -> Any:
        """The mean, of times one of their type, rounded toward 0; ``None`` without values."""
        moments = self.moments
        if not moments.count:
            return None
        if self.kind is None:
            return moments.mean
        whole = abs(moments.total) // moments.count
        return pa.scalar(whole if moments.total >= 0 else -whole, self.kind).as_py()

    def std(self, ddof: int) -> Any:
        """The standard deviation, of times a duration, rounded down."""
        found = self.moments.std(ddof)
        if found is None or self.kind is None:
            return found
        return pa.scalar(int(found), pa.duration(self.kind.unit)).as_py()
