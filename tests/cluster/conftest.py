"""Programs that use a cluster, run as processes of their own so that they can be killed."""

from __future__ import annotations

import glob
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

import air

PRELUDE = """
import json, os, signal, sys
import air

def tell(value):
    os.write(1, b"TOLD " + json.dumps(value).encode() + b"\\n")

def start(**options):
    air.init(backend="cluster", **{"num_cpus": 2, "log_to_driver": False, **options})

"""


class Program:
    """A running program; it calls ``start()``, and ``tell(value)`` for :meth:`hear`."""

    def __init__(self, path: Path, cwd: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(path)],
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # it may send signals to its group, as a terminal does
        )

    def hear(self) -> Any:
        """The next value that the program tells."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(b"TOLD "):
                return json.loads(line[5:])
        raise AssertionError(f"the program ended:\n{self.complaints()}")

    def answer(self) -> None:
        """Let the program go on that waits in ``sys.stdin.readline()``."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def output(self) -> str:
        """What the program printed to the end, besides what it told."""
        assert self.process.stdout is not None
        return self.process.stdout.read().decode(errors="replace")

    def complaints(self) -> str:
        """What the program wrote to its standard error; waits for its end."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode(errors="replace")

    def end(self) -> int:
        """Wait for the end of the program; returns how it ended, as ``subprocess`` says it."""
        return self.process.wait(30)

    def descendants(self) -> list[psutil.Process]:
        """The processes of its cluster, now."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def sessions(self) -> list[str]:
        """The session directories that it has left."""
        mine = f"air-{os.getuid()}-{self.process.pid}-*"
        return glob.glob(os.path.join(tempfile.gettempdir(), mine))


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[[str], Program]]:
    """Starts a program from its text."""
    started: list[Program] = []

    def start(text: str) -> Program:
        path = tmp_path / f"program{len(started)}.py"
        path.write_text(PRELUDE + textwrap.dedent(text))
        started.append(Program(path, tmp_path))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def _lives(process: psutil.Process) -> bool:
    try:
        # A dead orphan may wait for the first process of the machine to take notice of it.
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def survivors() -> Callable[[Sequence[psutil.Process]], list[str]]:
    """Which of some processes live on for longer than five seconds."""

    def survivors(processes: Sequence[psutil.Process]) -> list[str]:
        deadline = time.monotonic() + 5
        while (left := [p for p in processes if _lives(p)]) and time.monotonic() < deadline:
            time.sleep(0.005)
        return [f"{process.pid} {' '.join(process.cmdline())}" for process in left]

    return survivors


class RunningThread:
    """A thread, and what becomes of it."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._outcome: Any = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._function()
        except BaseException as error:
            self._outcome = error

    def outcome(self) -> Any:
        """What the function returned or raised; waits for that."""
        self._thread.join(30)
        assert not self._thread.is_alive(), "the thread hangs"
        return self._outcome


@pytest.fixture
def start_thread() -> Callable[[Callable[[], Any]], RunningThread]:
    """Runs a function in a thread."""
    return RunningThread


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One cluster for the tests of a module: 2 CPUs, 2 GPUs by number, 2 widgets."""
    air.init(
        backend="cluster",
        num_cpus=2,
        num_gpus=2,
        resources={"widget": 2},
        object_store_memory=400_000_000,
        log_to_driver=False,
    )
    yield
    air.shutdown()
