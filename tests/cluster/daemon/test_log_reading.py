"""Log files as nodes show them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from air.executor.log_records import BEGINNING
from air_cluster.daemon.log_files import LogDirectory
from air_cluster.daemon.log_reading import listed, read
from air_cluster.protocol.log_questions import Question, Text
from air_cluster.session_files import LogLimits

LIMITS = LogLimits(file_bytes=1000, backups=3, total_bytes=1 << 20)


def read_all(directory: Path, name: str, tail: int = -1) -> bytes:
    """What is there, from the beginning or so many lines before the end."""
    text = read(str(directory), Question("", name, BEGINNING, tail))
    pieces = [text.data]
    while not text.at_end:
        text = read(str(directory), Question("", name, text.place))
        pieces.append(text.data)
    assert not text.error
    return b"".join(pieces)


def lines(first: int, last: int) -> bytes:
    return b"".join(b"line %04d\n" % number for number in range(first, last))


def test_the_older_parts_belong_to_a_file(tmp_path: Path) -> None:
    file = LogDirectory(str(tmp_path), LIMITS).open("f.out")
    file.write(lines(0, 250))
    file.close()
    (tmp_path / "other.err").write_bytes(b"x")
    assert [(one.name, one.nbytes) for one in listed(str(tmp_path))] == [
        ("f.out", 2500),
        ("other.err", 1),
    ]
    assert read_all(tmp_path, "f.out") == lines(0, 250)


@pytest.mark.parametrize("count", [0, 1, 7, 50, 99, 100, 101, 200, 249, 250, 251, 9999])
def test_the_last_lines(tmp_path: Path, count: int) -> None:
    file = LogDirectory(str(tmp_path), LIMITS).open("f")
    file.write(lines(0, 250))
    file.close()
    assert read_all(tmp_path, "f", count) == lines(max(0, 250 - count), 250)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_last_line_may_have_no_end(tmp_path: Path, count: int) -> None:
    (tmp_path / "f").write_bytes(b"one\ntwo\nthr")
    assert read_all(tmp_path, "f", count) == b"one\ntwo\nthr"[{1: 8, 2: 4, 3: 0}[count] :]


def test_large_files_come_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(lines(0, 9999) * 10)
    assert read_all(tmp_path, "f") == lines(0, 9999) * 10
    assert (
        read_all(tmp_path, "f", 30_000)
        == lines(9999 - 2, 9999)[:0] + (lines(0, 9999) * 10)[-30_000 * 10 :]
    )


def test_reading_goes_on_where_it_was_over_a_rotation(tmp_path: Path) -> None:
    file = LogDirectory(str(tmp_path), LIMITS).open("f")
    seen, place = b"", BEGINNING
    for number in range(0, 400, 20):
        file.write(lines(number, number + 20))
        text = read(str(tmp_path), Question("", "f", place))
        assert text.at_end
        seen, place = seen + text.data, text.place
    file.close()
    assert seen == lines(0, 400)
    assert read(str(tmp_path), Question("", "f", place)) == Text(b"", place, True)


def test_what_was_dropped_before_it_was_read_is_left_out(tmp_path: Path) -> None:
    file = LogDirectory(str(tmp_path), LIMITS).open("f")
    file.write(lines(0, 10))
    place = read(str(tmp_path), Question("", "f", BEGINNING)).place
    file.write(lines(10, 1000))
    text = read(str(tmp_path), Question("", "f", place))
    assert text.data
    assert lines(0, 1000).endswith(text.data)
    file.close()


@pytest.mark.parametrize("name", ["missing", "../secret", "/etc/passwd", ".", "..", "link"])
def test_only_files_of_the_directory_are_shown(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    logs = tmp_path / "logs"
    logs.mkdir()
    os.symlink(tmp_path / "secret", logs / "link")
    text = read(str(logs), Question("", name, BEGINNING))
    assert text.data == b""
    assert name in text.error


def test_no_directory_is_an_empty_one(tmp_path: Path) -> None:
    assert listed(str(tmp_path / "missing")) == []
