"""The journal: what is written comes back, whatever moment the writer was killed at."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air.tune import journal
from air.tune.events import (
    Ended,
    Event,
    Exhausted,
    Failed,
    Failure,
    Opened,
    Reported,
    Resumed,
    Started,
    StopRequested,
    Suggested,
)
from air.tune.journal import Journal, JournalBusy, JournalDamaged

OPENED = Opened(1, "e", "name", "trainable", 1.5, b"settings")
EVENTS: list[Event] = [
    Suggested("a", "trial_a", {"x": 1, "layers": [1, 2]}, b"state"),
    Started("a"),
    Reported("a", {"loss": float("nan")}),
    Reported("a", {"loss": 0.5}, "trial_a/checkpoint_000000", amends=True, stop=True),
    Ended("a"),
    Failed("b", Failure("KeyError", "x", "Traceback", b"pickled")),
    StopRequested("enough"),
    Resumed(True, "restart"),
    Exhausted(),
]


def write(directory: Path, events: list[Event]) -> Path:
    with Journal.create(directory, OPENED) as book:
        for event in events:
            book.append(event)
    return directory / journal.FILE_NAME


def ends_of_records(path: Path) -> list[int]:
    with path.open("rb") as file:
        return [end for _, end in journal._records(file, str(path))]


def same(one: Any, other: Any) -> bool:
    """Equal, where NaN equals itself."""
    return repr(one) == repr(other)


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = write(tmp_path, EVENTS)
    assert same(list(journal.read(path)), [OPENED, *EVENTS])
    assert os.listdir(tmp_path) == [journal.FILE_NAME]
    book, events = Journal.reopen(tmp_path)
    with book:
        assert same(events, [OPENED, *EVENTS])
        book.append(Ended("z"))
    assert list(journal.read(path))[-1] == Ended("z")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.complex_numbers()
    | st.frozensets(st.integers(), max_size=1),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, derandomize=True)
@given(config=st.dictionaries(st.text(max_size=3), values, max_size=4))
def test_any_config_comes_back_with_its_types(config: dict[str, Any]) -> None:
    event = journal._decode(journal._encode(Suggested("a", "a", config)), "path", 0)
    assert isinstance(event, Suggested)
    assert same(event.config, config)


def test_objects_of_other_libraries_come_back(tmp_path: Path) -> None:
    path = write(tmp_path, [Reported("a", {"array": np.arange(3), "path": Path("/x")})])
    (_, event) = journal.read(path)
    assert isinstance(event, Reported)
    assert event.metrics["array"].tolist() == [0, 1, 2]
    assert event.metrics["path"] == Path("/x")


def test_a_writer_that_was_killed_at_any_byte_loses_at_most_the_record_it_was_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda number: None)  # nobody cuts the power here
    path = write(tmp_path, EVENTS)
    content = path.read_bytes()
    ends = ends_of_records(path)
    for size in range(ends[0], len(content) + 1):
        path.write_bytes(content[:size])
        whole = sum(end <= size for end in ends)
        assert same(list(journal.read(path)), [OPENED, *EVENTS][:whole])
        book, events = Journal.reopen(tmp_path)
        with book:
            assert len(events) == whole
            book.append(Ended("z"))
        assert same(list(journal.read(path)), [*[OPENED, *EVENTS][:whole], Ended("z")])


def test_zeros_at_the_end_are_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, EVENTS)
    path.write_bytes(path.read_bytes() + bytes(64))
    assert len(list(journal.read(path))) == 1 + len(EVENTS)


def test_damage_in_the_middle_is_reported_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path, EVENTS)
    content = bytearray(path.read_bytes())
    ends = ends_of_records(path)
    content[ends[2] + 12] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(JournalDamaged, match=f"damaged at byte {ends[2]}"):
        list(journal.read(path))
    with pytest.raises(JournalDamaged):
        Journal.reopen(tmp_path)


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / journal.FILE_NAME).write_bytes(b"something else, and long enough to look at")
    with pytest.raises(JournalDamaged, match="no journal"):
        list(journal.read(tmp_path / journal.FILE_NAME))


def test_a_journal_of_a_later_version_is_refused(tmp_path: Path) -> None:
    Journal.create(tmp_path, Opened(99, "e", "n", "t", 0.0, b"")).close()
    with pytest.raises(JournalDamaged, match="later version"):
        list(journal.read(tmp_path / journal.FILE_NAME))


def test_a_journal_is_created_once(tmp_path: Path) -> None:
    path = write(tmp_path, EVENTS)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        Journal.create(tmp_path, OPENED)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [journal.FILE_NAME]


def test_two_writers_at_a_time_are_refused(tmp_path: Path) -> None:
    with Journal.create(tmp_path, OPENED):
        with pytest.raises(JournalBusy, match="another process right now"):
            Journal.reopen(tmp_path)
        assert list(journal.read(tmp_path / journal.FILE_NAME)) == [OPENED]
    Journal.reopen(tmp_path)[0].close()


def test_a_killed_writer_leaves_the_journal_to_others(tmp_path: Path) -> None:
    program = f"""
import os, signal
from air.tune.events import Ended, Opened
from air.tune.journal import Journal
book = Journal.create({str(tmp_path)!r}, Opened(1, "e", "n", "t", 0.0, b""))
book.append(Ended("a"))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == -9
    book, events = Journal.reopen(tmp_path)
    book.close()
    assert [type(event) for event in events] == [Opened, Ended]


def test_a_full_disk_leaves_a_whole_journal(tmp_path: Path) -> None:
    class FullDisk:
        """A file of which only the first bytes of a write arrive, and then nothing."""

        def __init__(self, file: Any) -> None:
            self._file = file
            self._full = False

        def write(self, data: memoryview) -> int:
            if self._full:
                raise OSError(errno.ENOSPC, "No space left on device")
            self._full = True
            return self._file.write(data[:5])

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    with Journal.create(tmp_path, OPENED) as book:
        book.append(Ended("a"))
        book._file = FullDisk(book._file)  # type: ignore[assignment]
        with pytest.raises(OSError, match="No space left") as caught:
            book.append(Ended("b"))
        assert "Tuner.restore" in caught.value.__notes__[0]
        book._file = book._file._file  # type: ignore[attr-defined]
        book.append(Ended("c"))
    assert list(journal.read(book.path)) == [OPENED, Ended("a"), Ended("c")]


def test_there_is_no_journal_where_nothing_was_written(tmp_path: Path) -> None:
    assert not journal.exists(tmp_path)
    with pytest.raises(FileNotFoundError):
        Journal.reopen(tmp_path)
