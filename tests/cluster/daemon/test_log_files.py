"""Files that what workers print is written to."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from air.errors import InvalidOption
from air_cluster.daemon.log_files import LogDirectory, cap
from air_cluster.session_files import LogLimits

LIMITS = LogLimits(file_bytes=100, backups=2, total_bytes=1000)


def test_what_is_written_is_there_at_once_and_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        file = LogDirectory(str(tmp_path / "logs"), LIMITS).open("one.out")
        assert not os.listdir(tmp_path / "logs")
        file.write(b"text\n")
    finally:
        os.umask(before)
    path = tmp_path / "logs" / "one.out"
    assert path.read_bytes() == b"text\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    file.close()


@pytest.mark.parametrize("backups", [0, 1, 2])
def test_files_are_rotated_between_lines(tmp_path: Path, backups: int) -> None:
    file = LogDirectory(str(tmp_path), LIMITS._replace(backups=backups)).open("f")
    lines = [f"line number {number:03}\n".encode() for number in range(60)]
    file.write(b"".join(lines[:7]))
    for line in lines[7:]:
        file.write(line)
    names = sorted(os.listdir(tmp_path))
    assert names == ["f", "f.1", "f.2"][: backups + 1]
    kept = b"".join((tmp_path / name).read_bytes() for name in reversed(names))
    assert b"".join(lines).endswith(kept)
    assert kept.startswith(b"line")
    for name in names:
        assert (tmp_path / name).stat().st_size <= 100
    assert file.nbytes == len(kept)
    file.close()


def test_a_line_that_is_longer_than_a_file_is_cut(tmp_path: Path) -> None:
    file = LogDirectory(str(tmp_path), LIMITS).open("f")
    file.write(b"x" * 250)
    sizes = [(tmp_path / name).stat().st_size for name in ("f", "f.1", "f.2")]
    assert sizes == [50, 100, 100]
    file.close()


def test_all_files_together_are_bounded(tmp_path: Path) -> None:
    directory = LogDirectory(str(tmp_path), LIMITS)
    for number in range(50):
        file = directory.open(f"w{number}")
        file.write(b"x" * 99 + b"\n")
        file.close()
    assert sorted(os.listdir(tmp_path)) == [f"w{number}" for number in range(40, 50)]


def test_running_workers_lose_their_older_parts_first(tmp_path: Path) -> None:
    directory = LogDirectory(str(tmp_path), LIMITS)
    files = [directory.open(f"w{number}") for number in range(5)]
    for _ in range(20):
        for file in files:
            file.write(b"x" * 99 + b"\n")
    total = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert total <= LIMITS.total_bytes
    assert {f"w{number}" for number in range(5)} <= set(os.listdir(tmp_path))


def test_a_full_disk_is_told_of_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = LogDirectory(str(tmp_path), LogLimits()).open("f")
    file.write(b"before\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", _no_room)
        file.write(b"lost\n")
        file.write(b"lost too\n")
    file.write(b"after\n")
    noted = b"[air: 14 bytes are missing here: the disk was full]\n"
    assert (tmp_path / "f").read_bytes() == b"before\n" + noted + b"after\n"
    file.close()


def _no_room(_fd: int, _data: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_a_link_that_lies_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"")
    (tmp_path / "f").symlink_to(tmp_path / "victim")
    file = LogDirectory(str(tmp_path), LIMITS).open("f")
    file.write(b"text\n")
    assert (tmp_path / "victim").read_bytes() == b""
    file.close()


def test_the_daemons_own_file_is_capped_while_others_have_it_open(tmp_path: Path) -> None:
    path = tmp_path / "daemon.log"
    fds = [os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(2)]
    os.write(fds[1], b"x" * 100)
    cap(fds[0], str(path), LIMITS)
    assert path.stat().st_size == 100
    os.write(fds[1], b"y")
    cap(fds[0], str(path), LIMITS)
    assert path.read_bytes() == b""
    assert (tmp_path / "daemon.log.1").read_bytes() == b"x" * 100 + b"y"
    os.write(fds[1], b"z")
    assert path.read_bytes() == b"z"
    for fd in fds:
        os.close(fd)


def test_limits_come_from_the_environment() -> None:
    assert LogLimits.from_environment({}) == LogLimits()
    found = LogLimits.from_environment(
        {
            "AIR_ROTATION_MAX_BYTES": "5000",
            "AIR_ROTATION_BACKUP_COUNT": "0",
            "AIR_LOGS_MAX_BYTES": "6000",
        }
    )
    assert found == (5000, 0, 6000)


@pytest.mark.parametrize("value", ["-1", "many", "1.5", "4095", "9" * 30])
def test_limits_that_are_none(value: str) -> None:
    with pytest.raises(InvalidOption, match=rf"AIR_ROTATION_MAX_BYTES.* got '{value}'"):
        LogLimits.from_environment({"AIR_ROTATION_MAX_BYTES": value})
