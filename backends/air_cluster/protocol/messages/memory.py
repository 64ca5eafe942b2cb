"""Between clients and daemons: shared memory, copies on other nodes, and the disk."""

from __future__ import annotations

import msgspec


class NeedSegment(msgspec.Struct, tag=25, array_like=True, frozen=True):
    """Grant me shared memory: *size* bytes, or *at_least* so many if there are no more."""

    request: int
    size: int
    at_least: int


class OpenSegment(msgspec.Struct, tag=26, array_like=True, frozen=True):
    """Let me map this segment, or (*on_disk*) this file of values that were spilled."""

    request: int
    segment: int
    on_disk: bool = False


class SegmentReply(msgspec.Struct, tag=27, array_like=True, frozen=True):
    """Answer to both; a file descriptor comes with it unless there is an error."""

    request: int
    segment: int
    size: int
    error: str


class DropSegment(msgspec.Struct, tag=28, array_like=True, frozen=True):
    """I hold nothing in this segment of a node any more."""

    node: int
    segment: int


class TrimStore(msgspec.Struct, tag=36, array_like=True, frozen=True):
    """Memory is short: drop the segments in which you hold nothing."""

    number: int


class StoreTrimmed(msgspec.Struct, tag=37, array_like=True, frozen=True):
    """Answer to ``TrimStore``, behind the ``DropSegment`` of each."""

    number: int


class SegmentGone(msgspec.Struct, tag=38, array_like=True, frozen=True):
    """This segment was dropped: unmap it."""

    segment: int


class FetchCopy(msgspec.Struct, tag=57, array_like=True, frozen=True):
    """Make a value readable here that is on another node, or on disk.

    *segment* (of a spilled value: the file) and *offset* are those of *node*.
    """

    request: int
    object_id: bytes
    node: int
    segment: int
    offset: int
    lengths: list[int]
    spilled: bool = False


class CopyReply(msgspec.Struct, tag=58, array_like=True, frozen=True):
    """Answer to ``FetchCopy``: where the copy lies, in a segment of this node.

    With an error, *full* says that there is no memory for it, *on_disk* that there is none but
    that it can be read from its file; else the value is lost.
    """

    request: int
    segment: int
    offset: int
    lengths: list[int]
    error: str
    full: bool = False
    on_disk: bool = False


class CopyReleased(msgspec.Struct, tag=59, array_like=True, frozen=True):
    """I read this copy no more; *was_read* says that I ever did, and did not only wait for it."""

    object_id: bytes
    was_read: bool = False


class ShrinkSegment(msgspec.Struct, tag=115, array_like=True, frozen=True):
    """I give *nbytes* of a segment back, and will not use them again."""

    segment: int
    nbytes: int


class SpillWanted(msgspec.Struct, tag=110, array_like=True, frozen=True):
    """To owners: memory is short on *node*; which values there may go to disk?"""

    run: int
    node: int
    nbytes: int


class SpillOffer(msgspec.Struct, array_like=True, frozen=True):
    """A value that may go, and for how many seconds it was not used."""

    object_id: bytes
    segment: int
    offset: int
    nbytes: int
    idle_s: float


class SpillOffers(msgspec.Struct, tag=111, array_like=True, frozen=True):
    """Answer to ``SpillWanted``."""

    run: int
    offers: list[SpillOffer]


class Spilled(msgspec.Struct, tag=112, array_like=True, frozen=True):
    """To the owner: a value is on the disk of *node* now; its memory is free if it agrees."""

    object_id: bytes
    node: int
    file: int
    offset: int


class SpillSettled(msgspec.Struct, tag=113, array_like=True, frozen=True):
    """Answer to ``Spilled``: whether the value was left alone since it was offered."""

    object_id: bytes
    accepted: bool


class SpillFreed(msgspec.Struct, tag=114, array_like=True, frozen=True):
    """From the owner: this value on disk is needed no more."""

    object_id: bytes
