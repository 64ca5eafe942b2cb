"""Anonymous shared memory: no name in any file system, so no crash leaves any behind.

A segment lives as long as a process has a descriptor or a mapping of it. Descriptors go to
other processes over a unix socket.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import sys

from air_cluster.store.copying import copy, fill

PAGE = mmap.PAGESIZE
"""Bytes: the system gives memory out, and takes it back, in multiples of this."""

DISCARDS = hasattr(mmap, "MADV_REMOVE")
"""Whether the system takes back a part of a segment."""


def create(size: int) -> int:
    """Make a segment of *size* bytes, zeros, and return its descriptor (close-on-exec).

    Memory is taken when pages are first written. The size can never change: a process that
    reads a mapping need not fear that another one cuts it short.
    """
    if not hasattr(os, "memfd_create"):  # macOS
        import tempfile

        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            return os.dup(file.fileno())
    fd = os.memfd_create("air-objects", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return fd


class Mapping:
    """A segment, or a file that does not change, in this process's memory.

    Takes over *fd* and closes it, also when the mapping fails: at once if the mapping is
    read-only, with the mapping if it is writable.

    Raises:
        ValueError: a file is shorter than *size*.

    Attributes:
        size: bytes of the segment.
    """

    __slots__ = ("_fd", "_map", "_view", "size")

    def __init__(self, fd: int, size: int, *, writable: bool = False) -> None:
        self.size = size
        self._fd: int | None = fd
        # From 3.13 on, mmap can do without a descriptor of its own.
        options = {"trackfd": False} if sys.version_info >= (3, 13) else {}
        try:
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(fd, size, access=access, **options)
        except BaseException:
            self._close_fd()
            raise
        if not writable:
            self._close_fd()
        self._view = memoryview(self._map)

    def view(self, offset: int, nbytes: int) -> memoryview:
        """The bytes of a range; the memory stays mapped for as long as the view lives.

        Raises:
            ValueError: the range is not inside the segment.
        """
        if offset < 0 or nbytes < 0 or offset + nbytes > self.size:
            raise ValueError(
                f"no range of {nbytes} bytes at offset {offset} in a segment of {self.size} bytes"
            )
        return self._view[offset : offset + nbytes]

    def write(self, offset: int, data: memoryview, *, fresh: bool) -> None:
        """Copy *data* (bytes, contiguous) to *offset*.

        Args:
            fresh: no page of the range was used before; other ways of copying are then
                faster.
        """
        target = self.view(offset, data.nbytes)
        if fresh and self._fd is not None:
            fill(self._fd, offset, target, data)
        else:
            copy(target, data)

    @property
    def file(self) -> int:
        """The descriptor of a writable mapping that is not closed."""
        assert self._fd is not None
        return self._fd

    def discard(self, offset: int, nbytes: int) -> None:
        """Give the memory of a range back to the system; read again, it is zeros.

        Both are multiples of :data:`PAGE`. Only for a mapping that is writable, and where
        :data:`DISCARDS` says so. Does nothing once the mapping is closed.
        """
        with contextlib.suppress(ValueError):
            self._map.madvise(mmap.MADV_REMOVE, offset, nbytes)

    def close(self) -> None:
        """Unmap the segment: now, or with the last view of it if there are any left."""
        self._close_fd()
        with contextlib.suppress(BufferError):  # views are left; the last one takes the map along
            self._view.release()
            self._map.close()

    def _close_fd(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
