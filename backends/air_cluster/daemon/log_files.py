"""Files for what workers print: of bounded size, each, and all together."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import NamedTuple

from air_cluster.session_files import LogLimits

_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600


class _Closed(NamedTuple):
    path: str
    nbytes: int


class LogDirectory:
    """The files of one session.

    Written files stay when their workers are gone. When all together hold more than
    ``limits.total_bytes``, those of workers that ended longest ago go, then the older parts of the
    others.
    """

    def __init__(self, path: str, limits: LogLimits) -> None:
        self.path = path
        self.limits = limits
        self._total = 0
        self._closed: deque[_Closed] = deque()
        self._open: list[LogFile] = []

    def open(self, name: str) -> LogFile:
        """A file of that name, which is made when something is written to it."""
        os.makedirs(self.path, mode=_DIRECTORY_MODE, exist_ok=True)
        file = LogFile(self, os.path.join(self.path, name))
        self._open.append(file)
        return file

    def grown(self, nbytes: int) -> None:
        """So much was written, or is gone."""
        self._total += nbytes
        while self._total > self.limits.total_bytes and self._closed:
            oldest = self._closed.popleft()
            remove_parts(oldest.path, self.limits.backups)
            self._total -= oldest.nbytes
        if self._total > self.limits.total_bytes:
            for file in self._open:
                self._total -= file.drop_backups()

    def closed(self, file: LogFile) -> None:
        """Nothing more is written to it."""
        self._open.remove(file)
        if file.nbytes:
            self._closed.append(_Closed(file.path, file.nbytes))


class LogFile:
    """What is appended to it goes to disk at once; the oldest is dropped where it grows too long.

    ``NAME`` holds the newest part, ``NAME.1`` the one before, and so on. A disk that is full takes
    nothing; how much was lost is noted in the file when it takes something again.
    """

    def __init__(self, directory: LogDirectory, path: str) -> None:
        self._directory = directory
        self._limits = directory.limits
        self.path = path
        self._fd = -1
        self._size = 0
        self._backups: list[int] = []  # their sizes, newest first
        self._lost = 0

    @property
    def nbytes(self) -> int:
        """What is in it, with its older parts."""
        return self._size + sum(self._backups)

    def write(self, text: bytes) -> None:
        """Append; never fails."""
        while text:
            room = self._limits.file_bytes - self._size
            if room <= 0 or (len(text) > room and self._size):
                # Parts begin with a line, where that is possible.
                cut = text.rfind(b"\n", 0, max(room, 0)) + 1
                self._append(text[:cut])
                text = text[cut:]
                self._rotate()
            else:
                self._append(text[:room])
                text = text[room:]

    def close(self) -> None:
        """Nothing more will be written."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._directory.closed(self)

    def drop_backups(self) -> int:
        """Remove the older parts; how many bytes that makes free."""
        if not self._backups:
            return 0
        freed = sum(self._backups)
        for number in range(1, len(self._backups) + 1):
            with contextlib.suppress(OSError):
                os.unlink(f"{self.path}.{number}")
        self._backups.clear()
        return freed

    def _append(self, text: bytes) -> None:
        if not text:
            return
        note = b""
        if self._lost:
            note = b"[air: %d bytes are missing here: the disk was full]\n" % self._lost
        try:
            if self._fd < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
                self._fd = os.open(self.path, flags, _FILE_MODE)
            written = os.write(self._fd, note + text)
        except OSError:
            written = 0
        if written:
            self._lost = len(text) - max(0, written - len(note))
        else:
            self._lost += len(text)
        self._size += written
        self._directory.grown(written)

    def _rotate(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        sizes = [self._size, *self._backups]
        for number in range(len(sizes) - 1, -1, -1):
            part = f"{self.path}.{number}" if number else self.path
            with contextlib.suppress(OSError):
                if number < self._limits.backups:
                    os.rename(part, f"{self.path}.{number + 1}")
                else:
                    os.unlink(part)
        self._backups = sizes[: self._limits.backups]
        self._size = 0
        self._directory.grown(-sum(sizes[self._limits.backups :]))


def remove_parts(path: str, backups: int) -> None:
    """Remove a file and its older parts."""
    for number in range(backups + 1):
        with contextlib.suppress(OSError):
            os.unlink(f"{path}.{number}" if number else path)


def cap(fd: int, path: str, limits: LogLimits) -> None:
    """Move what a file holds to its older part if that is too much.

    Others that have it open go on appending to it.

    Args:
        fd: the file, opened for appending.
    """
    with contextlib.suppress(OSError):
        if os.fstat(fd).st_size > limits.file_bytes:
            if limits.backups:
                import shutil  # takes long to import, and is seldom needed

                shutil.copyfile(path, f"{path}.1")
            os.ftruncate(fd, 0)
