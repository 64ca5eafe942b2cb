"""Between nodes: connections that survive the loss of their sockets."""

from __future__ import annotations

import msgspec


class LinkOpen(msgspec.Struct, tag=140, array_like=True, frozen=True):
    """First on a connection: carry this link, new or resumed (see ``transport.resuming``).

    Attributes:
        received: so many frames have come over the link so far.
        acknowledged: so many were sent that the other side has said to have.
        resumes: whether frames may have been lost, and an answer is waited for.
    """

    link: bytes
    received: int
    acknowledged: int
    resumes: bool


class LinkResumed(msgspec.Struct, tag=141, array_like=True, frozen=True):
    """Answer to ``LinkOpen``: go on after so many frames."""

    received: int


class LinkGone(msgspec.Struct, tag=142, array_like=True, frozen=True):
    """Answer to ``LinkOpen``: that link is over."""


class LinkAck(msgspec.Struct, tag=143, array_like=True, frozen=True):
    """So many frames of the link have come."""

    received: int
