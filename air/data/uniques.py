"""The different values of a whole column."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import pyarrow as pa
from pyarrow import compute as pc

from air.data.blocks.kinds import is_text
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
        parts = (self.first, *self.later)
        if all(part.type == self.first.type for part in parts):
            whole = self.first if len(parts) == 1 else pc.unique(pa.chunked_array(parts))
            if _is_told_apart(whole):
                return cast(list[Any], whole.to_pylist())
        found: dict[Any, None] = {}
        for part in parts:
            found |= {_NAN if item != item else item: None for item in part.to_pylist()}
        return list(found)


def _is_told_apart(values: pa.Array) -> bool:
    """Whether values that are different for Arrow are so for Python, as far as is easily known."""
    kind = values.type
    if pa.types.is_floating(kind) and not pa.types.is_float16(kind):
        is_odd = pc.or_(pc.is_nan(values), pc.equal(values, pa.scalar(0.0, kind)))
        return (pc.sum(is_odd).as_py() or 0) == 0  # several zeros are equal, no NaN is to another
    return pa.types.is_integer(kind) or pa.types.is_boolean(kind) or is_text(kind)
