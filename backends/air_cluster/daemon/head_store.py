"""What a head keeps on disk, so that one that is started again knows it: one SQLite file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator

_FORMAT = 1
"""Of the file; what is in it, ``daemon.head_memory`` knows."""


class HeadStore:
    """Named values of several kinds, changed together or not at all.

    What was committed survives the end of the process, however that comes. If the machine
    loses power, the last commits may be gone, but never a part of one.

    Args:
        path: of the file, made if it is not there, readable by this user only.

    Raises:
        OSError: it cannot be made or opened, is used by another head, or is something else.
    """

    def __init__(self, path: str) -> None:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise OSError(f"the state file {path} cannot be opened: {error.strerror}") from error
        self._file = sqlite3.connect(path, timeout=0, isolation_level=None)
        try:
            self._open()
        except sqlite3.OperationalError as error:
            self._file.close()
            raise OSError(f"{path} is used by another head: {error}") from error
        except sqlite3.DatabaseError as error:
            self._file.close()
            raise OSError(f"{path} is no file of a head: {error}") from error
        [(found,)] = self._file.execute("PRAGMA user_version")
        if found != _FORMAT:
            self._file.close()
            raise OSError(f"{path} was written by another release of airloom (format {found})")

    def _open(self) -> None:
        run = self._file.execute
        # One lock for good, in place of one for each transaction.
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = NORMAL")
        run("BEGIN EXCLUSIVE")
        if not next(run("SELECT count(*) FROM sqlite_master"))[0]:
            run("CREATE TABLE kept (kind TEXT, name BLOB, value BLOB, PRIMARY KEY (kind, name))")
            run(f"PRAGMA user_version = {_FORMAT}")
        run("COMMIT")

    def all(self, kind: str) -> Iterator[tuple[bytes, bytes]]:
        """The names and values of a kind, in the order of the names."""
        return self._file.execute(
            "SELECT name, value FROM kept WHERE kind = ? ORDER BY name", (kind,)
        )

    def put(self, kind: str, name: bytes, value: bytes) -> None:
        """Keep a value."""
        self._begin()
        self._file.execute("REPLACE INTO kept VALUES (?, ?, ?)", (kind, name, value))

    def delete(self, kind: str, name: bytes) -> None:
        """Keep it no more, if it was."""
        self._begin()
        self._file.execute("DELETE FROM kept WHERE kind = ? AND name = ?", (kind, name))

    def delete_range(self, kind: str, low: bytes, high: bytes) -> None:
        """Keep none whose names lie between these, both included."""
        self._begin()
        self._file.execute(
            "DELETE FROM kept WHERE kind = ? AND name BETWEEN ? AND ?", (kind, low, high)
        )

    def _begin(self) -> None:
        if not self._file.in_transaction:
            self._file.execute("BEGIN")

    def commit(self) -> None:
        """Everything since the last time is kept."""
        if self._file.in_transaction:
            self._file.execute("COMMIT")

    def close(self) -> None:
        """Close the file; what was not committed is lost."""
        with contextlib.suppress(sqlite3.Error):
            self._file.close()
