from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from air.errors import ObjectStoreFull
from air.executor.serialization import Serialized, dumps
from air_cluster.store import Location, Writer
from air_cluster.store.segment import DISCARDS, Mapping

KIB = 1 << 10
SEGMENT = 64 * KIB


def blob(nbytes: int, fill: int = 1) -> Serialized:
    """A value that takes *nbytes* (a multiple of 64) in all."""
    return Serialized(b"s", [memoryview(bytes([fill]) * (nbytes - 64))])


def test_many_values_share_one_segment(node: Any) -> None:
    writer = node.writer()
    locations = [writer.write(blob(4 * KIB)) for _ in range(16)]
    assert node.requested == [SEGMENT]
    assert sorted(location.offset for location in locations) == list(range(0, SEGMENT, 4 * KIB))
    assert writer.used_bytes == writer.granted_bytes == SEGMENT
    writer.write(blob(64))
    assert node.requested == [SEGMENT, SEGMENT]


def test_a_freed_range_is_used_again_without_a_request(node: Any) -> None:
    writer = node.writer()
    kept = [writer.write(blob(16 * KIB)) for _ in range(8)]
    writer.free(kept[2])
    again = writer.write(blob(16 * KIB))
    assert (again.segment, again.offset) == (kept[2].segment, kept[2].offset)
    assert len(node.requested) == 2


@pytest.mark.parametrize("nbytes", [SEGMENT + 64, 100 * KIB, 1000 * KIB, 1024 * KIB])
def test_a_large_value_gets_a_segment_that_fits(node: Any, nbytes: int) -> None:
    writer = node.writer()
    writer.write(blob(nbytes))
    (size,) = node.requested
    assert nbytes <= size <= nbytes * 17 / 16 + 4096
    assert size % 4096 == 0


def test_large_values_start_on_pages_wherever_they_lie(node: Any) -> None:
    writer = node.writer(keep_bytes=1 << 30)
    writer.free(writer.write(blob(1000 * KIB)))
    first, second = writer.write(blob(100 * KIB + 64)), writer.write(blob(100 * KIB + 64))
    assert (first.offset, second.offset) == (0, 104 * KIB)
    assert first.nbytes == 100 * KIB + 64


def test_small_values_stay_out_of_the_segments_of_large_ones(node: Any) -> None:
    writer = node.writer()
    large = writer.write(blob(1000 * KIB))
    small = writer.write(blob(64))
    assert small.segment != large.segment


def test_a_large_value_takes_the_tightest_segment(node: Any) -> None:
    writer = node.writer(keep_bytes=1 << 30)
    huge, large = writer.write(blob(1000 * KIB)), writer.write(blob(100 * KIB))
    writer.free(large)
    writer.free(huge)
    assert writer.write(blob(100 * KIB)).segment == large.segment
    assert writer.write(blob(100 * KIB)).segment == huge.segment
    assert len(node.requested) == 2


def test_the_segment_that_became_empty_last_is_kept_whatever_its_size(node: Any) -> None:
    writer = node.writer(keep_bytes=0)
    for _ in range(3):
        writer.free(writer.write(blob(1000 * KIB)))
    assert len(node.requested) == 1
    assert node.released == []


def test_surplus_empty_segments_go_back_the_longest_empty_first(node: Any) -> None:
    writer = node.writer(keep_bytes=2 * SEGMENT)
    locations = [writer.write(blob(SEGMENT)) for _ in range(5)]
    for index in (3, 1, 0, 2, 4):
        writer.free(locations[index])
    assert node.released == [locations[index].segment for index in (3, 1, 0)]
    assert writer.granted_bytes == 2 * SEGMENT


def test_trim_gives_back_what_is_empty_and_nothing_else(node: Any) -> None:
    writer = node.writer()
    kept, dropped = writer.write(blob(SEGMENT)), writer.write(blob(SEGMENT))
    writer.free(dropped)
    writer.trim(SEGMENT)
    assert node.released == []
    writer.trim()
    assert node.released == [dropped.segment]
    writer.free(kept)
    assert writer.write(blob(64)).segment == kept.segment


@pytest.mark.skipif(not DISCARDS, reason="the system takes no part of a segment back")
class TestShrinking:
    """What is free beside values is given back when memory is short."""

    def test_the_pages_are_the_system_s_again(self, node: Any) -> None:
        writer = node.writer(1 << 20, shrinks=True)
        locations = [writer.write(blob(16 * KIB, fill)) for fill in range(1, 9)]
        for index in (1, 2, 5):
            writer.free(locations[index])
        fd, size = node.segments[1]
        assert os.fstat(fd).st_blocks * 512 == 8 * 16 * KIB
        writer.trim()
        assert node.shrunk == {1: (1 << 20) - 5 * 16 * KIB}
        assert os.fstat(fd).st_blocks * 512 == 5 * 16 * KIB
        assert os.fstat(fd).st_size == size
        assert writer.granted_bytes == node.granted == writer.used_bytes == 5 * 16 * KIB
        writer.trim()
        assert writer.granted_bytes == 5 * 16 * KIB

    def test_what_is_left_stays_as_it_is(self, node: Any) -> None:
        writer = node.writer(1 << 20, shrinks=True)
        locations = [writer.write(dumps(np.full(3000, i))) for i in range(20)]
        for location in locations[::2]:
            writer.free(location)
        writer.trim()
        reader = node.reader()
        for i, location in enumerate(locations):
            if i % 2:
                assert (reader.load(location, lambda: None) == i).all()

    def test_a_segment_that_has_shrunk_goes_with_its_last_value(self, node: Any) -> None:
        writer = node.writer(shrinks=True)
        first, second = writer.write(blob(4 * KIB)), writer.write(blob(4 * KIB))
        writer.free(first)
        writer.trim()
        assert node.released == []
        other = writer.write(blob(4 * KIB))
        assert other.segment != second.segment
        writer.free(second)
        assert node.released == [second.segment]
        writer.free(other)  # a whole one is kept
        assert node.released == [second.segment]
        assert writer.write(blob(64)).segment == other.segment

    def test_a_segment_that_has_shrunk_is_used_as_far_as_it_goes(self, node: Any) -> None:
        writer = node.writer(shrinks=True)
        values = [writer.write(blob(4 * KIB)) for _ in range(3)]
        writer.trim()
        writer.free(values[1])
        again = writer.write(blob(4 * KIB))
        assert (again.segment, again.offset) == (values[1].segment, values[1].offset)
        assert writer.write(blob(64)).segment != again.segment

    def test_memory_that_was_given_back_serves_others(self, node: Any) -> None:
        node.cap = 2 * SEGMENT
        writer, other = node.writer(shrinks=True), node.writer()
        writer.write(blob(4 * KIB))
        with pytest.raises(ObjectStoreFull):
            other.write(blob(SEGMENT + 4 * KIB))
        writer.trim()
        other.write(blob(SEGMENT + 4 * KIB))


def test_a_full_store_is_reported_as_it_was_raised(node: Any) -> None:
    node.cap = SEGMENT
    writer = node.writer()
    location = writer.write(blob(SEGMENT))
    with pytest.raises(ObjectStoreFull, match="no room for 4096 bytes"):
        writer.write(blob(64))
    writer.free(location)
    writer.write(blob(64))


def test_a_nearly_full_store_grants_what_is_needed_and_no_more(node: Any) -> None:
    node.cap = 5 * 4096
    writer = node.writer()
    writer.write(blob(64))
    writer.write(blob(2 * 4096))
    assert writer.granted_bytes == 3 * 4096


def test_empty_segments_are_given_back_before_the_store_counts_as_full(node: Any) -> None:
    node.cap = 4 * SEGMENT
    writer = node.writer()
    writer.free(writer.write(blob(64)))
    writer.write(blob(4 * SEGMENT))
    assert node.released == [1]


def test_a_range_is_freed_when_its_copy_fails(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no space left")

    writer = node.writer()
    monkeypatch.setattr(Mapping, "write", fail)
    with pytest.raises(OSError, match="no space left"):
        writer.write(blob(4 * KIB))
    assert writer.used_bytes == 0


def test_a_segment_smaller_than_asked_for_is_refused_and_given_back(
    count_fds: Callable[[], int], node: Any
) -> None:
    before = count_fds()
    writer = Writer(lambda *_sizes: node.request(64, 64), node.release, segment_bytes=SEGMENT)
    with pytest.raises(ValueError, match="segment 1 has 64 bytes; 4096 were asked for"):
        writer.write(blob(4 * KIB))
    assert node.released == [1]
    assert count_fds() == before


def test_freeing_twice_or_elsewhere_is_an_error(node: Any) -> None:
    writer = node.writer()
    location = writer.write(blob(64))
    writer.free(location)
    with pytest.raises(ValueError, match="nothing is allocated"):
        writer.free(location)
    with pytest.raises(ValueError, match="segment 77"):
        writer.free(Location(77, 0, (1,), 1))


def test_a_reserved_range_is_filled_by_the_caller(node: Any) -> None:
    value = np.arange(2000)
    serialized = dumps(value)
    writer = node.writer()
    source = writer.write(serialized)
    segment = Mapping(*node.open(source.segment))
    raw = bytes(segment.view(source.offset, source.nbytes))
    reserved = writer.reserve(list(source.lengths))
    location = reserved.location
    assert location.lengths == source.lengths
    assert location.nbytes == reserved.view.nbytes == source.nbytes
    reserved.view[:1000], reserved.view[1000:] = raw[:1000], raw[1000:]
    assert (node.reader().load(location, lambda: None) == value).all()


@pytest.mark.parametrize("nbytes", [100, 5000, 3_000_000])
@pytest.mark.parametrize("used", [0, 4096, 1 << 22])
def test_what_comes_in_pieces_fills_pages_that_were_used_and_fresh_ones(
    node: Any, nbytes: int, used: int
) -> None:
    writer = node.writer(segment_bytes=1 << 23)
    if used:
        writer.free(writer.write(blob(used)))
    data = np.random.default_rng(1).bytes(nbytes)
    pieces: list[int] = []

    def read(buffer: memoryview) -> int:
        at = sum(pieces)
        count = min(len(buffer), 70_000)
        buffer[:count] = data[at : at + count]
        pieces.append(count)
        return count

    reserved = writer.reserve((nbytes,))
    reserved.fill(read)
    assert bytes(reserved.view) == data
    assert sum(pieces) == nbytes
    assert all(pieces)


def test_what_fills_a_range_may_fail(node: Any) -> None:
    writer = node.writer()
    reserved = writer.reserve((1000,))
    with pytest.raises(OSError, match="no luck"):
        reserved.fill(lambda _buffer: (_ for _ in ()).throw(OSError("no luck")))
    writer.free(reserved.location)
    assert writer.used_bytes == 0


def test_free_waits_for_no_lock(node: Any) -> None:
    """A finalizer may run while its own thread holds the lock: here that thread is this one."""
    writer = node.writer()
    location = writer.write(blob(SEGMENT))
    with writer._lock:
        writer.free(location)
    assert writer.write(blob(SEGMENT)).offset == 0
    assert len(node.requested) == 1


def test_a_value_can_be_freed_while_a_request_waits(node: Any) -> None:
    first: list[Location] = []

    def request(size: int, at_least: int) -> tuple[int, int, int]:
        if first:
            writer.free(first[0])
        return node.request(size, at_least)

    writer = Writer(request, node.release, segment_bytes=SEGMENT)
    first.append(writer.write(blob(SEGMENT)))
    writer.write(blob(SEGMENT))
    assert writer.used_bytes == SEGMENT


def test_threads_write_and_free_side_by_side(node: Any) -> None:
    writer, reader = node.writer(), node.reader()
    start = threading.Barrier(4)

    def work(seed: int) -> None:
        chance = np.random.default_rng(seed)
        live: list[tuple[np.ndarray[Any, Any], Location]] = []
        start.wait()
        for _ in range(100):
            array = chance.integers(0, 256, int(chance.integers(5000, 90_000)), dtype=np.uint8)
            live.append((array, writer.write(dumps(array))))
            if len(live) > 5:
                array, location = live.pop(int(chance.integers(len(live))))
                assert (reader.load(location, lambda: None) == array).all()
                writer.free(location)
        for array, location in live:
            assert (reader.load(location, lambda: None) == array).all()
            writer.free(location)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert writer.used_bytes == 0


def test_threads_without_room_ask_once(node: Any) -> None:
    writer = node.writer()
    start = threading.Barrier(8)

    def work(_: int) -> None:
        start.wait()
        writer.write(blob(64))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert node.requested == [SEGMENT]


def test_a_closed_writer_frees_nothing_and_refuses_to_write(node: Any) -> None:
    writer = node.writer()
    location = writer.write(blob(64))
    writer.close()
    writer.close()
    writer.free(location)
    assert writer.granted_bytes == 0
    assert node.released == []
    with pytest.raises(ValueError, match="closed"):
        writer.write(blob(64))


def test_no_descriptor_is_left(node: Any, count_fds: Callable[[], int]) -> None:
    before = count_fds()
    writer = node.writer(keep_bytes=SEGMENT)
    locations = [writer.write(blob(size * KIB)) for size in (1, 64, 100, 500)]
    reserved = writer.reserve((100,))
    writer.free(reserved.location)
    for location in locations:
        writer.free(location)
    writer.trim()
    reserved.view[0] = 1  # the mapping is closed, the view still valid
    del reserved
    assert node.segments == {}
    assert count_fds() == before
    writer.write(blob(64))
    writer.close()
    node.close()
    assert count_fds() == before


def test_abandoned_memory_is_not_written_to_again_and_goes_with_its_segment(node: Any) -> None:
    writer = node.writer(shrinks=True)
    abandoned = writer.write(dumps(np.full(4 * KIB, 7, np.uint8), "an array"))
    beside = writer.write(blob(4 * KIB))
    read = node.reader().load(abandoned, lambda: None)
    writer.abandon(abandoned)
    for _ in range(40):
        assert writer.write(blob(4 * KIB)).segment != abandoned.segment
    writer.trim()
    assert node.released == []
    assert abandoned.segment not in node.shrunk
    writer.free(beside)
    assert node.released == [abandoned.segment]
    assert read.min() == read.max() == 7
