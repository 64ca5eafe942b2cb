"""What tasks and actors print, as the program's console and the log files show it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import Program

Start = Callable[[str], Program]

SHOWN = """
def note(value):
    with open("noted", "a") as file:
        file.write(json.dumps(value) + "\\n")

air.init(backend="cluster", num_cpus=2)

def logs():
    import glob, tempfile
    mine = os.path.join(tempfile.gettempdir(), f"air-{os.getuid()}-{os.getpid()}-*/logs/worker-*")
    found = {}
    for path in glob.glob(mine):
        try:
            found[path] = open(path, "rb").read()
        except FileNotFoundError:  # it has just become an older part
            pass
    return found
"""


def shown(program: Program) -> list[str]:
    """The lines on standard output, without process ids; the program must succeed."""
    out, complaints = program.process.communicate(timeout=60)
    assert program.process.returncode == 0, complaints.decode()
    return _lines(out)


def noted(directory: Path) -> list[Any]:
    """What the program has noted."""
    return [json.loads(line) for line in (directory / "noted").read_text().splitlines()]


def _lines(out: bytes) -> list[str]:
    text = re.sub(r"pid=\d+", "pid=N", out.decode())
    return [line for line in text.split("\n")[:-1] if not line.startswith("TOLD ")]


def test_lines_begin_with_who_printed_them(program: Start) -> None:
    started = program(
        SHOWN
        + """
@air.remote
def task():
    print("from a task")
    os.system("echo from a child")

class Plain:
    def __init__(self):
        print("made")
    def method(self):
        print("called")
        os.write(1, b"directly\\n")

class Named(Plain):
    def __repr__(self):
        return "Named(7)"

air.get(task.remote())
for cls in (Plain, Named):
    actor = air.remote(cls).remote()
    air.get(actor.method.remote())
"""
    )
    assert sorted(shown(started)) == [
        "(Named pid=N) made",
        "(Named(7) pid=N) called",
        "(Named(7) pid=N) directly",
        "(Plain pid=N) called",
        "(Plain pid=N) directly",
        "(Plain pid=N) made",
        "(task pid=N) from a child",
        "(task pid=N) from a task",
    ]


def test_a_child_of_the_next_task_does_not_print_in_the_name_of_the_one_before(
    program: Start,
) -> None:
    started = program(
        SHOWN
        + """
@air.remote
def one():
    print("one", end="")

@air.remote
def two():
    os.write(1, b"two\\n")

air.get(one.remote()); air.get(two.remote())
"""
    )
    assert sorted(shown(started)) == ["(one pid=N) one", "(pid=N) two"]


def test_errors_and_logging_go_to_standard_error(program: Start) -> None:
    started = program(
        SHOWN
        + """
@air.remote
def task():
    import logging
    print("err", file=sys.stderr)
    logging.getLogger("mine").warning("warned")
    logging.getLogger("mine").info("not shown")

air.get(task.remote())
"""
    )
    out, err = started.process.communicate(timeout=60)
    assert out == b""
    assert _lines(err) == ["(task pid=N) err", "(task pid=N) warned"]


def test_odd_output(program: Start) -> None:
    started = program(
        SHOWN
        + """
@air.remote(num_cpus=1)
def task():
    os.write(1, b"no text: \\xff\\xfe\\n")
    print("x" * 200_000)
    for percent in range(0, 101, 10):
        print(f"\\r{percent} %", end="")
    print()
    print("")
    print("no newline", end="", flush=True)

air.get(task.remote())
"""
    )
    lines = shown(started)
    assert [line.removeprefix("(task pid=N) ") for line in lines if len(line) < 100][-3:] == [
        "100 %",
        "",
        "no newline",
    ]
    assert "(pid=N) no text: \ufffd\ufffd" in lines
    long = [line for line in lines if len(line) > 1000]
    assert sum(line.count("x") for line in long) == 200_000


def test_files_hold_what_was_printed_and_nothing_else(program: Start, tmp_path: Path) -> None:
    started = program(
        SHOWN
        + """
@air.remote
def task(i):
    print("same"); print(i, file=sys.stderr)
    return os.getpid()

pids = set(air.get([task.remote(i) for i in range(20)]))
while b"".join(logs().values()).count(b"\\n") < 40:
    pass
files = logs()
outs = [text for path, text in files.items() if path.endswith(".out")]
errs = [text for path, text in files.items() if path.endswith(".err")]
note(b"".join(outs) == b"same\\n" * 20)
note(sorted(map(int, b"".join(errs).split())) == list(range(20)))
note({int(p.rpartition("-")[2].partition(".")[0]) for p in files if "worker-" in p} == pids)
note({os.stat(path).st_mode & 0o777 for path in files} == {0o600})
"""
    )
    assert 2 <= len(shown(started)) <= 20
    assert noted(tmp_path) == [True] * 4
    assert not started.sessions()


def test_what_several_workers_print_alike_is_shown_once(program: Start) -> None:
    text = (
        SHOWN
        + """
@air.remote
class Worker:
    def hello(self):
        print("hello")

workers = [Worker.options(num_cpus=0).remote() for _ in range(4)]
air.get([worker.hello.remote() for worker in workers])
while b"".join(logs().values()).count(b"hello\\n") != 4:  # in the files each of them is kept
    pass
"""
    )
    assert sorted(shown(program(text))) == [
        "(Worker pid=N) hello",
        "(Worker pid=N) hello [repeated 3x across cluster]",
    ]
    plain = 'os.environ["AIR_DEDUP_LOGS"] = "0"\n' + text
    assert shown(program(plain)) == ["(Worker pid=N) hello"] * 4


def test_nothing_is_shown_if_that_is_not_wanted(program: Start) -> None:
    started = program(
        """
start()

@air.remote
def task():
    print("hidden")

air.get(task.remote())
"""
    )
    assert shown(started) == []


def test_the_last_words_of_a_worker_that_crashes(program: Start, tmp_path: Path) -> None:
    started = program(
        SHOWN
        + """
import ctypes

@air.remote(max_retries=0)
def crash():
    print("about to crash", file=sys.stderr)
    ctypes.string_at(0)

@air.remote(max_retries=0)
def killed():
    print("about to be killed")
    os.kill(os.getpid(), signal.SIGKILL)

for task in (crash, killed):
    try:
        air.get(task.remote())
    except air.errors.WorkerDied as error:
        note(str(error))
"""
    )
    out, err = started.process.communicate(timeout=60)
    said, other = noted(tmp_path)
    assert "it was killed by SIGSEGV; the last that it wrote to standard error:" in said
    assert "    about to crash\n    Fatal Python error: Segmentation fault" in said
    assert "in crash" in said
    assert "/air_cluster/" not in said
    assert other.endswith("it was killed by SIGKILL")
    assert _lines(out) == ["(killed pid=N) about to be killed"]
    assert "Fatal Python error: Segmentation fault" in err.decode()


def test_what_was_printed_before_the_program_fails_is_shown(program: Start) -> None:
    started = program(
        SHOWN
        + """
@air.remote
def task():
    for i in range(1000):
        print("line", i)

air.get(task.remote())
raise SystemExit(3)
"""
    )
    out, _ = started.process.communicate(timeout=60)
    assert started.process.returncode == 3
    assert _lines(out) == [f"(task pid=N) line {i}" for i in range(1000)]


def test_lines_of_many_workers_stay_whole(program: Start) -> None:
    started = program(
        SHOWN
        + """
@air.remote
class Worker:
    def work(self, i):
        for _ in range(200):
            print(f"<{i}" + "-" * 300 + f"{i}>")

workers = [Worker.options(num_cpus=0).remote() for _ in range(4)]
air.get([worker.work.remote(i) for i, worker in enumerate(workers)])
"""
    )
    lines = shown(started)
    assert len(lines) == 800
    assert all(re.fullmatch(r"\(Worker pid=N\) <(\d)-{300}\1>", line) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["print", "child"])
def test_who_prints_without_end_is_slowed_down(program: Start, tmp_path: Path, how: str) -> None:
    started = program(
        """
os.environ.update(AIR_ROTATION_MAX_BYTES="100000", AIR_ROTATION_BACKUP_COUNT="1")
"""
        + SHOWN
        + f"""
import psutil, subprocess

@air.remote
def flood():
    if {how!r} == "child":
        subprocess.run(["yes", "y" * 200])
    while True:
        print("y" * 200)

@air.remote
def square(x):
    return x * x

ref = flood.remote()
while sum(map(len, logs().values())) < 150_000:
    air.get(square.remote(2))
before = sum(psutil.Process(p.pid).memory_info().rss for p in psutil.Process().children())
for _ in range(1000):
    air.get(square.remote(2))
after = sum(psutil.Process(p.pid).memory_info().rss for p in psutil.Process().children())
note([after - before, sum(map(len, logs().values()))])
"""
    )
    assert started.process.stdout is not None
    while started.process.stdout.read(1 << 20):
        pass
    assert started.end() == 0, started.complaints()
    [(growth, files)] = noted(tmp_path)
    assert growth < 50_000_000
    assert files < 500_000


def test_a_blocked_console_blocks_nothing_else(program: Start) -> None:
    """Nobody reads the program's standard output, and its pipe is full."""
    started = program(
        """
import fcntl
reader, writer = os.pipe()
fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
os.dup2(writer, 1)
"""
        + SHOWN
        + """
@air.remote
def task():
    print("x" * 50_000)

air.get([task.remote() for _ in range(20)])
os.write(2, b"all done\\n")
os.close(reader)
"""
    )
    assert started.process.stderr is not None
    assert started.process.stderr.readline() == b"all done\n"
    assert started.end() == 0
