"""Which ranges of one segment are taken: an allocator that touches no memory.

Free ranges are kept in bins by size, sixteen bins to each power of two, as in the
"two-level segregated fit" allocators; a bin is a heap whose top is its largest range, so a
request looks at two ranges at most. Heaps are cleaned lazily: a range that was taken or
merged away stays in its heap until it comes to the top or outnumbers what is valid.

The end of the segment that was never handed out is in no bin. It is used only when no
range below it will do, because the first write to a fresh page costs seven times a copy
into a page that was used before.
"""

from __future__ import annotations

from heapq import heappop, heappush

ALIGNMENT = 64
"""Bytes: a cache line, and what Arrow asks of its buffers."""

_BIN_BITS = 4
_UNIT_BITS = ALIGNMENT.bit_length() - 1
_STALE_ENTRIES = 16


def aligned(nbytes: int, to: int = ALIGNMENT) -> int:
    """*nbytes* rounded up to a multiple of *to*, a power of two."""
    return (nbytes + to - 1) & -to


def _bin_of(size: int) -> int:
    """The bin of a range: bins are contiguous and a higher one holds larger ranges only."""
    units = size >> _UNIT_BITS
    shift = max(units.bit_length() - _BIN_BITS - 1, 0)
    return (shift << _BIN_BITS) + (units >> shift)


class Arena:
    """Hands out ranges of ``[0, size)``; every operation takes O(log n) for n ranges.

    Offsets and sizes are bytes. Ranges start and end on multiples of :data:`ALIGNMENT`;
    a size that is not such a multiple loses its tail. Not thread-safe.

    Attributes:
        size: where the arena ends; never more than it was made with.
        used: bytes handed out, alignment included.
        touched: no range at or above this offset was ever handed out.
        withdrawn: bytes that will never be handed out again; see :meth:`withdraw`.
    """

    __slots__ = (
        "_bins", "_ends", "_free", "_gaps", "_live", "_mask", "_valid", "size", "touched", "used",
        "withdrawn",
    )  # fmt: skip

    def __init__(self, size: int) -> None:
        self.size = size & -ALIGNMENT
        if self.size <= 0:
            raise ValueError(f"an arena needs at least {ALIGNMENT} bytes, got {size}")
        self.used = 0
        self.touched = 0
        self.withdrawn = 0
        self._gaps: dict[int, int] = {}  # start -> size, of what was withdrawn below the end
        self._live: dict[int, int] = {}  # start -> size
        self._free: dict[int, int] = {}  # start -> size
        self._ends: dict[int, int] = {}  # end of a free range -> its start
        self._bins: dict[int, list[tuple[int, int]]] = {}  # bin -> heap of (-size, start)
        self._valid: dict[int, int] = {}  # bin -> how many ranges it really holds
        self._mask = 0  # bit b: bin b holds a range

    @property
    def largest_free(self) -> int:
        """The largest request, in bytes, that :meth:`allocate` would meet now."""
        tail = self.size - self._ends.get(self.touched, self.touched)
        if not self._mask:
            return tail
        return max(tail, -self._top(self._mask.bit_length() - 1)[0])

    def allocate(self, nbytes: int) -> int | None:
        """Take a range of at least *nbytes* (an empty one takes a cache line).

        Returns:
            Its offset, or ``None`` if no free range is large enough.
        """
        if nbytes < 0:
            raise ValueError(f"cannot allocate {nbytes} bytes")
        size = aligned(nbytes) or ALIGNMENT
        start = self._find(size)
        if start is not None:
            rest = self._remove(start) - size
            if rest:
                self._insert(start + size, rest)
        else:
            start = self._ends.get(self.touched, self.touched)
            if start + size > self.size:
                return None
            if start != self.touched:
                self._remove(start)
            self.touched = start + size
        self._live[start] = size
        self.used += size
        return start

    def free(self, offset: int) -> None:
        """Give a range back.

        Raises:
            ValueError: no range that is taken starts at *offset*.
        """
        size = self._live.pop(offset, 0)
        if not size:
            raise ValueError(f"nothing is allocated at offset {offset}")
        self.used -= size
        end = offset + size
        if end in self._free:
            end += self._remove(end)
        if offset in self._ends:
            offset = self._ends[offset]
            self._remove(offset)
        self._insert(offset, end - offset)

    def withdraw(self, unit: int) -> list[tuple[int, int]]:
        """Take all free ranges out of the arena, for good.

        Args:
            unit: what is withdrawn starts and ends on multiples of this, a power of two of
                at least :data:`ALIGNMENT`. Less than that is left at the end of a range.

        Returns:
            Offsets and sizes of those that were handed out before; the end of the arena
            that never was comes on top of them in :attr:`withdrawn`.
        """
        end = min(aligned(self.touched, unit), self.size)
        self.withdrawn += self.size - end
        self.size = end
        gaps = []
        for start, size in sorted(self._free.items()):
            first, last = aligned(start, unit), (start + size) & -unit
            if first < last:
                self._remove(start)
                if start < first:
                    self._insert(start, first - start)
                if last < start + size:
                    self._insert(last, start + size - last)
                self._gaps[first] = last - first
                self.withdrawn += last - first
                gaps.append((first, last - first))
        return gaps

    def _find(self, size: int) -> int | None:
        index = _bin_of(size)
        if self._mask >> index & 1:
            largest, start = self._top(index)
            if -largest >= size:
                return start
        higher = self._mask >> (index + 1)
        if not higher:
            return None
        return self._top(index + (higher & -higher).bit_length())[1]

    def _top(self, index: int) -> tuple[int, int]:
        """The largest range of a bin that is not empty; of equal ones the lowest."""
        heap = self._bins[index]
        while self._free.get(heap[0][1]) != -heap[0][0]:
            heappop(heap)
        return heap[0]

    def _insert(self, start: int, size: int) -> None:
        self._free[start] = size
        self._ends[start + size] = start
        index = _bin_of(size)
        heappush(self._bins.setdefault(index, []), (-size, start))
        self._valid[index] = self._valid.get(index, 0) + 1
        self._mask |= 1 << index

    def _remove(self, start: int) -> int:
        size = self._free.pop(start)
        del self._ends[start + size]
        index = _bin_of(size)
        heap = self._bins[index]
        valid = self._valid[index] = self._valid[index] - 1
        if not valid:
            heap.clear()
            self._mask ^= 1 << index
        elif len(heap) > 2 * valid + _STALE_ENTRIES:
            heap[:] = sorted(entry for entry in set(heap) if self._free.get(entry[1]) == -entry[0])
        return size

    def check(self) -> None:
        """Raise ``AssertionError`` unless the ranges tile the arena; O(n log n), for tests."""
        position, previous_free = 0, False
        ranges = [(start, size, False) for start, size in self._live.items()]
        ranges += [(start, size, False) for start, size in self._gaps.items()]
        ranges += [(start, size, True) for start, size in self._free.items()]
        for start, size, is_free in sorted(ranges):
            assert start == position, f"gap or overlap: {position} to {start}"
            assert size > 0
            assert size % ALIGNMENT == 0
            assert not (is_free and previous_free), f"free ranges not merged at {start}"
            position, previous_free = start + size, is_free
        assert position == self.touched <= self.size
        assert self.used == sum(self._live.values())
        assert self._ends == {start + size: start for start, size in self._free.items()}
        for index, heap in self._bins.items():
            valid = {entry for entry in heap if self._free.get(entry[1]) == -entry[0]}
            assert all(_bin_of(-entry[0]) == index for entry in valid)
            assert len(valid) == self._valid[index]
            assert len(heap) <= 2 * len(valid) + _STALE_ENTRIES + 1
            assert bool(valid) == bool(self._mask >> index & 1)
        assert sum(self._valid.values()) == len(self._free)
