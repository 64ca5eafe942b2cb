"""Why something is not done yet, in words."""

from __future__ import annotations

import pytest

from air_cluster.core.explanations import (
    GroupView,
    Holder,
    NodeSupply,
    in_group,
    lasting,
    who_holds,
    who_holds_for_bundles,
)


def node(name, total, free, *holders):
    held = [Holder(what, resources) for what, resources in holders]
    return NodeSupply(name, total, free, held)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (3.21, "3.2 s"), (75, "1 min 15 s"), (3600 * 5 + 61, "5 h 1 min")],
)
def test_durations(seconds, said):
    assert lasting(seconds) == said


def test_actors_that_hold_everything_are_named():
    nodes = [
        node(
            "a",
            {"CPU": 4},
            {"CPU": 0},
            ("actor Big", {"CPU": 2}),
            ("actor Small", {"CPU": 1}),
            ("actor Small", {"CPU": 1}),
            ("actor Other", {"GPU": 1}),
        )
    ]
    said = who_holds({"CPU": 1}, nodes)
    assert said.startswith("node a has 0 of 4 CPU free, held by ")
    assert "actor Big ({'CPU': 2})" in said
    assert "2 x actor Small ({'CPU': 2})" in said
    assert "Other" not in said
    assert "tasks" not in said


def test_what_nobody_else_holds_tasks_do():
    nodes = [node("a", {"CPU": 4}, {"CPU": 1}, ("actor A", {"CPU": 1}))]
    assert who_holds({"CPU": 2}, nodes) == (
        "node a has 1 of 4 CPU free, held by tasks that run ({'CPU': 2}), actor A ({'CPU': 1})"
    )


def test_nodes_that_could_never_do_are_left_out():
    nodes = [node("small", {"CPU": 1}, {"CPU": 1}), node("large", {"CPU": 8}, {"CPU": 3})]
    assert who_holds({"CPU": 4}, nodes).startswith("node large has 3 of 8 CPU free")
    assert who_holds({"CPU": 9}, nodes) == "no node has that much"


def test_one_node_alone_may_run_it():
    nodes = [node("a", {"CPU": 2}, {"CPU": 2}), node("b", {"CPU": 2}, {"CPU": 0})]
    said = who_holds({"CPU": 1}, nodes, "b")
    assert said.startswith("no other node than b may run it: node b has 0 of 2 CPU free")
    assert "node a" not in said
    assert who_holds({"CPU": 1}, nodes, "c") == "no other node than c may run it: that is gone"


def test_room_that_is_there_is_told_as_well():
    assert who_holds({"CPU": 1}, [node("a", {"CPU": 2}, {"CPU": 2})]) == (
        "node a has 2 of 2 CPU free"
    )
    assert who_holds({}, [node("a", {"CPU": 2}, {"CPU": 2})]) == "node a has room"


def test_no_more_than_a_few_are_named():
    nodes = [node(str(i), {"CPU": 1}, {"CPU": 0}) for i in range(10)]
    assert who_holds({"CPU": 1}, nodes).endswith("; 7 more nodes")
    holders = [(f"actor {i}", {"CPU": 1}) for i in range(10)]
    assert who_holds({"CPU": 1}, [node("a", {"CPU": 10}, {"CPU": 0}, *holders)]).endswith("6 more")


def test_the_bundle_that_fits_nowhere_is_the_one_to_talk_of():
    nodes = [node("a", {"CPU": 2, "GPU": 1}, {"CPU": 2, "GPU": 0}, ("actor A", {"GPU": 1}))]
    said = who_holds_for_bundles([{"CPU": 1}, {"GPU": 1}], nodes)
    assert said == "node a has 0 of 1 GPU free, held by actor A ({'GPU': 1})"


def test_bundles_that_fit_one_by_one_only():
    nodes = [node("a", {"CPU": 2}, {"CPU": 1}), node("b", {"CPU": 1}, {"CPU": 1})]
    assert "not all at a time" in who_holds_for_bundles([{"CPU": 1}] * 3, nodes)
    assert "node a has 1 of 2 CPU free" in who_holds_for_bundles([{"CPU": 1}] * 2, nodes)


def group(nodes, lost, name="train"):
    bundles = [{"CPU": 1}, {"widget": 1}]
    told = {"name": name, "group_id": b"\7", "bundles": bundles, "nodes": nodes, "lost": lost}
    return GroupView.of(told)


NODES = [node("a", {"CPU": 2}, {"CPU": 0})]
HELD = "held by tasks that run ({'CPU': 2})"


@pytest.mark.parametrize(
    ("nodes", "lost", "index", "said"),
    [
        (
            ["a", None],
            [None, "b"],
            1,
            (
                "in bundle 1 of placement group 'train', which was lost with node b and waits for"
                " {'widget': 1}: no node has that much"
            ),
        ),
        (
            ["a", None],
            [None, "b"],
            0,
            "in bundle 0 of placement group 'train', which has {'CPU': 1} on node a and is full",
        ),
        (
            ["a", None],
            [None, "b"],
            -1,
            (
                "in placement group 'train': 1 of its 2 bundles have no place: {'widget': 1} (lost:"
                " bundle 1 with node b); no node has that much"
            ),
        ),
        (
            [None, None],
            [None, None],
            0,
            (
                "in bundle 0 of placement group 'train': 2 of its 2 bundles have no place:"
                f" {{'CPU': 1}}, {{'widget': 1}}; node a has 0 of 2 CPU free, {HELD}"
            ),
        ),
        (["a", "c"], [None, None], -1, "in placement group 'train', which is full"),
    ],
)
def test_what_waits_in_a_placement_group(nodes, lost, index, said):
    assert in_group(group(nodes, lost), index, NODES) == said


def test_a_group_without_a_name():
    assert in_group(group(["a", "a"], [None] * 2, ""), -1, NODES).startswith(
        "in placement group 07,"
    )
