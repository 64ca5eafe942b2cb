"""Patterns of paths, on any file system: ``*``, ``?``, ``[...]``, and ``**`` for directories."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from typing import Any

from pyarrow import fs

_WILDCARDS = frozenset("*?[")


_TOKENS = re.compile(r"\[(?:!(?:\][^]]*|[^]]+)|\][^]]*|[^]!][^]]*)\]|.", re.DOTALL)
"""Sets, of which a bracket that comes first does not end one, and single characters."""


def has_wildcards(path: str) -> bool:
    """Whether *path* may be a pattern."""
    return bool(_WILDCARDS & set(path))


def fixed_part(pattern: str) -> str:
    """The innermost directory that is named without wildcards."""
    parts = pattern.split("/")
    return "/".join(parts[: next(i for i, part in enumerate(parts) if has_wildcards(part))])


def matching(
    system: Any, pattern: str, files_at: Callable[[str], list[fs.FileInfo]]
) -> list[fs.FileInfo]:
    """The files that *pattern* stands for, sorted by what matched.

    Args:
        files_at: the files for a path that matches, of which a directory has several.
    """
    if isinstance(system, fs.LocalFileSystem):
        matches = sorted(glob.glob(pattern, recursive=True))
    else:
        matches = _matches(system, pattern)
    return [info for match in matches for info in files_at(match)]


def _matches(system: Any, pattern: str) -> list[str]:
    fits = re.compile(translated(pattern)).fullmatch
    depth = pattern.count("/")
    base = fixed_part(pattern)
    is_deep = "**" in pattern.split("/")
    selector = fs.FileSelector(
        base, recursive=is_deep or depth > base.count("/") + 1, allow_not_found=True
    )
    found = (info.path for info in system.get_file_info(selector))
    return sorted(path for path in found if fits(path))


def translated(pattern: str) -> str:
    """The regular expression for a pattern; as in ``glob``, only names with a dot fit a dot."""
    parts = []
    *outer, last = pattern.split("/")
    for part in outer:
        if part == "**":
            parts.append(r"(?:[^/.][^/]*/)*")
        else:
            parts.append(_one(part) + "/")
    return "".join(parts) + (r"(?:[^/.][^/]*/)*[^/.][^/]*" if last == "**" else _one(last))


def _one(part: str) -> str:
    if not has_wildcards(part):
        return re.escape(part)
    inner = "".join(
        {"*": "[^/]*", "?": "[^/]"}.get(token) or _characters(token)
        for token in _TOKENS.findall(part)
    )
    return inner if part.startswith(".") else rf"(?!\.){inner}"


def _characters(token: str) -> str:
    """For one character of a pattern, or for a set of them such as ``[!a-c]``."""
    if len(token) == 1:
        return re.escape(token)
    inside = token[1:-1].removeprefix("!")
    # As with glob, a range that ends before it begins has no characters, and a dash at either end
    # of a set is one.
    found = [match.group() for match in re.finditer(r".-.|.", inside, re.DOTALL)]
    wanted = "".join(
        f"{re.escape(one[0])}-{re.escape(one[2])}" if len(one) == 3 else re.escape(one)
        for one in found
        if len(one) == 1 or one[0] <= one[2]
    )
    if token.startswith("[!"):
        return f"[^/{wanted}]"
    return f"[{wanted}]" if wanted else "(?!)"
