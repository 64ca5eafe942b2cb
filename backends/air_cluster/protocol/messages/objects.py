"""Between clients: values of others, and who still wants them."""

from __future__ import annotations

import msgspec

from air_cluster.protocol.messages.values import Value


class FetchObject(msgspec.Struct, tag=49, array_like=True, frozen=True):
    """To the owner: send me this value when it is there."""

    object_id: bytes


class ObjectValue(msgspec.Struct, tag=50, array_like=True, frozen=True):
    """From the owner. Payload: the value."""

    object_id: bytes
    value: Value


class BorrowAdd(msgspec.Struct, tag=51, array_like=True, frozen=True):
    """To the owner: I hold references to these; acknowledge with *token* if it is not 0."""

    object_ids: list[bytes]
    token: int


class BorrowAck(msgspec.Struct, tag=52, array_like=True, frozen=True):
    """The borrow is on record."""

    token: int


class BorrowRemove(msgspec.Struct, tag=53, array_like=True, frozen=True):
    """To the owner: I hold none of these any more."""

    object_ids: list[bytes]


class FreeShared(msgspec.Struct, tag=54, array_like=True, frozen=True):
    """To whoever wrote a value: its bytes are free."""

    segment: int
    offset: int
    lengths: list[int]


class ValueLost(msgspec.Struct, tag=119, array_like=True, frozen=True):
    """To the owner: a value cannot be read from the place on this node's disk where it was."""

    object_id: bytes
    file: int
    offset: int


class ReleaseReturned(msgspec.Struct, tag=55, array_like=True, frozen=True):
    """To whoever returned a value: the references in it are on record with their owners."""

    object_id: bytes
