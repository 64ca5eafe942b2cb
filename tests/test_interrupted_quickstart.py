"""Ctrl-C in the quickstart ends it at once, as a person expects, and leaves nothing half done."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

QUICKSTART = Path(__file__).parents[1] / "examples" / "quickstart.py"


class Quickstart:
    """The quickstart as a person starts it from a terminal: the first in its group."""

    def __init__(self, backend, directory):
        self.results = directory / "results"
        temporary = directory / "t"
        temporary.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, str(QUICKSTART)],
            env={
                **os.environ,
                "AIR_BACKEND": backend,
                "AIR_RESULTS": str(self.results),
                "PYTHONUNBUFFERED": "1",
                "TMPDIR": str(temporary),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for_line(self, beginning):
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith(beginning):
                return
        raise AssertionError(f"no line begins with {beginning!r}: {lines} {self.complaints()}")

    def processes(self):
        """Those that it has started, now."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def press_ctrl_c(self):
        os.killpg(self.process.pid, signal.SIGINT)

    def complaints(self):
        return self.process.stderr.read()


@pytest.fixture
def start(tmp_path):
    started = []

    def start(backend):
        started.append(Quickstart(backend, tmp_path))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def exceptions(complaints):
    """The last line of each traceback."""
    lines = complaints.splitlines()
    ends = []
    for number, line in enumerate(lines):
        if line.startswith("Traceback "):
            # A line of code may be shown with an empty one below it.
            ends += [rest for rest in lines[number + 1 :] if rest and rest[0] != " "][:1]
    return ends


def lives(process):
    # A dead orphan may wait for the first process of the machine to take notice of it.
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["local", "cluster"])
@pytest.mark.parametrize("line", ["loaded", "trained: valid-error", "tuned"])
def test_it_ends_and_leaves_nothing(start, tmp_path, backend, line):
    quickstart = start(backend)
    quickstart.wait_for_line(line)
    processes = quickstart.processes()
    quickstart.press_ctrl_c()
    assert quickstart.process.wait(30) == -signal.SIGINT
    complaints = quickstart.complaints()
    assert exceptions(complaints)[-1] == "KeyboardInterrupt", complaints
    assert "ignored" not in complaints, complaints
    assert [each for each in psutil.wait_procs(processes, timeout=10)[1] if lives(each)] == []
    assert os.listdir(tmp_path / "t") == []
    for path in quickstart.results.rglob("*"):
        assert not path.name.endswith(".unfinished")
        if path.name.startswith("checkpoint_"):
            assert sorted(os.listdir(path)) == ["model.ubj", "preprocessor.pkl"]
        elif path.suffix == ".json":
            for row in path.read_text().splitlines():
                json.loads(row)
