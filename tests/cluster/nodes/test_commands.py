"""``air start``, ``air stop`` and ``air status``, as a person types them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import air
from air.cli.main import main
from air.errors import BackendError, InvalidOption
from air.testing.executor_suite.harness import eventually
from air_cluster import directories, heads, session_files
from air_cluster.credentials import Credentials

from .hosts import Host

WHERE = """
import air
air.init(address="auto")

@air.remote(num_cpus=0)
def where():
    return air.get_runtime_context().get_node_id()

print(air.get(where.remote()), len(air.nodes()))
"""


@pytest.fixture
def here() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


def start(host: Host, *arguments: str) -> str:
    """Start a node; what was printed."""
    done = host.air("start", "--num-cpus", "1", "--object-store-memory", "100000000", *arguments)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def make_token(directory: Path) -> str:
    token = directory / "token"
    token.write_text("0123456789abcdef\n")
    token.chmod(0o600)
    return str(token)


def head_of(printed: str) -> str:
    found = re.search(r"head (\S+:\d+)$", printed, re.MULTILINE)
    assert found is not None
    return found.group(1)


def name_of(printed: str) -> str:
    return printed.split()[1]


def test_the_life_of_a_node(here: Host) -> None:
    printed = start(here, "--head", "--port", "0")
    assert here.program(WHERE) == f"{name_of(printed)} 1\n"
    status = here.air("status")
    assert status.stdout.startswith("1 node; in use of what there is:\nnode ")
    assert name_of(printed) in status.stdout
    assert "  0/1  " in status.stdout
    stopped = here.air("stop")
    assert stopped.returncode == 0
    assert stopped.stdout == f"head 127.0.0.1 of {head_of(printed)}: ended\n"
    assert not os.listdir(here.directory)
    assert here.air("stop").stdout == "no node runs here\n"


def test_one_more_node_on_the_same_machine_needs_no_token_file(here: Host) -> None:
    head = head_of(start(here, "--head", "--port", "0"))
    joined = start(
        here, "--address", head, "--resources", '{"widget": 2}', "--labels", '{"z": "a"}'
    )
    assert head_of(joined) == head
    status = here.air("status", "--address", head).stdout
    row = next(line for line in status.splitlines() if name_of(joined) in line)
    assert row.split()[-2:] == ["0/2", "z=a"]
    [*_, last] = here.air("stop").stdout.splitlines()
    assert last.startswith("head")  # the others leave before it


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_program_outside_the_cluster(here: Host, tmp_path: Path, tls: bool) -> None:
    token = str(tmp_path / "made" / "token")
    flags = ["--tls"] * tls
    printed = start(here, "--head", "--port", "0", "--token-file", token, *flags)
    assert stat.S_IMODE(os.stat(token).st_mode) == 0o600
    assert (b"CERTIFICATE" in Path(token).read_bytes()) == tls
    joined = start(here, "--address", head_of(printed), "--token-file", token, *flags)
    outside = Host()
    try:
        outside.environment["AIR_TOKEN_FILE"] = token
        program = f"""
import air, numpy
from air.util.scheduling_strategies import NodeAffinitySchedulingStrategy

air.init(address="{head_of(printed)}")

@air.remote(num_cpus=0)
class Where:
    def where(self, big):
        return air.get_runtime_context().get_node_id(), big

big = air.put(numpy.ones(1_000_000))
for node in air.nodes():
    tied = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    actor = Where.options(scheduling_strategy=tied).remote()
    name, back = air.get(actor.where.remote(big))
    print(name, back.sum())
print(air.get(Where.remote().where.remote(1))[0])
print(air.cluster_resources()["CPU"])
"""
        lines = outside.program(program).splitlines()
    finally:
        outside.close()
    names = [name_of(printed), name_of(joined)]
    assert lines[:2] == [f"{name} 1000000.0" for name in names]
    # Its own machine takes none of its actors, and is no node.
    assert lines[2] in names
    assert lines[3] == "2.0"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_node_in_the_foreground(here: Host, number: signal.Signals) -> None:
    words = here.air_words("start", "--head", "--port", "0", "--block")
    process = subprocess.Popen(words, env=here.environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name = name_of(process.stdout.readline())
    if number is signal.SIGTERM:  # the others come at once
        assert here.program(WHERE) == f"{name} 1\n"
    process.send_signal(number)
    assert process.wait(30) == (-number if number is signal.SIGKILL else 0)
    process.stdout.close()
    assert eventually(lambda: not os.listdir(here.directory))


def test_a_daemon_that_does_not_answer(here: Host) -> None:
    start(here, "--head", "--port", "0")
    [daemon] = here.daemons
    daemon.suspend()
    try:
        assert "the node's daemon has not answered for 10 s" in complaint(here, "status")
    finally:
        daemon.resume()


def test_the_address_of_the_environment(here: Host) -> None:
    head = head_of(start(here, "--head", "--port", "0"))
    for address in (head, "auto"):
        here.environment["AIR_ADDRESS"] = address
        assert here.air("status").stdout.startswith("1 node")
    here.environment["AIR_ADDRESS"] = "127.0.0.1:1"
    for words in (["status"], ["list", "nodes"]):
        said = complaint(here, *words)
        assert "joining the cluster at 127.0.0.1:1 takes its token" in said
        assert said.endswith("(the environment says AIR_ADDRESS=127.0.0.1:1)")
    del here.environment["AIR_ADDRESS"]


JOBS = """
import os, sys
import air
air.init(address="auto", namespace="mine")
how = sys.argv[1]
if how == "raise":
    raise KeyError("the key")
if how == "kill":
    os.kill(os.getpid(), 9)
"""


def test_programs_that_come_and_go(here: Host) -> None:
    printed = start(here, "--head", "--port", "0")
    for how in ("end", "raise", "kill"):
        words = here.command(sys.executable, "-c", JOBS, how)
        subprocess.run(words, env=here.environment, capture_output=True, check=False)
    jobs: list[dict[str, object]] = []

    def are_over() -> bool:
        jobs[:] = json.loads(here.air("list", "jobs", "--format", "json").stdout)
        return [job["status"] for job in jobs] == ["SUCCEEDED", "FAILED", "FAILED"]

    assert eventually(are_over)  # the command itself is none
    assert [str(job["entrypoint"]).rpartition(" ")[2] for job in jobs] == ["end", "raise", "kill"]
    assert [job["message"] for job in jobs] == [
        None,
        "KeyError: 'the key'",
        "it ended without leaving the cluster: it was killed, or crashed",
    ]
    for job in jobs:
        assert job["driver_node_id"] == name_of(printed)
        assert 0 < float(str(job["start_time"])) <= float(str(job["end_time"]))
    shown = here.air("get", "jobs", str(jobs[1]["job_id"])).stdout
    assert 'status: "FAILED"' in shown


def test_a_node_that_was_killed_is_not_found(here: Host) -> None:
    start(here, "--head", "--port", "0")
    here.kill_daemons()
    assert eventually(lambda: here.air("stop").stdout == "no node runs here\n")
    assert "none runs" in here.air("status").stderr
    assert not os.listdir(here.directory)


def test_killing(here: Host) -> None:
    printed = start(here, "--head", "--port", "0")
    assert here.air("stop", "--force").stdout == f"head 127.0.0.1 of {head_of(printed)}: killed\n"


# What cannot be done --------------------------------------------------------------------------


def complaint(host: Host, *arguments: str) -> str:
    """What is said; the command fails, and leaves nothing."""
    before = sorted(os.listdir(host.directory))
    done = host.air(*arguments)
    assert done.returncode != 0
    assert sorted(os.listdir(host.directory)) == before
    [line] = [line for line in done.stderr.splitlines() if line.startswith("air ")]
    return line


def test_a_port_in_use(here: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = complaint(here, "start", "--head", "--port", str(port))
    assert said == (
        f"air start: cannot listen on tcp:127.0.0.1:{port}: Address already in use: end what"
        " listens there ('air stop', if it is a node), or choose another --port"
    )


def test_nobody_at_the_address(here: Host, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    token = make_token(tmp_path)
    said = complaint(here, "start", "--address", f"127.0.0.1:{port}", "--token-file", token)
    assert f"the head at tcp:127.0.0.1:{port} cannot be reached" in said
    assert "refused" in said


def test_another_token(here: Host, tmp_path: Path) -> None:
    head = head_of(start(here, "--head", "--port", "0"))
    token = make_token(tmp_path)
    said = complaint(here, "start", "--address", head, "--token-file", token)
    assert "does not know this cluster's token" in said
    assert here.program(WHERE).endswith(" 1\n")


# Found out before anything is started ---------------------------------------------------------

Refusal = Callable[..., str]


@pytest.fixture
def refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refusal:
    """What the command says that does not do what it was asked for."""
    # Not where others may have nodes, as they do where the paths of sockets are too long.
    monkeypatch.setattr(directories, "_root", lambda: str(tmp_path))
    for name in ("AIR_TOKEN_FILE", "AIR_ADDRESS"):
        monkeypatch.delenv(name, raising=False)

    def refuse(*arguments: str, status: int = 1) -> str:
        try:
            code = main(arguments)
        except SystemExit as end:  # how argparse complains
            code = int(str(end.code))
        assert code == status
        assert not list(tmp_path.glob("air-*"))
        [*_, line] = capsys.readouterr().err.splitlines()
        return line

    return refuse


@pytest.mark.parametrize(
    ("content", "mode", "expected"),
    [
        (None, 0, "cannot be read: No such file or directory"),
        (b"0123456789abcdef", 0o644, "is open to other users (mode 0644)"),
        (b"short", 0o600, "has 5 characters; at least 16 are needed"),
        (b"", 0o600, "has 0 characters"),
        (b"\xff" * 40, 0o600, "is no token file"),
        (b"0123456789abcdef\nand more\n", 0o600, "holds more than a token"),
        (b"x" * 100_000, 0o600, "is no token file"),
    ],
)
def test_token_files(
    refusal: Refusal, tmp_path: Path, content: bytes | None, mode: int, expected: str
) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
        token.chmod(mode)
    said = refusal("start", "--address", "127.0.0.1:1", "--token-file", str(token))
    assert said.startswith("air start: ")
    assert str(token) in said
    assert expected in said


def test_a_token_file_far_from_any_directory(refusal: Refusal, tmp_path: Path) -> None:
    token = tmp_path / "one" / "two" / "token"
    said = refusal("start", "--head", "--token-file", str(token))
    assert f"there is no directory {tmp_path / 'one'}" in said
    assert not (tmp_path / "one").exists()


def test_certificates_are_asked_for_where_there_are_none(refusal: Refusal, tmp_path: Path) -> None:
    token = make_token(tmp_path)
    assert "holds no certificates" in refusal("start", "--head", "--tls", "--token-file", token)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--address", "somewhere"], "address must be 'HOST:PORT'"),
        (["--address", "no.such.host.invalid:1"], "cannot be found"),
        (["--address", "127.0.0.1:1"], "joining a cluster takes its token"),
        (["--address", "127.0.0.1:0"], "address must be 'HOST:PORT'"),
        (["--address", "http://127.0.0.1:80"], "address must be 'HOST:PORT'"),
        (["--address", "127.0.0.1:99999"], "the port '99999' is no number from 0 to 65535"),
        (["--head", "--object-store-memory", "1e30"], "larger than this machine's memory"),
        (["--head", "--host", ""], "--host must be a name or an address"),
        (["--head", "--token-file", ""], "--token-file must name a file"),
        (["--head", "--state-file", ""], "--state-file must name a file"),
        (["--head", "--host", "0.0.0.0"], "stands for all addresses"),
        (["--head", "--host", "no.such.host.invalid"], "cannot be found"),
    ],
)
def test_addresses(refusal: Refusal, arguments: list[str], expected: str) -> None:
    assert expected in refusal("start", *arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "one of the arguments --head --address is required"),
        (["--head", "--address", "127.0.0.1:1"], "not allowed with argument --head"),
        (["--head", "--prot", "1"], "unknown argument: --prot 1. Did you mean '--port'?"),
        (["--head", "--port", "70000"], "--port"),
        (["--head", "--num-cpus", "-1"], "num-cpus must be"),
        (["--head", "--num-cpus", "two"], "expected a number, got 'two'"),
        (
            ["--head", "--num-gpus", "1.5"],
            "num-gpus must be a whole number >= 0 and <= 1024, got 1.5",
        ),
        (["--head", "--num-gpus", "many"], "expected a number"),
        (["--head", "--num-cpus", "0.00001"], "num-cpus must be 0 or at least 0.0001, got 1e-05"),
        (
            ["--head", "--resources", '{"a": 1, "a": 2}'],
            "--resources names 'a' twice, with 1 and 2",
        ),
        (["--head", "--labels", '{"a": "b", "a": "c"}'], "--labels names 'a' twice"),
        (
            ["--head", "--resources", '{"object_store_memory": 5}'],
            "must not hold 'object_store_mem",
        ),
        (["--head", "--memory", "inf"], "memory must be a whole number"),
        (["--head", "--resources", "{"], "expected a JSON object"),
        (["--head", "--resources", '{"CPU": 1}'], "CPU"),
        (["--head", "--resources", '{"a": -1}'], "-1"),
        (["--head", "--labels", '{"a": 1}'], "labels['a'] must be text"),
        (["--head", "--object-store-memory", "0"], "object-store-memory"),
        (["--head", "--num-cpus", "nan"], "num-cpus must be"),
        (["--head", "--resources", '{"a": NaN}'], "must be a number"),
        (["--head", "--resources", "[1]"], "resources must map names to quantities"),
        (["--head", "--memory", "1G"], "expected a number, got '1G'"),
    ],
)
def test_options(refusal: Refusal, arguments: list[str], expected: str) -> None:
    assert expected in refusal("start", *arguments, status=2)


def test_a_cluster_that_is_not_here(refusal: Refusal) -> None:
    said = refusal("stop", "--address", "127.0.0.1:1")
    assert "no node of a cluster with the head 127.0.0.1:1 runs here" in said
    assert "none runs" in refusal("status")


def test_help_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    for name in ("backends", "start", "status", "stop"):
        assert re.search(rf"^    {name}\b", shown, re.MULTILINE)


# Addresses at which no head is ---------------------------------------------------------------


def _answer(server: socket.socket, said: bytes) -> None:
    """Say the same to everybody who connects, and hang up, until the server is closed."""
    with contextlib.suppress(OSError):
        while True:
            other, _ = server.accept()
            with other, contextlib.suppress(OSError):
                other.recv(100)
                other.sendall(said)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the other side does not speak this protocol"),
        (b"AIR\0\0\0\0\x07", "speaks protocol version 7, this one 1: install the same release"),
        (b"", "closed by the other side during the handshake"),
    ],
    ids=["http", "version", "closes"],
)
def test_something_else_at_the_address(
    here: Host, tmp_path: Path, said: bytes, expected: str
) -> None:
    token = make_token(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer, args=(server, said), daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        refused = complaint(here, "start", "--address", address, "--token-file", token)
        server.shutdown(socket.SHUT_RDWR)
    assert refused.startswith(f"air start: the head at tcp:{address} cannot be reached: ")
    assert expected in refused
    assert refused.endswith("(is that the address of a head, and does one run there?)")


@pytest.mark.slow
def test_nobody_answers_at_the_address(here: Host, tmp_path: Path) -> None:
    """Packets are swallowed, as by a firewall: the queue of those who connect is full."""
    token = make_token(tmp_path)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(server.getsockname())
        address = f"127.0.0.1:{server.getsockname()[1]}"
        said = complaint(here, "start", "--address", address, "--token-file", token)
        for one in waiting:
            one.close()
    assert f"the head at tcp:{address} cannot be reached: nothing was heard of it" in said


def test_ctrl_c_while_nobody_answers_leaves_nothing(here: Host, tmp_path: Path) -> None:
    words = ["start", "--token-file", make_token(tmp_path), "--address"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        words.append(f"127.0.0.1:{server.getsockname()[1]}")
        process = subprocess.Popen(
            here.air_words(*words), env=here.environment, stderr=subprocess.PIPE, text=True
        )
        other, _ = server.accept()  # the node tries to join
        daemons = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        other.close()
    assert process.returncode == 130
    assert err == ""
    _, alive = psutil.wait_procs(daemons, timeout=20)
    assert not alive
    assert not os.listdir(here.directory)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--host", "192.0.2.1"], "this machine has no such address"),
        (["--state-file", "/no/such/directory/state"], "the state file /no/such/directory/state"),
        (["--state-file", "/"], "the state file / cannot be opened: Is a directory"),
    ],
)
def test_what_the_daemon_finds_out(here: Host, options: list[str], expected: str) -> None:
    said = complaint(here, "start", "--head", "--port", "0", *options)
    assert expected in said


def test_tls_at_the_head_only(here: Host, tmp_path: Path) -> None:
    token = tmp_path / "token"
    start(here, "--head", "--port", "0", "--tls", "--token-file", str(token))
    plain = tmp_path / "plain"
    plain.write_bytes(token.read_bytes().partition(b"\n")[0])
    plain.chmod(0o600)
    address = running_head(here)
    said = complaint(here, "start", "--address", address, "--token-file", str(plain))
    assert "only one of the two uses TLS" in said


def test_what_a_machine_calls_itself(here: Host) -> None:
    head = head_of(start(here, "--head", "--port", "0"))
    port = head.rpartition(":")[2]
    local = f"localhost:{port}"
    assert head_of(start(here, "--address", local)) == head
    for name in (local, f"[::1]:{port}", f"127.0.0.1:{port}"):
        assert here.air("status", "--address", name).stdout.startswith("2 nodes")
    # It is a member, and no guest that would need the token.
    assert here.program(WHERE.replace("auto", local)).endswith(" 2\n")
    assert "no node of a cluster" in here.air("stop", "--address", "localhost:1").stderr
    assert len(here.air("stop", "--address", f"[::1]:{port}").stdout.splitlines()) == 2


def test_the_token_of_another_cluster_where_a_node_runs(here: Host, tmp_path: Path) -> None:
    start(here, "--head", "--port", "0")
    here.environment["AIR_TOKEN_FILE"] = make_token(tmp_path)
    said = complaint(here, "status")
    assert "AIR_TOKEN_FILE=" in said
    assert "holds another token than the cluster with the head 127.0.0.1:" in said
    here.environment["AIR_TOKEN_FILE"] = str(next(Path(here.directory).glob("air-*/token")))
    assert here.air("status").returncode == 0


def running_head(host: Host) -> str:
    """The address of the head that runs there."""
    [about] = Path(host.directory).glob("air-*/node.json")
    return str(json.loads(about.read_text())["head"])


def test_no_place_for_a_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AIR_TOKEN_FILE", raising=False)
    monkeypatch.setattr(directories, "_root", lambda: str(tmp_path / "missing"))
    assert main(["start", "--head", "--port", "0"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("air start: a node keeps sockets and log files under ")
    assert line.endswith("TMPDIR in the environment names another directory")


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_no_place_for_temporary_files(kind: str) -> None:
    """Nothing else is used in its place: others would look for the node where it should be."""
    here = Host()
    place = Path(here.directory, "x")
    if kind == "a file":
        place.touch()
    here.environment["TMPDIR"] = str(place)
    for words in (
        ["start", "--head", "--port", "0"],
        ["start", "--head", "--port", "0", "--block"],
    ):
        done = here.air(*words)
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert f"under {place}, which cannot be written: N" in line
    assert "none runs" in here.air("status").stderr
    assert here.air("stop").stdout == "no node runs here\n"
    place.unlink(missing_ok=True)
    here.close()


def test_programs_are_told_that_their_node_was_stopped(here: Host) -> None:
    start(here, "--head", "--port", "0")
    program = """
import time
import air
air.init("auto")
ref = air.remote(lambda: time.sleep(1000)).remote()
print("here", flush=True)
try:
    air.get(ref)
except air.errors.NodeDied as error:
    print(error)
"""
    words = here.command(sys.executable, "-c", program)
    with subprocess.Popen(
        words, env=here.environment, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "here\n"
        assert here.air("stop").returncode == 0
        assert "was stopped, as by 'air stop'); call" in running.stdout.read()


def test_misspelt_options_get_one_line_that_names_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["start", "--head", "--object-store-memroy=5"])
    [line] = capsys.readouterr().err.splitlines()
    assert "--object-store-memroy=5. Did you mean '--object-store-memory'?" in line
    assert line.endswith("(see air start --help)")


@pytest.mark.parametrize(
    ("size", "expected"),
    [(1, "is in bytes and must be at least"), (10**18, "larger than this machine's memory")],
)
def test_a_store_that_no_machine_has(size: int, expected: str) -> None:
    with pytest.raises(InvalidOption, match=expected):
        air.init(backend="cluster", object_store_memory=size)
    assert not air.is_initialized()


def test_a_node_that_ends_while_a_program_joins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its directory was there a moment ago."""
    gone = directories.RunningNode(
        directory=str(tmp_path / "gone"),
        pid=os.getpid(),
        number=1,
        head="127.0.0.1:1",
        host="127.0.0.1",
        is_head=True,
        credentials=Credentials.fresh(tls=False),
    )
    monkeypatch.setattr(heads, "running_nodes", lambda: [gone])
    with pytest.raises(BackendError, match=r"the node's daemon cannot be reached: .*No such file"):
        air.init(address="auto")
    assert not air.is_initialized()


def test_a_node_that_has_lost_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has ended what it ran, and starts anew when there is a head."""
    monkeypatch.setattr(directories, "_root", lambda: str(tmp_path))
    path = tmp_path / f"air-{os.getuid()}-{os.getpid()}-x"
    path.mkdir(mode=0o700)
    Credentials.fresh(tls=False).write(str(path / "token"))
    about = {"pid": 1, "number": 2, "head": "127.0.0.1:1", "host": "127.0.0.1", "is_head": False}
    session_files.write_private(str(path / session_files.ABOUT), json.dumps(about).encode())
    session_files.note_wait(str(path), "it went away", 1_700_000_000)
    session_files.note_wait(str(path), "nobody answers", 1_800_000_000)
    monkeypatch.setattr(directories, "is_held", lambda _path: True)
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1_700_000_000))
    expected = f"has waited for its head since {since}: nobody answers. Start the head again"
    for address in ("auto", "127.0.0.1:1"):
        with pytest.raises(BackendError, match=expected):
            air.init(address=address)
    assert main(["status"]) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_cpus", 2),
        ("num_gpus", 0),
        ("memory", 10**9),
        ("resources", {"widget": 1}),
        ("labels", {"zone": "a"}),
        ("object_store_memory", 10**8),
    ],
)
def test_what_is_said_of_nodes_when_they_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    """A program that joins cannot say it any more; it is not ignored either."""
    node = directories.RunningNode(
        directory="/nowhere",
        pid=1,
        number=1,
        head="127.0.0.1:1",
        host="127.0.0.1",
        is_head=True,
        credentials=Credentials.fresh(tls=False),
    )
    monkeypatch.delenv("AIR_TOKEN_FILE", raising=False)
    monkeypatch.setattr(heads, "running_nodes", lambda: [node])
    option = f"--{name.replace('_', '-')}"
    expected = f"{name} says what a node offers, and this program joins .* give {option} to the"
    with pytest.raises(InvalidOption, match=expected):
        air.init(address="auto", **{name: value})  # type: ignore[arg-type]
    monkeypatch.setenv("AIR_ADDRESS", "127.0.0.1:1")
    with pytest.raises(InvalidOption, match=r"the environment says AIR_ADDRESS=127\.0\.0\.1:1"):
        air.init(**{name: value})  # type: ignore[arg-type]
    # Outside the cluster, a program has a store of its own.
    monkeypatch.setattr(heads, "running_nodes", list)
    error = BackendError if name == "object_store_memory" else InvalidOption
    with pytest.raises(error, match="takes its token" if error is BackendError else expected):
        air.init(**{name: value})  # type: ignore[arg-type]
    assert not air.is_initialized()


def test_a_program_without_the_token_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directories, "_root", lambda: str(tmp_path))
    monkeypatch.delenv("AIR_TOKEN_FILE", raising=False)
    with pytest.raises(BackendError, match="takes its token"):
        air.init(address="127.0.0.1:1")
    assert not list(tmp_path.iterdir())
