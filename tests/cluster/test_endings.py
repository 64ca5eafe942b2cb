"""However a program ends, nothing of its cluster stays: no process, no file, no memory."""

from __future__ import annotations

import asyncio
import gc
import glob
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import air
from air.errors import NotInitialized
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import Counter, identity

BUSY = """
    import time
    import numpy as np

    @air.remote
    def work(x):
        return x.sum()

    @air.remote
    class Keeper:
        def keep(self, x):
            self.x = x

    @air.remote
    def forever():
        time.sleep(1000)

    start()
    big = air.put(np.ones(1_000_000))
    keeper = Keeper.remote()
    air.get([work.remote(big), keeper.keep.remote(big)])
    busy = [forever.remote() for _ in range(4)]
    tell("busy")
    sys.stdin.readline()
"""

ENDINGS = {
    "shutdown": ("air.shutdown()", 0),
    "the last line": ("", 0),
    "an exception": ("raise ValueError('mine')", 1),
    "sys.exit": ("sys.exit(3)", 3),
    "os._exit": ("os._exit(4)", 4),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    "SIGHUP": ("os.kill(os.getpid(), signal.SIGHUP)", -signal.SIGHUP),
    "SIGINT": ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_nothing_is_left(how: str, program: Any, survivors: Any) -> None:
    statement, code = ENDINGS[how]
    running = program(f"{BUSY}    {statement}\n")
    assert running.hear() == "busy"
    processes = running.descendants()
    names = {process.name() for process in processes}
    assert {"air-daemon", "air-template", "air-worker"} <= names
    shared_memory = set(os.listdir("/dev/shm"))
    running.answer()
    assert running.end() == code, running.complaints()
    assert survivors(processes) == []
    assert running.sessions() == []
    assert set(os.listdir("/dev/shm")) <= shared_memory


def test_a_program_that_is_killed_before_its_daemon_knows_it(program: Any, survivors: Any) -> None:
    running = program(
        """
        import psutil
        from air_cluster.client.client import Client

        def die(client, **options):
            tell([child.pid for child in psutil.Process().children(recursive=True)])
            os.kill(os.getpid(), signal.SIGKILL)

        Client.connect = die
        start()
        """
    )
    processes = [psutil.Process(pid) for pid in running.hear() if psutil.pid_exists(pid)]
    assert processes
    assert running.end() == -signal.SIGKILL
    assert survivors(processes) == []
    assert running.sessions() == []


def test_a_template_ends_what_it_has_to_also_behind_an_answer_that_nobody_read() -> None:
    """The end of the daemon's socket is an error then, which must not end the template alone."""
    text = """
        import select, socket, threading
        from air_cluster.daemon.template import WorkerSetup, _Template

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        template = _Template(theirs, WorkerSetup("", b"", ""))
        template._end = lambda: print("ended what it had to")

        def leave():
            select.select([ours], [], [])
            ours.close()

        threading.Thread(target=leave).start()
        template.serve()
        """
    command = [sys.executable, "-c", textwrap.dedent(text)]
    assert subprocess.check_output(command, timeout=30) == b"ended what it had to\n"


def test_what_waits_when_a_program_ends_is_told_so_and_nothing_is_printed() -> None:
    text = """
        import threading
        import time
        import air

        @air.remote
        def sleep():
            time.sleep(1000)

        air.init(num_cpus=1)
        ref = sleep.remote()
        future = ref.future()
        future.add_done_callback(lambda future: print(type(future.exception()).__name__))
        threading.Thread(target=air.get, args=[ref], daemon=True).start()
        """
    command = [sys.executable, "-c", textwrap.dedent(text)]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert (ended.stdout, ended.stderr) == (b"NotInitialized\n", b"")


def test_what_tasks_have_started_ends_too(program: Any, survivors: Any) -> None:
    running = program(
        """
        import subprocess

        @air.remote
        def leave_behind():
            return subprocess.Popen(["sleep", "1000"]).pid

        @air.remote
        class Owner:
            def __init__(self):
                self.child = subprocess.Popen(["sleep", "1000"])

            def child_pid(self):
                return self.child.pid

        start()
        owner = Owner.remote()
        tell(air.get([leave_behind.remote(), owner.child_pid.remote()]))
        sys.stdin.readline()
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    processes = [psutil.Process(pid) for pid in running.hear()]
    running.answer()
    running.end()
    assert survivors(processes) == []


@pytest.mark.usefixtures("air_cluster")
def test_what_a_killed_actor_has_started_ends_with_it(survivors: Any) -> None:
    class Owner:
        def __init__(self) -> None:
            self.child = subprocess.Popen(["sleep", "1000"])

        def child_pid(self) -> int:
            return self.child.pid

    owner = air.remote(Owner).remote()
    child = psutil.Process(value(owner.child_pid.remote()))
    air.kill(owner)
    assert survivors([child]) == []


@pytest.mark.usefixtures("air_cluster")
def test_shared_memory_that_a_worker_made_itself_is_removed() -> None:
    """Python has a process for that, beside the worker: it gets the time to do so."""

    class Owner:
        def __init__(self) -> None:
            from multiprocessing.shared_memory import SharedMemory

            self.memory = SharedMemory(create=True, size=100)

        def name(self) -> str:
            return self.memory.name

    owner = air.remote(Owner).remote()
    path = Path("/dev/shm", value(owner.name.remote()))
    assert path.exists()
    air.kill(owner)
    assert eventually(lambda: not path.exists())


def test_a_forked_child_does_not_keep_the_cluster_alive(program: Any, survivors: Any) -> None:
    running = program(
        """
        import time

        start()
        air.get(air.remote(os.getpid).remote())
        child = os.fork()
        if not child:
            time.sleep(1000)
        tell(child)
        sys.stdin.readline()
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    child = running.hear()
    processes = [process for process in running.descendants() if process.pid != child]
    running.answer()
    running.end()
    try:
        assert survivors(processes) == []
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_killed_program_that_kills_its_daemon_too_leaves_no_process(
    program: Any, survivors: Any
) -> None:
    running = program(f"{BUSY}    pass\n")
    running.hear()
    processes = running.descendants()
    (daemon,) = (process for process in processes if process.name() == "air-daemon")
    running.process.kill()
    daemon.kill()
    running.end()
    assert survivors(processes) == []
    (session,) = running.sessions()
    # The next program tidies up: not at once, since the directory of one that starts may be young.
    os.utime(session, (0, 0))
    air.init(backend="cluster", num_cpus=1)
    air.shutdown()
    assert running.sessions() == []


def test_a_directory_of_a_living_program_is_left_alone() -> None:
    air.init(backend="cluster", num_cpus=1)
    (mine,) = glob.glob(f"{tempfile.gettempdir()}/air-{os.getuid()}-{os.getpid()}-*")
    os.utime(mine, (0, 0))
    text = "import air; air.init(backend='cluster', num_cpus=1); air.shutdown()"
    subprocess.run([sys.executable, "-c", text], check=True, timeout=60)
    assert os.path.isdir(mine)
    assert value(identity.remote(1)) == 1
    air.shutdown()
    assert not os.path.exists(mine)


def test_two_programs_at_the_same_time(program: Any) -> None:
    text = """
        @air.remote
        class Number:
            def __init__(self, number): self.number = number
            def get(self): return self.number

        start(num_cpus=1)
        mine = Number.options(name="number").remote(os.getpid())
        tell(os.getpid())
        sys.stdin.readline()
        tell(air.get(air.get_actor("number").get.remote()))
    """
    both = [program(text), program(text)]
    pids = [running.hear() for running in both]
    for running in both:
        running.answer()
    assert [running.hear() for running in both] == pids
    assert [running.end() for running in both] == [0, 0]


@pytest.mark.slow
def test_ten_clusters_one_after_another_do_not_add_up() -> None:
    def use() -> tuple[int, int]:
        air.init(backend="cluster", num_cpus=1, log_to_driver=False)
        counter = Counter.remote()
        assert value([counter.add.remote(), identity.remote(bytes(100_000))])[0] == 1
        air.shutdown()
        gc.collect()
        me = psutil.Process()
        return me.num_fds(), me.num_threads()

    first = use()
    assert {use() for _ in range(9)} == {first}


def test_a_shutdown_while_other_threads_wait(start_thread: Callable[..., Any]) -> None:
    @air.remote
    class Patient:
        async def wait(self) -> None:
            await asyncio.Event().wait()

    air.init(backend="cluster", num_cpus=1, log_to_driver=False)
    patient = Patient.remote()
    endless = [patient.wait.remote() for _ in range(4)]
    before = threading.active_count()
    getting = [start_thread(lambda ref=ref: air.get(ref)) for ref in endless]
    waiting = start_thread(lambda: air.wait(endless, num_returns=4))
    assert eventually(lambda: threading.active_count() == before + 5)
    air.shutdown()
    for thread in getting:
        assert isinstance(thread.outcome(), NotInitialized)
    assert waiting.outcome() == (endless, [])
