"""What a program's log says of what waits for long; half a minute passes in numbers only."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

import air
from air.executor.current import get_executor
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import Counter, Gate, identity
from air.util import state
from air_cluster.client import waiting
from air_cluster.core.lateness import Lateness

pytestmark = pytest.mark.usefixtures("cluster")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged up to now."""
    caplog.set_level(logging.WARNING, logger="air")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def later() -> Callable[[float], None]:
    """Has the program look at what waits, as if so many seconds had passed since the first time."""
    client: Any = get_executor()._client  # type: ignore[attr-defined]
    start = time.monotonic()

    def look(seconds: float) -> None:
        with client.reactor.lock:
            client.late.look(start + seconds)

    client.late.late = Lateness()
    look(0)
    return look


@air.remote
def block(gate: Any) -> None:
    air.get(gate.wait.remote())


def test_all_that_a_task_needs_is_held_by_actors(
    said: Callable[[], list[str]], later: Callable[[float], None]
) -> None:
    holders = [Counter.options(name=f"h{i}", num_cpus=1).remote() for i in range(2)]
    value([holder.add.remote() for holder in holders])
    refs = [identity.options(name="stuck").remote(number) for number in range(3)]
    later(0)
    later(29)
    later(31)
    assert eventually(lambda: len(said()) == 1)
    [line] = said()
    assert line.startswith("task stuck has waited for ")
    assert "for a worker with {'CPU': 1}: node " in line
    assert "has 0 of 2 CPU free, held by actor " in line
    assert "Counter 'h0' ({'CPU': 1})" in line
    assert line.endswith("; 2 more tasks wait for the same")
    later(40)
    later(63)
    assert eventually(lambda: len(said()) == 2)
    for holder in holders:
        air.kill(holder)
    assert value(refs) == [0, 1, 2]


def test_a_long_queue_that_moves_is_nothing_to_speak_of(
    said: Callable[[], list[str]], later: Callable[[float], None]
) -> None:
    gates = [Gate.remote() for _ in range(4)]
    refs = [block.options(num_cpus=2).remote(gate) for gate in gates]
    for number, gate in enumerate(gates):
        value(gate.arrived.remote(1))
        later(20.0 * number)
        value(gate.open.remote())
    value(refs)
    assert said() == []


def test_a_running_task_is_no_reason_to_keep_silent_about_others(
    said: Callable[[], list[str]], later: Callable[[float], None]
) -> None:
    """The oldest of a program's tasks may run for hours."""
    gate = Gate.remote()
    running = block.options(name="running").remote(gate)
    value(gate.arrived.remote(1))
    holder = Counter.options(resources={"widget": 2}).remote()
    value(holder.add.remote())
    stuck = identity.options(name="starved", num_cpus=0, resources={"widget": 1}).remote(1)
    later(0)
    later(31)
    assert eventually(lambda: len(said()) == 1)
    assert said()[0].startswith("task starved has waited")
    air.kill(holder)
    value(gate.open.remote())
    value([running, stuck])


def test_an_argument_whose_owner_does_not_answer(
    said: Callable[[], list[str]],
    later: Callable[[float], None],
    start_thread: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate.remote()

    @air.remote
    class Owner:
        def start(self, gate: Any) -> list[Any]:
            return [block.remote(gate)]

    owner = Owner.options(name="silent").remote()
    [ref] = value(owner.start.remote(gate))
    value(gate.arrived.remote(1))
    [actor] = state.list_actors(filters=[("name", "=", "silent")])
    assert actor.pid is not None
    dependent = identity.options(name="dependent").remote(ref)
    monkeypatch.setattr(waiting, "LATE_S", 0.2)
    os.kill(actor.pid, signal.SIGSTOP)
    try:
        later(0)
        later(31)
        getting = start_thread(lambda: air.get(ref))
        assert eventually(lambda: len(said()) >= 2)
    finally:
        os.kill(actor.pid, signal.SIGCONT)
    lines = sorted(said())
    assert lines[0].startswith("air.get has waited for 0.2 s: the value ")
    assert "which does not answer" in lines[0]
    assert "task dependent waits for an argument: the value " in lines[-1]
    value(gate.open.remote())
    assert value(dependent) is None
    assert getting.outcome() is None


def test_an_await_whose_owner_does_not_answer(
    said: Callable[[], list[str]], later: Callable[[float], None], start_thread: Callable[..., Any]
) -> None:
    gate = Gate.remote()

    @air.remote
    class Owner:
        def begin(self, gate: Any) -> tuple[int, list[Any]]:
            return os.getpid(), [block.remote(gate)]

    pid, [ref] = value(Owner.remote().begin.remote(gate))

    async def main() -> Any:
        return await ref

    async def wait_in_vain() -> Any:
        return await asyncio.wait_for(ref, 0.01)

    value(gate.arrived.remote(1))
    with pytest.raises(TimeoutError):
        asyncio.run(wait_in_vain())
    client: Any = get_executor()._client  # type: ignore[attr-defined]
    assert ref.id not in client.objects.watched()
    awaiting = start_thread(lambda: asyncio.run(main()))
    assert eventually(lambda: ref.id in client.objects.watched())
    later(0)
    later(31)
    os.kill(pid, signal.SIGSTOP)
    try:
        later(63)
        assert eventually(lambda: bool(said()))
    finally:
        os.kill(pid, signal.SIGCONT)
    [line] = said()
    assert line.startswith("a value has been awaited for ")
    assert "which does not answer" in line
    value(gate.open.remote())
    assert awaiting.outcome() is None


def test_a_future_that_is_given_up_leaves_nothing_behind() -> None:
    gate = Gate.remote()
    ref = gate.wait.remote()
    client: Any = get_executor()._client  # type: ignore[attr-defined]
    kept, dropped = ref.future(), ref.future()
    assert kept.cancel()
    assert ref.id in client.objects.watched()
    del dropped
    gc.collect()
    assert eventually(lambda: ref.id not in client.objects.watched())
    value(gate.open.remote())


def test_a_get_that_waits_for_what_runs_says_nothing(
    said: Callable[[], list[str]],
    start_thread: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "LATE_S", 0.01)
    gate = Gate.remote()
    ref = block.remote(gate)
    value(gate.arrived.remote(1))
    getting = start_thread(lambda: air.get(ref))
    other = gate.arrived.remote(5)
    with pytest.raises(air.errors.GetTimeout):
        air.get(other, timeout=0.5)
    value(gate.open.remote())
    assert getting.outcome() is None
    assert said() == []
