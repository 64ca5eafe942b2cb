"""Templates that are killed: the processes that workers are forked from."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from air.testing.executor_suite.harness import eventually

START = """
import ctypes, time
start(num_cpus=4)

@air.remote
class Counter:
    def __init__(self):
        self.calls = 0
    def add(self):
        self.calls += 1
        return self.calls
    def pid(self):
        return os.getpid()
    def spin(self):
        ctypes.PyDLL(None).pause()  # holds the interpreter: nothing of ours can run any more

@air.remote(max_retries=0)
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return os.getpid()

@air.remote(max_retries=0)
def die():
    os._exit(7)

def error_of(ref):
    try:
        return repr(air.get(ref))
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def wait():
    sys.stdin.readline()

"""


def named(running: Any, name: str) -> list[psutil.Process]:
    found = []
    for process in running.descendants():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ends just now
            if process.name() == name:
                found.append(process)
    return found


def templates(running: Any) -> list[psutil.Process]:
    return named(running, "air-template")


def daemon_of(running: Any) -> psutil.Process:
    [daemon] = named(running, "air-daemon")
    return daemon


def test_what_runs_goes_on_and_more_is_started(
    program: Any, survivors: Any, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    running = program(
        "import numpy\n"  # so there is a template that has imported it, beside the first one
        + START
        + f"""
counter = Counter.remote()
ref = wait_for.remote({str(gate)!r})
tell([air.get(counter.add.remote()), air.get(counter.pid.remote())])
for turn in range(5):
    wait()
    other = Counter.remote()
    tell([air.get(counter.add.remote()), air.get(other.add.remote())])
wait()
tell([air.get(counter.pid.remote()), air.get(ref) > 0, error_of(die.remote())])
"""
    )
    [first, pid] = running.hear()
    assert first == 1
    for turn in range(5):
        assert eventually(lambda: len(templates(running)) == 2)
        for template in templates(running)[turn % 2 :]:  # both, or the second one alone
            template.kill()
        running.answer()
        assert running.hear() == [turn + 2, 1]
    gate.touch()
    running.answer()
    [same, has_ended, error] = running.hear()
    assert (same, has_ended) == (pid, True)
    assert "WorkerDied" in error
    assert "exited with code 7" in error
    processes = running.descendants()
    assert running.end() == 0
    assert survivors(processes) == []
    assert running.sessions() == []


def test_a_worker_that_was_left_behind_says_how_it_ended(program: Any, survivors: Any) -> None:
    running = program(
        START
        + """
counter = Counter.remote()
tell(air.get(counter.pid.remote()))
wait()
tell(error_of(counter.add.remote()))
"""
    )
    pid = running.hear()
    for template in templates(running):
        template.kill()
    assert eventually(lambda: psutil.Process(pid).ppid() == daemon_of(running).pid)
    os.kill(pid, 9)
    running.answer()
    assert "it was killed by SIGKILL" in running.hear()
    processes = running.descendants()
    assert running.end() == 0
    assert survivors(processes) == []


def test_a_worker_that_was_left_behind_dies_with_the_daemon(program: Any, survivors: Any) -> None:
    """Also one that cannot look at its sockets."""
    running = program(
        START
        + """
counter = Counter.remote()
tell(air.get(counter.pid.remote()))
ref = counter.spin.remote()
tell(0)
tell(error_of(ref))
"""
    )
    pid = running.hear()
    running.hear()
    worker = psutil.Process(pid)
    for template in templates(running):
        template.kill()
    assert eventually(lambda: worker.ppid() == daemon_of(running).pid)
    processes = running.descendants()
    daemon_of(running).kill()
    assert running.hear().startswith("ActorDied")
    assert running.end() == 0
    assert survivors(processes) == []


def test_those_that_are_about_to_be_forked(program: Any, survivors: Any) -> None:
    """The template is stopped, so what it is told it has not done when it is killed."""
    running = program(
        START
        + """
tell(0)
wait()
counters = [Counter.remote() for _ in range(3)]
refs = [counter.add.remote() for counter in counters]
refs += [air.remote(os.getpid).options(max_retries=0).remote() for _ in range(8)]
air.wait(refs, timeout=0.2)
tell(0)
tell([error_of(ref).isdecimal() for ref in refs])
"""
    )
    running.hear()
    [template] = templates(running)
    template.suspend()
    running.answer()
    running.hear()
    template.kill()
    assert running.hear() == [True] * 11
    processes = running.descendants()
    assert running.end() == 0
    assert survivors(processes) == []


def test_templates_that_end_again_and_again(
    program: Any, survivors: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node ends, says why, and keeps what it has logged."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import os, sys\nif any('daemon.spawning' in word for word in sys.orig_argv): os._exit(5)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(broken))
    monkeypatch.setenv("AIR_CRASHED_SESSIONS", "1")
    place = tempfile.mkdtemp(prefix="airt-", dir="/tmp")  # pytest's are too long for sockets
    monkeypatch.setenv("TMPDIR", place)
    running = program(
        START
        + f"""
ref = wait_for.remote({str(tmp_path / "never")!r})
tell(0)
tell(error_of(ref))
air.shutdown()
start()
tell(air.get(air.remote(lambda: "again").remote()))
"""
    )
    running.hear()
    processes = running.descendants()
    for template in templates(running):
        template.kill()
    said = running.hear()
    assert said.startswith(
        "NodeDied: the daemon of this node is gone (the process that workers are"
    )
    assert "ended 10 times before it had forked one; at last, it exited with code 5" in said
    assert running.hear() == "again"
    assert running.end() == 0
    assert survivors(processes) == []
    [kept] = os.listdir(place)
    assert kept.startswith(f"air-{os.getuid()}-crashed-")
    text = Path(place, kept, "logs", "daemon.log").read_text()
    assert "has ended: it was killed by SIGKILL" in text
    assert "has ended: it exited with code 5" in text

    shutil.rmtree(place)
