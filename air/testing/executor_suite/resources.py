"""Requests for resources: met, accounted for, or refused in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import air
from air.errors import InvalidOption, Unschedulable
from air.testing.executor_suite.harness import eventually, value
from air.testing.executor_suite.tools import Counter, identity
from air.util import placement_group, remove_placement_group
from air.util.scheduling_strategies import (
    DoesNotExist,
    Exists,
    In,
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
    NotIn,
    PlacementGroupSchedulingStrategy,
)

PROMPT = 2.0  # seconds in which an impossible request must be refused


def refusal(make: Callable[[], Any]) -> str:
    """The message of the ``Unschedulable`` that *make*, or the get of what it gives, raises."""
    start = time.monotonic()
    with pytest.raises(Unschedulable) as caught:
        air.get(make(), timeout=10)
    assert time.monotonic() - start < PROMPT
    return str(caught.value)


@air.remote
def gpus() -> list[int]:
    return air.get_gpu_ids()


@air.remote
class Gpus:
    def ids(self) -> list[int]:
        return air.get_gpu_ids()


@pytest.mark.usefixtures("session")
class TestResources:
    def test_cluster_resources(self) -> None:
        found = air.cluster_resources()
        assert found["CPU"] == 2
        assert found["GPU"] == 2
        assert found["widget"] == 2
        assert found["memory"] > 0

    def test_nodes(self) -> None:
        nodes = air.nodes()
        assert any(node["Alive"] for node in nodes)
        assert all(isinstance(node["NodeID"], str) for node in nodes)
        assert sum(node["Resources"].get("CPU", 0) for node in nodes) == 2

    def test_requests_that_can_be_met(self) -> None:
        for options in (
            {"num_cpus": 0},
            {"num_cpus": 0.5},
            {"num_cpus": 2},
            {"memory": 1_000_000},
            {"resources": {"widget": 1}},
            {"num_cpus": 1, "resources": {"widget": 0.1}},
            {"scheduling_strategy": "SPREAD"},
            {"scheduling_strategy": "DEFAULT"},
        ):
            assert value(identity.options(**options).remote(1)) == 1

    @pytest.mark.parametrize(
        ("options", "demand"),
        [
            ({"num_cpus": 3}, "'CPU': 3"),
            ({"num_gpus": 3}, "'GPU': 3"),
            ({"resources": {"widget": 2.5}}, "'widget': 2.5"),
            ({"resources": {"gadget": 1}}, "'gadget': 1"),
            ({"memory": 1e18}, "'memory': 1e+18"),
        ],
        ids=["cpus", "gpus", "custom", "unknown", "memory"],
    )
    def test_impossible_requests(self, options: dict[str, Any], demand: str) -> None:
        named = identity.options(name="the big one")
        for who, message in (
            ("task the big one", refusal(lambda: named.options(**options).remote(1))),
            ("actor ", refusal(lambda: Counter.options(**options).remote().get.remote())),
        ):
            assert who in message
            assert ("Counter" in message) == (who == "actor ")
            assert demand in message
            assert "'CPU': 2" in message, "names what the nodes have"
            assert air.nodes()[0]["NodeID"] in message

    def test_misspelt_resources(self) -> None:
        options = {"resources": {"wigdet": 1}}
        for make in (
            lambda: identity.options(**options).remote(1),
            lambda: Counter.options(**options).remote().get.remote(),
            lambda: placement_group([{"wigdet": 1}]).ready(),
        ):
            assert "No node has any 'wigdet'. Did you mean 'widget'?" in refusal(make)

    def test_impossible_request_of_a_nested_task(self) -> None:
        @air.remote
        def outer() -> Any:
            return air.get(identity.options(num_cpus=99).remote(1))

        assert "'CPU': 99" in refusal(outer.remote)

    def test_an_impossible_request_breaks_nothing(self) -> None:
        refusal(lambda: identity.options(num_cpus=3).remote(1))
        assert value(identity.remote(1)) == 1

    @pytest.mark.parametrize(
        "options",
        [
            {"num_cpus": -1},
            {"num_cpus": "two"},
            {"num_gpus": 1.5},
            {"memory": -1},
            {"resources": {"CPU": 1}},
            {"resources": [1]},
            {"scheduling_strategy": "EVERYWHERE"},
            {"label_selector": {"zone": 1}},
            {"accelerator_type": 1},
        ],
        ids=str,
    )
    def test_malformed_requests(self, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidOption):
            identity.options(**options)
        with pytest.raises(InvalidOption):
            Counter.options(**options)

    def test_actors_hold_their_resources(self) -> None:
        assert eventually(lambda: air.available_resources().get("widget") == 2)
        counter = Counter.options(num_cpus=1, resources={"widget": 0.5}).remote()
        value(counter.get.remote())
        assert eventually(lambda: air.available_resources().get("widget") == 1.5)
        assert eventually(lambda: air.available_resources().get("CPU") == 1)
        air.kill(counter)
        assert eventually(lambda: air.available_resources().get("widget") == 2)
        assert eventually(lambda: air.available_resources().get("CPU") == 2)

    def test_available_resources_never_go_below_zero(self) -> None:
        counter = Counter.options(resources={"widget": 2}).remote()
        value(counter.get.remote())
        another = Counter.options(resources={"widget": 2}).remote()  # where that is, it waits
        assert eventually(lambda: air.available_resources().get("widget", 0) == 0)
        assert all(amount >= 0 for amount in air.available_resources().values())
        air.kill(another)
        air.kill(counter)

    def test_gpus_are_numbered(self) -> None:
        assert value(gpus.remote()) == []
        assert len(value(gpus.options(num_gpus=1).remote())) == 1
        assert value(gpus.options(num_gpus=2).remote()) == [0, 1]
        assert len(value(gpus.options(num_gpus=0.5).remote())) == 1
        assert air.get_gpu_ids() == []

    def test_actors_get_gpus_of_their_own(self) -> None:
        actors = [Gpus.options(num_gpus=1).remote() for _ in range(2)]
        ids = value([actor.ids.remote() for actor in actors])
        assert sorted(ids) == [[0], [1]]
        for actor in actors:
            air.kill(actor)

    def test_node_affinity(self) -> None:
        node_id = air.nodes()[0]["NodeID"]
        there = NodeAffinitySchedulingStrategy(node_id, soft=False)
        assert value(identity.options(scheduling_strategy=there).remote(1)) == 1
        actor = Counter.options(scheduling_strategy=there).remote()
        assert value(actor.get.remote()) == 0

    def test_labels(self) -> None:
        assert air.nodes()[0]["Labels"] == {"zone": "a", "disk": "ssd"}
        labelled = NodeLabelSchedulingStrategy
        for options in (
            {"label_selector": {"zone": "a"}},
            {"label_selector": {"zone": "in(a, b)", "disk": "!hdd", "rack": "!in(7, 8)"}},
            {"label_selector": {"zone": "a"}, "scheduling_strategy": "SPREAD"},
            {"scheduling_strategy": labelled({"zone": In("a", "b"), "rack": DoesNotExist()})},
            {"scheduling_strategy": labelled({"disk": Exists()}, soft={"zone": "c"})},
            {"scheduling_strategy": labelled({}, soft={"zone": NotIn("a")})},
        ):
            assert value(identity.options(**options).remote(1)) == 1
            assert value(Counter.options(**options).remote().get.remote()) == 0

    @pytest.mark.parametrize(
        ("options", "wanted"),
        [
            ({"label_selector": {"zone": "b"}}, "'zone' = 'b'"),
            ({"label_selector": {"disk": "ssd", "zone": "!a"}}, "'zone' not in ('a')"),
            ({"label_selector": {"rack": "in(7, 8)"}}, "'rack' in ('7', '8')"),
            (
                {"scheduling_strategy": NodeLabelSchedulingStrategy({"rack": Exists()})},
                "'rack' exists",
            ),
            (
                {"scheduling_strategy": NodeLabelSchedulingStrategy({"disk": DoesNotExist()})},
                "'disk' does not exist",
            ),
        ],
        ids=["value", "not", "key", "exists", "does-not-exist"],
    )
    def test_labels_that_no_node_has(self, options: dict[str, Any], wanted: str) -> None:
        named = identity.options(name="the picky one")
        for who, message in (
            ("task the picky one", refusal(lambda: named.options(**options).remote(1))),
            ("Counter", refusal(lambda: Counter.options(**options).remote().get.remote())),
        ):
            assert who in message
            assert wanted in message
            assert "{'zone': 'a', 'disk': 'ssd'}" in message, "names the labels of the nodes"
            assert air.nodes()[0]["NodeID"] in message

    def test_a_kind_of_accelerator_that_no_node_has(self) -> None:
        options = {"num_gpus": 1, "accelerator_type": "A100"}
        assert "'accelerator_type:A100'" in refusal(lambda: identity.options(**options).remote(1))

    def test_the_same_resources_by_several_strategies_at_once(self) -> None:
        there = NodeAffinitySchedulingStrategy(air.nodes()[0]["NodeID"], soft=False)
        group = placement_group([{"CPU": 1}])
        inside = PlacementGroupSchedulingStrategy
        strategies = [
            *("DEFAULT", "SPREAD", there, replace(there, soft=True)),
            *(NodeLabelSchedulingStrategy({"zone": "a"}, soft) for soft in ({}, {"zone": "b"})),
            *(inside(group), inside(group, 0), inside(group, -1, True), inside(group, 0, True)),
        ]
        refs = [
            identity.options(scheduling_strategy=strategy).remote(number)
            for number in range(3)
            for strategy in strategies
        ]
        assert value(refs) == [number for number in range(3) for _ in strategies]
        remove_placement_group(group)

    def test_node_affinity_to_an_unknown_node(self) -> None:
        hard = NodeAffinitySchedulingStrategy("ab" * 16, soft=False)
        message = refusal(lambda: identity.options(scheduling_strategy=hard).remote(1))
        assert "ab" * 16 in message
        soft = NodeAffinitySchedulingStrategy("ab" * 16, soft=True)
        assert value(identity.options(scheduling_strategy=soft).remote(1)) == 1
