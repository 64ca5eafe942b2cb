"""Conditions on the labels of nodes: written in two ways, matched in one."""

from __future__ import annotations

import pytest

from air.errors import InvalidOption
from air.executor.labels import LabelRule, Operator, all_match, check_selector, describe_rules
from air.executor.options import actor_options, task_options
from air.executor.resources import Resources
from air.executor.scheduling import LabelPlacement, SpreadPlacement
from air.util.scheduling_strategies import (
    DoesNotExist,
    Exists,
    In,
    NodeAffinitySchedulingStrategy,
    NodeLabelSchedulingStrategy,
    NotIn,
)

ZONE_A = LabelRule("zone", Operator.IN, ("a",))


@pytest.mark.parametrize(
    ("condition", "matched"),
    [
        (In("a"), [True, False, False]),
        (In("a", "b"), [True, True, False]),
        ("a", [True, False, False]),
        (NotIn("a"), [False, True, True]),
        (NotIn("a", "b"), [False, False, True]),
        (Exists(), [True, True, False]),
        (DoesNotExist(), [False, False, True]),
    ],
    ids=str,
)
def test_operators(condition, matched):
    placement = NodeLabelSchedulingStrategy({"zone": condition}).to_placement()
    nodes = [{"zone": "a"}, {"zone": "b"}, {"disk": "ssd"}]
    assert [all_match(placement.hard, labels) for labels in nodes] == matched
    assert NodeLabelSchedulingStrategy({}, {"zone": condition}).to_placement() == LabelPlacement(
        soft=placement.hard
    )


@pytest.mark.parametrize(
    ("value", "operator", "values"),
    [
        ("a", Operator.IN, ("a",)),
        ("!a", Operator.NOT_IN, ("a",)),
        ("in(a, b)", Operator.IN, ("a", "b")),
        ("in(a)", Operator.IN, ("a",)),
        ("inner (a)", Operator.IN, ("inner (a)",)),
        ("!in(a,b , a)", Operator.NOT_IN, ("a", "b")),
        ("inner", Operator.IN, ("inner",)),
    ],
)
def test_selectors(value, operator, values):
    assert check_selector({"zone": value}) == (LabelRule("zone", operator, values),)


def test_they_read_well():
    rules = NodeLabelSchedulingStrategy(
        {"zone": In("a"), "disk": NotIn("hdd", "tape"), "gpu": Exists()}
    ).to_placement()
    assert describe_rules(rules.hard) == (
        "'disk' not in ('hdd', 'tape') and 'gpu' exists and 'zone' = 'a'"
    )


def test_a_selector_and_a_strategy_go_together():
    options = {"label_selector": {"zone": "a"}}
    assert task_options(options).placement == LabelPlacement((ZONE_A,))
    assert actor_options(options).placement == LabelPlacement((ZONE_A,))
    spread = task_options({**options, "scheduling_strategy": "SPREAD"})
    assert spread.placement == LabelPlacement((ZONE_A,), spread=True)
    strategy = NodeLabelSchedulingStrategy({"disk": Exists()}, {"rack": "7"})
    both = task_options({**options, "scheduling_strategy": strategy}).placement
    assert both == LabelPlacement(
        (LabelRule("disk", Operator.EXISTS), ZONE_A), (LabelRule("rack", Operator.IN, ("7",)),)
    )
    nothing = {"label_selector": {}, "scheduling_strategy": "SPREAD"}
    assert task_options(nothing).placement == SpreadPlacement()


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("zone=a", "label_selector must map labels .* got 'zone=a'"),
        ({3: "a"}, "a key of label_selector must be non-empty text, got 3"),
        ({"zone": 3}, r"label_selector\['zone'\] must be non-empty text, got 3"),
        ({"zone": ""}, r"label_selector\['zone'\] must be non-empty text, got ''"),
        ({"zone": "!"}, r"label_selector\['zone'\] must be 'a', .* got '!'"),
        ({"zone": "in()"}, r"got 'in\(\)'"),
        ({"zone": "in("}, r"got 'in\('"),
        ({"zone": "!in(a, b"}, r"got '!in\(a, b'"),
        ({"zone": " in (a)"}, r"got ' in \(a\)'"),
        ({"zone": "not in(a)"}, r"got 'not in\(a\)'"),
        ({"zone": "in(a) "}, r"got 'in\(a\) '"),
        ({"zone": "in(a(b))"}, r"got 'in\(a\(b\)\)'"),
        ({"zone": "!in(a,)"}, r"got '!in\(a,\)'"),
        ({"zone": "!!a"}, "got '!!a'"),
    ],
)
def test_selectors_are_checked(selector, message):
    for check in (task_options, actor_options):
        with pytest.raises(InvalidOption, match=message):
            check({"label_selector": selector})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: In(), r"In needs at least one value, such as In\('a'\)"),
        (lambda: NotIn(), "NotIn needs at least one"),
        (lambda: In(3), "a value of In must be text, got 3"),
        (lambda: NodeLabelSchedulingStrategy({}), "needs a condition"),
        (lambda: NodeLabelSchedulingStrategy("zone"), "hard must map labels .* got 'zone'"),
        (lambda: NodeLabelSchedulingStrategy({"zone": 3}), r"hard\['zone'\] must be .* got 3"),
        (lambda: NodeLabelSchedulingStrategy({3: "a"}), "a key of hard must be .* got 3"),
        (
            lambda: NodeLabelSchedulingStrategy({"zone": "a"}, soft={"rack": Exists}),
            r"soft\['rack'\] must be .* got <class",
        ),
    ],
)
def test_strategies_are_checked(make, message):
    with pytest.raises(InvalidOption, match=message):
        make()


def test_where_a_node_is_named_labels_say_nothing():
    there = NodeAffinitySchedulingStrategy("0123", soft=True)
    with pytest.raises(InvalidOption, match=r"label_selector=\{'zone': 'a'\} cannot be combined"):
        task_options({"label_selector": {"zone": "a"}, "scheduling_strategy": there})


def test_a_kind_of_accelerator_is_a_custom_resource():
    asked = task_options({"accelerator_type": "A100", "num_gpus": 1}).resources
    assert asked == Resources({"CPU": 1, "GPU": 1, "accelerator_type:A100": 0.001})
    assert actor_options({"accelerator_type": "T4"}).resources == Resources(
        {"accelerator_type:T4": 0.001}
    )
    with pytest.raises(InvalidOption, match="accelerator_type must be non-empty text, got 4"):
        task_options({"accelerator_type": 4})
