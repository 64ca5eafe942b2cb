"""What ``GetTimeout`` says of what it waited for: every state, also from far away."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil
import pytest

import air
from air.errors import GetTimeout
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import Counter, Gate, identity
from air.util import placement_group, remove_placement_group, state

pytestmark = pytest.mark.usefixtures("cluster")

LONG = 0.3
"""Long enough for others to be asked."""


@air.remote
def block(gate: Any) -> None:
    air.get(gate.wait.remote())


@air.remote
class Slow:
    def __init__(self, gate: Any = None) -> None:
        if gate is not None:
            air.get(gate.wait.remote())

    def run(self, gate: Any) -> None:
        air.get(gate.wait.remote())

    def plain(self, _value: Any = None) -> None:
        pass


@air.remote(num_cpus=0)
def complaint_elsewhere(refs: list[Any]) -> str:
    return complaint(refs)


def complaint(refs: Any, timeout: float = LONG) -> str:
    with pytest.raises(GetTimeout) as caught:
        air.get(refs, timeout=timeout)
    return str(caught.value)


@pytest.fixture
def gate() -> Any:
    made = Gate.remote()
    yield made
    value(made.open.remote())


def node() -> str:
    return str(air.nodes()[0]["NodeID"])


def test_a_task_that_runs(gate: Any) -> None:
    ref = block.options(name="running").remote(gate)
    value(gate.arrived.remote(1))
    [task] = state.list_tasks(filters=[("name", "=", "running")])
    said = complaint(ref)
    assert said.startswith(f"1 of 1 values were not there after {LONG} s: task running has run for")
    assert said.endswith(
        f" s on node {node()} (pid {task.worker_pid}), and waits for a value there"
    )
    value(gate.open.remote())
    value(ref)


def test_a_task_that_waits_for_an_argument_that_waits_for_another(gate: Any) -> None:
    first = block.options(name="first").remote(gate)
    value(gate.arrived.remote(1))
    second = identity.options(name="second").remote(first)
    third = identity.options(name="third").remote(second)
    said = complaint(third)
    assert "task third waits for an argument: task second waits for an argument: task first" in said
    assert f"on node {node()}" in said
    value(gate.open.remote())
    assert value(third) is None


def test_a_task_that_waits_for_what_an_actor_holds() -> None:
    holder = Counter.options(name="the holder", resources={"widget": 2}).remote()
    value(holder.add.remote())
    ref = identity.options(name="greedy", resources={"widget": 1}).remote(1)
    said = complaint(ref)
    assert "task greedy has waited for 0." in said
    assert "for a worker with {'CPU': 1, 'widget': 1}: " in said
    assert f"node {node()} has 0 of 2 widget free, held by actor " in said
    assert "Counter 'the holder' ({'widget': 2})" in said
    air.kill(holder)
    assert value(ref) == 1


def test_a_task_that_waits_for_what_tasks_hold(gate: Any) -> None:
    holders = [block.options(resources={"widget": 1}).remote(gate) for _ in range(2)]
    value(gate.arrived.remote(2))
    ref = identity.options(num_cpus=0, resources={"widget": 1}).remote(1)
    assert "0 of 2 widget free, held by tasks that run ({'widget': 2})" in complaint(ref)
    value(gate.open.remote())
    value([*holders, ref])


def test_an_actor_that_is_not_placed() -> None:
    holder = Counter.options(resources={"widget": 2}).remote()
    value(holder.add.remote())
    slow = Slow.options(resources={"widget": 1}).remote()
    said = complaint(slow.plain.options(name="to do").remote())
    assert "call to do waits for actor " in said
    assert "Slow, which is being created and has waited for 0." in said
    assert "for a worker with {'widget': 1}: node" in said
    assert "held by actor " in said
    air.kill(holder)
    value(slow.plain.remote())


def test_an_actor_whose_constructor_runs(gate: Any) -> None:
    slow = Slow.remote(gate)
    value(gate.arrived.remote(1))
    said = complaint(slow.plain.remote())
    assert "Slow, whose constructor has run for " in said
    assert said.endswith(f"on node {node()}")
    value(gate.open.remote())
    value(slow.plain.remote())


def test_calls_that_wait_behind_others(gate: Any) -> None:
    slow = Slow.remote()
    refs = [slow.run.options(name=f"call {number}").remote(gate) for number in range(4)]
    value(gate.arrived.remote(1))
    said = complaint(refs)
    assert "call call 0 has run for" in said
    assert "call call 1 is the next in the queue of a worker on node" in said
    assert "call call 3 waits behind 2 more in the queue" in said
    value(gate.open.remote())
    value(refs)


@pytest.mark.parametrize("options", [{"max_concurrency": 2}, {"concurrency_groups": {"io": 1}}])
def test_calls_of_threaded_actors(gate: Any, options: Any) -> None:
    slow = Slow.options(**{"max_concurrency": 1, **options}).remote()
    running = options.get("max_concurrency", 1)
    refs = [slow.run.remote(gate) for _ in range(running + 2)]
    value(gate.arrived.remote(running))
    assert "is the next in the queue" in complaint(refs[running])
    assert "waits behind 1 more in the queue" in complaint(refs[running + 1])
    value(gate.open.remote())
    value(refs)


def test_calls_of_async_actors(gate: Any) -> None:
    other = Gate.options(max_concurrency=1).remote()
    refs = [other.wait.remote(number) for number in range(3)]
    assert eventually(lambda: "has run for" in complaint(refs[0]))
    assert "waits behind 1 more in the queue" in complaint(refs[2])
    air.kill(other)


def test_a_call_behind_one_whose_argument_is_not_there(gate: Any) -> None:
    slow = Slow.remote()
    value(slow.plain.remote())
    late = block.options(name="late").remote(gate)
    value(gate.arrived.remote(1))
    slow.plain.options(name="earlier").remote(late)
    said = complaint(slow.plain.options(name="later").remote())
    assert "call later waits for its turn behind call earlier, which waits for an argument" in said
    assert "task late has run for" in said
    value(gate.open.remote())
    value(late)


def test_a_stream(gate: Any) -> None:
    @air.remote(name="stream", num_returns="streaming")
    def numbers(gate: Any) -> Any:
        yield 1
        air.get(gate.wait.remote())
        yield 2

    stream = numbers.remote(gate)
    assert value(next(stream)) == 1
    value(gate.arrived.remote(1))
    with pytest.raises(GetTimeout) as caught:
        stream.next_within(LONG)
    assert f"stream yielded nothing within {LONG} s: task stream has run for" in str(caught.value)
    value(gate.open.remote())
    assert value(next(stream)) == 2


def test_a_placement_group() -> None:
    holder = Counter.options(resources={"widget": 2}).remote()
    value(holder.add.remote())
    group = placement_group([{"CPU": 1}, {"widget": 1}])
    said = complaint(group.ready())
    assert f"placement group {group.id} is not reserved yet: 2 of its 2 bundles have no" in said
    assert "{'widget': 1}" in said
    assert "held by actor " in said
    waiting = identity.options(scheduling_strategy=_inside(group)).remote(1)
    assert "for a worker with {'CPU': 1}" in complaint(waiting)
    remove_placement_group(group)
    air.kill(holder)


def _inside(group: Any) -> Any:
    from air.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    return PlacementGroupSchedulingStrategy(group)


def test_references_of_others(gate: Any) -> None:
    running = block.options(name="owned by the program").remote(gate)
    value(gate.arrived.remote(1))
    dependent = identity.options(name="dependent").remote(running)
    said = value(complaint_elsewhere.remote([running, dependent]))
    assert "task owned by the program has run for" in said
    assert "task dependent waits for an argument: task owned by the program has run for" in said
    value(gate.open.remote())
    value(dependent)


def test_an_owner_that_does_not_answer(gate: Any) -> None:
    @air.remote
    class Owner:
        def start(self, gate: Any) -> list[Any]:
            return [block.remote(gate)]

    owner = Owner.options(name="owner").remote()
    [ref] = value(owner.start.remote(gate))
    value(gate.arrived.remote(1))
    [actor] = state.list_actors(filters=[("name", "=", "owner")])
    assert actor.pid is not None
    assert "has run for" in complaint(ref)
    os.kill(actor.pid, signal.SIGSTOP)
    try:
        said = complaint(ref)
    finally:
        os.kill(actor.pid, signal.SIGCONT)
    assert f"of process {actor.worker_id}, which does not answer" in said
    value(gate.open.remote())
    value(ref)


def test_a_value_that_is_on_disk() -> None:
    refs = [air.put(bytes(150_000_000)) for _ in range(3)]
    assert eventually(lambda: state.get_objects(refs[0].hex())[0].is_spilled is True)
    [daemon] = psutil.Process().children()
    daemon.suspend()
    try:
        with pytest.raises(GetTimeout, match="was not read from disk in time"):
            air.get(refs[0], timeout=LONG)
    finally:
        daemon.resume()
    assert len(value(refs[0])) == 150_000_000


def test_waits_that_are_made_again_and_again_ask_nobody(gate: Any) -> None:
    ref = block.options(name="polled").remote(gate)
    value(gate.arrived.remote(1))
    assert "task polled was sent to the worker" in complaint(ref, timeout=0)
    assert "and 3 more" in complaint([block.remote(gate) for _ in range(8)], timeout=0)
    value(gate.open.remote())
    value(ref)


def test_waiting_for_a_group_with_a_limit_of_time_says_no_more_than_no() -> None:
    holder = Counter.options(resources={"widget": 2}).remote()
    value(holder.add.remote())
    group = placement_group([{"widget": 1}])
    assert group.wait(0.01) is False
    air.kill(holder)
    assert group.wait(30) is True
    remove_placement_group(group)
