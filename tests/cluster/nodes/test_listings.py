"""What several nodes do, as listings and the command ``air`` show it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import air
from air.errors import BackendError, GetTimeout
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import Counter, Gate
from air.util import state
from air.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from .hosts import Host


@air.remote
def wait(gate: Any) -> None:
    air.get(gate.wait.remote())


def test_tasks_and_actors_of_two_nodes(two: Any) -> None:
    gate = Gate.remote()
    names = [node["NodeID"] for node in air.nodes()]
    refs = [
        wait.options(
            name=f"on {name}",
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(name, soft=False),
        ).remote(gate)
        for name in names
    ]
    value(gate.arrived.remote(2))
    for name, ref in zip(names, refs, strict=True):
        [task] = state.list_tasks(filters=[("name", "=", f"on {name}")])
        assert (task.state, task.node_id) == ("RUNNING", name)
        with pytest.raises(GetTimeout, match=f"task on {name} has run for .* on node {name}"):
            air.get(ref, timeout=0.3)
    assert [(node.node_id, node.is_head_node) for node in state.list_nodes()] == [
        (names[0], True),
        (names[1], False),
    ]
    there = Counter.options(resources={"widget": 1}, name="there").remote()
    value(there.add.remote())
    [actor] = state.list_actors(filters=[("name", "=", "there")])
    assert (actor.state, actor.node_id) == ("ALIVE", names[1])
    assert {worker.node_id for worker in state.list_workers()} == set(names)
    value(gate.open.remote())
    value(refs)
    events = air.timeline()
    assert events is not None
    rows = [event["args"]["name"] for event in events if event["name"] == "process_name"]
    assert sorted(rows) == sorted(f"node {name}" for name in names)


def test_a_node_that_dies_meanwhile(two: Any) -> None:
    there = Counter.options(resources={"widget": 1}).remote()
    value(there.add.remote())
    two.nodes.pop().kill()
    assert eventually(lambda: len(state.list_nodes()) == 1)
    assert isinstance(state.list_tasks(), list)
    assert [one.state for one in state.list_actors()] == ["DEAD"]


def test_a_head_that_does_not_answer(two: Any) -> None:
    two.start()
    air.shutdown()
    air.init(address="auto", log_to_driver=False)
    gate = Gate.options(num_cpus=0).remote()
    ref = wait.options(name="anyway").remote(gate)
    value(gate.arrived.remote(1))
    os.kill(two.nodes[0].process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(BackendError, match=r"head of the cluster has not answered within 0\.3"):
            state.list_nodes(timeout=0.3)
        with pytest.raises(GetTimeout, match="task anyway"):
            air.get(ref, timeout=0.3)
    finally:
        os.kill(two.nodes[0].process.pid, signal.SIGCONT)
    assert len(state.list_nodes()) == 3
    value(gate.open.remote())
    value(ref)


# The command ----------------------------------------------------------------------------------

PROGRAM = """
import sys, air
air.init(address="auto")

@air.remote(name="asleep")
class Sleeper:
    def sleep(self):
        print("TOLD", flush=True)
        import threading
        threading.Event().wait(60)

sleeper = Sleeper.options(name="sleeper").remote()
ref = sleeper.sleep.remote()
waiting = air.remote(lambda: 1).options(num_cpus=1, name="another").remote()
air.get(waiting)
air.get(air.put(1))
value = air.put(b"x" * 200_000)
sys.stdin.readline()
"""


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    done = made.air("start", "--head", "--port", "0", "--num-cpus", "1")
    assert done.returncode == 0, done.stderr
    yield made
    made.close()


@pytest.mark.slow
def test_the_commands(host: Host, tmp_path: Path) -> None:
    words = host.command(sys.executable, "-c", PROGRAM)
    program = subprocess.Popen(
        words, env=host.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert program.stdout is not None
        assert program.stdout.readline().endswith("TOLD\n")

        def running() -> list[str]:
            shown = host.air("list", "tasks", "--filter", "state=RUNNING", "--format", "json")
            return [task["name"] for task in json.loads(shown.stdout)]

        assert eventually(lambda: running() == ["Sleeper.sleep"])
        table = host.air("list", "actors").stdout.splitlines()
        assert table[0].split()[:3] == ["ACTOR_ID", "CLASS_NAME", "STATE"]
        assert "ALIVE" in table[1]
        identity = table[1].split()[0]
        shown = host.air("get", "actors", identity).stdout
        assert f'actor_id: "{identity}"\n' in shown
        assert "required_resources: {}\n" in shown
        nodes = host.air("list", "nodes", "--detail", "--format", "yaml").stdout
        assert nodes.startswith('- node_id: "')
        assert "    CPU: 1.0\n" in nodes
        assert host.air("list", "placement-groups").stdout == "no placement-groups\n"
        lines = [line.split() for line in host.air("summary", "tasks").stdout.splitlines()]
        assert ["Sleeper.sleep", "ACTOR_TASK", "RUNNING:", "1"] in lines
        assert "LOCAL_REFERENCE" in host.air("summary", "objects").stdout
        assert json.loads(host.air("summary", "actors", "--format", "json").stdout)
        written = tmp_path / "trace.json"
        done = host.air("timeline", "-o", str(written))
        assert done.stdout.startswith(str(written))
        events = json.loads(written.read_text())
        assert "Sleeper.sleep" in [event["name"] for event in events]
    finally:
        program.communicate("\n", timeout=30)


def test_what_cannot_be_listed(host: Host, tmp_path: Path) -> None:
    for arguments, complaint in (
        (["list", "tasks", "--filter", "nmae=1"], "Did you mean 'name'"),
        (["list", "tasks", "--filter", "name"], "--filter takes FIELD=VALUE"),
        (["list", "tasks", "--limit", "0"], "limit"),
        (["list", "tasks", "--address", "somewhere"], "address must be 'HOST:PORT'"),
        (["get", "tasks", "0123"], "nothing is known of tasks 0123"),
        (["timeline", "-o", f"{tmp_path}"], "cannot be written"),
    ):
        done = host.air(*arguments)
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert line.startswith(f"air {arguments[0]}: ")
        assert complaint in line


def test_no_cluster() -> None:
    host = Host()
    try:
        for arguments in (["list", "tasks"], ["summary", "actors"], ["timeline"]):
            done = host.air(*arguments)
            assert done.returncode == 1
            [line] = done.stderr.splitlines()
            assert "none runs" in line
    finally:
        host.close()


# Time limits ----------------------------------------------------------------------------------


def test_a_value_that_does_not_arrive_in_time(two: Any) -> None:
    @air.remote(resources={"widget": 1})
    def make() -> bytes:
        return bytes(3_000_000)

    ref = make.remote()
    assert air.wait([ref], timeout=30)[0] == [ref]
    there = two.nodes[1].process.pid
    os.kill(there, signal.SIGSTOP)
    try:
        with pytest.raises(GetTimeout) as caught:
            air.get(ref, timeout=0.5)
    finally:
        os.kill(there, signal.SIGCONT)
    assert "did not get from its node to this one in time" in str(caught.value)
    assert len(value(ref)) == 3_000_000
