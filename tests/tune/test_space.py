"""Search spaces: nesting, grids, functions of other parameters, bad spaces."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import tune
from air.tune.search.space import Space


def resolve(space: dict[str, Any], seed: int = 0, variant: int = 0) -> dict[str, Any]:
    return Space(space).resolve(np.random.default_rng(seed), variant)


leaves = st.one_of(
    st.integers(),
    st.text(max_size=3),
    st.just(tune.uniform(0, 1)),
    st.just(tune.choice(["a", {"b": tune.randint(0, 5)}])),
    st.just(tune.grid_search([1, 2, 3])),
    st.just(tune.sample_from(lambda spec: len(spec.config))),
)
names = st.text("abcdef", min_size=1, max_size=3)
spaces = st.dictionaries(
    names,
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=8,
    ),
    min_size=1,
    max_size=4,
)


def domains_in(value: Any) -> bool:
    if isinstance(value, dict):
        return any(domains_in(item) for item in value.values())
    if isinstance(value, list):
        return any(domains_in(item) for item in value)
    return type(value).__module__.startswith("air.")


@settings(deadline=None, derandomize=True)
@given(space=spaces, seed=st.integers(0, 1000))
def test_any_space_resolves_to_a_plain_config_that_the_seed_determines(
    space: dict[str, Any], seed: int
) -> None:
    made = Space(space)
    for variant in range(min(made.variants, 5)):
        config = made.resolve(np.random.default_rng(seed), variant)
        assert not domains_in(config)
        assert config.keys() == space.keys()
        assert config == made.resolve(np.random.default_rng(seed), variant)


def test_grids_multiply_and_the_last_one_turns_fastest() -> None:
    space = Space({"a": tune.grid_search([1, 2]), "b": {"c": [tune.grid_search("xyz".split("y"))]}})
    assert space.variants == 4
    rng = np.random.default_rng(0)
    found = [space.resolve(rng, variant) for variant in range(4)]
    assert [(each["a"], each["b"]["c"][0]) for each in found] == [
        (1, "x"),
        (1, "z"),
        (2, "x"),
        (2, "z"),
    ]


def test_a_grid_may_be_written_as_a_dict() -> None:
    assert Space({"a": {"grid_search": [1, 2, 3]}}).variants == 3


def test_values_of_a_grid_may_hold_domains() -> None:
    space = {"net": tune.grid_search([{"width": tune.randint(1, 9)}, {"depth": 3}])}
    assert 1 <= resolve(space, variant=0)["net"]["width"] < 9
    assert resolve(space, variant=1) == {"net": {"depth": 3}}


def test_a_category_may_hold_domains_which_are_drawn_only_if_it_is_chosen() -> None:
    space = {
        "opt": tune.choice([{"kind": "sgd", "momentum": tune.uniform(0.5, 0.9)}, {"kind": "adam"}])
    }
    found = [resolve(space, seed)["opt"] for seed in range(30)]
    assert {each["kind"] for each in found} == {"sgd", "adam"}
    for each in found:
        assert ("momentum" in each) == (each["kind"] == "sgd")


def test_functions_see_the_other_parameters_in_both_ways_of_writing() -> None:
    space = {
        "double": tune.sample_from(lambda spec: spec.config.net.width * 2),
        "net": {"width": tune.randint(1, 10), "deep": tune.sample_from(lambda s: s["lr"] > 0)},
        "lr": tune.uniform(1, 2),
    }
    config = resolve(space)
    assert config["double"] == config["net"]["width"] * 2
    assert config["net"]["deep"] is True


def test_functions_wait_for_one_another() -> None:
    space = {
        "a": tune.sample_from(lambda spec: spec.config.b + 1),
        "b": tune.sample_from(lambda spec: spec.config.c + 1),
        "c": 1,
    }
    assert resolve(space) == {"a": 3, "b": 2, "c": 1}


def test_functions_that_wait_in_a_circle_are_refused() -> None:
    space = {
        "a": tune.sample_from(lambda spec: spec.config.b),
        "b": tune.sample_from(lambda spec: spec.config.a),
    }
    with pytest.raises(ValueError, match="in a circle"):
        resolve(space)


def test_what_a_function_returns_may_hold_domains_drawn_with_the_same_seed() -> None:
    space = {
        "top": tune.randint(5, 9),
        "x": tune.sample_from(lambda spec: tune.uniform(0, spec.config.top)),
    }
    assert 0 <= resolve(space, seed=1)["x"] <= 9
    assert resolve(space, seed=1) == resolve(space, seed=1)


def test_a_function_that_returns_a_part_of_the_space_gives_a_copy_of_it() -> None:
    config = resolve({"a": {"b": [1, 2]}, "c": tune.sample_from(lambda spec: spec.config.a)})
    assert config == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}
    assert type(config["c"]) is dict


def test_an_error_in_a_function_says_which_parameter_it_was_for() -> None:
    space = {"net": {"x": tune.sample_from(lambda spec: spec.config.widht), "width": 1}}
    with pytest.raises(AttributeError, match="no parameter 'widht'") as caught:
        resolve(space)
    assert "'net/x'" in str(caught.value.__notes__)


def test_resolving_leaves_the_space_as_it_was() -> None:
    given = {"layers": [1, 2], "x": tune.uniform(0, 1)}
    space = Space(given)
    space.resolve(np.random.default_rng(0))["layers"].append(3)
    assert space.resolve(np.random.default_rng(0))["layers"] == [1, 2]
    assert given["layers"] == [1, 2]


@pytest.mark.parametrize(
    ("space", "error", "message"),
    [
        ({}, ValueError, "param_space is empty"),
        ([tune.uniform(0, 1)], TypeError, "param_space is a dict of parameters"),
        (tune.uniform(0, 1), TypeError, "param_space is a dict of parameters"),
        ({"a": {1: 2}}, TypeError, "param_space['a'] has the key 1"),
        ({"lr": tune.uniform}, TypeError, "the function tune.uniform itself. Call it"),
        ({"a": [tune.choice]}, TypeError, "param_space['a/0'] is the function tune.choice"),
        ({"a": (tune.uniform(0, 1),)}, TypeError, "inside a tuple would never be drawn"),
        ({"a": {tune.uniform(0, 1)}}, TypeError, "inside a set would never be drawn"),
        (
            {"a": tune.choice([1, tune.grid_search([1, 2])])},
            ValueError,
            "a grid_search cannot stand inside",
        ),
    ],
)
def test_bad_spaces_are_refused_with_the_place(space: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Space(space)
