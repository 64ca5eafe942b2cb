"""Values on disk: the small ones many to a file, the large ones one to a file.

Files are written to at their ends only, and are removed with the last value in them. They lie
in a directory of their own, which goes with its owner: at :meth:`SpillFiles.close`, or, if that
process is killed, when the next one starts in the same place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable

import msgspec

from air_cluster.store.copying import pump
from air_cluster.store.writer import Reserved

_PREFIX = "air-spill-"
_LOCK = "lock"
_COMBINE_BYTES = 1 << 20
_FILE_BYTES = 32 << 20


class _File(msgspec.Struct):
    path: str
    fd: int  # open while values are added
    end: int = 0  # where the next value goes
    writers: int = 0
    values: dict[int, int] = msgspec.field(default_factory=dict)  # offset -> bytes


class SpillFiles:
    """Writes ranges to files and reads them back. Thread-safe; reading and writing block.

    Args:
        directory: is made if it does not exist, and may be shared with others; the files lie
            in a new directory inside it, which only this user can enter.
        combine_bytes: values below this share files.
        file_bytes: a shared file takes values until it is as large as this.

    Raises:
        OSError: no directory can be made there.
    """

    def __init__(
        self,
        directory: str,
        *,
        combine_bytes: int = _COMBINE_BYTES,
        file_bytes: int = _FILE_BYTES,
    ) -> None:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        _remove_stale(directory)
        self.directory = os.path.join(directory, _PREFIX + os.urandom(8).hex())
        os.mkdir(self.directory, 0o700)
        self._claim = _claim(self.directory)
        self._combine_bytes = combine_bytes
        self._file_bytes = file_bytes
        self._lock = threading.Lock()  # held for bookkeeping only
        self._files: dict[int, _File] = {}
        self._shared: int | None = None  # the file that takes small values
        self._next = 0
        self._closed = False

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        with self._lock:
            return sum(sum(file.values.values()) for file in self._files.values())

    @property
    def count(self) -> int:
        """How many files there are."""
        with self._lock:
            return len(self._files)

    def write(self, fd: int, offset: int, nbytes: int) -> tuple[int, int]:
        """Store *nbytes* bytes of the open file *fd*, from *offset* on.

        Returns:
            The number of the file that they are in now, and where they start in it.

        Raises:
            OSError: the disk is full, or fails. Nothing is left behind.
        """
        disk = os.statvfs(self.directory)
        if nbytes > disk.f_bavail * disk.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        number, file, start = self._place(nbytes)
        try:
            pump(nbytes, _reader(fd, offset), file.fd, start)
        except BaseException:
            self._written(number, file, lost=start)
            raise
        self._written(number, file)
        return number, start

    def read(self, number: int, offset: int, target: Reserved) -> None:
        """Fill *target* with the value at *offset* of a file.

        Raises:
            OSError: the file is gone, or cannot be read.
        """
        opened = self.open(number)
        if isinstance(opened, str):
            raise FileNotFoundError(errno.ENOENT, opened)
        fd, _ = opened
        try:
            target.fill(_reader(fd, offset))
        finally:
            os.close(fd)

    def open(self, number: int) -> tuple[int, int] | str:
        """A descriptor of a file, for the caller to close, and its size; or why there is none.

        What is in the file stays for as long as the descriptor is open.
        """
        with self._lock:
            file = self._files.get(number)
            if file is None:
                return f"the file {number} of spilled values is gone"
            try:
                fd = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                return f"{file.path} cannot be read: {error.strerror}"
            return fd, file.end

    def free(self, number: int, offset: int) -> None:
        """A value is not needed any more; the last one of a file takes that along.

        Does nothing once this is closed.

        Raises:
            ValueError: there is no value.
        """
        with self._lock:
            if self._closed:
                return
            file = self._files.get(number)
            if file is None or file.values.pop(offset, None) is None:
                raise ValueError(f"no value lies at {offset} of file {number}")
            is_empty = self._drop_if_empty(number, file)
        if is_empty:
            _unlink(file.path)

    def _place(self, nbytes: int) -> tuple[int, _File, int]:
        """Room at the end of a file."""
        with self._lock:
            if self._closed:
                raise OSError(errno.EBADF, "the store of spilled values is closed")
            is_small = nbytes < self._combine_bytes
            number = self._shared if is_small else None
            if number is None:
                number = self._create()
            file = self._files[number]
            start = file.end
            file.values[start] = nbytes
            file.end += nbytes
            file.writers += 1
            if is_small:
                self._shared = number if file.end < self._file_bytes else None
            return number, file, start

    def _create(self) -> int:
        number = self._next = self._next + 1
        path = os.path.join(self.directory, str(number))
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._files[number] = _File(path, fd)
        return number

    def _written(self, number: int, file: _File, *, lost: int | None = None) -> None:
        """A writer is done, or has failed and leaves the value at *lost* half-written."""
        with self._lock:
            file.writers -= 1
            if lost is not None:
                nbytes = file.values.pop(lost)
                if lost + nbytes == file.end:
                    file.end = lost
                    with contextlib.suppress(OSError):
                        os.ftruncate(file.fd, lost)
            is_empty = self._drop_if_empty(number, file)
            if not file.writers and (self._closed or number != self._shared):
                self._close_fd(file)
        if is_empty:
            _unlink(file.path)

    def _drop_if_empty(self, number: int, file: _File) -> bool:
        if file.values or file.writers:
            return False
        self._files.pop(number, None)
        if self._shared == number:
            self._shared = None
        self._close_fd(file)
        return True

    def _close_fd(self, file: _File) -> None:
        if file.fd >= 0:
            os.close(file.fd)
            file.fd = -1

    def close(self) -> None:
        """Remove all files, and the directory."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for file in self._files.values():
                if not file.writers:  # else the last of them closes it
                    self._close_fd(file)
            self._files.clear()
        _remove_directory(self.directory)
        os.close(self._claim)


def _reader(fd: int, offset: int) -> Callable[[memoryview], int]:
    """Reads on and on, from *offset*."""

    def read(buffer: memoryview) -> int:
        nonlocal offset
        count = os.preadv(fd, [buffer], offset)
        if not count:
            raise OSError(errno.EIO, "the file is shorter than it was")
        offset += count
        return count

    return read


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _remove_directory(path: str) -> None:
    import shutil  # takes a while to load

    shutil.rmtree(path, ignore_errors=True)


def _claim(directory: str) -> int:
    """Show that a process uses *directory*, for as long as the descriptor is open."""
    unlocked = os.path.join(directory, "unlocked")
    fd = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(unlocked, os.path.join(directory, _LOCK))  # nobody sees it without the lock
    except BaseException:
        os.close(fd)
        raise
    return fd


def _remove_stale(parent: str) -> None:
    """Remove directories of processes that were killed."""
    for entry in os.scandir(parent):
        if not entry.name.startswith(_PREFIX):
            continue
        with contextlib.suppress(OSError):  # it is another user's, in use, or just going
            fd = os.open(os.path.join(entry.path, _LOCK), os.O_WRONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove_directory(entry.path)
            finally:
                os.close(fd)
