"""What is asked of nodes about their log files, by surveys (see ``messages.Survey``)."""

from __future__ import annotations

import msgspec

LOGS_TOPIC = "logs"


class Question(msgspec.Struct, array_like=True, frozen=True):
    """A list of files, or a part of one.

    Attributes:
        node: which one is meant, by its name; all of them if empty.
        name: of the file; the list if empty.
        place: where to go on (``air.executor.log_records.LogText.place``).
        tail: from that many lines before the end on, without regard to *place*; -1 for not.
    """

    node: str = ""
    name: str = ""
    place: tuple[int, int] = (0, 0)
    tail: int = -1


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """A file, with its older parts."""

    name: str
    nbytes: int
    modified: float


class Text(msgspec.Struct, array_like=True, frozen=True):
    """Some bytes of it."""

    data: bytes
    place: tuple[int, int]
    at_end: bool
    error: str = ""


class Told(msgspec.Struct, array_like=True, frozen=True):
    """What a node says."""

    entries: list[Entry] = []
    text: Text | None = None
