from __future__ import annotations

import msgspec
import pytest

from air.executor.serialization import Serialized
from air_cluster.store import layout
from air_cluster.store.layout import Location

VALUES = [
    Serialized(b"x", []),
    Serialized(b"x" * 64, [memoryview(b"")]),
    Serialized(b"x" * 65, [memoryview(b"abc"), memoryview(b""), memoryview(b"z" * 200)]),
]


@pytest.mark.parametrize("value", VALUES)
def test_parts_are_aligned_and_come_back(value: Serialized) -> None:
    lengths = layout.lengths_of(value)
    target = bytearray(layout.extent(lengths))
    for offset, part in layout.parts(value):
        assert offset % 64 == 0
        target[offset : offset + part.nbytes] = part
    assert len(target) == layout.extent(lengths)
    stream, buffers = layout.split(memoryview(target), lengths)
    assert Serialized(bytes(stream), buffers) == value


def test_large_buffers_start_on_a_page() -> None:
    mib = 1 << 20
    starts = layout.offsets((100, mib - 1, mib, 5, mib))
    assert starts == [0, 128, mib + 4096, 2 * mib + 4096, 2 * mib + 8192]
    assert layout.extent((100, mib)) == mib + 4096


def test_a_location_survives_the_wire() -> None:
    location = Location(segment=3, offset=128, lengths=(70, 5000), nbytes=5128)
    wire = msgspec.msgpack.encode(location)
    assert msgspec.msgpack.decode(wire) == [3, 128, [70, 5000], 5128]
    assert msgspec.msgpack.decode(wire, type=Location) == location
