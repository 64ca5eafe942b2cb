"""How a serialized value lies in a range of shared memory.

The pickle stream comes first, then each out-of-band buffer; every part starts on a cache
line, and one of a megabyte or more on a page: see ``copying``. The lengths alone tell where
the parts are, so nothing but the parts is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from air.executor.serialization import Serialized
from air_cluster.store.arena import aligned

PAGE = 4096
_ON_A_PAGE_BYTES = 1 << 20


class Location(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a value lies: the address of a range, and what is in it.

    Attributes:
        segment: identifies the segment on its node.
        offset: first byte of the range in the segment.
        lengths: bytes of the stream, then of each buffer, in order.
        nbytes: bytes of the whole range, padding between the parts included.
    """

    segment: int
    offset: int
    lengths: tuple[int, ...]
    nbytes: int


def lengths_of(serialized: Serialized) -> tuple[int, ...]:
    """Bytes of the stream, then of each buffer."""
    return (len(serialized.stream), *(buffer.nbytes for buffer in serialized.buffers))


def extent(lengths: Sequence[int]) -> int:
    """Bytes of the range that holds parts of these lengths."""
    return offsets(lengths)[-1] + lengths[-1]


def offsets(lengths: Sequence[int]) -> list[int]:
    """Where each part starts in the range."""
    starts = []
    end = 0
    for length in lengths:
        start = aligned(end, PAGE) if length >= _ON_A_PAGE_BYTES else aligned(end)
        starts.append(start)
        end = start + length
    return starts


def parts(serialized: Serialized) -> Iterator[tuple[int, memoryview]]:
    """Each part with its offset in the range."""
    views = (memoryview(serialized.stream), *serialized.buffers)
    return zip(offsets(lengths_of(serialized)), views, strict=True)


def split(view: memoryview, lengths: Sequence[int]) -> tuple[memoryview, list[memoryview]]:
    """The stream and the buffers in a view of the range; nothing is copied."""
    starts = offsets(lengths)
    views = [view[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    return views[0], views[1:]
