"""Processes that stand still for a while (SIGSTOP), as those of a machine that sleeps."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import air
from air.errors import GetTimeout
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import identity

from .conftest import Machines

there = air.remote(num_cpus=0, resources={"widget": 0.1})


@there
class Counter:
    def __init__(self) -> None:
        self.count = 0

    def add(self) -> int:
        self.count += 1
        return self.count

    def pid(self) -> int:
        return os.getpid()


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_worker(two: Machines) -> None:
    """What it has been sent waits, and goes on."""
    counter = Counter.remote()
    pid = value(counter.pid.remote())
    with frozen(pid):
        refs = [counter.add.remote() for _ in range(100)]
        with pytest.raises(GetTimeout, match="Counter"):
            air.get(refs[0], timeout=0.05)
        assert value(identity.remote(1)) == 1
    assert value(refs) == list(range(1, 101))


def test_a_daemon_for_a_moment(two: Machines) -> None:
    """What does not need it goes on; the rest waits."""
    counter = Counter.remote()
    value(counter.add.remote())
    with frozen(two.nodes[1].process.pid):
        assert value([counter.add.remote() for _ in range(10)]) == list(range(2, 12))
        ref = there(_where).remote()
        assert air.wait([ref], timeout=0.05) == ([], [ref])
    assert value(ref) == two.nodes[1].number


@pytest.mark.slow
def test_a_whole_node_for_too_long(machines: Machines) -> None:
    """It is taken for dead; when it wakes up it joins again, as a new one."""
    machines.start()
    second = machines.start(resources={"widget": 1})
    machines.join()
    counter = Counter.remote()
    value(counter.add.remote())
    processes = [process.pid for process in second.processes]
    with frozen(*processes):
        assert eventually(lambda: len(air.nodes()) == 1)
        with pytest.raises(air.errors.ActorDied, match="node"):
            value(counter.add.remote())
        assert value(identity.remote(1)) == 1
    assert eventually(lambda: len(air.nodes()) == 2)
    assert value(there(_where).remote()) > second.number


def _where() -> int:
    from air.executor.current import get_executor

    return int(get_executor()._client.node_number)  # type: ignore[attr-defined]
