"""Paths as users give them, resolved to files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import fs

from air.data.datasources.filesystems import PathLike as PathLike
from air.data.datasources.filesystems import filesystem_of as filesystem_of
from air.data.datasources.labels import Labels
from air.data.datasources.partitioning import HIVE, Partitioning, common_directory
from air.data.datasources.patterns import fixed_part, has_wildcards, matching
from air.data.errors import ReadError
from air.data.writing.staging import cut_short
from air.errors import InvalidOption
from air.executor.validation import nearest

_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".snappy", ".br")
_PACKED = (".xz", ".lzma", ".zip", ".7z")


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files of one file system.

    Attributes:
        filesystem: the ``pyarrow.fs.FileSystem``.
        paths: the files, in the order in which they are to be read.
        sizes: in bytes; -1 where the file system does not say.
        labels: what the directories say that each is in, below a directory that was given.
    """

    filesystem: Any
    paths: tuple[str, ...]
    sizes: tuple[int, ...]
    labels: tuple[Labels, ...]

    @property
    def total_bytes(self) -> int | None:
        """Bytes of all files together, ``None`` if one is not known."""
        return None if min(self.sizes) < 0 else sum(self.sizes)

    def states(self) -> Iterator[tuple[str, int, int]]:
        """Each file with its bytes and the time of its last change (ns), as they are now."""
        for info in self.filesystem.get_file_info(list(self.paths)):
            size = -1 if info.size is None else info.size
            yield info.path, size, info.mtime_ns or 0

    def describe(self) -> str:
        """The files in a few words."""
        first = self.paths[0]
        rest = len(self.paths) - 1
        return first if not rest else f"{first} and {rest} more file{'s' if rest > 1 else ''}"


def resolve_paths(
    paths: PathLike | Sequence[PathLike],
    filesystem: Any,
    extensions: Sequence[str],
    *,
    partitioning: Partitioning | None = HIVE,
    ignore_missing: bool = False,
) -> FileSet:
    """The files that *paths* stand for.

    Args:
        paths: a file, a directory, a pattern (``*``, ``?``, ``**``), a URI, or a list of
            them. The order of a list is kept; files of a directory or pattern come sorted.
            A directory gives all files below it with one of the extensions, compressed or not,
            or with no extension; hidden ones (``.`` or ``_`` first) are left out.
        filesystem: a ``pyarrow.fs.FileSystem`` or ``fsspec`` one that all paths are in; found
            from the paths if ``None``.
        extensions: such as ``(".csv",)``; any if empty.
        partitioning: what directories say; nothing if ``None``.
        ignore_missing: leave out paths that do not exist, as long as one does.

    Raises:
        FileNotFoundError: names the path and, if there is one, a file with a similar name.
        TypeError: *paths* is or holds something that is no path.
        InvalidOption: *paths* is empty, in several file systems, or of an unknown one; or files
            are not where *partitioning* wants them.
    """
    given = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"paths must be a path or a list of paths, got {type(paths).__name__}")
    if not given:
        raise InvalidOption("paths is an empty list: give at least one path")
    found: list[fs.FileInfo] = []
    roots: list[str] = []
    systems: list[Any] = []
    missing: FileNotFoundError | None = None
    for item in given:
        if not isinstance(item, (str, os.PathLike)):
            raise TypeError(f"paths must hold text or pathlib.Path, got {item!r:.80}")
        try:
            system, root, files = _files_of(os.fspath(item), filesystem, extensions)
        except FileNotFoundError as error:
            if not ignore_missing:
                raise
            missing = error
            continue
        systems.append(system)
        roots.append(root)
        found += files
    if not found:
        assert missing is not None
        raise FileNotFoundError(f"none of the paths exists; of the last one: {missing}")
    if any(not system.equals(systems[0]) for system in systems[1:]):
        raise InvalidOption("paths of one read must be in one file system")
    names = [info.path for info in found]
    return FileSet(
        systems[0],
        tuple(names),
        tuple(-1 if info.size is None else info.size for info in found),
        _labels(names, partitioning, common_directory(roots), filesystem),
    )


def _labels(
    paths: Sequence[str], partitioning: Partitioning | None, common: str, filesystem: Any
) -> tuple[Labels, ...]:
    if partitioning is None:
        return tuple(() for _ in paths)
    base = common
    if partitioning.base_dir:
        _, base = filesystem_of(partitioning.base_dir, partitioning.filesystem or filesystem)
    return tuple(partitioning.labels(path, base) for path in paths)


def _files_of(
    text: str, filesystem: Any, extensions: Sequence[str]
) -> tuple[Any, str, list[fs.FileInfo]]:
    """The files that one path stands for, their file system, and the directory they are below."""
    system, path = filesystem_of(text, filesystem)
    if not has_wildcards(path) or system.get_file_info(path).type != fs.FileType.NotFound:
        files = _files_at(system, path, extensions)
        is_file = len(files) == 1 and files[0].path == path
        return system, path.rpartition("/")[0] if is_file else path, files
    files = matching(system, path, lambda match: _files_at(system, match, extensions))
    if not files:
        raise FileNotFoundError(f"no file matches the pattern {text!r}")
    return system, fixed_part(path), files


def _files_at(system: Any, path: str, extensions: Sequence[str]) -> list[Any]:
    info = system.get_file_info(path)
    if info.type == fs.FileType.NotFound:
        why = cut_short(system, path) or _similar(system, path)
        raise FileNotFoundError(f"path {path!r} does not exist.{why}")
    if info.type != fs.FileType.Directory:
        return [info]
    below = system.get_file_info(fs.FileSelector(path, recursive=True))
    files = [
        item
        for item in below
        if item.type == fs.FileType.File and _is_wanted(item.path, path, extensions)
    ]
    if not files:
        if not extensions:
            raise FileNotFoundError(f"directory {path!r} holds no files to read")
        raise FileNotFoundError(
            f"directory {path!r} holds no files to read: none ends with {' or '.join(extensions)}"
            " (name the files, or give a pattern, to read others)"
        )
    return sorted(files, key=lambda item: item.path)


def _is_wanted(path: str, base: str, extensions: Sequence[str]) -> bool:
    inside = _below(path, base).split("/")
    if any(part.startswith((".", "_")) for part in inside):
        return False
    suffixes = [suffix.lower() for suffix in Path(inside[-1]).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return not suffixes or not extensions or suffixes[-1] in extensions


def is_compressed(path: str) -> bool:
    """Whether the ending of *path* says that the whole file is compressed."""
    return path.lower().endswith(_COMPRESSED)


def require_text(files: FileSet, what: str) -> None:
    """Refuse files that no reader of text can unpack: it would take them for text.

    Raises:
        ReadError: names the first of these.
    """
    for path in files.paths:
        if path.lower().endswith(_PACKED):
            raise ReadError(
                f"{what}: {path} is packed in a way that is not read here: unpack it, or pack it"
                f" as one of {', '.join(_COMPRESSED)}"
            )


def _below(path: str, base: str) -> str:
    return path[len(base) :].strip("/")


def _similar(system: Any, path: str) -> str:
    """What else there is: a file with a similar name, or the nearest directory that exists."""
    parent, _, name = path.rpartition("/")
    if not parent:
        return ""
    kind = system.get_file_info(parent).type
    if kind == fs.FileType.NotFound:
        return f" There is no directory {_outermost_missing(system, parent)!r}."
    if kind != fs.FileType.Directory:
        return f" {parent!r} is a file."
    siblings = system.get_file_info(fs.FileSelector(parent))
    return nearest(name, [info.base_name for info in siblings])


def _outermost_missing(system: Any, directory: str) -> str:
    above = directory.rpartition("/")[0]
    while above and system.get_file_info(above).type == fs.FileType.NotFound:
        directory, above = above, above.rpartition("/")[0]
    return directory
