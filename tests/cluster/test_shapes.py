"""Shapes of tasks: what a node could not tell apart is one, and unused ones are forgotten."""

from __future__ import annotations

from air.executor.resources import Resources
from air.executor.scheduling import GroupPlacement, LabelPlacement, NodePlacement, SpreadPlacement
from air_cluster.client.shapes import ShapeInfo, Shapes
from air_cluster.protocol.messages import Environment

ONE = Resources({"CPU": 1})


def shapes() -> tuple[Shapes, list[ShapeInfo]]:
    added: list[ShapeInfo] = []
    return Shapes(added=added.append, forget=lambda _info: True), added


def test_each_way_to_ask_is_a_shape() -> None:
    made, added = shapes()
    placements = [None, SpreadPlacement(), NodePlacement("n"), NodePlacement("n", soft=True)]
    placements += [GroupPlacement(b"g"), GroupPlacement(b"g", 0), LabelPlacement(spread=True)]
    infos = [made.use(ONE, placement, 1) for placement in placements]
    infos += [made.use(ONE, None, 2), made.use(ONE, None, 1, 7)]
    infos += [made.use(ONE, None, 1, environment=Environment(b"other"))]
    # Labels that ask for nothing are no condition: that is the same as SPREAD.
    assert infos[6] is infos[1]
    assert len({info.shape_id for info in infos}) == len(infos) - 1 == len(made) == len(added)
    assert [made.use(ONE, placement, 1) for placement in placements] == infos[:7]


def test_an_environment_that_is_inherited_and_the_same_one_by_name() -> None:
    made, added = shapes()
    made.inherited = Environment(b"ours")
    inherited = made.use(ONE, None, 1)
    assert made.use(ONE, None, 1, environment=Environment(b"ours")) is inherited
    assert inherited.users == 2
    assert len(added) == 1


def test_workers_do_for_others_in_the_same_environment() -> None:
    made, _ = shapes()
    plain, near = made.use(ONE, None, 1), made.use(ONE, None, 1, 7)
    elsewhere = made.use(ONE, None, 1, 7, Environment(b"other"))
    assert plain.alike == near.alike == made.use(ONE, SpreadPlacement(), 1).alike
    assert near.alike != elsewhere.alike
    assert near.alike != made.use(ONE, None, 2, 7).alike


def test_unused_ones_are_forgotten() -> None:
    made, added = shapes()
    kept = made.use(ONE, None, 1)
    for number in range(1000):
        asked = Resources({"CPU": 2 + number})
        for environment in (None, Environment()):  # the same, asked for in two ways
            made.release(made.use(asked, None, 1, environment=environment).shape_id)
    assert 1001 <= len(added) < 1020, "a few were forgotten in between"
    assert len(made) < 600
    assert made.use(ONE, None, 1) is kept
