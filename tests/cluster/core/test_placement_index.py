"""Looking at a few of many nodes finds what looking at all of them does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air.executor.resources import Resources
from air.executor.scheduling import PLACEMENT_STRATEGIES
from air_cluster.core import placement_index
from air_cluster.core.placement import plan
from air_cluster.core.placement_index import RoomIndex

AMOUNTS = st.fixed_dictionaries(
    {},
    optional={
        "CPU": st.sampled_from([0.5, 1, 2, 4]),
        "GPU": st.sampled_from([0.5, 1, 2]),
        "memory": st.sampled_from([1e9, 4e9]),
        "widget": st.just(1),
    },
)
BUNDLES = st.lists(AMOUNTS.filter(bool).map(Resources), min_size=1, max_size=5)
NODES = st.lists(AMOUNTS.map(Resources), max_size=9)


@pytest.fixture(autouse=True)
def few() -> Iterator[None]:
    """No cluster is so small that all nodes are looked at anyway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placement_index, "FEW_NODES", 0)
        yield


def index_of(nodes: Mapping[str, Resources]) -> RoomIndex:
    index = RoomIndex()
    for node_id in nodes:
        index.put(node_id, Resources({"CPU": 1}))  # changes afterwards
    index.put("gone", Resources({"CPU": 64, "GPU": 8}))
    for node_id, free in nodes.items():
        index.put(node_id, free)
    index.remove("gone")
    index.check()
    return index


def holds(bundles: Sequence[Resources], strategy: str, nodes: object, on: Sequence[str]) -> bool:
    left: dict[str, Resources] = dict(nodes)  # type: ignore[call-overload]
    for bundle, node_id in zip(bundles, on, strict=True):
        left[node_id] -= bundle
    return (
        not any(free.is_negative() for free in left.values())
        and (strategy != "STRICT_PACK" or len(set(on)) == 1)
        and (strategy != "STRICT_SPREAD" or len(set(on)) == len(bundles))
    )


@settings(max_examples=400, deadline=None, derandomize=True)
@given(BUNDLES, st.sampled_from(PLACEMENT_STRATEGIES), NODES)
def test_a_plan_is_found_exactly_if_there_is_one(
    bundles: list[Resources], strategy: str, many: list[Resources]
) -> None:
    nodes = {f"n{i}": free for i, free in enumerate(many)}
    found = index_of(nodes).plan(bundles, strategy)
    among_all = plan(bundles, strategy, nodes)
    assert (found is None) == (among_all is None)
    if found is not None:
        assert among_all is not None
        assert holds(bundles, strategy, nodes, found)
        if strategy == "PACK":
            assert (len(set(found)) == 1) == (len(set(among_all)) == 1)
        if strategy == "SPREAD" and len(set(among_all)) == len(bundles):
            assert len(set(found)) == len(bundles)


def test_the_fullest_for_what_is_packed_and_the_emptiest_for_what_is_spread() -> None:
    nodes = {f"n{i}": Resources({"CPU": 1 + i}) for i in range(8)}
    nodes["gpus"] = Resources({"CPU": 64, "GPU": 8})
    index = index_of(nodes)
    two = [Resources({"CPU": 1})] * 2
    assert index.plan(two, "PACK") == ["n1", "n1"]
    assert index.plan(two, "STRICT_PACK") == ["n1", "n1"]
    assert index.plan(two, "SPREAD") == ["n7", "n6"]
    assert index.plan([Resources({"GPU": 1})], "PACK") == ["gpus"]


@pytest.mark.parametrize("strategy", PLACEMENT_STRATEGIES)
def test_no_more_are_looked_at_than_need_be(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of({f"n{i}": Resources({"CPU": 1 + i % 8}) for i in range(2000)})
    seen: list[int] = []

    def counting(bundles: object, strategy: str, nodes: Mapping[str, Resources]) -> object:
        seen.append(len(nodes))
        return plan(bundles, strategy, nodes)  # type: ignore[arg-type]

    monkeypatch.setattr(placement_index, "plan", counting)
    assert index.plan([Resources({"CPU": 2})] * 4, strategy) is not None
    assert index.plan([Resources({"CPU": 9})] * 4, strategy) is None
    assert all(count <= 5 for count in seen)
