"""How files come to be seen: all at once, or not at all.

They are written to a hidden directory, which readers skip, and move to their places when all are
there.
"""

from __future__ import annotations

import contextlib
import enum
import os
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from pyarrow import fs

from air.errors import InvalidOption
from air.executor.validation import listing, nearest

_ATTEMPTS = 20


class WriteMode(enum.StrEnum):
    """What a write does with a directory that holds something already."""

    APPEND = "append"
    """What is there stays, and files are added."""
    OVERWRITE = "overwrite"
    """What is there is gone once the new files are there."""
    ERROR = "error"
    """Raise ``FileExistsError``."""
    IGNORE = "ignore"
    """Write nothing."""


def check_mode(what: str, mode: object) -> WriteMode:
    """The mode that a writer was given.

    Raises:
        InvalidOption: there is no such mode; names the nearest.
    """
    known = [each.value for each in WriteMode]
    if not isinstance(mode, str) or mode not in known:
        raise InvalidOption(
            f"{what}: unknown mode {mode!r:.80}.{nearest(str(mode), known)} Modes are:"
            f" {listing(known)}"
        )
    return WriteMode(mode)


class Staging:
    """A hidden directory to write to, which is gone in the end, whatever happens.

    A new target appears by the rename of the whole of it, and one that is overwritten makes room
    for it by another rename; into one that stays files move one by one.
    """

    def __init__(
        self, system: Any, directory: str, stem: str, missing: list[str], mode: WriteMode
    ) -> None:
        if mode is WriteMode.OVERWRITE and isinstance(system, fs.LocalFileSystem):
            # A link stays a link: what it leads to is replaced.
            directory = os.path.realpath(directory)
        beside = missing or mode is WriteMode.OVERWRITE
        parent = directory.rpartition("/")[0] if beside else directory
        hidden = f"{parent}/.{stem}" if parent or directory.startswith("/") else f".{stem}"
        self.path = hidden
        self._old = f"{hidden}-old"
        self._system = system
        self._directory = directory
        self._missing = missing
        self._mode = mode
        self._moved: list[str] = []
        self._made: list[str] = []

    def __enter__(self) -> Staging:
        try:
            self._system.create_dir(self.path, recursive=True)
        except BaseException:
            self._take_back()
            raise
        return self

    def publish(self, names: Iterable[str]) -> None:
        """Move all files to where they can be seen.

        Raises:
            FileExistsError: the directory holds something by now, and must not.
        """
        if self._mode is WriteMode.OVERWRITE and not self._missing:
            self._replace(list(names))
            return
        if self._missing and self._moved_to(self._directory):
            return
        if self._mode is WriteMode.ERROR:
            refuse_filled(self._system, self._directory)
        self._move_each(names)
        self._system.delete_dir(self.path)

    def _replace(self, names: list[str]) -> None:
        before = self._system.get_file_info(fs.FileSelector(self._directory, recursive=True))
        try:
            self._system.move(self._directory, self._old)
        except (OSError, pa.ArrowException):
            # Object stores move files only: the new ones come first, so that there always are
            # some, and the old ones go then.
            self._move_each(names)
            for info in before:
                if info.type == fs.FileType.File and not info.path.startswith(f"{self.path}/"):
                    self._system.delete_file(info.path)
            self._system.delete_dir(self.path)
            return
        if not self._moved_to(self._directory):
            self._system.move(self._old, self._directory)
            raise FileExistsError(
                f"{self._directory!r} was made anew by somebody else while it was overwritten"
            )
        _remove(self._system, self._old)

    def _move_each(self, names: Iterable[str]) -> None:
        self._make(self._directory)
        for name in names:
            target = f"{self._directory}/{name}"
            self._make(target.rpartition("/")[0])
            self._system.move(f"{self.path}/{name}", target)
            self._moved.append(target)

    def _make(self, directory: str) -> None:
        new = missing_directories(self._system, directory)
        if new:
            self._system.create_dir(directory, recursive=True)
            self._made = [*new, *self._made]

    def _moved_to(self, target: str) -> bool:
        try:
            self._system.move(self.path, target)
        except (OSError, pa.ArrowException):
            # Object stores move files only; or another write has made the directory by now.
            return False
        return True

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is not None:
            self._take_back()

    def _take_back(self) -> None:
        for file in self._moved:
            self._system.delete_file(file)
        _remove(self._system, self.path)
        for made in dict.fromkeys([*self._made, *self._missing]):
            if not self._system.get_file_info(fs.FileSelector(made, allow_not_found=True)):
                _remove(self._system, made)


def is_filled(system: Any, directory: str) -> bool:
    """Whether there is anything in *directory* that readers see."""
    found = system.get_file_info(fs.FileSelector(directory, allow_not_found=True))
    return any(not info.base_name.startswith(".") for info in found)


def refuse_filled(system: Any, directory: str) -> None:
    """Complain about a directory that must not hold anything.

    Raises:
        FileExistsError: it does.
    """
    if is_filled(system, directory):
        raise FileExistsError(
            f"{directory!r} holds files already, and mode='error' says not to touch them; add to"
            " them with mode='append', replace them with mode='overwrite'"
        )


def missing_directories(system: Any, directory: str) -> list[str]:
    """*directory* and those that it is in, as far as they are not there, the innermost first.

    Raises:
        NotADirectoryError: *directory* or one of those is a file.
    """
    missing = []
    above = directory
    while above and (kind := system.get_file_info(above).type) != fs.FileType.Directory:
        if kind == fs.FileType.File:
            raise NotADirectoryError(
                f"{directory!r} cannot be a directory, because {above!r} is a file; datasets are"
                " written as directories of files"
            )
        missing.append(above)
        above = above.rpartition("/")[0]
    return missing


def _remove(system: Any, directory: str) -> None:
    for _ in range(_ATTEMPTS):
        if system.get_file_info(directory).type != fs.FileType.Directory:
            return
        # A task that has been told to end may be writing its last file.
        with contextlib.suppress(OSError):
            system.delete_dir(directory)
