"""Values, failures and references, as messages describe them."""

from __future__ import annotations

import msgspec

INLINE, SHARED, FAILED = 0, 1, 2


STREAMING = -1


class Ref(msgspec.Struct, array_like=True, frozen=True):
    """A reference inside a value: what it stands for and where its owner listens."""

    id: bytes
    address: str


class Value(msgspec.Struct, array_like=True, frozen=True):
    """A value (or a failure) in pieces: its pickle stream, then its buffers.

    ``INLINE`` and ``FAILED`` pieces are in the payload; ``SHARED`` ones in a segment of
    *node*, or, if they were *spilled*, in a file there (*segment* is its number).
    """

    kind: int
    lengths: list[int]
    refs: list[Ref] = []
    segment: int = 0
    offset: int = 0
    node: int = 0
    spilled: bool = False
