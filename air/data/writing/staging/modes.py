"""What a write does with a directory that holds something already."""

from __future__ import annotations

import enum
from typing import Any

from pyarrow import fs

from air.errors import InvalidOption
from air.executor.validation import listing, nearest


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
