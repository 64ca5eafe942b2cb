"""Many cancellations at any moment: each hits what it is meant for, or nothing."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter as Tally
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import air
from air.errors import ActorDied, AirError, OwnerDied, TaskCancelled
from air.executor.current import get_executor
from air.testing.executor_suite.harness import TIMEOUT, eventually, value
from air.testing.executor_suite.tools import Gate, Recorder, identity

pytestmark = pytest.mark.usefixtures("cluster")


def outcomes(refs: list[Any]) -> Tally[str]:
    found: Tally[str] = Tally()
    for ref in refs:
        try:
            value(ref)
        except (AirError, ValueError) as error:
            found[type(error).__name__] += 1
        else:
            found["done"] += 1
    return found


@air.remote(max_retries=0)
def compute(rounds: int, fails: bool) -> int:
    total = sum(range(rounds))
    if fails:
        raise ValueError("x" * total.bit_length())
    return os.getpid()


@air.remote
class Computer:
    """Runs what :func:`compute` does, as an actor."""

    def compute(self, rounds: int, fails: bool) -> int:
        total = sum(range(rounds))
        if fails:
            raise ValueError("x" * total.bit_length())
        return os.getpid()


@air.remote(max_retries=0)
def wait_at(gate: Any) -> None:
    air.get(gate.wait.remote())


def storm(call: Any, seed: int) -> Tally[str]:
    """Calls of all lengths, most of them cancelled while they are on their way."""
    choice, total = random.Random(seed), Tally[str]()
    for _ in range(60):
        refs = [call(choice.choice([0, 100, 10_000]), choice.random() < 0.5) for _ in range(8)]
        for ref in choice.sample(refs, 5):
            for _ in range(choice.randrange(200)):
                pass
            air.cancel(ref)
        total += outcomes(refs)
    return total


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_over_tasks(seed: int) -> None:
    found = storm(compute.remote, seed)
    assert set(found) == {"done", "ValueError", "TaskCancelled"}  # no worker died of it
    assert sum(found.values()) == 480
    assert value([identity.remote(number) for number in range(20)]) == list(range(20))


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_over_an_actor(seed: int) -> None:
    computer = Computer.remote()
    pid = value(computer.compute.remote(0, False))
    found = storm(computer.compute.remote, seed)
    assert set(found) == {"done", "ValueError", "TaskCancelled"}
    assert sum(found.values()) == 480
    assert value(computer.compute.remote(0, False)) == pid


@pytest.mark.parametrize("seed", range(3))
def test_a_storm_over_threads(seed: int) -> None:
    computer = Computer.options(max_concurrency=3).remote()
    pid = value(computer.compute.remote(0, False))
    found = storm(computer.compute.remote, seed)
    assert set(found) == {"done", "ValueError", "TaskCancelled"}
    assert sum(found.values()) == 480
    assert value([computer.compute.remote(0, False) for _ in range(20)]) == [pid] * 20


def test_a_storm_over_threads_that_talk() -> None:
    """They are in the middle of calls and puts when they are interrupted."""

    @air.remote(max_concurrency=4)
    class Talker:
        def talk(self, recorder: Any, rounds: int) -> int:
            for number in range(rounds):
                refs = [air.put(number), recorder.add.remote(number), identity.remote(number)]
                air.get(refs)
            return rounds

    recorder = Recorder.remote()
    talker, choice, found = Talker.remote(), random.Random(0), Tally[str]()
    for _ in range(30):
        refs = [talker.talk.remote(recorder, choice.choice([1, 20])) for _ in range(6)]
        air.wait(refs, num_returns=choice.randrange(1, 3), timeout=TIMEOUT)
        for ref in choice.sample(refs, 4):
            air.cancel(ref)
        found += outcomes(refs)
    assert set(found) == {"done", "TaskCancelled"}
    assert value([talker.talk.remote(recorder, 2) for _ in range(8)]) == [2] * 8


def test_half_of_five_hundred_that_wait() -> None:
    gate = Gate.remote()
    blocking = [wait_at.remote(gate) for _ in range(40)]
    refs = [identity.remote(number) for number in range(500)]
    dependent = [identity.remote(ref) for ref in blocking]
    cancelled = random.Random(0).sample(range(500), 250)
    for number in cancelled:
        air.cancel(refs[number])
    for ref in blocking:
        air.cancel(ref)
    assert outcomes(blocking) == {"TaskCancelled": 40}
    assert outcomes(dependent) == {"TaskCancelled": 40}
    found = outcomes(refs)
    assert sum(found.values()) == 500
    assert found["done"] >= 250
    assert set(found) <= {"done", "TaskCancelled"}


def test_force_ends_the_task_that_is_meant_and_no_other() -> None:
    """Short tasks queue at the worker behind the one that runs there."""
    value([identity.remote(number) for number in range(100)])
    gate = Gate.remote()
    first = wait_at.remote(gate)
    value(gate.arrived.remote(1))
    others = [identity.options(max_retries=0).remote(number) for number in range(100)]
    again = [identity.remote(number) for number in range(200)]
    for ref in [*others[50:], *again[100:]]:
        air.cancel(ref, force=True)
    air.cancel(first, force=True)
    assert outcomes([first]) == {"TaskCancelled": 1}
    assert set(outcomes([*others[50:], *again[100:]])) <= {"TaskCancelled", "done"}
    assert outcomes([*others[:50], *again[:100]]) == {"done": 150}


def test_a_task_that_ignores_interrupts_is_ended_by_force() -> None:
    @air.remote
    def stubborn(gate: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        air.get(gate.wait.remote())

    gate = Gate.remote()
    ref = stubborn.remote(gate)
    value(gate.arrived.remote(1))
    air.cancel(ref, force=True)
    with pytest.raises(TaskCancelled):
        value(ref)


def test_the_task_after_one_that_ignores_interrupts_can_be_cancelled() -> None:
    @air.remote(num_cpus=2)
    def ignore() -> int:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return os.getpid()

    @air.remote(num_cpus=2)
    def wait(recorder: Any, gate: Any) -> None:
        air.get(recorder.add.remote(os.getpid()))
        air.get(gate.wait.remote())

    gate, recorder = Gate.remote(), Recorder.remote()
    pid = value(ignore.remote())
    ref = wait.remote(recorder, gate)
    value(gate.arrived.remote(1))
    assert value(recorder.items.remote()) == [pid]
    air.cancel(ref)
    with pytest.raises(TaskCancelled):
        value(ref)


def test_calls_that_wait_for_their_turn_in_an_actor() -> None:
    """They were sent, and wait for a thread or for room on the loop."""

    @air.remote
    class Threads:
        def wait(self, gate: Any) -> None:
            air.get(gate.wait.remote())

    @air.remote
    class Loop:
        async def wait(self, gate: Any) -> None:
            await gate.wait.remote()

    for actor in (
        Threads.options(max_concurrency=2).remote(),
        Loop.options(max_concurrency=2).remote(),
    ):
        gate = Gate.remote()
        running = [actor.wait.remote(gate) for _ in range(2)]
        value(gate.arrived.remote(2))
        waiting = [actor.wait.remote(gate) for _ in range(3)]
        for ref in waiting[:2]:
            air.cancel(ref)
        assert outcomes(waiting[:2]) == {"TaskCancelled": 2}
        value(gate.open.remote())
        assert outcomes([*running, waiting[2]]) == {"done": 3}


def test_a_cancelled_worker_is_used_again() -> None:
    gate = Gate.remote()

    @air.remote(num_cpus=2)
    def pid_then_wait(recorder: Any, gate: Any) -> None:
        air.get(recorder.add.remote(os.getpid()))
        air.get(gate.wait.remote())

    recorder = Recorder.remote()
    for count in range(1, 6):
        ref = pid_then_wait.remote(recorder, gate)
        value(gate.arrived.remote(count))
        air.cancel(ref)
        with pytest.raises(TaskCancelled):
            value(ref)
    assert len(set(value(recorder.items.remote()))) == 1


@air.remote
class Starter:
    """Submits tasks that others cancel."""

    def start(self, gate: Any) -> list[Any]:
        return [wait_at.remote(gate)]

    def pid(self) -> int:
        return os.getpid()


@pytest.mark.parametrize("force", [False, True])
def test_a_running_task_of_another_process(force: bool) -> None:
    gate, starter = Gate.remote(), Starter.remote()
    (ref,) = value(starter.start.remote(gate))
    value(gate.arrived.remote(1))
    air.cancel(ref, force=force)
    with pytest.raises(TaskCancelled):
        value(ref)
    assert value(identity.remote(1)) == 1


def test_a_task_whose_owner_is_gone_or_goes_meanwhile(start_thread: Any) -> None:
    requests = get_executor()._client.requests  # type: ignore[attr-defined]
    for is_gone in (True, False):
        starter = Starter.remote()
        (ref,) = value(starter.start.remote(Gate.remote()))
        owner = psutil.Process(value(starter.pid.remote()))
        if is_gone:
            owner.kill()
            with pytest.raises(ActorDied):
                value(starter.pid.remote())
            air.cancel(ref)
        else:
            owner.suspend()
            cancelling = start_thread(lambda ref=ref: air.cancel(ref))
            assert eventually(lambda: bool(requests._answers))
            owner.kill()
            assert cancelling.outcome() is None
        with pytest.raises(OwnerDied):
            value(ref)


class PackedLate:
    """Says when it is being packed, and is once it may."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __reduce__(self) -> Any:
        (self.directory / "packing").touch()
        deadline = time.monotonic() + 30
        while not (self.directory / "go").exists():
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return int, ()


@air.remote
class Yielding:
    def give(self, directory: Path) -> Iterator[Any]:
        yield PackedLate(directory)
        (directory / "went on").touch()
        yield 1

    def plain(self) -> None:
        pass


def test_a_stream_that_is_cancelled_between_two_values_does_not_go_on(tmp_path: Path) -> None:
    actor = Yielding.options(max_concurrency=2).remote()
    stream = actor.give.remote(tmp_path)
    assert eventually((tmp_path / "packing").exists)
    air.cancel(stream)
    value(actor.plain.remote())  # has arrived behind the cancellation
    (tmp_path / "go").touch()
    *_, last = stream
    with pytest.raises(TaskCancelled):
        value(last)
    assert not (tmp_path / "went on").exists()
