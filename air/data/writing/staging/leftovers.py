"""What killed writes have left, which the next write to the same place finishes or removes.

On a disk a write holds a lock on its hidden directory for as long as its program lives. Elsewhere
nobody can tell whether a write goes on, so it counts as given up after a week without a new file.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyarrow import fs

from air.data.writing.staging.moves import (
    CANNOT,
    delete_files,
    has_directories,
    move,
    move_files,
    remove,
    renames_directories,
)

OLD = "-old"
"""What the name of a directory ends with that made room for a new one."""

_HIDDEN = re.compile(r"\.(?:.+\.)?\d{8}T\d{12}-[0-9a-f]{8}(?:-old)?")
_PLAN = "_plan.json"
_GIVEN_UP = datetime.timedelta(days=7)


class Lock:
    """A hidden directory that is somebody's, for as long as the program lives."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def on(cls, directory: str, *, wait: bool = False) -> Lock | None:
        """The lock on a local directory, ``None`` if it is not there or another program's."""
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            if os.path.samestat(os.fstat(descriptor), os.stat(directory)):
                return cls(descriptor)
        except OSError:
            pass
        os.close(descriptor)
        return None

    def release(self) -> None:
        """Give it back."""
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to publish files one by one, as it is written beside them before the first moves.

    Attributes:
        moved: names of the files in the hidden directory, and then in the visible one.
        removed: paths of files that go when all have moved.
    """

    moved: tuple[str, ...]
    removed: tuple[str, ...] = ()

    def save(self, system: Any, hidden: str) -> None:
        """Say that all files are there: from now on anybody may :meth:`carry_out` this."""
        content = json.dumps({"moved": self.moved, "removed": self.removed})
        with system.open_output_stream(f"{hidden}/{_PLAN}") as file:
            file.write(content.encode())

    @classmethod
    def load(cls, system: Any, hidden: str) -> Plan | None:
        """The plan of a write that was killed, if it had come so far."""
        path = f"{hidden}/{_PLAN}"
        if system.get_file_info(path).type != fs.FileType.File:
            return None
        with system.open_input_stream(path) as file:
            try:
                content = json.loads(file.read())
            except ValueError:  # killed while it was written
                return None
        return cls(tuple(content["moved"]), tuple(content["removed"]))

    @staticmethod
    def give_up(system: Any, hidden: str) -> None:
        """Nobody shall carry it out any more."""
        delete_files(system, [f"{hidden}/{_PLAN}"])

    def show(self, system: Any, hidden: str, directory: str) -> None:
        """Move the files to where they can be seen."""
        pairs = [(f"{hidden}/{name}", f"{directory}/{name}") for name in self.moved]
        if has_directories(system):
            for place in dict.fromkeys(target.rpartition("/")[0] for _, target in pairs):
                system.create_dir(place, recursive=True)
        move_files(system, pairs)

    def clean(self, system: Any, hidden: str) -> None:
        """Remove what was there before, and the hidden directory."""
        delete_files(system, self.removed)
        self.give_up(system, hidden)
        remove(system, hidden)


def settle(system: Any, directory: str) -> None:
    """Finish or remove what killed writes to *directory* have left in it and beside it.

    Writes that go on are left alone.
    """
    for path in _hidden(system, directory):
        if isinstance(system, fs.LocalFileSystem):
            lock = Lock.on(path)
            if lock is None:
                continue
            try:
                _settle_one(system, path, directory)
            finally:
                lock.release()
        elif (plan := Plan.load(system, path)) is not None:
            # To do twice what has been decided does no harm, so it may still be going on.
            plan.show(system, path, directory)
            plan.clean(system, path)
        elif _is_given_up(system, path):
            _settle_one(system, path, directory)


def cut_short(system: Any, directory: str) -> str:
    """Where the files of a missing *directory* are if a write was killed that replaced it.

    The end of a message; nothing if no write was.
    """
    for path in _hidden(system, directory):
        if path.endswith(OLD):
            return (
                f" A write that was to replace it was cut short: its files are in {path!r}. The"
                " next write to it puts them back, or rename that directory"
            )
    return ""


def _settle_one(system: Any, path: str, directory: str) -> None:
    if path.endswith(OLD):
        is_there = system.get_file_info(directory).type != fs.FileType.NotFound
        if not is_there and move(system, path, directory):
            return
    elif (plan := Plan.load(system, path)) is not None:
        plan.show(system, path, directory)
        plan.clean(system, path)
        return
    remove(system, path)


def _hidden(system: Any, directory: str) -> Iterator[str]:
    parent, _, name = directory.rpartition("/")
    places = [(directory, ".")]
    if renames_directories(system):
        places.append((parent, f".{name}."))
    for place, start in places:
        try:
            found = system.get_file_info(fs.FileSelector(place, allow_not_found=True))
        except CANNOT:  # a file, or not for us to look at: the write will say so
            continue
        for info in found:
            wanted = info.base_name.startswith(start) and _HIDDEN.fullmatch(info.base_name)
            if info.type == fs.FileType.Directory and wanted:
                yield info.path


def _is_given_up(system: Any, path: str) -> bool:
    newest = None
    with contextlib.suppress(*CANNOT):
        found = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        newest = max((info.mtime for info in found if info.mtime is not None), default=None)
    if newest is None:
        return False
    return bool(datetime.datetime.now(datetime.UTC) - newest > _GIVEN_UP)
