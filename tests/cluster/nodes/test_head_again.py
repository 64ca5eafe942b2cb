"""A head that is killed and started again on its file: what was there goes on."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from air.testing.executor_suite.harness import eventually

from .hosts import Host
from .test_commands import head_of

PRELUDE = """
import json, os, sys
import air
from air.errors import ActorDied
from air.util.placement_group import placement_group
from air.util.scheduling_strategies import PlacementGroupSchedulingStrategy

air.init(address="auto", log_to_driver=False, namespace="tests")

def tell(value):
    print("TOLD", json.dumps(value), flush=True)

def wait():
    sys.stdin.readline()

@air.remote(resources={"here": 0.1}, max_restarts=1)
class Counter:
    def __init__(self):
        self.n = 0
    def add(self, k=1):
        self.n += k
        return self.n
    def pid(self):
        return os.getpid()
    def die(self):
        os._exit(1)

@air.remote(num_cpus=0)
def where():
    return air.get_runtime_context().get_node_id()

@air.remote(num_cpus=0, resources={"here": 0.1})
def wait_for(path):
    import time
    while not os.path.exists(path):
        time.sleep(0.01)
    return "it came"

"""


class Program:
    """A program on a machine that says what it sees and goes on when it is told to."""

    def __init__(self, host: Host, text: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            host.command(sys.executable, "-c", PRELUDE + textwrap.dedent(text), *arguments),
            env=host.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hear(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("TOLD "):
                return json.loads(line[5:])
        assert self._process.stderr is not None
        raise AssertionError(self._process.stderr.read())

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Cluster:
    """A head, and a node on another machine whose resources are called ``here``."""

    def __init__(self, directory: Path) -> None:
        self.head, self.node = Host(), Host()
        self._token = str(directory / "token")
        self._state = str(directory / "state")
        self.address = head_of(self.start_head("0"))
        joined = ["--address", self.address, "--resources", '{"here": 1}']
        self._start(self.node, *joined, "--num-cpus", "2")

    def start_head(self, port: str = "") -> str:
        port = port or self.address.rpartition(":")[2]
        options = ["--port", port, "--state-file", self._state, "--num-cpus", "1"]
        return self._start(self.head, "--head", *options)

    def _start(self, host: Host, *options: str) -> str:
        store = ["--object-store-memory", "100000000"]
        done = host.air("start", "--token-file", self._token, *store, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kill_head(self) -> None:
        self.head.kill_daemons()

    def close(self) -> None:
        self.node.close()
        self.head.close()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    made: list[Program] = []
    yield made
    for program in made:
        program.close()


def test_those_who_look_meanwhile_are_told(cluster: Cluster, programs: list[Program]) -> None:
    program = Program(
        cluster.node,
        """
        from air.errors import BackendError
        from air.util import state
        tell("here")
        wait()
        try:
            state.list_nodes()
        except BackendError as error:
            tell(str(error))
        """,
    )
    programs.append(program)
    assert program.hear() == "here"
    cluster.kill_head()
    program.go_on()
    # Whether its socket is closed or reset depends on what was under way.
    expected = [f"the head at tcp:{cluster.address} cannot be reached: connection ", " again there"]
    said = [program.hear()]
    for words in (["status"], ["list", "tasks"], ["timeline"]):
        done = cluster.node.air(*words)
        assert done.returncode == 1
        said.append(done.stderr)
    joining = subprocess.run(
        cluster.node.command(sys.executable, "-c", "import air; air.init('auto')"),
        env=cluster.node.environment,
        capture_output=True,
        text=True,
    )
    said.append(joining.stderr.splitlines()[-1])
    for one in said:
        assert "the node of this machine has waited for its head since 20" in one
        assert all(words in one for words in expected)
    cluster.start_head()
    assert eventually(lambda: cluster.node.air("status").stdout.startswith("2 nodes"))


def test_everything_goes_on(cluster: Cluster, programs: list[Program], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    program = Program(
        cluster.node,
        """
        counter = Counter.options(name="counter").remote()
        air.get(counter.add.remote(5))
        group = placement_group([{"here": 0.2, "CPU": 1}], name="mine")
        air.get(group.ready())
        running = wait_for.remote(sys.argv[1])
        tell([len(air.nodes()), air.get(counter.pid.remote())])
        wait()
        # The head is dead. Who knows each other needs none.
        tell(air.get(counter.add.remote(2)))
        late = Counter.options(name="late").remote()  # waits for it
        wait()
        # It was started again.
        found = air.get_actor("counter")
        inside = PlacementGroupSchedulingStrategy(group)
        tell([
            air.get(found.add.remote(3)),
            air.get(found.pid.remote()),
            air.get(where.options(num_cpus=1, scheduling_strategy=inside).remote()),
            air.get_runtime_context().get_node_id(),
            air.get(running),
            air.get(late.add.remote(1)),
            air.get(air.get_actor("late").add.remote(1)),
        ])
        try:
            Counter.options(name="counter").remote()
            tell("no complaint")
        except ValueError as error:
            tell(str(error))
        air.kill(found)
        try:
            air.get(found.add.remote(1))
        except ActorDied:
            tell("died")
        fresh = Counter.options(name="counter").remote()
        tell(air.get(fresh.add.remote(1)))
        """,
        str(gate),
    )
    programs.append(program)
    nodes, pid = program.hear()
    assert nodes == 2
    cluster.kill_head()
    program.go_on()
    assert program.hear() == 7
    cluster.start_head()
    gate.touch()
    program.go_on()
    total, same_pid, inside, here, came, late, later = program.hear()
    assert (total, same_pid, inside, came) == (10, pid, here, "it came")
    assert (late, later) == (1, 2)
    assert "an actor named 'counter' exists already" in program.hear()
    assert program.hear() == "died"
    assert program.hear() == 1


def test_nodes_are_known_and_the_head_has_a_new_one(
    cluster: Cluster, programs: list[Program]
) -> None:
    program = Program(
        cluster.node,
        """
        while True:
            wait()
            tell([node["NodeID"] for node in air.nodes()])
        """,
    )
    programs.append(program)
    program.go_on()
    own, other = program.hear()
    cluster.kill_head()
    cluster.start_head()
    program.go_on()
    names = program.hear()
    assert other in names
    assert own not in names
    assert len(names) == 2


def test_an_actor_on_the_heads_own_node_is_restarted(
    cluster: Cluster, programs: list[Program]
) -> None:
    program = Program(
        cluster.node,
        """
        [head] = [n for n in air.nodes() if "here" not in n["Resources"]]
        from air.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        there = NodeAffinitySchedulingStrategy(head["NodeID"], soft=True)
        counter = Counter.options(resources={}, scheduling_strategy=there, max_task_retries=-1)
        counter = counter.remote()
        tell(air.get(counter.add.remote(5)))
        wait()
        tell(air.get(counter.add.remote(5)))
        """,
    )
    programs.append(program)
    assert program.hear() == 5
    cluster.kill_head()
    cluster.start_head()
    program.go_on()
    assert program.hear() == 5


def test_what_ended_while_the_head_was_away(cluster: Cluster, programs: list[Program]) -> None:
    """A worker that dies, a program that ends: the node tells when the head is back."""
    first = Program(
        cluster.node,
        """
        counter = Counter.options(name="first").remote()
        air.get(counter.add.remote(5))
        tell(air.get(counter.pid.remote()))
        wait()
        os.kill(air.get(counter.pid.remote()), 9)
        tell(None)
        wait()
        """,
    )
    programs.append(first)
    second = Program(
        cluster.node,
        """
        counter = Counter.options(name="second").remote()
        tell(air.get(counter.add.remote(5)))
        wait()
        """,
    )
    programs.append(second)
    first.hear(), second.hear()
    cluster.kill_head()
    first.go_on()
    first.hear()
    second.close()
    cluster.start_head()
    look = Program(
        cluster.node,
        """
        while True:
            wait()
            tell(air.util.list_named_actors())
        """,
    )
    programs.append(look)

    def names() -> Any:
        look.go_on()
        return look.hear()

    assert eventually(lambda: names() == ["first"])
    again = Program(
        cluster.node,
        """
        counter = air.get_actor("first")
        tell(air.get(counter.add.remote(1)))
        """,
    )
    programs.append(again)
    assert again.hear() == 1  # restarted, from nothing


def test_what_is_detached_goes_on(cluster: Cluster, programs: list[Program]) -> None:
    maker = Program(
        cluster.node,
        """
        from air.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        [head] = [n for n in air.nodes() if "here" not in n["Resources"]]
        there = NodeAffinitySchedulingStrategy(head["NodeID"], soft=True)
        made = Counter.options(lifetime="detached", max_restarts=-1)
        first = made.options(name="first").remote()
        second = made.options(name="second", resources={}, scheduling_strategy=there).remote()
        air.get([first.add.remote(5), second.add.remote(5)])
        group = placement_group([{"here": 0.2}], name="group", lifetime="detached")
        air.get(group.ready())
        tell(air.get(first.pid.remote()))
        wait()
        """,
    )
    programs.append(maker)
    pid = maker.hear()
    maker.close()
    cluster.kill_head()
    cluster.start_head()
    user = Program(
        cluster.node,
        """
        from air.util.placement_group import get_placement_group
        group = PlacementGroupSchedulingStrategy(get_placement_group("group"))
        first, second = air.get_actor("first"), air.get_actor("second")
        inside = Counter.options(resources={"here": 0.1}, scheduling_strategy=group).remote()
        tell(air.get([
            first.pid.remote(), first.add.remote(1), second.add.remote(1), inside.add.remote(1)
        ]))
        try:
            air.get(first.die.remote())
        except ActorDied:
            pass
        tell(air.get(first.add.remote(1)))
        air.kill(first)
        air.kill(second)
        tell(air.util.list_named_actors())
        """,
    )
    programs.append(user)
    # The second lived with the head, and was made anew without its maker.
    assert user.hear() == [pid, 6, 1, 1]
    assert user.hear() == 1
    assert user.hear() == []


def test_a_file_that_is_in_use_or_something_else(cluster: Cluster, tmp_path: Path) -> None:
    other = Host()
    state = str(tmp_path / "state")
    try:
        done = other.air("start", "--head", "--port", "0", "--state-file", state)
        assert done.returncode == 1
        assert f"{state} is used by another head" in done.stderr
        strange = tmp_path / "strange"
        strange.write_text("no database, but long enough to be one" * 10)
        done = other.air("start", "--head", "--port", "0", "--state-file", str(strange))
        assert done.returncode == 1
        assert f"{strange} is no file of a head" in done.stderr
    finally:
        other.close()
