"""Shared memory of a node: segments that processes write values into.

Segments are anonymous (nothing in the file system names them), so the kernel takes them
back when the last process that has them is gone, however it went.

A segment whose writer died is an *orphan*: it stays as long as a process owns a value in
it, and these processes say so (see ``Orphans`` in the protocol).
"""

from __future__ import annotations

import os
import resource
import threading
from collections import Counter
from collections.abc import Callable

import msgspec

from air_cluster.protocol.ids import node_of
from air_cluster.store.segment import PAGE, create

_GONE = "the value's memory is gone, because the process that wrote it ended"
_NAMED = 3  # of those whose values fill the store


class _Segment(msgspec.Struct):
    fd: int
    size: int
    charged: int  # what it takes from the cap: less than its size once it has shrunk
    writer: bytes
    readers: set[bytes] = msgspec.field(default_factory=set)  # who has mapped it to read
    keepers: set[bytes] = msgspec.field(default_factory=set)
    unheard: set[bytes] = msgspec.field(default_factory=set)  # who has not said whether it keeps it
    orphan: bool = False


class NodeMemory:
    """Grants and opens segments, up to a cap on their sizes together."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.granted = 0
        self.on_closed: Callable[[int, set[bytes]], None] = lambda segment, readers: None
        """Called with a segment that was given back and who has mapped it."""
        self._segments: dict[int, _Segment] = {}
        self._next = 0
        self._closing = threading.Lock()  # so that nobody duplicates a descriptor meanwhile

    @property
    def left(self) -> int:
        """Bytes that can still be granted."""
        return self.cap - self.granted

    def grant(self, writer: bytes, size: int, at_least: int) -> tuple[int, int, int] | None:
        """A new segment of *size* bytes, or a smaller one of *at_least* so many.

        Near the cap it has half of what is left: others may need some, too, but segments of
        one value each would be too many.

        Returns:
            Its identity, size and descriptor, or ``None``: see :meth:`why_not`.
        """
        if size > self.left:
            size = max(at_least, self.left // 2 & -PAGE)
        if size > self.left:
            return None
        try:
            fd = create(size)
        except OSError:
            return None
        self._next += 1
        self._segments[self._next] = _Segment(fd, size, size, writer)
        self.granted += size
        return self._next, size, fd

    def why_not(self, size: int, problem: str = "") -> str:
        """Why a segment of *size* bytes cannot be had.

        Args:
            problem: why values could not be spilled to disk instead, if that was tried.
        """
        if size > self.cap:
            return (
                f"a value needs {size} bytes of shared memory, and this node's object store"
                f" has {self.cap} altogether; start with a larger object_store_memory"
            )
        if size <= self.left:
            return f"the system gives this node no {size} bytes of shared memory{_limit_on(size)}"
        spilling = f", and values could not be spilled to disk: {problem}" if problem else ""
        return (
            f"a value needs {size} bytes of shared memory, but {self.granted} of the"
            f" {self.cap} bytes of this node's object store are in use ({self._holders()})"
            f"{spilling}. Drop references to values that are not needed, and arrays and tables"
            " that were read from them (what is being read stays in memory), or start with a"
            " larger object_store_memory"
        )

    def _holders(self) -> str:
        """Who has written what takes the memory, the largest first."""
        written: Counter[bytes] = Counter()
        read: dict[bytes, set[bytes]] = {}
        for segment in self._segments.values():
            written[segment.writer] += segment.charged
            read.setdefault(segment.writer, set()).update(segment.readers)
        shown = [
            f"{nbytes} written by process {writer.hex()} and mapped by {len(read[writer])}"
            for writer, nbytes in written.most_common(_NAMED)
        ]
        others = len(written) - len(shown)
        return "; ".join(shown) + (f"; the rest by {others} more" if others > 0 else "")

    @property
    def users(self) -> set[bytes]:
        """The processes that have written what takes the memory and live, and those that map it."""
        found: set[bytes] = set()
        for segment in self._segments.values():
            found |= segment.readers | segment.keepers
            if not segment.orphan:
                found.add(segment.writer)
        return found

    def open(self, segment: int, reader: bytes) -> tuple[int, int] | str:
        """The descriptor and size of a segment, or why there is none."""
        found = self._segments.get(segment)
        if found is None:
            return _GONE
        found.readers.add(reader)
        return found.fd, found.size

    def lend(self, segment: int) -> tuple[int, int] | str:
        """A descriptor of a segment, for the caller to close, and its size; or why there is none.

        The memory stays for as long as the descriptor is open, whatever becomes of the segment.
        May be called from any thread.
        """
        with self._closing:
            found = self._segments.get(segment)
            return _GONE if found is None else (os.dup(found.fd), found.size)

    def shrink(self, writer: bytes, segment: int, nbytes: int) -> None:
        """A writer gives *nbytes* of a segment back, and will not use them again."""
        found = self._segments.get(segment)
        if found is not None and found.writer == writer and not found.orphan:
            nbytes = min(nbytes, found.charged)
            found.charged -= nbytes
            self.granted -= nbytes

    def drop(self, process: bytes, segment: int) -> None:
        """A writer gives a segment back, or a keeper has nothing in it any more."""
        found = self._segments.get(segment)
        if found is None:
            return
        if found.orphan:
            found.keepers.discard(process)
            self._drop_if_unkept(segment, found)
        elif found.writer == process:
            self._close(segment, found)

    def process_gone(self, process: bytes, others: set[bytes]) -> None:
        """A process died: what it wrote is orphaned, what it kept is kept by one less.

        Args:
            others: the processes that will say what they keep of the orphans.
        """
        for found in self._segments.values():
            if found.writer == process and not found.orphan:
                found.orphan = True
                found.unheard = set(others)
        self.keeps_nothing(process)

    def keeps_nothing(self, process: bytes) -> None:
        """A process is not there any more to keep, read or say anything."""
        for segment, found in list(self._segments.items()):
            found.keepers.discard(process)
            found.unheard.discard(process)
            found.readers.discard(process)
            self._drop_if_unkept(segment, found)

    def keeps(self, process: bytes, writer: bytes, segments: list[int]) -> None:
        """Which orphans of *writer* a process owns values in."""
        for segment, found in list(self._segments.items()):
            if found.writer == writer and found.orphan:
                found.unheard.discard(process)
                if segment in segments:
                    found.keepers.add(process)
                self._drop_if_unkept(segment, found)

    def asks(self, writer: bytes) -> bool:
        """Whether somebody has to say yet what it keeps of the orphans of a writer."""
        return any(s.writer == writer and s.unheard for s in self._segments.values())

    def keepers_of(self, node: int) -> set[bytes]:
        """The processes of a node that keep orphans, or have mapped a segment."""
        found = (s.keepers | s.readers for s in self._segments.values())
        return {process for each in found for process in each if node_of(process) == node}

    def _drop_if_unkept(self, segment: int, found: _Segment) -> None:
        if found.orphan and not found.keepers and not found.unheard:
            self._close(segment, found)

    def _close(self, segment: int, found: _Segment) -> None:
        self.granted -= found.charged
        with self._closing:
            del self._segments[segment]
            os.close(found.fd)
        self.on_closed(segment, found.readers)

    def close(self) -> None:
        """Give everything back, and tell nobody."""
        self.on_closed = lambda segment, readers: None
        for segment, found in list(self._segments.items()):
            self._close(segment, found)


def _limit_on(size: int) -> str:
    """The limit on files that shared memory counts for as well, if it is that."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit == resource.RLIM_INFINITY or size <= limit:
        return ""
    return (
        f": no file of its processes may be larger than {limit} bytes, and shared memory counts as"
        " one; raise the limit (ulimit -f) where the node is started"
    )
