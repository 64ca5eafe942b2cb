"""Steps that file systems can do at once, and many files moved where each moves by itself."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
from pyarrow import fs

CANNOT = (OSError, pa.ArrowException)
"""What file systems raise for what they cannot do."""

_OBJECT_STORES = ("s3", "gcs", "abfs")
_AT_ONCE = 16
_ATTEMPTS = 20
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def renames_directories(system: Any) -> bool:
    """Whether a directory moves in one step, with all that is in it.

    Object stores have no directories, and fsspec's systems move what is in one file by file.
    """
    return system.type_name in ("local", "hdfs")


def stays_in_place(directory: str) -> bool:
    """Whether a local directory cannot be replaced by another one of its name.

    A volume that is mounted there is busy, and whoever may not write to what it lies in can make
    nothing beside it.
    """
    above = os.path.dirname(directory)
    return os.path.ismount(directory) or not os.access(above, os.W_OK | os.X_OK)


def has_directories(system: Any) -> bool:
    """Whether a directory must be there before there is a file in it."""
    return system.type_name not in _OBJECT_STORES


def exchange(system: Any, one: str, other: str) -> bool:
    """Let two directories trade places in one step; ``False`` if that cannot be done here."""
    if not isinstance(system, fs.LocalFileSystem):
        return False
    # Linux since 3.15, and the file systems that disks of one machine have.
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    paths = (_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other))
    return bool(rename(*paths, _RENAME_EXCHANGE) == 0)


def move(system: Any, source: str, target: str) -> bool:
    """Move a file or a directory; ``False`` if that cannot be done in one step."""
    try:
        system.move(source, target)
    except CANNOT:
        return False
    return True


def move_files(system: Any, pairs: Iterable[tuple[str, str]]) -> None:
    """Move files from one place to another each; in object stores several at a time."""

    def one(pair: tuple[str, str]) -> None:
        source, target = pair
        try:
            system.move(source, target)
        except CANNOT:
            # The next write may have finished this one in the meantime.
            if _is_there(system, source) or not _is_there(system, target):
                raise

    _each(system, one, list(pairs))


def delete_files(system: Any, paths: Iterable[str]) -> None:
    """Delete files, as far as they are there."""

    def one(path: str) -> None:
        try:
            system.delete_file(path)
        except CANNOT:
            if _is_there(system, path):
                raise

    _each(system, one, list(paths))


def remove(system: Any, directory: str) -> None:
    """Delete a directory with all that is in it, if it is there."""
    for _ in range(_ATTEMPTS):
        if system.get_file_info(directory).type != fs.FileType.Directory:
            return
        # A task that has been told to end may be writing its last file.
        with contextlib.suppress(OSError):
            system.delete_dir(directory)


def _is_there(system: Any, path: str) -> bool:
    return bool(system.get_file_info(path).type != fs.FileType.NotFound)


def _each(system: Any, act: Callable[[Any], None], items: Sequence[Any]) -> None:
    if len(items) < 2 or system.type_name not in _OBJECT_STORES:
        for item in items:
            act(item)
        return
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for done in [threads.submit(act, item) for item in items]:
            done.result()
