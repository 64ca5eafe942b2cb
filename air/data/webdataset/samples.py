"""Samples in a tar archive: neighbouring files whose names are the same up to the first dot."""

from __future__ import annotations

import fnmatch
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from air.data.errors import ReadError

KEY = "__key__"
"""What the name of a sample is called among its values."""

Sample = dict[str, Any]

_NAME = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)", re.DOTALL)


def divided(name: str) -> tuple[str, str] | None:
    """The key and the suffix of a file's name; ``None`` for a file that belongs to no sample.

    The key goes up to the first dot of the last part; suffixes are in small letters.
    """
    match = _NAME.fullmatch(name)
    if match is None or name.rpartition("/")[2].startswith("__"):
        return None
    return match[1], match[2].lower()


@dataclass(frozen=True)
class Selection:
    """Which files of an archive are wanted, and how they are called.

    Attributes:
        select: patterns of names, or a function of a name; all files if ``None``.
        rename: pairs of old and new parts of names, or a function of a name.
        suffixes: the suffixes that are wanted; all if ``None``.
    """

    select: Sequence[str] | Callable[[str], bool] | None = None
    rename: Sequence[tuple[str, str]] | Callable[[str], str] | None = None
    suffixes: tuple[str, ...] | None = None

    def _is_selected(self, name: str) -> bool:
        if callable(self.select):
            return bool(self.select(name))
        return self.select is None or any(fnmatch.fnmatchcase(name, p) for p in self.select)

    def place(self, name: str) -> tuple[str, str] | None:
        """The key and suffix of a file, ``None`` if it is not wanted."""
        if not self._is_selected(name):
            return None
        if callable(self.rename):
            name = self.rename(name)
        else:
            for old, new in self.rename or ():
                name = name.replace(old, new)
        found = divided(name)
        if found is None or (self.suffixes is not None and found[1] not in self.suffixes):
            return None
        return found


def samples(file: Any, path: str, selection: Selection) -> Iterator[Sample]:
    """The samples of an archive in order, with the content of their files.

    Args:
        file: open for reading from its beginning to its end; may be compressed by gzip, bzip2 or
            xz.

    Raises:
        ReadError: it is no archive, cut short, or has a file twice in a sample; names what.
    """
    sample: Sample = {}
    last = ""
    try:
        with tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in archive:
                last = member.name
                place = selection.place(member.name) if member.isfile() else None
                if place is None:
                    continue
                key, suffix = place
                if sample.get(KEY) != key:
                    if sample:
                        yield sample
                    sample = {KEY: key}
                if suffix in sample:
                    raise ReadError(f"{path} has {member.name!r} twice in sample {key!r}")
                content = archive.extractfile(member)
                assert content is not None
                sample[suffix] = content.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        place_of = f"after {last!r}" if last else "at its beginning"
        raise ReadError(f"{path} cannot be read as a tar archive {place_of}: {error}") from None
    if sample:
        yield sample
