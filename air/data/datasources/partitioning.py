"""What the directories that a file is in say about its rows, and how that is written there."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from air.data.datasources.labels import Labels
from air.errors import InvalidOption
from air.executor.keywords import methods_suggest_keywords
from air.executor.validation import listing, nearest


class PartitionStyle(enum.StrEnum):
    """How directories name a value."""

    HIVE = "hive"
    """With the column: ``year=2024/month=5``."""
    DIRECTORY = "dir"
    """By itself, in the order of the columns: ``2024/5``."""


@methods_suggest_keywords
@dataclass(frozen=True, slots=True)
class Partitioning:
    """Columns that a file's directories give; for ``read_csv`` and ``read_parquet``.

    Values are whole numbers if all of a column are, otherwise text. A column that the file has
    itself is left as it is.

    Args:
        style: ``"hive"`` for directories such as ``year=2024``, ``"dir"`` for ``2024``.
        base_dir: the directory below which they count; ``None`` or ``""`` is what all paths of
            the read have in common: the directory that is read, or that of a single file.
        field_names: the columns, the outermost first: needed for ``"dir"``; for ``"hive"`` the
            names that there must be, ``None`` for whatever there is.
        filesystem: what *base_dir* is in, as for the read.

    Raises:
        InvalidOption: an unknown style, names that are none, or ``"dir"`` without names.
    """

    style: PartitionStyle | str
    base_dir: str | None = None
    field_names: Sequence[str] | None = None
    filesystem: Any = None

    def __post_init__(self) -> None:
        known = [style.value for style in PartitionStyle]
        if self.style not in known:
            raise InvalidOption(
                f"Partitioning: unknown style {self.style!r}.{nearest(self.style, known)} Styles"
                f" are: {listing(known)}"
            )
        names = self.field_names
        is_list = isinstance(names, (list, tuple)) and all(isinstance(n, str) and n for n in names)
        if names is not None and (not is_list or len(set(names)) < len(names)):
            raise InvalidOption(
                f"Partitioning: field_names must be a list of different names, got {names!r:.80}"
            )
        if not names and self.style == PartitionStyle.DIRECTORY:
            raise InvalidOption(
                "Partitioning: style='dir' needs field_names, a name for each level of directories"
            )
        if self.base_dir is not None and not isinstance(self.base_dir, str):
            raise InvalidOption(
                f"Partitioning: base_dir must be text or None, got {self.base_dir!r:.80}"
            )

    def labels(self, path: str, base: str) -> Labels:
        """What the directories of the file *path* below *base* say.

        Raises:
            InvalidOption: the file is not below *base*, or its directories are not those of
                ``field_names``.
        """
        inside = _below(path, base)
        if inside is None:
            raise InvalidOption(f"Partitioning: {path} is not in base_dir={base!r}")
        directories = inside.split("/")[:-1]
        if self.style == PartitionStyle.DIRECTORY:
            return self._by_position(path, base, directories)
        pairs = (directory.partition("=") for directory in directories)
        labels = tuple(
            (unquote(name), unquote(value)) for name, equals, value in pairs if name and equals
        )
        found = [name for name, _ in labels]
        if self.field_names is not None and found != list(self.field_names):
            raise InvalidOption(
                f"Partitioning: field_names are {listing(self.field_names)}, and the directories"
                f" of {path} below {base!r} name {listing(found) or 'nothing'}"
            )
        return labels

    def _by_position(self, path: str, base: str, directories: list[str]) -> Labels:
        assert self.field_names is not None
        if len(directories) != len(self.field_names):
            raise InvalidOption(
                f"Partitioning: field_names are {listing(self.field_names)}, and {path} is in"
                f" {len(directories)} directories below {base!r}"
            )
        return tuple(zip(self.field_names, map(unquote, directories), strict=True))


HIVE = Partitioning("hive", base_dir="")
"""What reads do unless they are told otherwise."""


def common_directory(paths: Sequence[str]) -> str:
    """The innermost directory that all *paths*, which are directories, are in or are."""
    first, *others = (path.split("/") for path in paths)
    depth = len(first)
    for parts in others:
        same = (a == b for a, b in zip(first, parts, strict=False))
        depth = min(depth, next((i for i, equal in enumerate(same) if not equal), len(parts)))
    return "/".join(first[:depth])


def _below(path: str, base: str) -> str | None:
    """*path* as seen from *base*; ``None`` if it is not in it."""
    base = base.rstrip("/")
    if base and not path.startswith(base + "/"):
        return None
    return path[len(base) :].strip("/")
