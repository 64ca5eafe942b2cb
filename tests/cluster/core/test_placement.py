"""Which node gets which bundle: the strategies, against brute force on small cases."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air.executor.resources import Resources
from air.executor.scheduling import PLACEMENT_STRATEGIES
from air_cluster.core.placement import plan, why_never


def cpus(*amounts: float) -> list[Resources]:
    return [Resources({"CPU": amount}) for amount in amounts]


def nodes(*amounts: float) -> dict[str, Resources]:
    return {f"n{i}": Resources({"CPU": amount}) for i, amount in enumerate(amounts)}


@pytest.mark.parametrize(
    ("strategy", "bundles", "free", "expected"),
    [
        ("PACK", (1, 1), (2, 4), "n0 n0"),
        ("PACK", (2, 2, 1), (3, 2, 4), "n2 n2 n0"),
        ("PACK", (3, 2, 2), (4, 3), "n1 n0 n0"),  # filling up the emptiest node would fail
        ("PACK", (5,), (4, 4), None),
        ("SPREAD", (1, 1), (2, 4), "n1 n0"),
        ("SPREAD", (1, 1, 1), (2, 4), "n1 n0 n1"),
        ("SPREAD", (1, 3), (1, 3), "n0 n1"),
        ("SPREAD", (3, 2, 2), (4, 3), "n1 n0 n0"),
        ("STRICT_PACK", (1, 1), (1, 4, 2), "n2 n2"),
        ("STRICT_PACK", (1, 1), (1, 1), None),
        ("STRICT_SPREAD", (1, 1), (9, 1), "n0 n1"),
        ("STRICT_SPREAD", (1, 1), (9,), None),
        ("STRICT_SPREAD", (2, 1), (1, 2, 0), "n1 n0"),
        ("STRICT_SPREAD", (2, 2), (3, 1, 1), None),
    ],
)
def test_strategies(
    strategy: str, bundles: Sequence[float], free: Sequence[float], expected: str | None
) -> None:
    found = plan(cpus(*bundles), strategy, nodes(*free))
    assert found == (expected.split() if expected is not None else None)


def test_strict_spread_moves_bundles_to_make_room() -> None:
    either, first = Resources({"CPU": 2}), Resources({"CPU": 1, "GPU": 1})
    free = {"a": Resources({"CPU": 4, "GPU": 1}), "b": Resources({"CPU": 2})}
    assert plan([either, first], "STRICT_SPREAD", free) == ["b", "a"]


def test_no_nodes() -> None:
    for strategy in PLACEMENT_STRATEGIES:
        assert plan(cpus(1), strategy, {}) is None
    assert why_never(cpus(1), "PACK", {}) == (
        "no nodes could ever hold the bundles {'CPU': 1} with strategy PACK:"
        " there are no nodes. No node has any 'CPU'."
    )


def test_the_message_names_bundles_and_supplies() -> None:
    bundles = [*cpus(8, 8), Resources({"GPUS": 1})]
    assert why_never(bundles, "STRICT_SPREAD", {"a": Resources({"CPU": 4, "GPU": 1})}) == (
        "no nodes could ever hold the bundles 2 x {'CPU': 8}, {'GPUS': 1} with strategy"
        " STRICT_SPREAD: 'a' has {'CPU': 4, 'GPU': 1}."
        " No node has any 'GPUS'. Did you mean 'GPU'?"
    )
    message = why_never(cpus(8), "PACK", nodes(*[4] * 20))
    assert message is not None
    assert message.endswith("; 'n7' has {'CPU': 4}; 12 more nodes.")
    assert why_never(cpus(4), "PACK", nodes(4)) is None


AMOUNTS = st.fixed_dictionaries({}, optional={"CPU": st.integers(1, 4), "GPU": st.integers(1, 2)})
BUNDLES = st.lists(AMOUNTS.filter(bool).map(Resources), min_size=1, max_size=4)
NODES = st.lists(AMOUNTS.map(Resources), max_size=4).map(
    lambda many: {f"n{i}": free for i, free in enumerate(many)}
)


def holds(bundles: list[Resources], strategy: str, free: dict[str, Resources], on: object) -> bool:
    """Whether an assignment respects the strategy and what is free."""
    chosen = list(on)  # type: ignore[call-overload]
    left = dict(free)
    for bundle, node_id in zip(bundles, chosen, strict=True):
        left[node_id] -= bundle
    different = len(set(chosen))
    return (
        not any(resources.is_negative() for resources in left.values())
        and (strategy != "STRICT_PACK" or different == 1)
        and (strategy != "STRICT_SPREAD" or different == len(bundles))
    )


@settings(max_examples=300, deadline=None, derandomize=True)
@given(BUNDLES, st.sampled_from(PLACEMENT_STRATEGIES), NODES)
def test_a_plan_is_found_exactly_if_there_is_one(
    bundles: list[Resources], strategy: str, free: dict[str, Resources]
) -> None:
    found = plan(bundles, strategy, free)
    assert found == plan(bundles, strategy, free)
    possible = [
        on
        for on in itertools.product(free, repeat=len(bundles))
        if holds(bundles, strategy, free, on)
    ]
    if found is None:
        assert not possible
    else:
        assert tuple(found) in possible
        if strategy == "SPREAD":
            most = max(len(set(on)) for on in possible)
            assert most < len(bundles) or len(set(found)) == most
        if strategy == "PACK" and any(len(set(on)) == 1 for on in possible):
            assert len(set(found)) == 1


@pytest.mark.parametrize("strategy", PLACEMENT_STRATEGIES)
def test_ten_thousand_nodes(strategy: str) -> None:
    many = nodes(*(1 + i % 8 for i in range(10_000)))
    wanted = cpus(*(1 + i % 3 for i in range(3 if strategy == "STRICT_PACK" else 300)))
    found = plan(wanted, strategy, many)
    assert found is not None
    assert holds(wanted, strategy, many, found)
    assert plan(cpus(*[9] * 10), strategy, many) is None
