"""Puts values into shared memory: one copy each, and a round trip only to grow."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from air.errors import ObjectStoreFull
from air.executor.serialization import Serialized
from air_cluster.store import layout
from air_cluster.store.arena import Arena, aligned
from air_cluster.store.copying import pump
from air_cluster.store.layout import Location
from air_cluster.store.segment import DISCARDS, PAGE, Mapping

SEGMENT_BYTES = 64 << 20
"""Bytes asked for at a time; a value that is larger gets a segment that fits it."""

KEEP_BYTES = 256 << 20
"""Bytes of empty segments that a writer keeps for their warm pages."""

_LARGE_SIZE_STEPS = 16


class _Segment:
    __slots__ = ("arena", "id", "is_retired", "mapping")

    def __init__(self, id: int, mapping: Mapping) -> None:
        self.id = id
        self.mapping = mapping
        self.arena = Arena(mapping.size)
        self.is_retired = False

    @property
    def is_used_up(self) -> bool:
        """Whether it is not worth keeping, or must not be used again, once it is empty."""
        return self.is_retired or self.arena.withdrawn > 0


class _Room(NamedTuple):
    """A range that was just taken; no page at or above ``fresh_from`` was used before."""

    segment: _Segment
    offset: int
    fresh_from: int


class Reserved:
    """A range for a value of ``location.nbytes`` bytes, to be filled before anyone reads it.

    Attributes:
        location: where it is.
        view: its bytes; the memory stays mapped for as long as this lives.
    """

    __slots__ = ("_mapping", "_warm", "location", "view")

    def __init__(self, location: Location, mapping: Mapping, fresh_from: int) -> None:
        self.location = location
        self.view = mapping.view(location.offset, location.nbytes)
        self._mapping = mapping
        self._warm = min(max(fresh_from - location.offset, 0), location.nbytes)

    def fill(self, read: Callable[[memoryview], int]) -> None:
        """Fill the range, in order, by a fast way for pages that were never used before.

        Args:
            read: puts some bytes, at least one, at the start of the buffer that it is given,
                and returns how many.
        """
        at = 0
        while at < self._warm:
            at += read(self.view[at : self._warm])
        fd, offset = self._mapping.file, self.location.offset
        pump(self.location.nbytes - at, read, fd, offset + at)


class Writer:
    """Writes values into segments that the node grants, and reuses what is freed.

    Thread-safe: :meth:`free` never waits, and copies run side by side.

    Values larger than *segment_bytes* are kept apart from the others, so that their
    segments become empty, and can be given back, with them.

    Args:
        request_segment: asks the node for a segment of a number of bytes, and for how many
            at least; returns its id, its descriptor, which the writer takes over, and its
            size in bytes. May block; called by one thread at a time. What it raises leaves
            :meth:`write` as it is.
        release_segment: gives a segment back to the node. Called by the thread that freed
            the last value in it, as :meth:`free` may be: it must not block.
        shrink_segment: tells the node that a segment takes so many bytes less from now on;
            called by :meth:`trim`. Without it, segments keep their sizes.
        segment_bytes: how much to ask for at a time.
        keep_bytes: empty segments are kept while they are no larger than this together.
            The one that became empty last is kept whatever its size.
    """

    def __init__(
        self,
        request_segment: Callable[[int, int], tuple[int, int, int]],
        release_segment: Callable[[int], None],
        *,
        shrink_segment: Callable[[int, int], None] | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self._request_segment = request_segment
        self._release_segment = release_segment
        self._shrink_segment = shrink_segment if DISCARDS else None
        self._segment_bytes = segment_bytes
        self._keep_bytes = keep_bytes
        self._lock = threading.Lock()  # held for bookkeeping only: never over a copy or a callback
        self._growing = threading.Lock()  # so that threads which all lack room ask once
        self._freed: deque[Location] = deque()
        self._segments: dict[int, _Segment] = {}
        self._large: dict[int, _Segment] = {}  # those for values above segment_bytes
        self._small: dict[int, _Segment] = {}
        self._empty: dict[int, _Segment] = {}  # the longest empty first
        self._recent: _Segment | None = None  # of the small ones
        self._closed = False

    @property
    def granted_bytes(self) -> int:
        """Bytes of all segments held, used or not, without those that were given back."""
        segments = list(self._segments.values())
        return sum(segment.mapping.size - segment.arena.withdrawn for segment in segments)

    @property
    def used_bytes(self) -> int:
        """Bytes of all ranges that are not free, alignment included."""
        self._collect()
        return sum(segment.arena.used for segment in list(self._segments.values()))

    def write(self, serialized: Serialized) -> Location:
        """Copy a value into shared memory.

        Raises:
            ObjectStoreFull: as raised by ``request_segment``. Before that, the empty
                segments that this writer holds are given back and the request is repeated.
            ValueError: the writer is closed.
        """
        lengths = layout.lengths_of(serialized)
        room, location = self._reserve(lengths)
        mapping = room.segment.mapping
        try:
            for at, part in layout.parts(serialized):
                start = room.offset + at
                mapping.write(start, part, fresh=start >= room.fresh_from)
        except BaseException:
            self.free(location)
            raise
        return location

    def reserve(self, lengths: Sequence[int]) -> Reserved:
        """Take a range for a value that comes in pieces, from another node or from disk.

        Args:
            lengths: as in :class:`Location`.

        Raises:
            ObjectStoreFull, ValueError: as :meth:`write`.
        """
        room, location = self._reserve(tuple(lengths))
        return Reserved(location, room.segment.mapping, room.fresh_from)

    def free(self, location: Location) -> None:
        """Give a range back, once every reader of it has called its ``on_release``.

        What is still read from it would change with the next value that is put there. Never
        blocks, so that a finalizer may call it in the middle of any other code, this
        writer's included; the range is then reused a little later. Does nothing on a closed
        writer.

        Raises:
            ValueError: nothing is allocated at the location (it was freed twice).
        """
        self._freed.append(location)
        self._collect()

    def abandon(self, location: Location) -> None:
        """Give a range back that somebody may be reading, and that nobody will write to again.

        Its segment takes no more values, and is given back as a whole when all in it are free;
        who has mapped it keeps what is there.
        """
        with self._lock:
            segment = self._segments.get(location.segment)
            if segment is not None:
                segment.is_retired = True
                self._small.pop(segment.id, None)
                self._large.pop(segment.id, None)
                if self._recent is segment:
                    self._recent = None
        if segment is not None:
            self.free(location)

    def trim(self, keep_bytes: int = 0) -> None:
        """Give back memory that holds no values.

        Empty segments, the longest empty first, until *keep_bytes* are left; and what is
        free in the others, down to the page, which is then lost to this writer for as long
        as values are left beside it.
        """
        with self._lock:
            self._apply_freed()
            surplus = self._pop_surplus(keep_bytes, at_least=0)
            segments = self._segments.values()
            partly_used = [s for s in segments if s.arena.used and not s.is_retired]
            shrunk = self._withdraw(partly_used)
        self._give_back(surplus)
        for segment, withdrawn, gaps in shrunk:
            for offset, size in gaps:
                segment.mapping.discard(offset, size)
            assert self._shrink_segment is not None
            self._shrink_segment(segment.id, withdrawn)

    def close(self) -> None:
        """Unmap all segments, for the end of the process; gives nothing back to the node.

        No other thread may be writing.
        """
        with self._lock:
            self._closed = True
            segments = list(self._segments.values())
            for index in (self._segments, self._large, self._small, self._empty):
                index.clear()
            self._recent = None
            self._freed.clear()
        for segment in segments:
            segment.mapping.close()

    def _reserve(self, lengths: tuple[int, ...]) -> tuple[_Room, Location]:
        nbytes = layout.extent(lengths)
        # Whole pages, so that every large value starts on a page, as its layout expects.
        taken = aligned(nbytes, layout.PAGE) if nbytes > self._segment_bytes else nbytes
        room = self._place(taken)
        if room is None:
            with self._growing:
                room = self._place(taken) or self._grow(taken)
        return room, Location(room.segment.id, room.offset, lengths, nbytes)

    def _place(self, nbytes: int) -> _Room | None:
        with self._lock:
            if self._closed:
                raise ValueError("the writer is closed")
            self._apply_freed()
            segment = self._choose(nbytes)
            room = None if segment is None else self._take(segment, nbytes)
        self._collect()
        return room

    def _choose(self, nbytes: int) -> _Segment | None:
        if nbytes > self._segment_bytes:
            fitting = [s for s in self._large.values() if s.arena.largest_free >= nbytes]
            return min(fitting, key=_largest_free, default=None)
        # What was freed last is warm, and most writes look at this one segment only.
        if self._recent is None or self._recent.arena.largest_free < nbytes:
            self._recent = max(self._small.values(), key=_largest_free, default=None)
        return self._recent

    def _take(self, segment: _Segment, nbytes: int) -> _Room | None:
        fresh_from = segment.arena.touched
        offset = segment.arena.allocate(nbytes)
        if offset is None:
            return None
        self._empty.pop(segment.id, None)
        return _Room(segment, offset, fresh_from)

    def _grow(self, nbytes: int) -> _Room:
        size, at_least = self._size_for(nbytes), aligned(nbytes, layout.PAGE)
        try:
            id, fd, size = self._request_segment(size, at_least)
        except ObjectStoreFull:
            with self._lock:
                surplus = self._pop_surplus(0, at_least=0)
            if not surplus:
                raise
            self._give_back(surplus)
            id, fd, size = self._request_segment(size, at_least)
        segment = _Segment(id, Mapping(fd, size, writable=True))
        with self._lock:
            room = self._take(segment, nbytes)
            if room is not None:
                self._segments[id] = segment
                if nbytes > self._segment_bytes:
                    self._large[id] = segment
                else:
                    self._small[id] = self._recent = segment
        if room is None:
            self._give_back([segment])
            raise ValueError(f"segment {id} has {size} bytes; {nbytes} were asked for")
        return room

    def _size_for(self, nbytes: int) -> int:
        if nbytes <= self._segment_bytes:
            return self._segment_bytes
        # Rounded up by 1/16 at most, so that values of about the same size can take turns.
        step = (1 << (nbytes.bit_length() - 1)) // _LARGE_SIZE_STEPS
        return aligned(-(-nbytes // step) * step, layout.PAGE)

    def _collect(self) -> None:
        """Apply what was freed, unless the lock is taken: its holder then does this next."""
        while self._freed and self._lock.acquire(blocking=False):
            try:
                self._apply_freed()
                surplus = self._pop_surplus(self._keep_bytes, at_least=1)
            finally:
                self._lock.release()
            self._give_back(surplus)

    def _apply_freed(self) -> None:
        if self._closed:
            self._freed.clear()
        while self._freed:
            location = self._freed.popleft()
            segment = self._segments.get(location.segment)
            if segment is None:
                raise ValueError(f"segment {location.segment} is none of this writer's")
            segment.arena.free(location.offset)
            if segment.id in self._small:
                self._recent = segment
            if not segment.arena.used:
                self._empty[segment.id] = segment

    def _withdraw(
        self, segments: list[_Segment]
    ) -> list[tuple[_Segment, int, list[tuple[int, int]]]]:
        """Which of *segments* shrink, by how many bytes, and the ranges that were in use once."""
        if self._shrink_segment is None:
            return []
        shrunk = []
        for segment in segments:
            before = segment.arena.withdrawn
            gaps = segment.arena.withdraw(PAGE)
            if segment.arena.withdrawn > before:
                shrunk.append((segment, segment.arena.withdrawn - before, gaps))
        return shrunk

    def _pop_surplus(self, keep_bytes: int, *, at_least: int) -> list[_Segment]:
        surplus = [segment for segment in self._empty.values() if segment.is_used_up]
        kept = [segment for segment in self._empty.values() if not segment.is_used_up]
        total = sum(segment.mapping.size for segment in kept)
        for segment in kept[: max(len(kept) - at_least, 0)]:
            if total <= keep_bytes:
                break
            total -= segment.mapping.size
            surplus.append(segment)
        for segment in surplus:
            del self._empty[segment.id]
            del self._segments[segment.id]
            self._small.pop(segment.id, None)
            self._large.pop(segment.id, None)
            if self._recent is segment:
                self._recent = None
        return surplus

    def _give_back(self, segments: list[_Segment]) -> None:
        for segment in segments:
            segment.mapping.close()
            self._release_segment(segment.id)


def _largest_free(segment: _Segment) -> int:
    return segment.arena.largest_free
