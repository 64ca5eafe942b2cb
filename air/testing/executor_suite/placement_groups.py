"""Placement groups: reserved together, used, given back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import air
from air.errors import ActorDied, ActorPlacementError, InvalidOption, Unschedulable
from air.executor.capabilities import Capability
from air.testing.executor_suite.harness import TIMEOUT, eventually, guarded_by, value
from air.testing.executor_suite.tools import Counter, Gate, identity
from air.util import (
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from air.util.scheduling_strategies import PlacementGroupSchedulingStrategy


@contextmanager
def reserved(*bundles: dict[str, float], **options: Any) -> Iterator[Any]:
    group = placement_group(list(bundles), **options)
    try:
        assert group.wait(TIMEOUT)
        yield group
    finally:
        remove_placement_group(group)


def inside(group: Any, index: int = -1, capture: bool | None = None) -> dict[str, Any]:
    return {"scheduling_strategy": PlacementGroupSchedulingStrategy(group, index, capture)}


@air.remote
def where() -> str | None:
    group = get_current_placement_group()
    return None if group is None else group.id


@air.remote
def remove(group: Any) -> None:
    remove_placement_group(group)


@air.remote
def where_children() -> tuple[str | None, Any]:
    return air.get(where.remote()), air.get_runtime_context().get_placement_group_id()


@pytest.mark.usefixtures("session")
class TestPlacementGroups:
    @pytest.mark.parametrize("strategy", ["PACK", "SPREAD", "STRICT_PACK"])
    def test_life(self, strategy: str) -> None:
        group = placement_group([{"CPU": 1}, {"CPU": 1, "widget": 1}], strategy=strategy)
        assert value(group.ready()) is True
        assert group.wait(TIMEOUT)
        assert group.bundle_specs == [{"CPU": 1}, {"CPU": 1, "widget": 1}]
        assert group.bundle_count == 2
        table = placement_group_table(group)
        assert table["state"] == "CREATED"
        assert table["strategy"] == strategy
        remove_placement_group(group)
        assert placement_group_table(group).get("state", "REMOVED") == "REMOVED"
        remove_placement_group(group)  # the second time does nothing

    def test_holds_its_resources(self) -> None:
        with reserved({"CPU": 1}, {"widget": 2}):
            assert eventually(lambda: air.available_resources().get("CPU") == 1)
            assert eventually(lambda: air.available_resources().get("widget", 0) == 0)
        assert eventually(lambda: air.available_resources().get("CPU") == 2)
        assert eventually(lambda: air.available_resources().get("widget") == 2)

    def test_tasks_and_actors_inside(self) -> None:
        with reserved({"CPU": 1}, {"CPU": 1, "widget": 1}) as group:
            assert value(where.options(**inside(group)).remote()) == group.id
            assert value(where.options(**inside(group, 1)).remote()) == group.id
            widget = Counter.options(resources={"widget": 1}, **inside(group)).remote()
            assert value(widget.add.remote()) == 1
            assert value(where.options(num_cpus=0).remote()) is None

    def test_actors_inside_know_it(self) -> None:
        @air.remote
        class Where:
            def where(self) -> str | None:
                group = get_current_placement_group()
                return None if group is None else group.id

        with reserved({"CPU": 1}) as group:
            actor = Where.options(num_cpus=1, **inside(group)).remote()
            assert value(actor.where.remote()) == group.id

    def test_children_stay_outside_unless_captured(self) -> None:
        with reserved({"CPU": 1}) as group:
            parent = where_children.options(num_cpus=0, **inside(group))
            assert value(parent.remote()) == (None, group.id)
            parent = where_children.options(num_cpus=0, **inside(group, -1, True))
            assert value(parent.remote()) == (group.id, group.id)

    def test_not_inside_a_group(self) -> None:
        assert get_current_placement_group() is None
        assert value(where.remote()) is None

    def test_names(self) -> None:
        with reserved({"CPU": 1}, name="mine") as group:
            assert get_placement_group("mine") == group
            with pytest.raises(ValueError, match="Did you mean 'mine'"):
                get_placement_group("mien")
        with pytest.raises(ValueError, match="'mine'"):
            get_placement_group("mine")

    def test_names_are_unique(self) -> None:
        with (
            reserved({"CPU": 1}, name="only one"),
            pytest.raises(InvalidOption, match="'only one' is taken"),
        ):
            placement_group([{"CPU": 1}], name="only one")
        with reserved({"CPU": 1}, name="only one"):
            pass

    def test_ready_of_a_removed_group(self) -> None:
        with reserved({"CPU": 2}) as first:
            second = placement_group([{"CPU": 2}])
            pending = second.ready()
            remove_placement_group(second)
        for ref in (pending, second.ready(), first.ready()):
            with pytest.raises(ActorPlacementError, match="removed"):
                value(ref)

    def test_ready_of_a_group_that_a_task_has_removed(self) -> None:
        group = placement_group([{"CPU": 1}])
        value(remove.remote(group))
        with pytest.raises(ActorPlacementError, match="removed"):
            value(group.ready())

    def test_ready_at_once_and_again(self) -> None:
        for _ in range(3):
            with reserved({"CPU": 1}) as group:
                assert value([group.ready(), group.ready()]) == [True, True]

    def test_impossible_groups(self) -> None:
        for bundles, strategy in (
            ([{"CPU": 3}], "PACK"),
            ([{"CPU": 1}] * 3, "PACK"),
            ([{"gadget": 1}], "SPREAD"),
            ([{"CPU": 1}] * 3, "STRICT_PACK"),
        ):
            with pytest.raises(Unschedulable, match="'CPU': 2") as caught:
                value(placement_group(bundles, strategy=strategy).ready())
            assert next(iter(bundles[0])) in str(caught.value)

    def test_strict_spread_needs_nodes(self) -> None:
        alive = sum(node["Alive"] for node in air.nodes())
        with pytest.raises(Unschedulable, match="STRICT_SPREAD"):
            value(placement_group([{"widget": 0.1}] * (alive + 1), "STRICT_SPREAD").ready())

    def test_waits_for_another_group(self) -> None:
        with reserved({"CPU": 2}) as first:
            second = placement_group([{"CPU": 1}])
            try:
                assert not second.wait(0.05)
                assert placement_group_table(second)["state"] == "PENDING"
                later = where.options(**inside(second)).remote()
                assert air.wait([later], timeout=0.05) == ([], [later])
                remove_placement_group(first)
                assert value(later) == second.id
                assert second.wait(TIMEOUT)
            finally:
                remove_placement_group(second)

    def test_removal_ends_what_is_inside(self) -> None:
        with reserved({"CPU": 1}) as group:
            gate = Gate.options(num_cpus=1, **inside(group)).remote()
            pending = gate.wait.remote()
            value(gate.arrived.remote(1))
        with pytest.raises(ActorDied, match="placement group"):
            value(pending)
        with pytest.raises(ActorDied, match="placement group"):
            value(gate.open.remote())

    def test_nothing_starts_in_a_removed_group(self) -> None:
        with reserved({"CPU": 1}) as group:
            pass
        with pytest.raises(ActorPlacementError, match=group.id):
            value(identity.options(**inside(group)).remote(1))

    def test_requests_that_no_bundle_can_meet(self) -> None:
        with reserved({"CPU": 1}, {"widget": 1}) as group:
            with pytest.raises(Unschedulable, match="'CPU': 2"):
                value(identity.options(num_cpus=2, **inside(group)).remote(1))
            with pytest.raises(Unschedulable, match="'CPU': 1"):
                value(identity.options(num_cpus=1, **inside(group, 1)).remote(1))

    def test_made_by_a_task(self) -> None:
        @air.remote
        def make() -> Any:
            return placement_group([{"CPU": 1}], name="of a task")

        group = value(make.remote())
        assert group.wait(TIMEOUT)
        assert value(where.options(**inside(group)).remote()) == group.id
        assert get_placement_group("of a task") == group
        remove_placement_group(group)

    def test_made_by_an_actor(self) -> None:
        @air.remote
        class Maker:
            def make(self) -> Any:
                return placement_group([{"CPU": 1}])

        maker = Maker.remote()
        group = value(maker.make.remote())
        assert group.wait(TIMEOUT)
        assert value(where.options(**inside(group)).remote()) == group.id
        air.kill(maker)
        assert eventually(lambda: placement_group_table(group)["state"] == "REMOVED")

    def test_bad_input(self) -> None:
        wrong: list[Any] = [[], [{}], [{"CPU": -1}], [{"CPU": 0}], [{"num_cpus": 1}], {"CPU": 1}]
        for bundles in wrong:
            with pytest.raises(InvalidOption):
                placement_group(bundles)
        with pytest.raises(InvalidOption, match="Did you mean 'SPREAD'"):
            placement_group([{"CPU": 1}], strategy="SPRAED")
        with reserved({"CPU": 1}) as group, pytest.raises(InvalidOption, match="bundle_index"):
            PlacementGroupSchedulingStrategy(group, 1)

    def test_detached(self) -> None:
        with guarded_by(Capability.DETACHED_ACTORS):
            remove_placement_group(placement_group([{"CPU": 1}], lifetime="detached"))
