"""Directories for files of one execution, of which none outlives its program for long.

Whoever makes such a directory holds a lock on it (``flock``), which ends with the process, however
that ends. Whoever makes the next one removes those of the same user that nobody holds. A number of
a process in the name would not do: numbers are used again.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "air-data-"
_SUFFIX = ".sections"


class OwnDirectory:
    """A directory that :meth:`remove` removes, or whoever makes another one after this process."""

    def __init__(self) -> None:
        remove_left_behind(Path(tempfile.gettempdir()))
        made = _locked()
        while made is None:
            made = _locked()
        self._path, self._lock = made

    def file(self, number: int) -> str:
        """The path of a file of this number."""
        return str(self._path / f"{number}{_SUFFIX}")

    def remove(self) -> None:
        """Remove it with all files. The second time does nothing."""
        shutil.rmtree(self._path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _locked() -> tuple[Path, int] | None:
    """A new directory and the lock on it; ``None`` if somebody has removed it before it had one."""
    path = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with contextlib.suppress(OSError):  # a file system without locks keeps what is left
        fcntl.flock(lock, fcntl.LOCK_EX)
    if path.exists():
        return path, lock
    os.close(lock)
    return None


def remove_left_behind(parent: Path) -> None:
    """Remove directories in *parent* whose processes have ended.

    Only what looks like ours is touched: a directory of this user with such a name that holds files
    of sections and nothing else. One that is about to be locked is empty: whoever makes it looks
    whether it is still there when it has the lock.
    """
    for path in parent.glob(f"{PREFIX}{'[a-z0-9_]' * 8}"):
        with contextlib.suppress(OSError):
            _remove_if_left(path)


def _remove_if_left(path: Path) -> None:
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(lock).st_uid != os.getuid():
            return
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        files = list(path.iterdir())
        if all(file.suffix == _SUFFIX for file in files):
            for file in files:
                file.unlink()
            path.rmdir()
    finally:
        os.close(lock)
