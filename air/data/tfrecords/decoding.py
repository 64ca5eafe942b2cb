"""Columns of ``Example`` messages, which are maps of names to lists of bytes, floats or ints.

Messages are taken apart as protocol buffers are encoded
(https://protobuf.dev/programming-guides/encoding/); fields are those of TensorFlow's
``example.proto`` and ``feature.proto``::

    Example {Features features = 1}    Features {map<string, Feature> feature = 1}
    Feature {oneof: BytesList = 1, FloatList = 2, Int64List = 3}, each {repeated value = 1}

For each feature of each message only its bytes are cut out; numbers are decoded for a whole column
at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from air.data.tfrecords.framing import Record

BYTES, FLOATS, INTS = 1, 2, 3
KINDS = {BYTES: pa.binary(), FLOATS: pa.float32(), INTS: pa.int64()}
"""The type of a value of each kind."""

_KIND_NAMES = {BYTES: "bytes", FLOATS: "floats", INTS: "ints"}


class BadMessage(ValueError):
    """A record is no ``Example`` message, or does not go together with those before it.

    Attributes:
        offset: where it begins.
    """

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(why)
        self.offset = offset


@dataclass
class Column:
    """What the messages so far have of one feature.

    Attributes:
        kind: of its values; 0 as long as no message had any.
        rows: the messages that have the feature, by number.
        parts: for each of them the encoded values, or a list of them if they are bytes.
    """

    kind: int = 0
    rows: list[int] = field(default_factory=list)
    parts: list[Any] = field(default_factory=list)

    def values(self, num_rows: int) -> pa.ListArray:
        """A list for each message, null for those without the feature."""
        if self.kind == BYTES:
            counts = np.fromiter(map(len, self.parts), np.int64, len(self.parts))
            items = pa.array([item for part in self.parts for item in part], pa.binary())
        elif self.kind == FLOATS:
            joined = b"".join(self.parts)
            counts = np.fromiter(map(len, self.parts), np.int64, len(self.parts)) // 4
            items = pa.array(np.frombuffer(joined, "<f4"))
        else:
            numbers, ends = varints(b"".join(self.parts))
            items = pa.array(numbers)
            lengths = np.fromiter(map(len, self.parts), np.int64, len(self.parts))
            # The values that end before the end of each part.
            counts = np.diff(np.searchsorted(ends, np.cumsum(lengths), "left"), prepend=0)
        sizes = np.zeros(num_rows, np.int64)
        sizes[self.rows] = counts
        absent = np.ones(num_rows, bool)
        absent[self.rows] = False
        offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), items, mask=pa.array(absent))


def varints(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that are encoded one after the other, and the place of the last byte of each."""
    digits = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(digits < 128)
    if len(ends) == len(digits):
        return digits.astype(np.int64), ends
    starts = np.concatenate(([0], ends[:-1] + 1))
    place = np.arange(len(digits)) - np.repeat(starts, ends - starts + 1)
    shifted = (digits & 127).astype(np.uint64) << (place * 7).astype(np.uint64)
    return np.bitwise_or.reduceat(shifted, starts).view(np.int64), ends


def columns_of(
    records: list[Record], wanted: frozenset[str] | None, kinds: dict[str, int]
) -> dict[str, Column]:
    """The features of messages, by name, in the order in which they first come.

    Args:
        wanted: names of those to look at; all if ``None``.
        kinds: what earlier messages had; kept up to date.

    Raises:
        BadMessage: a record is no ``Example``, or a feature is of another kind than before.
    """
    columns: dict[str, Column] = {}
    names: dict[bytes, str | None] = {}
    for row, (offset, message) in enumerate(records):
        try:
            found = _features(message)
            for key, kind, start, end in found:
                if key not in names:
                    text = key.decode()
                    names[key] = text if wanted is None or text in wanted else None
                name = names[key]
                if name is None or not kind:
                    continue
                column = columns.get(name)
                if column is None:
                    column = columns[name] = Column(kinds.setdefault(name, kind))
                if kind != column.kind:
                    raise BadMessage(
                        offset,
                        f"its feature {name!r} holds {_KIND_NAMES[kind]}, and others before it"
                        f" {_KIND_NAMES[column.kind]}",
                    )
                part = _values(message, start, end, kind)
                if column.rows and column.rows[-1] == row:  # as messages do: the last one counts
                    column.parts[-1] = part
                else:
                    column.rows.append(row)
                    column.parts.append(part)
        except (IndexError, UnicodeDecodeError, _NoMessage) as error:
            raise BadMessage(offset, f"it is no Example message ({error})") from None
    return columns


class _NoMessage(ValueError):
    """Bytes that are no encoded message."""


def _number(buffer: bytes, at: int) -> tuple[int, int]:
    """The number that is encoded at a place, and the place behind it."""
    value = shift = 0
    while True:
        digit = buffer[at]
        at += 1
        value |= (digit & 127) << shift
        if digit < 128:
            return value, at
        shift += 7


def _field(buffer: bytes, at: int, end: int) -> tuple[int, int, int]:
    """The tag of a field, and where its content begins and ends."""
    tag, at = _number(buffer, at)
    wire = tag & 7
    if wire == 2:
        length, at = _number(buffer, at)
        stop = at + length
    elif wire == 0:
        stop = _number(buffer, at)[1]
    elif wire in (1, 5):
        stop = at + (8 if wire == 1 else 4)
    else:
        raise _NoMessage(f"it has a field of the type {wire}")
    if stop > end:
        raise _NoMessage("a field is longer than what it is in")
    return tag, at, stop


def _features(message: bytes) -> list[tuple[bytes, int, int, int]]:
    """The name of each feature, its kind (0 if it has none) and where its list is."""
    try:
        return _usual_features(message)
    except (_Unusual, IndexError):
        return _any_features(message)


class _Unusual(Exception):
    """A message may be encoded in another way than writers do."""


def _usual_features(message: bytes) -> list[tuple[bytes, int, int, int]]:
    """What :func:`_any_features` gives, for messages with the name first and nothing unknown.

    Numbers below 128 are read in place, because calls would take most of the time.
    """
    found = []
    end = len(message)
    at = 2
    if end:
        stop = message[1]
        if stop > 127:
            stop, at = _number(message, 1)
        if message[0] != 0x0A or at + stop != end:
            raise _Unusual
    while at < end:
        length, inner = message[at + 1], at + 2
        if length > 127:
            length, inner = _number(message, at + 1)
        stop = inner + length
        size = message[inner + 1]
        if message[at] != 0x0A or message[inner] != 0x0A or size > 127:
            raise _Unusual
        key = message[inner + 2 : inner + 2 + size]
        inner += 2 + size
        length, first = message[inner + 1], inner + 2
        if length > 127:
            length, first = _number(message, inner + 1)
        if message[inner] != 0x12 or first + length != stop or not length:
            raise _Unusual
        tag, length, inner = message[first], message[first + 1], first + 2
        if length > 127:
            length, inner = _number(message, first + 1)
        if tag not in (0x0A, 0x12, 0x1A) or inner + length != stop or stop > end:
            raise _Unusual
        found.append((key, tag >> 3, inner, stop))
        at = stop
    return found


def _any_features(message: bytes) -> list[tuple[bytes, int, int, int]]:
    found = []
    at, end = 0, len(message)
    while at < end:
        tag, inner, stop = _field(message, at, end)
        at = stop
        if tag != 0x0A:
            continue
        while inner < stop:
            tag, entry, entry_end = _field(message, inner, stop)
            inner = entry_end
            if tag != 0x0A:
                continue
            key, kind, first, last = b"", 0, 0, 0
            while entry < entry_end:
                tag, start, entry = _field(message, entry, entry_end)
                if tag == 0x0A:
                    key = message[start:entry]
                elif tag == 0x12:
                    while start < entry:
                        tag, first, start = _field(message, start, entry)
                        last = start
                        kind = tag >> 3 if tag in (0x0A, 0x12, 0x1A) else kind
            found.append((key, kind, first, last))
    return found


def _values(message: bytes, at: int, end: int, kind: int) -> Any:
    """The values of a list: all bytes of numbers, or the items if they are bytes."""
    if at < end and message[at] == 0x0A:  # one item, or numbers one after the other
        length, start = message[at + 1], at + 2
        if length > 127:
            length, start = _number(message, at + 1)
        if start + length == end:
            items = [message[start:end]]
            return items if kind == BYTES else _whole(items[0], kind)
    items = []
    while at < end:
        tag, start, at = _field(message, at, end)
        if tag >> 3 == 1:
            if tag & 7 not in ((2,) if kind == BYTES else (2, 5 if kind == FLOATS else 0)):
                raise _NoMessage(f"{_KIND_NAMES[kind]} are not encoded as such")
            items.append(message[start:at])
    if kind == BYTES:
        return items
    return _whole(b"".join(items), kind)


def _whole(joined: bytes, kind: int) -> bytes:
    if (kind == FLOATS and len(joined) % 4) or (kind == INTS and joined and joined[-1] >= 128):
        raise _NoMessage("a number is cut short")
    return joined
