"""The hidden directory that files are written to before anybody sees them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from pyarrow import fs

from air.data.writing.staging.leftovers import OLD, Lock, Plan
from air.data.writing.staging.modes import WriteMode, missing_directories, refuse_filled
from air.data.writing.staging.moves import (
    delete_files,
    exchange,
    has_directories,
    move,
    remove,
    renames_directories,
    stays_in_place,
)


class Staging:
    """A hidden directory to write to, which is gone in the end, whatever happens.

    Where directories can be renamed, a new target appears by the rename of the whole of it, and
    one that is overwritten trades places with it. Into one that stays, because files are added to
    it or it is a mounted volume, and everywhere in object stores, files move one by one, after a
    plan of that has been written down: a program that is killed while they do leaves what the next
    write to the same place finishes.
    """

    def __init__(
        self, system: Any, directory: str, stem: str, missing: list[str], mode: WriteMode
    ) -> None:
        self._system = system
        self._renames = renames_directories(system)
        if mode is WriteMode.OVERWRITE and isinstance(system, fs.LocalFileSystem):
            # A link stays a link: what it leads to is replaced.
            directory = os.path.realpath(directory)
            if not missing and stays_in_place(directory):
                self._renames = False
        beside = self._renames and (missing or mode is WriteMode.OVERWRITE)
        parent, _, name = directory.rpartition("/")
        self.path = f"{parent}/.{name}.{stem}" if beside else f"{directory}/.{stem}"
        self._directory = directory
        self._missing = missing
        self._mode = mode
        self._moved: list[str] = []
        self._is_decided = False
        self._locks: list[Lock] = []
        self._made: list[str] = []

    def __enter__(self) -> Staging:
        try:
            if has_directories(self._system):
                self._make_hidden()
            elif len(self._missing) > self._directory.count("/"):
                self._system.create_dir(self._directory.partition("/")[0])  # the bucket
        except BaseException:
            self._take_back()
            self._release()
            raise
        return self

    def _make_hidden(self) -> None:
        while True:
            self._system.create_dir(self.path, recursive=True)
            if not isinstance(self._system, fs.LocalFileSystem):
                return
            # A write that cleans up may have found it before it was locked, and removed it.
            lock = Lock.on(self.path, wait=True)
            if lock is not None:
                self._locks.append(lock)
            if lock is not None or os.path.isdir(self.path):
                return

    def refuse_existing(self, names: Iterable[str]) -> None:
        """Complain about files that would take the place of others that stay.

        Raises:
            FileExistsError: there is one.
        """
        if self._mode is WriteMode.OVERWRITE or self._missing:
            return
        paths = [f"{self._directory}/{name}" for name in names]
        for info in self._system.get_file_info(paths):
            if info.type != fs.FileType.NotFound:
                raise FileExistsError(
                    f"{info.path!r} is there already; replace all that is in the directory with"
                    " mode='overwrite', or give rows other names"
                )

    def publish(self, names: Iterable[str]) -> None:
        """Move all files to where they can be seen.

        Raises:
            FileExistsError: the directory holds something by now, and must not.
        """
        overwrites = self._mode is WriteMode.OVERWRITE and not self._missing
        if self._renames and overwrites:
            self._replace()
            return
        if self._renames and self._missing and move(self._system, self.path, self._directory):
            return
        if self._mode is WriteMode.ERROR:
            refuse_filled(self._system, self._directory)
        self._move_each(tuple(names), self._visible() if overwrites else ())

    def _replace(self) -> None:
        if exchange(self._system, self._directory, self.path):
            remove(self._system, self.path)
            return
        old = f"{self.path}{OLD}"
        if isinstance(self._system, fs.LocalFileSystem) and (lock := Lock.on(self._directory)):
            self._locks.append(lock)
        self._system.move(self._directory, old)
        if not move(self._system, self.path, self._directory):
            self._system.move(old, self._directory)
            raise FileExistsError(
                f"{self._directory!r} was made anew by somebody else while it was overwritten"
            )
        remove(self._system, old)

    def _visible(self) -> tuple[str, ...]:
        found = self._system.get_file_info(
            fs.FileSelector(self._directory, recursive=True, allow_not_found=True)
        )
        files = (info.path for info in found if info.type == fs.FileType.File)
        return tuple(path for path in files if not path.startswith(f"{self.path}/"))

    def _move_each(self, names: tuple[str, ...], old: tuple[str, ...]) -> None:
        places = {self._directory, *(f"{self._directory}/{n}".rpartition("/")[0] for n in names)}
        if has_directories(self._system):
            new = {m for place in places for m in missing_directories(self._system, place)}
            self._made = sorted(new, key=len, reverse=True)
        self._moved = [f"{self._directory}/{name}" for name in names]
        plan = Plan(names, tuple(sorted(set(old).difference(self._moved))))
        plan.save(self._system, self.path)
        # Of files that new ones take the place of nothing can be brought back.
        self._is_decided = not set(old).isdisjoint(self._moved)
        plan.show(self._system, self.path, self._directory)
        self._is_decided = True
        plan.clean(self._system, self.path)

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        # Once old files go the new ones must stay: the next write finishes this one.
        try:
            if kind is not None and not self._is_decided:
                self._take_back()
        finally:
            self._release()

    def _release(self) -> None:
        while self._locks:
            self._locks.pop().release()

    def _take_back(self) -> None:
        Plan.give_up(self._system, self.path)
        delete_files(self._system, self._moved)
        remove(self._system, self.path)
        for made in dict.fromkeys([*self._made, *self._missing]):
            if not self._system.get_file_info(fs.FileSelector(made, allow_not_found=True)):
                remove(self._system, made)
