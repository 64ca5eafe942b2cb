"""Keys of one side of a join that are numbered once, and looked up for each block of the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from air.data.joining.matching import HeldRows

_PLACES_PER_ROW = 4


@dataclass(frozen=True, slots=True)
class WholeKeys:
    """Keys that are whole numbers, or times, which Arrow keeps as such.

    Attributes:
        rows: those of the side that is looked up in.
    """

    rows: HeldRows
    numbering: _Numbering

    @classmethod
    def of(cls, keys: pa.Table, rows: np.ndarray | None = None) -> WholeKeys | None:
        """The keys of a side; ``None`` if there are several columns, or other values than these.

        Args:
            rows: see :class:`HeldRows`.
        """
        column = _as_numbers(keys.column(0)) if keys.num_columns == 1 else None
        if column is None:
            return None
        numbers, valid = _values(column)
        there = numbers if valid is None else numbers[valid]
        if not len(there):
            least = most = 0
            known = None
        else:
            least, most = int(there.min()), int(there.max())
            is_near = most - least <= _PLACES_PER_ROW * len(numbers)
            known = None if is_near else np.unique(there)
        numbering = _Numbering(known, least, most)
        # Behind those of the keys come the numbers of null and of what is not there.
        codes = numbering.codes(numbers, valid)
        return cls(HeldRows(codes, len(numbering) + 2, rows), numbering)

    def codes(self, keys: pa.Table) -> np.ndarray:
        """For each row of the other side the number of its key."""
        column = _as_numbers(keys.column(0))
        assert column is not None  # both sides have the same types
        return self.numbering.codes(*_values(column))


@dataclass(frozen=True, slots=True)
class _Numbering:
    """Which number a key has.

    Attributes:
        known: the different keys in order; ``None`` if they are near each other, so that each has
            a place of its own behind the smallest.
        least, most: the smallest and the largest key.
    """

    known: np.ndarray | None
    least: int
    most: int

    def __len__(self) -> int:
        return self.most - self.least + 1 if self.known is None else len(self.known)

    def codes(self, numbers: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
        """The numbers of some keys; those that are null, or not known, have the next two."""
        count = len(self)
        kind = numbers.dtype.type
        near = (numbers >= kind(self.least)) & (numbers <= kind(self.most))
        if self.known is None:
            place = (np.where(near, numbers, kind(self.least)) - kind(self.least)).astype(np.int64)
        else:
            place = np.minimum(np.searchsorted(self.known, numbers), len(self.known) - 1)
            near = self.known[place] == numbers
        codes = place if near.all() else np.where(near, place, count + 1)
        return codes if valid is None else np.where(valid, codes, count)


def _as_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """A column as whole numbers that are equal where its values are; ``None`` if there are none."""
    kind = column.type
    if pa.types.is_integer(kind):
        return column
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind) or pa.types.is_date64(kind):
        return column.cast(pa.int64())
    return column.cast(pa.int32()) if pa.types.is_date32(kind) else None


def _values(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray | None]:
    """Whole numbers, and which of them are there if not all are; the others are 0."""
    if not column.null_count:
        return column.to_numpy(), None
    return pc.fill_null(column, 0).to_numpy(), pc.is_valid(column).to_numpy()
