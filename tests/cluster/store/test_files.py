"""Values on disk: written whole or not at all, and removed with whoever wrote them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from air_cluster.store import copying
from air_cluster.store import files as files_module
from air_cluster.store.files import SpillFiles
from air_cluster.store.segment import create

KIB = 1 << 10


class Source:
    """A segment full of values."""

    def __init__(self, nbytes: int) -> None:
        self.data = np.random.default_rng(7).bytes(nbytes)
        self.fd = create(nbytes)
        os.pwrite(self.fd, self.data, 0)


@pytest.fixture
def source() -> Iterator[Source]:
    made = Source(4 << 20)
    yield made
    os.close(made.fd)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[SpillFiles]:
    made = SpillFiles(str(tmp_path / "spill"), combine_bytes=16 * KIB, file_bytes=64 * KIB)
    yield made
    made.close()


@pytest.fixture
def read(node: Any) -> Callable[[SpillFiles, tuple[int, int], int], bytes]:
    writer = node.writer(segment_bytes=8 << 20)

    def read(files: SpillFiles, place: tuple[int, int], nbytes: int) -> bytes:
        reserved = writer.reserve((nbytes,))
        try:
            files.read(*place, reserved)
            return bytes(reserved.view)
        finally:
            writer.free(reserved.location)

    return read


def names(files: SpillFiles) -> set[str]:
    return set(os.listdir(files.directory)) - {"lock"}


def test_what_was_written_is_read_back(files: SpillFiles, source: Source, read: Any) -> None:
    ranges = [(0, 3 << 20), (100, 1), (64, 5000), (1 << 20, 15 * KIB), (7, 16 * KIB)]
    places = [files.write(source.fd, offset, nbytes) for offset, nbytes in ranges]
    assert len(set(places)) == len(ranges)
    for _ in range(2):
        for place, (offset, nbytes) in zip(places, ranges, strict=True):
            assert read(files, place, nbytes) == source.data[offset : offset + nbytes]
    assert files.nbytes == sum(nbytes for _, nbytes in ranges)


def test_small_values_share_files(files: SpillFiles, source: Source, read: Any) -> None:
    places = [files.write(source.fd, i * 100, 1000) for i in range(1000)]
    assert files.count == len(names(files)) == -(-1000 // 66)  # 66 are the first above 64 KiB
    for index in (0, 65, 66, 999):
        assert read(files, places[index], 1000) == source.data[index * 100 :][:1000]


def test_a_shared_file_goes_with_its_last_value(files: SpillFiles, source: Source) -> None:
    places = [files.write(source.fd, 0, 8 * KIB) for _ in range(17)]
    assert [place[0] for place in places] == [1] * 8 + [2] * 8 + [3]
    for place in places[:7]:
        files.free(*place)
    assert names(files) == {"1", "2", "3"}
    files.free(*places[7])
    assert names(files) == {"2", "3"}
    files.free(*places[16])  # the file that would take the next one
    assert names(files) == {"2"}
    assert files.write(source.fd, 0, 8 * KIB) == (4, 0)
    assert files.nbytes == 9 * 8 * KIB


def test_a_large_value_has_a_file_of_its_own(files: SpillFiles, source: Source) -> None:
    small = files.write(source.fd, 0, 100)
    large = files.write(source.fd, 0, 16 * KIB)
    assert files.write(source.fd, 0, 100) == (small[0], 100)
    assert large[0] != small[0]
    files.free(*large)
    assert names(files) == {str(small[0])}


def test_a_value_is_freed_once(files: SpillFiles, source: Source) -> None:
    place = files.write(source.fd, 0, 100)
    files.write(source.fd, 0, 100)
    files.free(*place)
    with pytest.raises(ValueError, match="no value lies at 0 of file 1"):
        files.free(*place)
    with pytest.raises(ValueError, match="no value lies at 5 of file 9"):
        files.free(9, 5)


def test_an_open_file_can_be_read_after_its_values_were_freed(
    files: SpillFiles, source: Source
) -> None:
    place = files.write(source.fd, 0, 32 * KIB)
    opened = files.open(place[0])
    assert not isinstance(opened, str)
    fd, size = opened
    files.free(*place)
    assert size == 32 * KIB
    assert os.pread(fd, size, 0) == source.data[:size]
    os.close(fd)
    refused = files.open(place[0])
    assert isinstance(refused, str)
    assert "is gone" in refused


def test_reading_what_is_gone_fails(files: SpillFiles, source: Source, read: Any) -> None:
    place = files.write(source.fd, 0, 32 * KIB)
    with pytest.raises(OSError, match="shorter"):
        read(files, place, 33 * KIB)
    os.truncate(os.path.join(files.directory, "1"), 0)
    with pytest.raises(OSError, match="shorter"):
        read(files, place, 32 * KIB)
    os.unlink(os.path.join(files.directory, "1"))
    with pytest.raises(OSError, match="cannot be read"):
        read(files, place, 32 * KIB)
    files.free(*place)


def test_threads_write_side_by_side(files: SpillFiles, source: Source, read: Any) -> None:
    def write(index: int) -> tuple[int, int]:
        return files.write(source.fd, index * 64, 3000 + index)

    with ThreadPoolExecutor(8) as threads:
        places = list(threads.map(write, range(200)))
    for index, place in enumerate(places):
        assert read(files, place, 3000 + index) == source.data[index * 64 :][: 3000 + index]
    for place in places:
        files.free(*place)
    assert names(files) == set()
    assert files.count == files.nbytes == 0


def test_only_the_user_can_read_them(files: SpillFiles, source: Source) -> None:
    place = files.write(source.fd, 0, 100)
    assert os.stat(files.directory).st_mode & 0o777 == 0o700
    for name in ("lock", str(place[0])):
        assert os.stat(os.path.join(files.directory, name)).st_mode & 0o777 == 0o600


def test_closing_removes_everything(
    files: SpillFiles, source: Source, count_fds: Callable[[], int], tmp_path: Path
) -> None:
    other = SpillFiles(str(tmp_path / "spill"))
    before = count_fds()
    for nbytes in (100, 200, 50 * KIB):
        files.write(source.fd, 0, nbytes)
    files.close()
    assert not os.path.exists(files.directory)
    assert count_fds() <= before - 1
    assert os.path.exists(other.directory)
    files.free(1, 0)
    with pytest.raises(OSError, match="No such file"):
        files.write(source.fd, 0, 10)
    files.close()
    other.close()


# Disks that fail --------------------------------------------------------------------------


class FailingWrites:
    """The disk takes so many bytes, and then no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nbytes: int, error: int) -> None:
        self.left = nbytes
        self.error = error
        monkeypatch.setattr(copying.os, "pwrite", self.pwrite)
        self.real = os.pwrite

    def pwrite(self, fd: int, data: memoryview, offset: int) -> int:
        if not self.left:
            raise OSError(self.error, os.strerror(self.error))
        count = min(len(data), self.left)
        self.left -= count
        buffer = np.frombuffer(data, np.uint8)[:count].tobytes()
        os.lseek(fd, offset, os.SEEK_SET)
        return os.write(fd, buffer)


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_nothing_half_written_stays(
    files: SpillFiles, source: Source, monkeypatch: pytest.MonkeyPatch, read: Any, error: int
) -> None:
    small = files.write(source.fd, 0, 1000)
    with monkeypatch.context() as patch:
        FailingWrites(patch, 200, error)
        with pytest.raises(OSError, match=os.strerror(error)):
            files.write(source.fd, 0, 500)
    with monkeypatch.context() as patch:
        FailingWrites(patch, 20_000, error)
        with pytest.raises(OSError, match=os.strerror(error)):
            files.write(source.fd, 0, 3 << 20)
    assert names(files) == {"1"}
    assert os.path.getsize(os.path.join(files.directory, "1")) == 1000
    assert files.nbytes == 1000
    assert files.write(source.fd, 5, 70) == (1, 1000)
    assert read(files, (1, 1000), 70) == source.data[5:75]
    assert read(files, small, 1000) == source.data[:1000]


def test_a_first_value_that_fails_leaves_no_file(
    files: SpillFiles, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        FailingWrites(patch, 10, errno.ENOSPC)
        with pytest.raises(OSError, match="No space left"):
            files.write(source.fd, 0, 100)
    assert names(files) == set()
    assert files.write(source.fd, 0, 100) == (2, 0)


def test_a_disk_that_is_too_small_is_not_filled_first(
    files: SpillFiles, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.statvfs(files.directory)

    class Small:
        f_bavail = 1
        f_frsize = real.f_frsize

    monkeypatch.setattr(files_module.os, "statvfs", lambda _path: Small)
    with pytest.raises(OSError, match="No space left"):
        files.write(source.fd, 0, real.f_frsize + 1)
    assert names(files) == set()
    files.write(source.fd, 0, real.f_frsize)


LIMITED = """
import os, resource, sys
from air_cluster.store.files import SpillFiles
files = SpillFiles(sys.argv[1])
fd = os.memfd_create("source")
os.ftruncate(fd, 4 << 20)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
places = [files.write(fd, 0, 400_000) for _ in range(3)]
try:
    files.write(fd, 0, 400_000)
except OSError as error:
    print(error.errno, os.path.getsize(os.path.join(files.directory, "1")), files.nbytes)
"""


def test_the_system_s_own_refusal_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.split() == [str(errno.EFBIG), "1200000", "1200000"], ran.stderr


# What others left -------------------------------------------------------------------------

KILLED = """
import os, sys
from air_cluster.store.files import SpillFiles
files = SpillFiles(sys.argv[1])
fd = os.memfd_create("source")
os.ftruncate(fd, 1000)
files.write(fd, 0, 1000)
print(files.directory, flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        stranger, half_made = tmp_path / "air-spill-file", tmp_path / "air-spill-starting"
        stranger.write_text("not a directory")
        half_made.mkdir()
        alive = SpillFiles(str(tmp_path))
        assert (left / "1").exists()  # it lives
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    other = SpillFiles(str(tmp_path))
    assert not left.exists()
    assert os.path.exists(alive.directory)
    assert stranger.exists()
    assert half_made.exists()
    alive.close()
    other.close()


def test_a_directory_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        SpillFiles(str(tmp_path / "file" / "spill"))
