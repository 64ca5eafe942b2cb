"""Who gets the workers: backlogs of one caller and others, fractions, resources of one's own."""

from __future__ import annotations

import os
from typing import Any

import pytest

import air
from air.testing.executor_suite.harness import value
from air.testing.executor_suite.tools import Gate, Recorder, identity

pytestmark = pytest.mark.usefixtures("cluster")


@air.remote
class Caller:
    """Submits tasks of its own."""

    def sum(self, count: int) -> int:
        return sum(air.get([identity.remote(1) for _ in range(count)]))

    def each(self, recorder: Any, count: int) -> None:
        for number in range(count):
            air.get(recorder.add.remote(air.get(identity.remote(number))))


@air.remote
def peak(recorder: Any, gate: Any) -> None:
    """Runs until the gate opens."""
    air.get(recorder.add.remote(os.getpid()))
    air.get(gate.wait.remote())


def test_a_backlog_of_twenty_thousand_does_not_stop_another_caller() -> None:
    caller, gate = Caller.remote(), Gate.remote()
    value(caller.sum.remote(1))

    @air.remote
    def last(gate: Any, *_: Any) -> None:
        air.get(gate.wait.remote())

    backlog = [identity.remote(number) for number in range(20_000)]
    assert value(caller.sum.remote(100)) == 100
    assert sum(value(backlog)) == sum(range(20_000))
    # Long ones, of which each stays until the other caller is served.
    blocking = [last.remote(gate) for _ in range(100)]
    assert value(caller.sum.remote(10)) == 10
    value(gate.open.remote())
    value(blocking)


def test_two_callers_with_backlogs_take_turns() -> None:
    """While this program keeps both CPUs busy, the other's tasks run among its own."""
    caller, recorder = Caller.remote(), Recorder.remote()
    done = caller.each.remote(recorder, 20)

    @air.remote
    def compute(number: int) -> int:
        return sum(range(20_000)) and number

    backlog = [compute.remote(number) for number in range(4000)]
    value(done)
    left = len(air.wait(backlog, num_returns=len(backlog), timeout=0)[1])
    value(backlog)
    assert left > 0


def test_a_request_for_every_cpu_is_served_among_small_ones() -> None:
    gate = Gate.remote()

    @air.remote
    def small() -> int:
        return sum(range(30_000))

    @air.remote(num_cpus=2)
    def large() -> int:
        return 2

    backlog = [small.remote() for _ in range(4000)]
    wanted = large.remote()
    assert value(wanted) == 2
    for ref in backlog:
        air.cancel(ref)
    value(gate.open.remote())


def test_tasks_without_cpus_run_beside_those_that_hold_all_of_them() -> None:
    gate, recorder = Gate.remote(), Recorder.remote()
    busy = [peak.remote(recorder, gate) for _ in range(2)]
    value(gate.arrived.remote(2))

    @air.remote(num_cpus=2)
    def compute(recorder: Any) -> int:
        return air.get(identity.options(num_cpus=0).remote(5))

    weightless = [peak.options(num_cpus=0).remote(recorder, gate) for _ in range(5)]
    value(gate.arrived.remote(7))
    assert value(compute.remote(recorder)) == 5
    value(gate.open.remote())
    value(busy + weightless)


@pytest.mark.parametrize(
    ("options", "most"),
    [
        ({"num_cpus": 0.5}, 4),
        ({"num_cpus": 0, "resources": {"widget": 1}}, 2),
        ({"num_cpus": 0, "resources": {"widget": 0.5}}, 4),
        ({"num_cpus": 0, "num_gpus": 1}, 2),
        ({"num_cpus": 0, "num_gpus": 0.25}, 8),
    ],
)
def test_as_many_run_as_there_is_room_for(options: dict[str, Any], most: int) -> None:
    """None of them blocks in ``get``, which would give its CPU to others."""

    @air.remote
    class Room:
        def __init__(self) -> None:
            self.now = self.peak = 0

        async def enter(self) -> None:
            self.now += 1
            self.peak = max(self.peak, self.now)

        async def leave(self) -> None:
            self.now -= 1

        async def most(self) -> int:
            return self.peak

    @air.remote(**options)
    def stay(room: Any) -> None:
        entered = room.enter.remote()
        while not air.wait([entered], timeout=0)[0]:
            pass
        sum(range(200_000))
        left = room.leave.remote()
        while not air.wait([left], timeout=0)[0]:
            pass

    room = Room.remote()
    value(room.most.remote())
    value([stay.remote(room) for _ in range(3 * most)])
    assert 1 <= value(room.most.remote()) <= most


def test_resources_come_back_when_everything_has_ended() -> None:
    from air.testing.executor_suite.harness import eventually

    everything = {"CPU": 2.0, "GPU": 2.0, "widget": 2.0}

    def free() -> dict[str, float]:
        available = air.available_resources()
        return {name: available[name] for name in everything}

    refs = [identity.options(resources={"widget": 1}).remote(number) for number in range(5)]
    refs += [identity.options(num_gpus=1).remote(number) for number in range(3)]
    value(refs)
    assert eventually(lambda: free() == everything)
