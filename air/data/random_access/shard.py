"""The actor that holds a range of sorted rows and looks for keys among them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from air.data.blocks.block import accessor, concat
from air.data.blocks.choosing import taken
from air.data.blocks.handle import BlockHandle
from air.data.random_access.keys import searchable
from air.data.random_access.search import first_at_least, found_at


@dataclass(frozen=True, slots=True)
class ShardStats:
    """What a shard holds, and what it was asked for.

    Attributes:
        asked, found: keys.
        seconds: spent on looking for them.
    """

    rows: int
    size_bytes: int
    asked: int
    found: int
    seconds: float


class Shard:
    """Neighbouring rows of a dataset that is sorted by *key*; at least one."""

    def __init__(self, handles: Sequence[BlockHandle], key: str) -> None:
        table = concat([handle.get() for handle in handles])
        assert isinstance(table, pa.Table)  # the key is a column
        keys = searchable(table[key]).combine_chunks()
        self._table = table
        self._keys: pa.Array = keys
        self._asked = self._found = 0
        self._seconds = 0.0

    def last_key(self) -> pa.Array:
        """The key of the last row, as an array of one value."""
        return self._keys.take(pa.array([len(self._keys) - 1]))  # a slice travels with all

    def get(self, key: pa.Array) -> dict[str, Any] | None:
        """The first row that has *key*, an array of one value that is not null."""
        began = time.perf_counter()
        place = int(first_at_least(self._keys, key)[0])
        is_there = place < len(self._keys) and self._keys[place].equals(key[0])
        row = next(accessor(self._table.slice(place, 1)).rows()) if is_there else None
        self._note(1, int(is_there), began)
        return row

    def multiget(self, keys: pa.Array) -> tuple[pa.Array, pa.Table]:
        """Which of *keys* are there, and the first row of each of those, in their order."""
        began = time.perf_counter()
        places = found_at(self._keys, keys)
        rows = taken(self._table, places.drop_null())
        self._note(len(keys), len(rows), began)
        return places.is_valid(), rows

    def _note(self, asked: int, found: int, began: float) -> None:
        self._asked += asked
        self._found += found
        self._seconds += time.perf_counter() - began

    def stats(self) -> ShardStats:
        """What it holds, and what it was asked for up to now."""
        rows, size = len(self._table), self._table.nbytes
        return ShardStats(rows, size, self._asked, self._found, self._seconds)
