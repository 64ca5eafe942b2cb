"""The check for what a backend leaves behind, and gaps of the conformance suite."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from air.testing import Belongings, check_nothing_left

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def before():
    return Belongings.now()


def test_nothing(before):
    check_nothing_left(before)


def test_process(before):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with pytest.raises(AssertionError, match=f"process {process.pid}: .*input"):
            check_nothing_left(before)
    finally:
        process.communicate(b"\n")
    check_nothing_left(before)


def test_thread(before):
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="lingering")
    thread.start()
    try:
        with pytest.raises(AssertionError, match="thread 'lingering'"):
            check_nothing_left(before)
    finally:
        done.set()
        thread.join()
    check_nothing_left(before)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="Linux only")
def test_files(before):
    opened = [os.memfd_create("lingering"), *os.pipe()]
    try:
        with pytest.raises(AssertionError, match="memfd:lingering") as caught:
            check_nothing_left(before)
        assert str(caught.value).count("pipe:") == 2
    finally:
        for number in opened:
            os.close(number)
    check_nothing_left(before)


@pytest.mark.skipif(not SHARED_MEMORY.exists(), reason="Linux only")
def test_shared_memory(before):
    path = SHARED_MEMORY / f"air-test-{os.getpid()}"
    path.write_bytes(b"x")
    try:
        # Mapped, so that other runs of the tests on this machine see whose it is.
        with (
            path.open("r+b") as file,
            mmap.mmap(file.fileno(), 0),
            pytest.raises(AssertionError, match=path.name),
        ):
            check_nothing_left(before)
    finally:
        path.unlink()
    check_nothing_left(before)


@pytest.mark.skipif(not SHARED_MEMORY.exists(), reason="Linux only")
def test_shared_memory_that_another_program_has_removed_is_no_leak(before):
    path = SHARED_MEMORY / f"air-test-{os.getpid()}"
    path.write_bytes(b"x")
    seen = Belongings.now()
    path.unlink()
    assert path.name in seen.shared_memory
    assert seen.gained_since(before) == []


SUITE = """
import pytest
from air.testing.executor_suite import *
from air.testing.executor_suite import Backend

@pytest.fixture(scope="session")
def backend():
    return Backend("local", gaps={gaps})
"""


def run_suite(tmp_path: Path, gaps: dict[str, str], select: str) -> str:
    path = tmp_path / "test_backend.py"
    path.write_text(SUITE.format(gaps=gaps))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-k", select]
    done = subprocess.run(
        [*command, path.name], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    return done.stdout


def test_gaps_are_strict(tmp_path):
    output = run_suite(tmp_path, {"TestTasks.test_no_returns": "no time"}, "test_no_returns")
    assert "1 failed" in output
    assert "[XPASS(strict)] no time" in output


def test_gaps_must_exist(tmp_path):
    output = run_suite(tmp_path, {"TestTasks.test_no_such": "typo"}, "test_no_returns")
    assert "gaps names 'TestTasks.test_no_such', which is no test of the suite" in output
