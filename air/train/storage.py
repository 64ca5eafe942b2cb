"""The directories that runs and experiments are kept in; no two ever share one."""

from __future__ import annotations

import os


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
        raise _unusable(storage_dir, error) from None
    number = 1
    while True:
        path = numbered(storage_dir, name, number)
        try:
            os.mkdir(path)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise _unusable(path, error) from None
        else:
            return path


def run_before(path: str, name: str) -> str | None:
    """The directory that was made before *path* for the same *name*; ``None`` for the first."""
    storage_dir, last = os.path.split(path)
    if last == name:
        return None
    return numbered(storage_dir, name, int(last.removeprefix(f"{name}-")) - 1)


def numbered(storage_dir: str, name: str, number: int) -> str:
    """The path of directory *number* of those that bear *name*, from 1."""
    return os.path.join(storage_dir, name if number == 1 else f"{name}-{number}")


def _unusable(directory: str, error: OSError) -> OSError:
    reason = "it is a file" if os.path.isfile(directory) else error.strerror
    return type(error)(
        error.errno,
        f"results cannot be kept in this directory ({reason}); give another one as"
        " RunConfig.storage_path",
        directory,
    )
