"""A cluster of machines with addresses of their own, whose links can be cut."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from air.testing.executor_suite.harness import eventually

from .hosts import Host, Network, why_not_here

_WHY_NOT = why_not_here()
pytestmark = [
    pytest.mark.skipif(bool(_WHY_NOT), reason=_WHY_NOT),
    pytest.mark.slow,
]

PASS_AROUND = """
import json, sys, time
import air
from air.util.scheduling_strategies import NodeAffinitySchedulingStrategy

air.init(address=sys.argv[1])
while len(air.nodes()) < 4:
    time.sleep(0.05)

@air.remote(num_cpus=0.1)
def visit(path):
    return path + [air.util.get_node_ip_address()]

def on(node):
    return visit.options(
        scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    )

nodes = air.nodes()
passed = []
for _ in range(10):
    for one in nodes:
        for other in nodes:
            passed.append(on(other).remote(on(one).remote([])))
print(json.dumps([sorted(node["NodeManagerAddress"] for node in nodes), air.get(passed)]))
"""


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    try:
        yield made
    finally:
        made.close()


def start(host: Host, token: Path, head: Host | None) -> None:
    """Make a host a node, the head if there is none yet."""
    which = ["--head", "--host", host.address]
    if head is not None:
        which = ["--address", f"{head.address}:6380"]
    options = ["--token-file", str(token), "--num-cpus", "1", "--object-store-memory", "100000000"]
    done = host.air("start", *which, *options)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("where", ["inside", "outside"])
def test_results_pass_between_four_machines(network: Network, tmp_path: Path, where: str) -> None:
    token = tmp_path / "token"
    hosts = [network.host() for _ in range(4)]
    for host in hosts:
        start(host, token, None if host is hosts[0] else hosts[0])
    driver = hosts[1] if where == "inside" else network.host()
    driver.environment["AIR_TOKEN_FILE"] = str(token)
    addresses, paths = json.loads(driver.program(PASS_AROUND, f"{hosts[0].address}:6380"))
    assert addresses == [host.address for host in hosts]
    assert paths == [[one, other] for _ in range(10) for one in addresses for other in addresses]


WATCH = """
import sys
import air

air.init(address="auto")

def names():
    print(",".join(sorted(node["NodeManagerAddress"] for node in air.nodes())), flush=True)

for _line in sys.stdin:
    names()
"""


class Watcher:
    """A program on the head's machine that says which nodes there are when it is asked."""

    def __init__(self, host: Host) -> None:
        self._process = subprocess.Popen(
            host.command(sys.executable, "-c", WATCH),
            env=host.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def addresses(self) -> list[str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip().split(",")

    def close(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0


def test_nodes_wait_for_a_head_that_was_killed(network: Network, tmp_path: Path) -> None:
    token = tmp_path / "token"
    head, other = network.host(), network.host()
    start(head, token, None)
    start(other, token, head)
    head.kill_daemons()
    start(head, token, None)
    watcher = Watcher(head)
    try:
        assert eventually(lambda: watcher.addresses() == [head.address, other.address])
    finally:
        watcher.close()


LASTING = """
import json, os, sys, time
import air
from air.util.scheduling_strategies import NodeAffinitySchedulingStrategy

air.init(address="auto", namespace="tests")

@air.remote(max_restarts=-1, max_task_retries=-1)
class Lasting:
    def who(self):
        return [air.util.get_node_ip_address(), os.getpid()]

what, address = sys.argv[1:]
if what == "make":
    [there] = [n for n in air.nodes() if n["NodeManagerAddress"] == address]
    there = NodeAffinitySchedulingStrategy(there["NodeID"], soft=True)
    made = Lasting.options(name="it", lifetime="detached", scheduling_strategy=there)
    print(json.dumps(air.get(made.remote().who.remote())))
else:
    print(json.dumps(air.get(air.get_actor("it").who.remote())))
"""


def test_a_machine_that_was_cut_off_joins_again(network: Network, tmp_path: Path) -> None:
    """And a detached actor that was there goes on elsewhere."""
    token = tmp_path / "token"
    head, other = network.host(), network.host()
    start(head, token, None)
    start(other, token, head)
    where, pid = json.loads(other.program(LASTING, "make", other.address))
    assert where == other.address
    watcher = Watcher(head)
    try:
        assert watcher.addresses() == [head.address, other.address]
        network.cut(other)
        # Calls wait until the machine is taken for dead.
        where, pid_now = json.loads(head.program(LASTING, "use", ""))
        assert where == head.address
        assert watcher.addresses() == [head.address]
        # When it hears of that it ends what it has run all the time, and joins again without it.
        assert psutil.pid_exists(pid)
        network.heal(other)
        assert eventually(lambda: watcher.addresses() == [head.address, other.address])
    finally:
        watcher.close()
    assert not psutil.pid_exists(pid)
    # Programs on it use the node that it is now.
    where = "import air; air.init(address='auto'); print(air.get(air.remote(len).remote('abc')))"
    assert other.program(where) == "3\n"
    assert json.loads(other.program(LASTING, "use", "")) == [head.address, pid_now]
