"""What no node could ever do is refused, wherever it is asked from, and also once it is so."""

from __future__ import annotations

from typing import Any

import pytest

import air
from air.errors import GetTimeout, Unschedulable
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import Counter, Gate, identity
from air.util import PlacementGroup, placement_group, state
from air.util.scheduling_strategies import PlacementGroupSchedulingStrategy


@air.remote
def kind_of_refusal(what: str) -> str:
    """What becomes of a request that is made in a worker."""
    try:
        if what == "task":
            value(identity.options(resources={"gadget": 1}).remote(1))
        elif what == "actor":
            value(Counter.options(resources={"gadget": 1}).remote().add.remote())
        else:
            placement_group([{"gadget": 1}])
    except Unschedulable as error:
        return str(error)
    return "it was not refused"


def within(group: PlacementGroup) -> Any:
    """Options of what takes a ``widget`` of a group's first bundle."""
    strategy = PlacementGroupSchedulingStrategy(group, 0)
    return {"num_cpus": 0, "resources": {"widget": 1}, "scheduling_strategy": strategy}


def test_from_a_worker_of_any_node(two: Any) -> None:
    asked = [
        kind_of_refusal.options(num_cpus=0, resources=resources).remote(what)
        for what in ("task", "actor", "group")
        for resources in ({}, {"widget": 0.1})
    ]
    for said in value(asked):
        assert "gadget" in said, said
        for node in air.nodes():
            assert node["NodeID"] in said


def test_what_waits_when_the_only_node_for_it_dies(two: Any) -> None:
    gate = Gate.remote()
    holder = Counter.options(resources={"widget": 1}, max_restarts=-1, name="holder").remote()
    value(holder.add.remote())
    waiting = identity.options(name="waiting", resources={"widget": 1}).remote(1)
    later = Counter.options(resources={"widget": 1}).remote()
    call = later.add.remote()
    assert air.wait([waiting, call], timeout=0)[0] == []
    two.nodes.pop().kill()
    with pytest.raises(Unschedulable, match=r"waiting .*widget"):
        value(waiting)
    with pytest.raises(Unschedulable, match="widget"):
        value(call)
    why = r"Counter cannot run: it, named 'holder', had to be restarted \(.*node.*\), and cannot be"
    with pytest.raises(Unschedulable, match=rf"{why}: .*widget.*\. Create it again once that"):
        value(holder.add.remote())
    value(gate.open.remote())


def test_a_group_that_waits_when_the_only_node_for_it_dies(two: Any) -> None:
    holder = Counter.options(resources={"widget": 1}).remote()
    value(holder.add.remote())
    group = placement_group([{"widget": 1}], name="vain")
    inside = within(group)
    waiting = [
        group.ready(),
        identity.options(**inside).remote(1),
        Counter.options(**inside).remote().add.remote(),
    ]
    assert air.wait(waiting, timeout=0)[0] == []
    two.nodes.pop().kill()
    why = r"placement group 'vain' can never be reserved: .*'widget': 1"
    for ref in waiting:
        with pytest.raises(Unschedulable, match=why):
            value(ref)
    # Who comes later is told as well.
    with pytest.raises(Unschedulable, match=why):
        group.wait(30)
    with pytest.raises(Unschedulable, match=why):
        value(identity.options(**inside).remote(1))
    two.start(resources={"widget": 1})
    assert group.wait(30)
    assert value(identity.options(**inside).remote(1)) == 1


def test_a_group_that_has_lost_its_place_waits_for_a_node(
    two: Any, caplog: pytest.LogCaptureFixture
) -> None:
    second = air.nodes()[1]["NodeID"]
    group = placement_group([{"widget": 1}], name="lost")
    assert group.wait(30)
    two.nodes.pop().kill()
    told = f"placement group 'lost' has lost bundle 0 with node {second} and waits for a node"
    assert eventually(lambda: told in caplog.text)
    inside = within(group)
    why = (
        rf"in bundle 0 of placement group 'lost', which was lost with node {second} and waits for"
        r" {'widget': 1}: no node has that much"
    )
    task, actor = identity.options(**inside).remote(1), Counter.options(**inside).remote()
    for waiting in (task, actor.add.remote()):
        with pytest.raises(GetTimeout, match=why):
            air.get(waiting, timeout=0.3)
    assert eventually(lambda: state.list_placement_groups()[0].state == "PENDING")
    with pytest.raises(GetTimeout, match=r"1 of its 1 bundles have no place: .*no node has that"):
        air.get(group.ready(), timeout=0.3)
    two.start(resources={"widget": 1})
    assert group.wait(30)
