"""Functions that one process has sent to another with tasks, but for old ones, without I/O.

Each function travels with the first task that needs it. Both ends of a connection keep one book
of the functions that went over it, and enter each one as it goes: so both strike out the same ones
when there are too many, and the sender knows, without being told, what has to be sent again.
The longest known goes first, however often it is used: sending it again now and then costs less
than to note every use.
"""

from __future__ import annotations

from typing import Generic, TypeVar

MAX_COUNT = 256
MAX_BYTES = 64 << 20

T = TypeVar("T")


class CodeBook(Generic[T]):
    """One end's book.

    Args:
        max_count: so many functions.
        max_bytes: so many bytes of their pickles together; the newest is kept whatever its size.

    Attributes:
        entries: what this end keeps of each function, by its key. For looking things up.
    """

    __slots__ = ("_max_bytes", "_max_count", "_nbytes", "_sizes", "entries")

    def __init__(self, *, max_count: int = MAX_COUNT, max_bytes: int = MAX_BYTES) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._sizes: dict[bytes, int] = {}  # the longest known first
        self._nbytes = 0
        self.entries: dict[bytes, T] = {}

    def add(self, key: bytes, nbytes: int, entry: T) -> None:
        """A function that is not in the book goes over the connection."""
        self._sizes[key] = nbytes
        self._nbytes += nbytes
        self.entries[key] = entry
        while len(self._sizes) > self._max_count or (
            self._nbytes > self._max_bytes and len(self._sizes) > 1
        ):
            oldest = next(iter(self._sizes))
            self._nbytes -= self._sizes.pop(oldest)
            del self.entries[oldest]

    def check(self) -> None:
        """Assert the invariants."""
        assert self._sizes.keys() == self.entries.keys()
        assert self._nbytes == sum(self._sizes.values())
        assert len(self._sizes) <= self._max_count
