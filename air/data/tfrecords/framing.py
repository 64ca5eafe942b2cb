"""Records in a file: a length, its checksum, the content and its checksum.

The format is TensorFlow's (https://www.tensorflow.org/tutorials/load_data/tfrecord): numbers are
little-endian, and checksums are CRC32C (RFC 3720, appendix B.4), rotated and shifted so that
checksums of data that holds checksums are not trivial.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from air.data.errors import ReadError
from air.executor.extras import import_extra

_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")
_LENGTH = struct.Struct("<Q")
_ZLIB = (".zlib", ".zz")

Record = tuple[int, bytes]
"""Where a record begins, in bytes of the unpacked file, and its content."""


def checksum() -> Callable[[bytes], int]:
    """The CRC32C of bytes.

    Raises:
        ImportError: the library that computes it is not installed; says how to install it.
    """
    module = import_extra("google_crc32c", "TFRecords", "airloom[tfrecords]")
    value: Callable[[bytes], int] = module.value
    return value


def masked(crc: int) -> int:
    """The checksum as it is stored."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def framed(content: bytes, crc32c: Callable[[bytes], int]) -> bytes:
    """A record with its length and checksums."""
    length = _LENGTH.pack(len(content))
    head = length + _TAIL.pack(masked(crc32c(length)))
    return b"".join((head, content, _TAIL.pack(masked(crc32c(content)))))


def records(file: Any, path: str, piece_bytes: int) -> Iterator[list[Record]]:
    """The records of an open file, about *piece_bytes* of them at a time.

    Files whose names end with ``.zlib`` or ``.zz`` are unpacked.

    Raises:
        ReadError: the file is damaged or no such file; names it and the place of the record.
    """
    crc32c = checksum()
    unpacker = zlib.decompressobj() if path.endswith(_ZLIB) else None
    rest = b""
    base = 0
    while content := file.read(piece_bytes):
        if unpacker is not None:
            try:
                content = unpacker.decompress(content)
            except zlib.error as error:
                raise ReadError(f"{path} cannot be unpacked: {error}") from None
        buffer = rest + content if rest else content
        found, used = _cut(buffer, base, path, crc32c)
        if found:
            yield found
        rest = buffer[used:]
        base += used
    if unpacker is not None and not unpacker.eof and (rest or base):
        raise ReadError(f"{path} cannot be unpacked: it ends too early")
    if rest:
        raise ReadError(
            f"{path} is cut short: the record at byte {base} has {len(rest)} bytes and needs more"
        )


def _cut(
    buffer: bytes, base: int, path: str, crc32c: Callable[[bytes], int]
) -> tuple[list[Record], int]:
    """The whole records at the beginning of *buffer*, and where the next one begins."""
    found: list[Record] = []
    start, size = 0, len(buffer)
    while size - start >= 12:
        length, expected = _HEAD.unpack_from(buffer, start)
        if masked(crc32c(buffer[start : start + 8])) != expected:
            raise ReadError(
                f"{path} is damaged at byte {base + start}, or holds no TFRecords: the checksum of"
                " the record's length is wrong"
            )
        end = start + 12 + length
        if end + 4 > size:
            break
        content = buffer[start + 12 : end]
        (expected,) = _TAIL.unpack_from(buffer, end)
        if masked(crc32c(content)) != expected:
            raise ReadError(
                f"{path} is damaged in the record at byte {base + start} ({length} bytes): the"
                " checksum of its content is wrong"
            )
        found.append((base + start, content))
        start = end + 4
    return found, start
