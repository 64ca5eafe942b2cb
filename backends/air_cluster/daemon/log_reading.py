"""Log files as others ask for them: by the names that they have on this node."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from air.executor.log_records import BEGINNING
from air_cluster.protocol.log_questions import Entry, Question, Text

_MOST_BYTES = 256 << 10
_BLOCK = 64 << 10
_MOST_TAIL = 16 << 20
"""So far back are lines counted."""


def listed(directory: str) -> list[Entry]:
    """All files, each with its older parts, in the order of their names."""
    found: dict[str, Entry] = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(directory):
            with contextlib.suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                name = _without_number(entry.name)
                known = found.get(name, Entry(name, 0, 0.0))
                latest = max(known.modified, about.st_mtime)
                found[name] = Entry(name, known.nbytes + about.st_size, latest)
    return [found[name] for name in sorted(found)]


def read(directory: str, question: Question) -> Text:
    """Some bytes from a place on, or from the beginning of the last lines on."""
    name = question.name
    if os.path.basename(name) != name or name in ("", ".", ".."):
        return Text(b"", BEGINNING, True, f"{name!r} is no name of a file")
    with contextlib.ExitStack() as stack:
        parts = _open_parts(os.path.join(directory, name), stack)
        if not parts:
            return Text(b"", BEGINNING, True, f"there is no file {name!r}")
        place = tuple(question.place)
        if question.tail >= 0:
            place = _start_of(parts, question.tail)
        return _read_on(parts, (place[0], place[1]))


def _without_number(name: str) -> str:
    stem, _, number = name.rpartition(".")
    return stem if number.isdecimal() and stem else name


def _open_parts(path: str, stack: contextlib.ExitStack) -> list[tuple[int, int]]:
    """Descriptors and inodes of a file and its older parts, oldest first."""
    parts = []
    for candidate in _candidates(path):
        try:
            fd = os.open(candidate, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            break
        stack.callback(os.close, fd)
        parts.append((fd, os.fstat(fd).st_ino))
    return parts[::-1]


def _candidates(path: str) -> Iterator[str]:
    # Right after a rotation the newest part is not there yet.
    if os.path.exists(path):
        yield path
    number = 1
    while True:
        yield f"{path}.{number}"
        number += 1


def _start_of(parts: list[tuple[int, int]], lines: int) -> tuple[int, int]:
    """Where the last lines begin."""
    left = lines
    seen = 0
    for fd, inode in reversed(parts):
        size = end = os.fstat(fd).st_size
        if not seen and size and os.pread(fd, 1, size - 1) != b"\n":
            left -= 1  # the last line has no end yet
        while end:
            begin = max(0, end - _BLOCK)
            block = os.pread(fd, end - begin, begin)
            at = len(block)
            while (at := block.rfind(b"\n", 0, at)) >= 0:
                if left < 1:
                    return inode, begin + at + 1
                left -= 1
            end = begin
            seen += len(block)
            if seen > _MOST_TAIL:
                return inode, begin
        if not seen:
            seen = 1
    return BEGINNING


def _read_on(parts: list[tuple[int, int]], place: tuple[int, int]) -> Text:
    inode, offset = place
    index = next((i for i, (_, one) in enumerate(parts) if one == inode), None)
    if index is None:
        index, offset = 0, 0  # from the beginning, or that part is gone
    pieces: list[bytes] = []
    left = _MOST_BYTES
    for number in range(index, len(parts)):
        fd, inode = parts[number]
        data = os.pread(fd, left, offset)
        pieces.append(data)
        offset += len(data)
        left -= len(data)
        if left <= 0:
            return Text(b"".join(pieces), (inode, offset), False)
        if number + 1 < len(parts):
            offset = 0
    return Text(b"".join(pieces), (inode, offset), True)
