from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable

import numpy as np
import pytest

from air_cluster.store import copying
from air_cluster.store.segment import Mapping, create

SIZES = [0, 1, 1000, 1 << 17, (1 << 20) + 3]


def test_what_one_mapping_writes_the_other_reads() -> None:
    fd = create(8192)
    reader = Mapping(os.dup(fd), 8192, writable=False)
    writer = Mapping(fd, 8192, writable=True)
    writer.write(100, memoryview(b"hello"), fresh=True)
    assert reader.view(99, 7) == b"\0hello\0"
    writer.close()
    assert reader.view(100, 5) == b"hello"
    reader.close()


def test_a_read_only_mapping_refuses_writes() -> None:
    mapping = Mapping(create(4096), 4096, writable=False)
    view = mapping.view(0, 10)
    assert view.readonly
    with pytest.raises(TypeError):
        view[0] = 1
    with pytest.raises(TypeError):
        mapping.write(0, memoryview(b"x"), fresh=False)


def test_views_outlive_the_mapping(count_fds: Callable[[], int]) -> None:
    before = count_fds()
    mapping = Mapping(create(4096), 4096, writable=True)
    mapping.write(0, memoryview(b"hello"), fresh=False)
    view = mapping.view(0, 5)
    mapping.close()
    mapping.close()
    del mapping
    assert view == b"hello"
    del view
    assert count_fds() == before


def test_a_mapping_that_fails_closes_the_descriptor(count_fds: Callable[[], int]) -> None:
    before = count_fds()
    with pytest.raises(ValueError, match="length"):
        Mapping(create(4096), 8192, writable=True)
    assert count_fds() == before


@pytest.mark.parametrize(("offset", "nbytes"), [(-1, 2), (0, 4097), (4096, 1), (5, -1)])
def test_a_range_outside_the_segment_is_refused(offset: int, nbytes: int) -> None:
    mapping = Mapping(create(4096), 4096, writable=True)
    with pytest.raises(ValueError, match="a segment of 4096 bytes"):
        mapping.view(offset, nbytes)
    mapping.close()


def test_a_segment_is_close_on_exec_and_keeps_its_size() -> None:
    fd = create(4096)
    assert fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    for size in (0, 8192):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    os.close(fd)


def test_without_memfd_a_segment_is_a_file_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    fd = create(4096)
    assert os.fstat(fd).st_nlink == 0
    mapping = Mapping(fd, 4096, writable=True)
    mapping.write(0, memoryview(b"hello"), fresh=True)
    assert mapping.view(0, 5) == b"hello"
    mapping.close()


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", SIZES)
def test_copies_of_every_size_are_whole(
    monkeypatch: pytest.MonkeyPatch, size: int, threads: int, fresh: bool
) -> None:
    monkeypatch.setattr(copying, "_threads_for", lambda nbytes: threads)
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    mapping = Mapping(create(2 << 20), 2 << 20, writable=True)
    mapping.write(192, memoryview(data), fresh=fresh)
    assert bytes(mapping.view(192, size)) == data.tobytes()
    assert not any(mapping.view(0, 192))
    assert not any(mapping.view(192 + size, 100))
    mapping.close()


@pytest.mark.parametrize("shift", [0, 64, 1023, 1024, 4032])
def test_copies_are_whole_however_target_and_source_lie(
    monkeypatch: pytest.MonkeyPatch, shift: int
) -> None:
    monkeypatch.setattr(copying, "_PIECE_BYTES", 300_000)
    size = (1 << 20) + 3
    block = np.random.default_rng(shift).integers(0, 256, size + 4096, dtype=np.uint8)
    source = block[-block.ctypes.data % 4096 :][:size]
    mapping = Mapping(create(2 << 20), 2 << 20, writable=True)
    mapping.write(shift, memoryview(source), fresh=False)
    assert bytes(mapping.view(shift, size)) == source.tobytes()
    assert not any(mapping.view(shift + size, 100))
    mapping.close()


def test_large_copies_are_shared_among_a_few_threads() -> None:
    assert copying._threads_for(1 << 20) == 1
    assert 1 <= copying._threads_for(1 << 30) <= 4


def test_a_copy_goes_on_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(copying, "_threads_for", lambda nbytes: 2)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    target = np.zeros(3 << 20, np.uint8)
    copying.copy(memoryview(target), memoryview(np.ones(3 << 20, np.uint8)))
    assert target.all()


def test_an_error_in_a_copying_thread_is_raised() -> None:
    def fail() -> None:
        raise OSError("no space left")

    done = []
    with pytest.raises(OSError, match="no space left"):
        copying._together([lambda: done.append(1), fail])
    assert done == [1]
