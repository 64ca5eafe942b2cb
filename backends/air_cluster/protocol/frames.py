"""Frames: a length-prefixed MessagePack message with raw bytes beside it.

Layout, all integers little-endian::

    u32 length of message and payload together
    u32 length of the message
    the message (see protocol/messages)
    the payload: values, never parsed by whoever only passes them on

Large values do not travel in frames but through shared memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import msgspec

from air_cluster.protocol.codec import Message, decode, encode

MAX_FRAME_BYTES = 512 << 20
"""A frame that says it is longer ends the connection: no peer of ours sends one."""

_HEADER = struct.Struct("<II")
_COMPACT_AFTER = 1 << 20
_GATHER_FROM = 128 << 10

Buffer = bytes | bytearray | memoryview


class FrameError(Exception):
    """The peer sent something that is not a frame of this protocol."""


def pack(message: Message, payload: Sequence[Buffer] = ()) -> list[Buffer]:
    """The parts of one frame, ready for a gathering write.

    Raises:
        FrameError: it would be longer than :data:`MAX_FRAME_BYTES`.
    """
    body = encode(message)
    size = len(body)
    total = size + sum(map(len, payload)) if payload else size
    if total > MAX_FRAME_BYTES:
        raise FrameError(
            f"a {type(message).__name__} of {total} bytes is longer than {MAX_FRAME_BYTES}"
        )
    return [_HEADER.pack(total, size) + body, *payload]


class FrameDecoder:
    """Turns received bytes, however they were cut, into messages with their payloads."""

    __slots__ = ("_buffer", "_message", "_missing", "_pieces", "_start")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0
        # Of a frame whose payload is long and has begun to arrive: the pieces are joined once,
        # in place of being moved each time the buffer grows.
        self._message: Message | None = None
        self._pieces: list[bytes] = []
        self._missing = 0

    def feed(self, data: Buffer) -> Iterator[tuple[Message, bytes]]:
        """Yield each complete ``(message, payload)``.

        Payloads are copies, valid for ever.

        Raises:
            FrameError: a length is out of bounds or a message does not parse.
        """
        if self._message is not None:
            data = self._gather(data)
            if self._missing:
                return
        # The common case: nothing left over from before and whole frames in *data*.
        if self._start == len(self._buffer):
            self._buffer = bytearray(data)
            self._start = 0
        else:
            self._buffer += data
        if self._message is not None:
            message, payload = self._message, b"".join(self._pieces)
            self._message, self._pieces = None, []
            yield message, payload
        view = memoryview(self._buffer)
        try:
            end = len(view)
            while end - self._start >= _HEADER.size:
                total, size = _HEADER.unpack_from(view, self._start)
                if total > MAX_FRAME_BYTES or size > total:
                    raise FrameError(f"bad frame: {total} bytes, message of {size}")
                begin = self._start + _HEADER.size
                split = begin + size
                missing = begin + total - end
                if missing > 0 and (total - size < _GATHER_FROM or split > end):
                    break
                try:
                    message = decode(view[begin:split])
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    raise FrameError(f"bad message: {error}") from error
                if missing > 0:
                    self._message, self._missing = message, missing
                    self._pieces = [bytes(view[split:end])]
                    self._start = end
                    break
                payload = bytes(view[split : begin + total]) if total > size else b""
                self._start = begin + total
                yield message, payload
        finally:
            view.release()
        self._compact()

    def _gather(self, data: Buffer) -> Buffer:
        """Take what belongs to the payload that has begun; returns what is behind it."""
        piece = bytes(data) if len(data) <= self._missing else bytes(data[: self._missing])
        self._pieces.append(piece)
        self._missing -= len(piece)
        return memoryview(data)[len(piece) :]

    def _compact(self) -> None:
        if self._start == len(self._buffer):
            self._buffer = bytearray()
            self._start = 0
        elif self._start > _COMPACT_AFTER:
            del self._buffer[: self._start]
            self._start = 0

    @property
    def pending(self) -> int:
        """Bytes of a frame that has not arrived whole."""
        gathered = sum(len(piece) for piece in self._pieces)
        return len(self._buffer) - self._start + gathered
