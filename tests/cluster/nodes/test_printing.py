"""What is printed on several nodes, and for several programs."""

from __future__ import annotations

import glob
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from .hosts import Host

TALK = """
import air, os, sys
air.init(address="auto")

@air.remote(num_cpus=0)
def nested(name):
    print("nested for", name)

@air.remote(num_cpus=0)
def talk(name):
    print("for", name)
    os.system(f"echo child for {name}")
    air.get(nested.remote(name))

@air.remote(num_cpus=0)
class Actor:
    def talk(self, name):
        os.write(1, f"actor for {name}\\n".encode())

actor = Actor.remote()
for _ in range(3):
    air.get([talk.remote(sys.argv[1]), actor.talk.remote(sys.argv[1])])
"""


@pytest.fixture
def here() -> Iterator[Host]:
    host = Host()
    host.environment["AIR_DEDUP_LOGS"] = "0"
    yield host
    host.close()


def begin(host: Host, *arguments: str) -> str:
    done = host.air("start", "--num-cpus", "1", "--object-store-memory", "100000000", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_program_sees_what_was_printed_for_it(here: Host) -> None:
    begin(here, "--head", "--port", "0")
    programs = {
        name: subprocess.Popen(
            here.command(sys.executable, "-c", TALK, name),
            env=here.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    }
    for name, program in programs.items():
        out, _ = program.communicate(timeout=60)
        assert program.returncode == 0
        said = sorted(line.partition(") ")[2] for line in out.splitlines())
        assert said == sorted(
            3 * [f"for {name}", f"child for {name}", f"nested for {name}", f"actor for {name}"]
        )


def test_files_stay_as_long_as_the_node(here: Host) -> None:
    begin(here, "--head", "--port", "0")
    here.program(TALK, "all")
    [logs] = glob.glob(os.path.join(here.directory, "air-*", "logs"))
    text = b"".join(path.read_bytes() for path in Path(logs).glob("worker-*.out"))
    assert text.count(b"for all\n") == 12
    assert b"\x1e" not in text
    said = Path(logs, "daemon.log").read_text()
    assert re.search(r"20.* INFO air_cluster.daemon.node: program \w+ \(pid \d+\) is here", said)
    here.air("stop")
    assert not os.listdir(here.directory)


def test_lines_of_other_nodes_say_where(here: Host) -> None:
    printed = begin(here, "--head", "--port", "0")
    head = printed.splitlines()[0].rpartition("head ")[2]
    begin(here, "--address", head, "--resources", '{"widget": 1}')
    out = here.program(
        """
import air
air.init(address="auto")

@air.remote(num_cpus=0)
def talk():
    print("here")

air.get([talk.remote(), talk.options(resources={"widget": 1}).remote()])
air.get(talk.options(resources={"widget": 1}).remote())
"""
    )
    lines = sorted(line for line in out.splitlines())
    assert sum(", ip=127.0.0.1) here" in line for line in lines) == 2
    assert len(lines) == 3


def test_log_files_of_a_node_that_was_killed_are_kept_for_a_while(here: Host) -> None:
    here.environment["AIR_CRASHED_SESSIONS"] = "2"
    kept: list[str] = []
    for name in ("a", "b", "c"):
        begin(here, "--head", "--port", "0")
        here.program(TALK, name)
        [daemon] = here.daemons
        children = daemon.children(recursive=True)
        daemon.kill()
        psutil.wait_procs([daemon, *children], timeout=20)
        here.air("stop")  # removes what is dead
        kept = sorted(os.listdir(here.directory), key=lambda n: os.stat(_in(here, n)).st_mtime)
    assert len(kept) == 2
    for directory, name in zip(kept, ("b", "c"), strict=True):
        assert os.listdir(_in(here, directory)) == ["logs"]
        text = b"".join(
            path.read_bytes() for path in Path(_in(here, directory), "logs").glob("*.out")
        )
        assert f"for {name}\n".encode() in text
        assert os.stat(_in(here, directory)).st_mode & 0o077 == 0
    here.environment["AIR_CRASHED_SESSIONS"] = "0"
    begin(here, "--head", "--port", "0")
    here.kill_daemons()
    here.air("stop")


def test_a_program_whose_daemon_was_killed_says_where_its_log_files_are(here: Host) -> None:
    here.environment["AIR_CRASHED_SESSIONS"] = "1"
    program = f"""
import air, os, psutil
import air.util.state
air.init()

@air.remote
def talk():
    print("to be kept")
    return os.getppid()

template = air.get(talk.remote())
while not air.util.state.list_logs(glob_filter="worker-*.out"):
    pass
daemon = psutil.Process(template).parent()
daemon.send_signal({int(signal.SIGKILL)})
try:
    while True:
        air.get(talk.remote())
except air.errors.NodeDied:
    air.shutdown()
"""
    words = here.command(sys.executable, "-c", program)
    done = subprocess.run(words, env=here.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "the node's daemon was ended by signal 9; its log files are in " in done.stderr
    [kept] = os.listdir(here.directory)
    assert _in(here, kept) in done.stderr
    [text] = [path.read_text() for path in Path(_in(here, kept), "logs").glob("*.out")]
    assert text.startswith("to be kept\n")
    here.environment["AIR_CRASHED_SESSIONS"] = "0"
    here.program("import air; air.init()")  # whoever starts a cluster looks after that


def _in(host: Host, name: str) -> str:
    return os.path.join(host.directory, name)


def test_log_files_of_all_nodes_from_a_shell(here: Host) -> None:
    printed = begin(here, "--head", "--port", "0")
    head = printed.splitlines()[0].rpartition("head ")[2]
    other = begin(here, "--address", head, "--resources", '{"widget": 1}').split()[1]
    pid = here.program(
        """
import air, os
air.init(address="auto", log_to_driver=False)

@air.remote(resources={"widget": 1})
def talk():
    for number in range(1000):
        print("number", number)
    print("to standard error", file=__import__("sys").stderr)
    return os.getpid()

print(air.get(talk.remote()))
"""
    ).strip()
    listed = here.air("logs").stdout
    assert sum("daemon.log" in line for line in listed.splitlines()) == 2
    [line] = [line for line in listed.splitlines() if line.startswith(other) and ".out" in line]
    name = line.split()[2]
    assert name.endswith(f"-{pid}.out")
    assert here.air("logs", pid).stdout == "".join(f"number {n}\n" for n in range(1000))
    assert here.air("logs", name, "--tail", "2").stdout == "number 998\nnumber 999\n"
    assert here.air("logs", pid, "--err", "--node-id", other).stdout == "to standard error\n"
    words = here.air_words("logs", f"*-{pid}.out", "--follow")
    with subprocess.Popen(words, env=here.environment, stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        assert following.stdout.read(9) == b"number 0\n"
        following.send_signal(signal.SIGINT)
        following.stdout.read()
        assert following.wait(30) == 130
    for arguments, expected in (
        (["nothing"], "there is no log file 'nothing'; the files are: 'daemon.log'"),
        (["daemon.log"], "there is more than one log file 'daemon.log'"),
        (["--follow"], "--follow goes with the name of a file"),
    ):
        said = here.air("logs", *arguments)
        assert said.returncode == 1
        [line] = said.stderr.splitlines()
        assert expected in line


def test_an_actor_that_outlives_its_program_prints_to_files(here: Host) -> None:
    begin(here, "--head", "--port", "0")
    program = """
import air, sys
air.init(address="auto", namespace="common")

@air.remote(num_cpus=0)
class Talker:
    def talk(self, name):
        print("to", name)

if sys.argv[1] == "first":
    Talker.options(name="talker", lifetime="detached").remote()
air.get(air.get_actor("talker").talk.remote(sys.argv[1]))
"""
    assert re.fullmatch(r"\(Talker pid=\d+\) to first\n", here.program(program, "first"))
    assert here.program(program, "second") == ""
    [file] = glob.glob(os.path.join(here.directory, "air-*", "logs", "worker-*.out"))
    assert Path(file).read_text() == "to first\nto second\n"
