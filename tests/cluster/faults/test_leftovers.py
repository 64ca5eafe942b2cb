"""What tasks start in sessions of their own ends with their workers all the same."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psutil
import pytest

import air
from air.testing.executor_suite.harness import value
from air_cluster.leftovers import Leftovers, end_all
from air_cluster.marks import descendants, mark_worker, marked, node_of_session, worker_of

START = """
import subprocess, time

def program(words, **options):
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **options)

def read_pid(process):
    return int(process.stdout.readline())

def of_shell(line, **options):
    return read_pid(program(["/bin/sh", "-c", line], **options))

@air.remote
def leave_behind(how):
    if how == "session":
        return program(["sleep", "1000"], start_new_session=True).pid
    if how == "daemon":  # its parent is gone, it has no environment
        return of_shell("setsid env -i /bin/sh -c 'echo $$; exec sleep 1000' & exit")
    if how == "stubborn":
        line = "trap '' TERM; echo $$; while :; do sleep 0.1; done"
        return of_shell(line, start_new_session=True)
    reads, writes = os.pipe()  # Python that runs no other program, in a session of its own
    if not os.fork():
        os.setsid()
        if not os.fork():
            os.write(writes, f"{os.getpid()}\\n".encode())
            time.sleep(1000)
        os._exit(0)
    return int(os.read(reads, 100))

def leave_all_behind(*kinds):
    kinds = ["session", "daemon", "fork", *kinds]
    return air.get([leave_behind.remote(kind) for kind in kinds])

"""

ENDINGS = {
    "shutdown": "air.shutdown()",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "the daemon killed": "",
    "template and daemon killed": "",
}


def kill_all(processes: Sequence[psutil.Process], names: Sequence[str]) -> None:
    """Kill those of a name, one name after another."""
    for name in names:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                if process.name() == name:
                    process.kill()


@pytest.mark.parametrize("ending", ENDINGS)
def test_with_the_program(program: Any, survivors: Any, ending: str) -> None:
    more = "'stubborn'" if ending == "shutdown" else ""  # it has to be killed, after a second
    running = program(
        START
        + f"""
start()
tell(leave_all_behind({more}))
sys.stdin.readline()
{ENDINGS[ending]}
"""
    )
    left = [psutil.Process(pid) for pid in running.hear()]
    processes = running.descendants()
    kill_all(processes, [f"air-{name}" for name in ("template", "daemon") if name in ending])
    running.answer()
    running.end()
    assert survivors([*left, *processes]) == []


def test_when_all_are_killed_at_once_the_next_program_sees_to_it(
    program: Any, survivors: Any
) -> None:
    running = program(START + "start()\ntell(leave_all_behind())\nsys.stdin.readline()\n")
    left = [psutil.Process(pid) for pid in running.hear()]
    processes = running.descendants()
    nodes = [p for p in processes if p.name() in ("air-daemon", "air-template")]
    for process in nodes:
        process.suspend()
    for process in (running.process, *nodes):
        process.kill()
    running.end()
    [session] = running.sessions()
    os.utime(session, (0, 0))
    air.init(backend="cluster", num_cpus=1)
    air.shutdown()
    assert survivors([*left, *processes]) == []


@air.remote
class Starter:
    """Starts programs that belong to nobody any more."""

    def pid(self) -> int:
        return os.getpid()

    def start(self) -> int:
        line = "setsid env -i /bin/sh -c 'echo $$; exec sleep 1000' & exit"
        done = subprocess.Popen(["/bin/sh", "-c", line], stdout=subprocess.PIPE, text=True)
        assert done.stdout is not None
        return int(done.stdout.readline())


@pytest.mark.usefixtures("air_cluster")
@pytest.mark.parametrize("way", ["air.kill", "SIGKILL", "its last handle"])
def test_with_the_worker_and_no_other(survivors: Any, way: str) -> None:
    one, other = Starter.remote(), Starter.remote()
    gone, stays = [psutil.Process(value(starter.start.remote())) for starter in (one, other)]
    worker = psutil.Process(value(one.pid.remote()))
    if way == "air.kill":
        air.kill(one)
    elif way == "SIGKILL":
        worker.kill()
    del one
    assert survivors([gone, worker]) == []
    assert stays.is_running()
    air.kill(other)
    assert survivors([stays]) == []


# Alone --------------------------------------------------------------------------------------


@pytest.fixture
def worker() -> Iterator[Callable[[str, str], subprocess.Popen[str]]]:
    """Starts a process that is marked as a worker of a session, and runs some code."""
    started = []

    def start(session: str, code: str) -> subprocess.Popen[str]:
        text = (
            "import os, subprocess, sys\n"
            "from air_cluster.marks import mark_worker, node_of_session\n"
            f"mark_worker(node_of_session({session!r}))\n{code}\n"
        )
        words = [sys.executable, "-c", text]
        options: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(words, **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


LEAVE = """
print(subprocess.Popen(["sleep", "1000"], start_new_session=True, env={}).pid, flush=True)
sys.stdin.read()
"""


def read_pid(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_marks_are_of_one_node_and_one_worker(worker: Any) -> None:
    process = worker("/one", LEAVE)
    left = read_pid(process)
    one, two = node_of_session("/one"), node_of_session("/two")
    assert worker_of(process.pid, one) == worker_of(left, one) == process.pid
    assert worker_of(left, two) == worker_of(os.getpid(), one) == 0
    assert marked(one) == {process.pid, left}
    assert marked(two) == set()
    assert left in descendants({os.getpid()})
    end_all(lambda: marked(one))
    assert marked(one) == set()
    assert not descendants({process.pid})


def test_a_worker_within_has_a_mark_of_its_own(worker: Any) -> None:
    process = worker("/one", "mark_worker(node_of_session('/two'))\n" + LEAVE)
    left = read_pid(process)
    assert worker_of(left, node_of_session("/one")) == 0
    assert worker_of(left, node_of_session("/two")) == process.pid
    os.kill(left, signal.SIGKILL)


def test_only_what_dead_workers_have_left_is_ended(worker: Any, survivors: Any) -> None:
    leftovers = Leftovers("/one")
    assert leftovers.look() is None
    processes = [worker("/one", LEAVE) for _ in range(2)]
    gone, stays = [psutil.Process(read_pid(process)) for process in processes]
    processes[0].kill()
    processes[0].wait()
    leftovers.of(processes[0].pid)
    leftovers.of(processes[1].pid)  # somebody has this number, as if it had been given out again
    leftovers.finish(bool)
    assert survivors([gone]) == []
    assert stays.is_running()
    assert leftovers.look() is None
    stays.kill()


def test_where_nothing_can_be_marked_groups_are_ended(
    survivors: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("air_cluster.leftovers.worker_of", lambda _pid, _node: 0)
    line = "sleep 1000 & echo $!"
    words = ["/bin/sh", "-c", line]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, process_group=0) as leader:
        left = psutil.Process(read_pid(leader))
    leftovers = Leftovers("/one")
    leftovers.of(leader.pid)
    leftovers.finish(bool)
    assert survivors([left]) == []


def test_a_limit_that_cannot_be_set_marks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("resource.setrlimit", refuse)
    mark_worker(node_of_session("/one"))
    assert worker_of(os.getpid(), node_of_session("/one")) == 0
