"""A program on a cluster that stays is killed: its share of everything is given back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

import air
from air.executor.current import get_executor
from air.testing.executor_suite.harness import eventually, value

from .conftest import MB, Machines

PROGRAM = """
import os, sys
import numpy as np
import air

@air.remote(resources={"widget": 0.1}, num_cpus=0)
def there(thing):
    return thing

@air.remote
def forever():
    import time
    while True:
        time.sleep(1000)

@air.remote
def count():
    while True:
        yield np.ones(50_000)

@air.remote(num_cpus=0)
class Actor:
    def keep(self, thing):
        self.kept = thing
        return os.getpid()

air.init(address=sys.argv[1], log_to_driver=False)
kept = [air.put(np.ones(2_000_000)) for _ in range(3)]
actors = [Actor.remote() for _ in range(2)]
actors.append(Actor.options(name="by name").remote())
actors.append(Actor.options(resources={"widget": 0.1}).remote())
pids = air.get([actor.keep.remote(kept) for actor in actors])
group = air.util.placement_group([{"widget": 0.5}])
air.get(group.ready())
made = [there.remote(ref) for ref in kept]
air.wait(made, num_returns=3)
running = [forever.remote() for _ in range(50)]
stream = count.options(num_returns="streaming", num_cpus=0).remote()
air.get(next(stream))
print("ready", *pids, flush=True)
while True:
    air.get(there.remote(np.ones(2_000_000)))  # values on their way between the nodes
"""


def left() -> dict[str, Any]:
    """What the node of this program still has of others."""
    client = get_executor()._client  # type: ignore[attr-defined]
    entries = client.ask("entries")
    return {name: size for name, size in entries.items() if _is_somebodys(name)}


def _is_somebodys(name: str) -> bool:
    return name in {
        "memory._segments", "_leasing._owners", "_leasing._workers", "scheduler._claims._claims",
        "values._copies._copies", "clients._by_process",
    }  # fmt: skip


@pytest.mark.slow
def test_what_it_had_is_given_back(machines: Machines) -> None:
    machines.start(num_cpus=2)
    machines.start(resources={"widget": 1}, object_store_memory=100 * MB)
    machines.join()
    total = air.cluster_resources()
    assert eventually(lambda: air.available_resources() == total)
    before = left()
    command = [sys.executable, "-c", PROGRAM, machines.nodes[0].address]
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            word, *pids = running.stdout.readline().split()
            assert word == "ready"
            assert air.available_resources() != total
            running.send_signal(signal.SIGKILL)
            assert running.wait(10) == -signal.SIGKILL
        assert eventually(lambda: air.available_resources() == total), air.available_resources()
        assert eventually(lambda pids=pids: not any(_lives(int(pid)) for pid in pids))
        with pytest.raises(ValueError, match="by name"):
            air.get_actor("by name")
    # All its memory too, on both nodes.
    import numpy as np

    @air.remote(resources={"widget": 0.1}, num_cpus=0)
    def fill(megabytes: int) -> int:
        return int(air.get(air.put(np.ones(megabytes * MB // 8))).nbytes)

    assert value(fill.remote(95)) == 95 * MB
    assert air.get(air.put(np.ones(190 * MB // 8))).nbytes == 190 * MB

    def settled() -> bool:
        now = left()
        return all(size <= before.get(name, 0) + 2 for name, size in now.items())

    assert eventually(settled), json.dumps([before, left()])


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
