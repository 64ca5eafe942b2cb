"""Tasks, actors and values on several nodes."""

from __future__ import annotations

import gc
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import air
from air.errors import ActorDied, ObjectLost, OwnerDied, Unschedulable
from air.testing.executor_suite.harness import eventually, value
from air.util.scheduling_strategies import NodeAffinitySchedulingStrategy

MB = 1_000_000


@air.remote
def where() -> str:
    return str(air.get_runtime_context().get_node_id())


@air.remote
def make(number: float, megabytes: int) -> Any:
    return np.full(megabytes * MB // 8, float(number))


@air.remote
def total(found: Any) -> float:
    return float(found.sum())


@air.remote
class Keeper:
    def __init__(self) -> None:
        self.kept: Any = None

    def where(self) -> str:
        return str(air.get_runtime_context().get_node_id())

    def keep(self, item: Any) -> None:
        self.kept = item

    def total(self) -> float:
        return float(self.kept.sum())

    def make(self, number: float, megabytes: int) -> Any:
        return np.full(megabytes * MB // 8, float(number))


def names() -> list[str]:
    return [node["NodeID"] for node in air.nodes()]


def widget(thing: Any) -> Any:
    return thing.options(resources={"widget": 0.1})


def test_nodes_add_up(two: Any) -> None:
    assert len(air.nodes()) == 2
    assert air.cluster_resources()["CPU"] == 2
    two.start(num_cpus=3)
    assert eventually(lambda: air.cluster_resources()["CPU"] == 5)
    two.nodes.pop().stop()
    assert eventually(lambda: air.cluster_resources()["CPU"] == 2)


def test_a_task_goes_where_its_resources_are(two: Any) -> None:
    first, second = names()
    assert value(where.remote()) == first
    assert value(widget(where).remote()) == second
    assert value([where.remote(), widget(where).remote()]) == [first, second]


def test_tasks_spill_over_to_other_nodes(machines: Any) -> None:
    for _ in range(2):
        machines.start(resources={"slot": 1})
    machines.join()
    gate = Gate.remote()
    # Not the CPU, which is lent to others while a task waits in air.get.
    found = [meet.options(num_cpus=0, resources={"slot": 1}).remote(gate) for _ in range(2)]
    assert sorted(value(found)) == sorted(names())


@air.remote
class Gate:
    """Lets nobody through before two have come."""

    def __init__(self) -> None:
        import asyncio

        self._missing = 2
        self._open = asyncio.Event()

    async def come(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._open.set()
        await self._open.wait()


@air.remote
def meet(gate: Any) -> str:
    air.get(gate.come.remote())
    return str(air.get_runtime_context().get_node_id())


def test_values_travel_in_every_direction(two: Any) -> None:
    there = widget(make).remote(2, 4)
    assert value(total.remote(there)) == MB  # read on the first node
    assert value(there).sum() == MB
    here = air.put(np.full(MB, 3.0))
    assert value(widget(total).remote(here)) == 3 * MB
    assert value(widget(total).remote(np.full(MB, 5.0))) == 5 * MB


def test_an_actor_on_another_node_keeps_what_it_is_given(two: Any) -> None:
    keeper = widget(Keeper).remote()
    assert value(keeper.where.remote()) == names()[1]
    value(keeper.keep.remote(np.full(MB, 2.0)))
    gc.collect()
    for number in range(10):  # what would overwrite it
        value(total.remote(air.put(np.full(2 * MB, float(number)))))
    assert value(keeper.total.remote()) == 2 * MB


def test_what_no_node_has_is_refused(two: Any) -> None:
    with pytest.raises(Unschedulable, match="gadget"):
        value(where.options(resources={"gadget": 1}).remote())
    with pytest.raises(Unschedulable, match="gadget"):
        value(Keeper.options(resources={"gadget": 1}).remote().where.remote())


def node_of(machines: Any, name: str) -> Any:
    return machines.nodes[names().index(name)]


def test_tasks_of_a_dead_node_run_elsewhere(two: Any) -> None:
    two.start(resources={"widget": 1})
    board = Board.options(num_cpus=0).remote()
    running = widget(stay).remote(board)
    victim = node_of(two, value(board.newest.remote(1)))
    victim.kill()
    two.nodes.remove(victim)
    assert value(board.newest.remote(2)) in names()
    value(board.open.remote())
    assert value(running) in names()


@air.remote
class Board:
    """Where tasks note where they run, and wait to be let go."""

    def __init__(self) -> None:
        import asyncio

        self._seen: list[str] = []
        self._changed = asyncio.Condition()
        self._open = asyncio.Event()

    async def note(self, name: str) -> None:
        async with self._changed:
            self._seen.append(name)
            self._changed.notify_all()
        await self._open.wait()

    async def newest(self, count: int) -> str:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._seen) >= count)
        return self._seen[-1]

    async def open(self) -> None:
        self._open.set()


@air.remote
def stay(board: Any) -> str:
    here = str(air.get_runtime_context().get_node_id())
    air.get(board.note.remote(here))
    return here


def test_values_of_a_dead_node_are_made_anew(two: Any) -> None:
    two.start(resources={"widget": 1})
    first = widget(make).remote(2, 8)
    second = widget(double).remote(first)
    air.wait([second])
    for name in {name for name in names()[1:] if value(holds(name, second))}:
        victim = node_of(two, name)
        victim.kill()
        two.nodes.remove(victim)
        break
    assert value(widget(total).remote(second)) == 4 * MB
    assert value(second).sum() == 4 * MB


@air.remote
def double(found: Any) -> Any:
    return found * 2


def holds(name: str, ref: Any) -> Any:
    from air.executor.current import get_executor

    client = get_executor()._client  # type: ignore[attr-defined]
    number = client.references.get(ref.id).content.node
    return air.put(names().index(name) + 1 == number)


def test_what_was_put_on_a_dead_node_is_lost(two: Any) -> None:
    keeper = widget(Keeper).remote()
    made = keeper.make.remote(2, 8)
    air.wait([made])
    two.nodes.pop().kill()
    with pytest.raises(ObjectLost):
        value(made)


def test_what_a_dead_actor_has_made_stays_for_owners_on_other_nodes(two: Any) -> None:
    maker = widget(Keeper).remote()
    made = [maker.make.remote(number, 30) for number in (1.0, 2.0)]
    air.wait(made, num_returns=2)
    air.kill(maker)
    with pytest.raises(ActorDied):
        air.get(maker.where.remote())
    assert [float(found[-1]) for found in value(made)] == [1.0, 2.0]
    # On the node where they lie, by somebody who came later.
    assert value(widget(total).remote(made[1])) == 2.0 * 30 * MB / 8


def test_memory_of_a_dead_actor_is_given_back_when_owners_want_it_no_more(two: Any) -> None:
    for _ in range(4):  # 90 MB each, on a node that has 200
        maker = widget(Keeper).remote()
        made = maker.make.remote(1.0, 90)
        air.wait([made])
        del maker
        assert value(made)[0] == 1.0
        del made
        gc.collect()


def test_an_owner_on_another_node_that_ended_before_the_reader_began(two: Any) -> None:
    """Nobody tells a fresh process of those that ended before it; it finds out by itself."""

    @air.remote
    class Maker:
        def make(self) -> Any:
            return [air.put(1), air.put(2)]

    maker = widget(Maker).remote()
    refs = value(maker.make.remote())
    air.kill(maker)
    with pytest.raises(OwnerDied):
        value(refs[0])
    reader = Keeper.remote()
    value(reader.keep.remote(refs))

    @air.remote
    def read(found: list[Any]) -> int:
        return int(air.get(found[1]))

    with pytest.raises(OwnerDied):
        value(read.remote(refs))


def test_values_whose_owner_dies_with_its_node(two: Any) -> None:
    """At once, whoever asks, and also where it was known already in whose memory they lay."""

    @air.remote(num_cpus=0)
    class Owner:
        def put(self, count: int) -> Any:
            self.kept = [air.put(np.ones(200_000)) for _ in range(count)]
            return self.kept

    owner = widget(Owner).remote()
    refs = value(owner.put.remote(3))
    air.wait(refs, num_returns=3, fetch_local=False)
    two.nodes.pop().kill()
    assert eventually(lambda: sum(node["Alive"] for node in air.nodes()) == 1)
    for lost in (refs[0], total.remote(refs[1])):
        with pytest.raises(OwnerDied):
            value(lost)
    with pytest.raises(OwnerDied):
        air.get(refs[2], timeout=0)


@air.remote
def hold_until_opened(path: str) -> None:
    """Keeps its CPU, which a task that waits in ``air.get`` lends to others."""
    with open(path) as pipe:
        pipe.read()


def test_an_argument_that_is_lost_while_its_task_is_queued(two: Any, tmp_path: Path) -> None:
    here, there = (NodeAffinitySchedulingStrategy(name, soft=False) for name in names())
    soft = replace(there, soft=True)
    first = make.options(scheduling_strategy=soft).remote(2, 8)
    air.wait([first], fetch_local=False)
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    holds_the_cpu = hold_until_opened.options(scheduling_strategy=here).remote(path)
    with open(path, "w"):  # as soon as it runs
        found = total.options(scheduling_strategy=here).remote(first)
        two.nodes.pop().kill()
        assert eventually(lambda: sum(node["Alive"] for node in air.nodes()) == 1)
    assert value([holds_the_cpu, found]) == [None, 2 * MB]
