"""The different values of a whole column."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
from pyarrow import compute as pc

from air.data.grouping.keys import plain

_NAN = math.nan  # one object, so that it equals itself as a key


@dataclass(frozen=True, slots=True)
class Uniques:
    """Each value once, in the order of first appearance; ``None`` and NaN are values here.

    They stay columns until somebody wants them, as objects they take many times the time.

    Attributes:
        first: different values.
        later: those of rows behind, no more altogether, among which may be the same again.
    """

    label: ClassVar[str] = "values that can be compared"
    first: pa.Array
    later: tuple[pa.Array, ...] = ()

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Uniques:
        return cls(pc.unique(plain(column)))

    def merge(self, other: Uniques) -> Uniques:
        parts = (self.first, *self.later, other.first, *other.later)
        is_one_type = all(part.type == self.first.type for part in parts)
        if is_one_type and sum(map(len, parts)) > 2 * len(self.first):
            return Uniques(pc.unique(pa.chunked_array(parts)))
        return Uniques(parts[0], parts[1:])

    @property
    def values(self) -> list[Any]:
        """All of them; values of different types that are equal are one, the first."""
        found: dict[Any, None] = {}
        for part in (self.first, *self.later):
            found |= {_NAN if item != item else item: None for item in part.to_pylist()}
        return list(found)
