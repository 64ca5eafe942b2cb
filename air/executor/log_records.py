"""What a backend tells of its log files."""

from __future__ import annotations

from dataclasses import dataclass, field

BEGINNING = (0, 0)
"""The place before everything that a file and its older parts hold."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file that is kept on a node.

    Attributes:
        node_id: of the node.
        node_ip: its address.
        name: of the file there.
        nbytes: its size, with its older parts.
        modified: when something was written to it last, in seconds since 1970.
    """

    node_id: str
    node_ip: str
    name: str
    nbytes: int
    modified: float


@dataclass(frozen=True, slots=True)
class LogText:
    """A part of a file.

    Attributes:
        data: the bytes.
        place: where to go on.
        at_end: whether there is no more for now.
    """

    data: bytes
    place: tuple[int, int]
    at_end: bool


@dataclass(slots=True)
class LogListing:
    """The files of all nodes.

    Attributes:
        files: by node and name.
        silent: who has not answered, in words.
    """

    files: list[LogFile] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
