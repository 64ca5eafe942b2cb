"""The directories that runs and experiments are kept in; no two ever share one."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

EXPERIMENT_FILE = "experiment.journal"
"""The file that makes a directory that of an experiment of a ``Tuner``."""


def new_run_directory(storage_dir: str, name: str) -> str:
    """Make the directory *name* under *storage_dir*, numbered where that is taken already.

    The first is called *name*, those after it ``name-2``, ``name-3`` and so on. Directories above
    are made where they are missing.

    Raises:
        OSError: results cannot be kept there; says what the directory is for and why not.
    """
    try:
        os.makedirs(storage_dir, exist_ok=True)
    except OSError as error:
        raise _unusable(storage_dir, error.errno, error.strerror) from None
    number = 1
    while True:
        path = numbered(storage_dir, name, number)
        try:
            os.mkdir(path)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise _unusable(path, error.errno, error.strerror) from None
        else:
            return path


@contextmanager
def or_nothing(path: str) -> Iterator[None]:
    """Begin a record in the new directory *path*, in the ``with`` block, or leave nothing of it.

    Raises:
        OSError: as :func:`new_run_directory`.
    """
    try:
        yield
    except BaseException as error:
        shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, OSError):
            raise _unusable(path, error.errno, error.strerror) from None
        raise


def check_storage(storage_dir: str) -> None:
    """See, before anything is done, whether a run could be kept under *storage_dir*.

    Makes nothing. A disk that is full, for one, only shows when the directory is made.

    Raises:
        OSError: as :func:`new_run_directory`.
    """
    there = storage_dir
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise _unusable(storage_dir, errno.ENOTDIR, f"{there} is no directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _unusable(storage_dir, errno.EACCES, f"{there} cannot be written to")


def run_before(path: str, name: str) -> str | None:
    """The directory that was made before *path* for the same *name*; ``None`` for the first."""
    storage_dir, last = os.path.split(path)
    if last == name:
        return None
    return numbered(storage_dir, name, int(last.removeprefix(f"{name}-")) - 1)


def numbered(storage_dir: str, name: str, number: int) -> str:
    """The path of directory *number* of those that bear *name*, from 1."""
    return os.path.join(storage_dir, name if number == 1 else f"{name}-{number}")


def _unusable(directory: str, number: int | None, reason: str | None) -> OSError:
    # OSError makes itself the subclass of the number: PermissionError, NotADirectoryError ...
    return OSError(
        number,
        f"results cannot be kept in this directory ({reason}). Name another one with "
        "RunConfig(storage_path=...), or with AIR_RESULTS in the environment",
        directory,
    )
