"""What :class:`~air_cluster.core.copies.Copies` is told, and what it tells the daemon to do."""

from __future__ import annotations

import enum

import msgspec


class Source(msgspec.Struct, frozen=True):
    """Where a value lies.

    Attributes:
        node: the number of the node that has it.
        spilled: whether it is in a file, else in shared memory.
        place: the number of the file or segment there.
        offset: first byte in it.
        lengths: bytes of the parts of the value.
        nbytes: bytes from the first part to the last.
    """

    node: int
    spilled: bool
    place: int
    offset: int
    lengths: tuple[int, ...]
    nbytes: int


class FailureKind(enum.Enum):
    """Why a value was not fetched."""

    LOST = "lost"
    """It is not where it should be; the node is gone. No use to try again."""

    CUT = "cut"
    """The connection failed or stalled: another one may not."""

    FULL = "full"
    """There is no memory for it now."""

    TOO_LARGE = "too large"
    """There will never be."""

    ON_DISK = "on disk"
    """There is no memory for it now; but it is on this node's disk, and can be read there."""


class Fetch(msgspec.Struct, frozen=True):
    """Find memory for a value and fetch it.

    Report ``found_room`` once there is memory, and ``fetched`` or ``fetch_failed`` at the end.
    """

    number: int
    object_id: bytes
    source: Source


class Cancel(msgspec.Struct, frozen=True):
    """Stop a fetch. Its end is still to be reported, and how it ended does not matter."""

    number: int


class Ready(msgspec.Struct, frozen=True):
    """Answer a request: the copy is at *offset* of *segment*."""

    process: bytes
    request: int
    segment: int
    offset: int
    lengths: tuple[int, ...]


class Fail(msgspec.Struct, frozen=True):
    """Answer a request: there will be no copy. The claim is gone."""

    process: bytes
    request: int
    kind: FailureKind
    reason: str


class Drop(msgspec.Struct, frozen=True):
    """Free the memory of a copy that nobody reads."""

    segment: int
    offset: int
    lengths: tuple[int, ...]
    nbytes: int


Instruction = Fetch | Cancel | Ready | Fail | Drop
