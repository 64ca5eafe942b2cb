"""What no node could ever do is refused, wherever it is asked from, and also once it is so."""

from __future__ import annotations

from typing import Any

import pytest

import air
from air.errors import GetTimeout, Unschedulable
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import Counter, Gate, identity
from air.util import placement_group, state


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
    with pytest.raises(Unschedulable, match="widget"):
        value(holder.add.remote())
    value(gate.open.remote())


def test_a_group_that_has_lost_its_place_waits_for_a_node(two: Any) -> None:
    group = placement_group([{"widget": 1}], name="lost")
    assert group.wait(30)
    two.nodes.pop().kill()
    assert eventually(lambda: state.list_placement_groups()[0].state == "PENDING")
    with pytest.raises(GetTimeout, match=r"1 of its 1 bundles have no place: .*no node has that"):
        air.get(group.ready(), timeout=0.3)
    two.start(resources={"widget": 1})
    assert group.wait(30)
