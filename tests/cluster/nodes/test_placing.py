"""Where tasks and actors go when it matters."""

from __future__ import annotations

import os
import re
import time
from typing import Any

import pytest

import air
from air.errors import ActorDied, ActorPlacementError, GetTimeout, Unschedulable
from air.testing.executor_suite.harness import eventually, value
from air.util import placement_group, remove_placement_group
from air.util.scheduling_strategies import (
    Exists,
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)


@air.remote
def where() -> str:
    return str(air.get_runtime_context().get_node_id())


@air.remote
class Actor:
    def where(self) -> str:
        return str(air.get_runtime_context().get_node_id())

    def gpus(self) -> tuple[list[int], str | None]:
        return air.get_gpu_ids(), os.environ.get("CUDA_VISIBLE_DEVICES")

    def restarted(self) -> bool:
        return bool(air.get_runtime_context().was_current_actor_reconstructed)


def has_died(actor: Any) -> bool:
    try:
        value(actor.where.remote())
    except ActorDied:
        return True
    return False


def names() -> list[str]:
    return [node["NodeID"] for node in air.nodes()]


def at(name: str, *, soft: bool = False) -> Any:
    return NodeAffinitySchedulingStrategy(name, soft=soft)


def test_tied_to_a_node(two: Any) -> None:
    for name in names():
        assert value(where.options(scheduling_strategy=at(name)).remote()) == name
        actor = Actor.options(scheduling_strategy=at(name)).remote()
        assert value(actor.where.remote()) == name


def test_tied_to_a_node_that_is_not_there(two: Any) -> None:
    for _ in range(3):  # the head has forgotten what it has refused
        with pytest.raises(Unschedulable, match="0123456789abcdef"):
            value(where.options(scheduling_strategy=at("0123456789abcdef")).remote())
    soft = where.options(scheduling_strategy=at("0123456789abcdef", soft=True))
    assert value(soft.remote()) in names()


@pytest.fixture
def zones(machines: Any) -> Any:
    """Three nodes of one CPU each in two zones; the third has a fast disk."""
    machines.start(labels={"zone": "a"})
    machines.start(labels={"zone": "b"})
    machines.start(labels={"zone": "b", "disk": "fast"})
    machines.join()
    return machines


def test_labels(zones: Any) -> None:
    first, second, third = names()
    for selector, allowed in (
        ({"zone": "a"}, {first}),
        ({"zone": "!a"}, {second, third}),
        ({"zone": "b", "disk": "!fast"}, {second}),
        ({"zone": "in(a, b)", "disk": "fast"}, {third}),
    ):
        options = {"label_selector": selector}
        assert set(value([where.options(**options).remote() for _ in range(6)])) <= allowed
        assert value(Actor.options(**options).remote().where.remote()) in allowed
    refused = where.options(label_selector={"disk": "fats"}).remote()
    with pytest.raises(Unschedulable, match=r"'disk' = 'fats'.*Did you mean 'fast'") as caught:
        value(refused)
    for name, labels in zip(names(), ["'a'}", "'b'}", "'b', 'disk': 'fast'}"], strict=True):
        assert re.search(rf"{name}' has [^;]* and the labels {{'zone': {labels}", str(caught.value))


def test_labels_that_are_better_than_others(zones: Any) -> None:
    _, second, third = names()
    fast = NodeLabelSchedulingStrategy({"zone": "b"}, soft={"disk": Exists()})
    assert value(where.options(scheduling_strategy=fast).remote()) == third
    assert eventually(lambda: air.available_resources()["CPU"] == 3)
    holder = Actor.options(num_cpus=1, scheduling_strategy=fast).remote()
    assert value(holder.where.remote()) == third
    # That is full now: another one will do that matches the rules which must hold.
    assert value(where.options(scheduling_strategy=fast).remote()) == second
    anywhere = NodeLabelSchedulingStrategy({}, soft={"zone": "c"})
    assert value(where.options(scheduling_strategy=anywhere).remote()) in names()


def test_tasks_that_take_nothing_go_where_they_had_best_be(zones: Any) -> None:
    third = names()[2]
    fast = NodeLabelSchedulingStrategy({}, soft={"disk": "fast"})
    for strategy in (at(third, soft=True), fast):
        actor = Actor.options(scheduling_strategy=strategy).remote()
        assert value(actor.where.remote()) == third
        task = where.options(num_cpus=0, scheduling_strategy=strategy)
        assert value([task.remote() for _ in range(4)]) == [third] * 4


@pytest.mark.parametrize("cpus", [0, 1])
def test_each_task_that_is_spread_goes_to_another_node(zones: Any, cpus: int) -> None:
    task = where.options(num_cpus=cpus, scheduling_strategy="SPREAD")
    # A node that takes long to start its first worker is passed over for a moment.
    assert eventually(lambda: {value(task.remote()) for _ in range(3)} == {*names()})
    assert eventually(lambda: {*value([task.remote() for _ in range(9)])} == {*names()})


def test_labels_of_a_node_that_comes_late(zones: Any) -> None:
    holder = Actor.options(num_cpus=1, label_selector={"disk": "fast"}).remote()
    value(holder.where.remote())
    waiting = where.options(label_selector={"disk": "fast"}).remote()
    assert air.wait([waiting], timeout=0)[0] == []
    zones.start(labels={"disk": "fast"})
    assert value(waiting) == names()[3]


def test_waiting_for_room_on_the_node_that_it_is_tied_to(two: Any) -> None:
    second = names()[1]
    holder = Actor.options(num_cpus=1, scheduling_strategy=at(second)).remote()
    value(holder.where.remote())
    waiting = where.options(scheduling_strategy=at(second)).remote()
    assert value(where.remote()) == names()[0]
    assert air.wait([waiting], timeout=0)[0] == []
    told = f"no other node than {second} may run it: node {second} has 0 of 1 CPU free"
    with pytest.raises(GetTimeout, match=told):
        air.get(waiting, timeout=0.5)
    other = Actor.options(num_cpus=1, scheduling_strategy=at(second)).remote()
    call = other.where.remote()
    with pytest.raises(GetTimeout, match=told):
        air.get(call, timeout=0.5)
    del other, call
    air.kill(holder)
    assert value(waiting) == second


def test_one_after_the_other_on_the_other_node(two: Any) -> None:
    second = names()[1]
    for options in ({"scheduling_strategy": at(second)}, {"resources": {"widget": 1}}):
        for _ in range(8):
            assert value(where.options(**options).remote()) == second
            assert eventually(lambda: air.available_resources().get("widget") == 1)
            assert eventually(lambda: air.available_resources()["CPU"] == 2)


def test_spread_one_after_the_other(two: Any) -> None:
    found = []
    for _ in range(6):
        found.append(value(where.options(scheduling_strategy="SPREAD").remote()))
        assert eventually(lambda: air.available_resources()["CPU"] == 2)
    assert set(found) == set(names())


def test_spread(two: Any) -> None:
    actors = [Actor.options(num_cpus=0.5, scheduling_strategy="SPREAD").remote() for _ in range(4)]
    found = value([actor.where.remote() for actor in actors])
    assert sorted(found) == sorted(names() * 2)


def test_actors_go_where_there_is_room(two: Any) -> None:
    actors = [Actor.options(num_cpus=1).remote() for _ in range(2)]
    assert sorted(value([actor.where.remote() for actor in actors])) == sorted(names())
    third = Actor.options(num_cpus=1).remote()
    later = third.where.remote()
    freed = value(actors[1].where.remote())
    air.kill(actors[1])
    assert value(later) == freed


def test_a_group_that_is_spread_strictly(two: Any) -> None:
    group = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="STRICT_SPREAD")
    assert group.wait(30)
    tasks = [
        where.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, index))
        for index in (0, 1)
    ]
    assert sorted(value([task.remote() for task in tasks])) == sorted(names())
    in_any = where.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group))
    assert set(value([in_any.remote() for _ in range(8)])) <= set(names())
    actor = Actor.options(
        num_cpus=1, scheduling_strategy=PlacementGroupSchedulingStrategy(group, 1)
    ).remote()
    assert value(actor.where.remote()) == value(tasks[1].options(num_cpus=0).remote())
    remove_placement_group(group)
    assert eventually(lambda: has_died(actor))
    assert eventually(lambda: air.available_resources()["CPU"] == 2)


def test_a_group_that_only_more_nodes_can_hold(two: Any) -> None:
    with pytest.raises(Unschedulable):
        placement_group([{"CPU": 1}] * 3, strategy="STRICT_SPREAD")
    two.start()
    assert eventually(lambda: len(air.nodes()) == 3)
    assert placement_group([{"CPU": 1}] * 3, strategy="STRICT_SPREAD").wait(30)


def test_a_group_gets_a_new_place_for_what_it_lost(two: Any) -> None:
    two.start()
    assert eventually(lambda: len(air.nodes()) == 3)
    group = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="STRICT_SPREAD")
    assert group.wait(30)
    tasks = [
        where.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, index))
        for index in (0, 1)
    ]
    places = value([task.remote() for task in tasks])
    lost = next(name for name in places if name != names()[0])
    victim = two.nodes[names().index(lost)]
    victim.kill()
    two.nodes.remove(victim)
    assert sorted(value([task.remote() for task in tasks])) == sorted(
        name for name in names() if name != lost
    )


def test_tied_to_a_node_that_is_gone(two: Any) -> None:
    second = names()[1]
    holder = Actor.options(scheduling_strategy=at(second)).remote()
    value(holder.where.remote())
    two.nodes.pop().kill()
    assert eventually(lambda: len([node for node in air.nodes() if node["Alive"]]) == 1)
    for call in (where, Actor):
        made = call.options(scheduling_strategy=at(second)).remote()
        with pytest.raises(Unschedulable, match=f"{second}.* is gone"):
            value(made if call is where else made.where.remote())
    soft = where.options(scheduling_strategy=at(second, soft=True))
    assert value(soft.remote()) == names()[0]


def test_a_group_that_is_removed_while_it_waits(two: Any) -> None:
    holders = [Actor.options(num_cpus=1).remote() for _ in range(2)]
    value([holder.where.remote() for holder in holders])
    group = placement_group([{"CPU": 1}] * 2, name="late")
    ready = group.ready()
    inside = PlacementGroupSchedulingStrategy(group)
    waiting = [
        ready,
        where.options(scheduling_strategy=inside).remote(),
        Actor.options(scheduling_strategy=inside).remote().where.remote(),
    ]
    assert not group.wait(0)
    remove_placement_group(group)
    for ref in [*waiting, group.ready()]:
        with pytest.raises(ActorPlacementError):
            value(ref)
    again = placement_group([{"CPU": 1}] * 2, name="late")
    for holder in holders:
        air.kill(holder)
    assert again.wait(30)


def test_bundles_with_gpus_on_several_nodes(machines: Any) -> None:
    for _ in range(2):
        machines.start(num_cpus=2, num_gpus=2)
    machines.join()
    shares = [0.5, 0.5, 1, 1]
    group = placement_group([{"CPU": 0.5, "GPU": share} for share in shares], strategy="SPREAD")
    assert group.wait(30)
    actors = [
        Actor.options(
            num_gpus=share, scheduling_strategy=PlacementGroupSchedulingStrategy(group, index)
        ).remote()
        for index, share in enumerate(shares)
    ]
    used: dict[tuple[str, int], float] = {}
    for share, actor in zip(shares, actors, strict=True):
        [gpu], visible = value(actor.gpus.remote())
        assert visible == str(gpu)
        place = value(actor.where.remote()), gpu
        used[place] = used.get(place, 0) + share
    assert max(used.values()) == 1
    assert len({node for node, _ in used}) == 2
    half = where.options(scheduling_strategy=PlacementGroupSchedulingStrategy(group, 0))
    with pytest.raises(Unschedulable, match="'GPU': 1"):
        value(half.options(num_cpus=0, num_gpus=1).remote())


def test_an_actor_comes_back_on_another_node(two: Any) -> None:
    two.start(resources={"widget": 1})
    assert eventually(lambda: len(air.nodes()) == 3)
    actor = Actor.options(
        resources={"widget": 1}, max_restarts=1, max_task_retries=-1, name="phoenix"
    ).remote()
    first = value(actor.where.remote())
    victim = two.nodes[names().index(first)]
    victim.kill()
    two.nodes.remove(victim)
    assert value(actor.where.remote()) not in ("", first)
    assert value(air.get_actor("phoenix").restarted.remote())


def test_an_actor_without_restarts_dies_with_its_node(two: Any) -> None:
    actor = Actor.options(resources={"widget": 1}).remote()
    value(actor.where.remote())
    two.nodes.pop().kill()
    with pytest.raises(ActorDied, match="node"):
        value(actor.where.remote())


def test_a_node_that_comes_late_takes_what_waits(machines: Any) -> None:
    machines.start(num_cpus=1)
    machines.join()
    holder = Actor.options(num_cpus=1).remote()
    value(holder.where.remote())
    waiting = [where.remote() for _ in range(4)]
    machines.start(num_cpus=1)
    assert set(value(waiting)) == {names()[1]}


def test_many_short_tasks_use_both_nodes(two: Any) -> None:
    @air.remote
    def work() -> str:
        time.sleep(0.01)  # what it does takes a moment
        return str(air.get_runtime_context().get_node_id())

    found = value([work.remote() for _ in range(300)])
    assert min(found.count(name) for name in names()) > 50
