"""Values as a process keeps them, and how they look on the wire."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from air.executor.serialization import Serialized
from air_cluster.protocol.ids import NO_NODE
from air_cluster.protocol.messages import FAILED, INLINE, SHARED, Ref, Value
from air_cluster.store.layout import Location, extent

INLINE_MAX_BYTES = 64 << 10
"""Larger values go to shared memory."""


class Content(msgspec.Struct):
    """A value that is there: pieces in this process, or a place in shared memory.

    Attributes:
        kind: ``INLINE``, ``SHARED`` or ``FAILED``.
        pieces: the pickle stream and its buffers, or the one piece of a failure.
        location: where a ``SHARED`` value lies.
        holder: the process whose memory that is, which must be told when it is free.
        node: the number of the node whose memory that is.
        spilled: whether it is on that node's disk instead; then *location* is a place in a file.
        refs: the references inside, with their owners' addresses.
    """

    kind: int
    pieces: Sequence[bytes] = ()
    location: Location | None = None
    holder: bytes = b""
    node: int = NO_NODE
    spilled: bool = False
    refs: Sequence[Ref] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of the pickle stream and its buffers."""
        return sum(self.location.lengths if self.location is not None else map(len, self.pieces))

    def to_wire(self) -> Value:
        """How the value is described in a message; ``pieces`` go into the payload."""
        if self.location is not None:
            return Value(
                SHARED,
                list(self.location.lengths),
                list(self.refs),
                self.location.segment,
                self.location.offset,
                self.node,
                self.spilled,
            )
        return Value(self.kind, [len(piece) for piece in self.pieces], list(self.refs))


NOTHING = Content(INLINE)
"""Arguments of a call without any."""

NOTHING_ON_WIRE = NOTHING.to_wire()


def inline(serialized: Serialized, refs: Sequence[Ref]) -> Content:
    """A small value; copies the buffers, which belong to the user."""
    pieces = [serialized.stream, *(bytes(buffer) for buffer in serialized.buffers)]
    return Content(INLINE, pieces, refs=refs)


def failure(pickled: bytes, refs: Sequence[Ref] = ()) -> Content:
    """An exception in the place of a value."""
    return Content(FAILED, [pickled], refs=refs)


def from_wire(value: Value, payload: bytes, start: int, holder: bytes) -> tuple[Content, int]:
    """The content that *value* describes; its pieces begin at *start* of the payload.

    Returns:
        The content and where the next value's pieces begin.
    """
    if value.kind == SHARED:
        location = shared_location(value.segment, value.offset, value.lengths)
        content = Content(
            SHARED,
            location=location,
            holder=holder,
            node=value.node,
            spilled=value.spilled,
            refs=value.refs,
        )
        return content, start
    if len(value.lengths) == 1 and start == 0 and value.lengths[0] == len(payload):
        return Content(value.kind, [payload], refs=value.refs), len(payload)
    pieces = []
    for length in value.lengths:
        pieces.append(payload[start : start + length])
        start += length
    return Content(value.kind, pieces, refs=value.refs), start


def shared_location(segment: int, offset: int, lengths: Sequence[int]) -> Location:
    """A place in shared memory, from what a message says of it."""
    return Location(segment, offset, tuple(lengths), extent(lengths))
