"""Requests for placement."""

from __future__ import annotations

import pytest

import air
from air.errors import InvalidOption
from air.executor.resources import Resources
from air.executor.scheduling import GroupPlacement, PlacementGroupSpec, check_lifetime
from air.util.scheduling_strategies import (
    NodeAffinitySchedulingStrategy,
    PlacementGroupSchedulingStrategy,
)


def test_spec():
    spec = PlacementGroupSpec.checked([{"CPU": 1}, {"GPU": 1}], "SPREAD", "mine", "detached")
    assert spec.bundles == (Resources({"CPU": 1}), Resources({"GPU": 1}))
    assert spec.strategy == "SPREAD"
    assert spec.name == "mine"
    assert spec.detached


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "bundles must be a non-empty list"),
        (({"CPU": 1},), "bundles must be a non-empty list"),
        ((3,), "bundles must be a non-empty list"),
        (([{"CPU": 1}], "STRICTPACK"), "Did you mean 'STRICT_PACK'"),
        (([{"CPU": 1}], "PACK", 3), "name of a placement group must be text"),
        (([{"CPU": 1}], "PACK", "", "long"), "lifetime"),
    ],
)
def test_spec_is_checked(arguments, message):
    with pytest.raises(InvalidOption) as caught:
        PlacementGroupSpec.checked(*arguments)
    assert message in str(caught.value)


def test_lifetime():
    assert not check_lifetime(None)
    assert not check_lifetime("non_detached")
    assert check_lifetime("detached")


def test_strategies_are_checked(air_local):
    with pytest.raises(InvalidOption, match="must be a PlacementGroup, got 'mine'"):
        PlacementGroupSchedulingStrategy("mine")
    group = air.util.placement_group([{"CPU": 1}])
    for index in (-2, 1, 0.5):
        with pytest.raises(InvalidOption, match="placement_group_bundle_index"):
            PlacementGroupSchedulingStrategy(group, index)
    strategy = PlacementGroupSchedulingStrategy(group, 0, True)
    assert strategy.to_placement() == GroupPlacement(bytes.fromhex(group.id), 0, True)
    with pytest.raises(InvalidOption, match="node_id"):
        NodeAffinitySchedulingStrategy("", soft=False)
