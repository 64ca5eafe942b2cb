"""Random and grid search."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from air import tune
from air.tune.search import BasicVariantGenerator


def configs(searcher: BasicVariantGenerator, space: dict[str, Any], num_samples: int = 1) -> list:
    searcher.set_search_properties(None, None, space, num_samples=num_samples)
    found = []
    while (config := searcher.suggest(str(len(found)))) != searcher.FINISHED:
        found.append(config)
        searcher.on_trial_complete(str(len(found) - 1))
    assert len(found) == searcher.total_trials(num_samples)
    return found


SPACE = {"g": tune.grid_search(["a", "b"]), "x": tune.uniform(0, 1)}


def test_grids_run_num_samples_times_and_the_rest_is_drawn_anew() -> None:
    found = configs(BasicVariantGenerator(random_state=0), SPACE, 3)
    assert [each["g"] for each in found] == ["a", "b"] * 3
    assert len({each["x"] for each in found}) == 6


def test_constant_grid_search_draws_once_for_each_sample() -> None:
    found = configs(BasicVariantGenerator(constant_grid_search=True, random_state=0), SPACE, 3)
    drawn = [each["x"] for each in found]
    assert drawn[0::2] == drawn[1::2]
    assert len(set(drawn)) == 3


def test_a_seed_gives_the_same_configs() -> None:
    once = configs(BasicVariantGenerator(random_state=5), SPACE, 4)
    assert once == configs(BasicVariantGenerator(random_state=5), SPACE, 4)
    assert once[:4] == configs(BasicVariantGenerator(random_state=5), SPACE, 2)
    assert once != configs(BasicVariantGenerator(random_state=6), SPACE, 4)
    assert once != configs(BasicVariantGenerator(), SPACE, 4)


def test_random_state_takes_a_generator() -> None:
    def rng() -> np.random.Generator:
        return np.random.default_rng(1)

    once = configs(BasicVariantGenerator(random_state=rng()), SPACE, 2)
    assert once == configs(BasicVariantGenerator(random_state=rng()), SPACE, 2)


def test_no_space_gives_the_empty_config() -> None:
    assert configs(BasicVariantGenerator(), {}, 3) == [{}, {}, {}]


def test_points_come_first_and_what_they_leave_out_is_filled_in() -> None:
    searcher = BasicVariantGenerator(
        points_to_evaluate=[{"x": 0.5}, {"g": "b"}, {"g": "a", "x": 0.25}], random_state=0
    )
    found = configs(searcher, SPACE, 4)
    assert found[:2] == [{"g": "a", "x": 0.5}, {"g": "b", "x": 0.5}]
    assert found[2]["g"] == "b"
    assert found[3] == {"g": "a", "x": 0.25}
    assert [each["g"] for each in found[4:]] == ["a", "b"]


def test_points_reach_into_nested_spaces_in_both_ways_of_writing() -> None:
    space = {"net": {"width": tune.randint(1, 9), "act": "relu"}, "lr": tune.uniform(0, 1)}
    searcher = BasicVariantGenerator([{"net": {"width": 3}, "lr": 0.5}, {"net/width": 4}])
    found = configs(searcher, space, 2)
    assert found[0] == {"net": {"width": 3, "act": "relu"}, "lr": 0.5}
    assert found[1]["net"] == {"width": 4, "act": "relu"}


def test_a_point_may_give_what_a_category_with_domains_can_become() -> None:
    space = {"opt": tune.choice([{"kind": "sgd", "lr": tune.uniform(0, 1)}, {"kind": "adam"}])}
    point = {"opt": {"kind": "sgd", "lr": 0.5}}
    assert configs(BasicVariantGenerator([point]), space) == [point]


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"y": 1}, "the parameter 'y', which is not in the param_space"),
        ({"x": 2}, "gives 'x' the value 2, outside uniform(0, 1)"),
        ({"g": "c"}, "gives 'g' the value 'c', outside grid_search(['a', 'b'])"),
    ],
)
def test_points_outside_of_the_space_are_refused(point: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        configs(BasicVariantGenerator([point]), SPACE)


def test_more_points_than_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="has 2 points, more than num_samples=1 can run"):
        configs(BasicVariantGenerator([{"x": 0.1}, {"x": 0.2}]), SPACE, 1)


@pytest.mark.parametrize("points", [{"x": 0.1}, 3, "x", [0.1]])
def test_points_are_dicts_in_a_list(points) -> None:
    with pytest.raises(TypeError, match="points_to_evaluate is a list of dicts, got"):
        BasicVariantGenerator(points)


def test_max_concurrent_holds_suggestions_back() -> None:
    searcher = BasicVariantGenerator(max_concurrent=1)
    searcher.set_search_properties(None, None, SPACE, num_samples=1)
    assert searcher.suggest("1") is not None
    assert searcher.suggest("2") is None
    searcher.on_trial_complete("1")
    assert searcher.suggest("2") is not None


def test_its_state_goes_on_in_another_one(tmp_path) -> None:
    whole = configs(BasicVariantGenerator(random_state=3), SPACE, 3)
    first = BasicVariantGenerator(random_state=3)
    first.set_search_properties(None, None, SPACE, num_samples=3)
    begun = [first.suggest("0"), first.suggest("1")]
    first.save(tmp_path / "state")
    second = BasicVariantGenerator()
    second.set_search_properties(None, None, SPACE, num_samples=3)
    second.restore(tmp_path / "state")
    assert [*begun, *(second.suggest(str(i)) for i in range(2, 6))] == whole
    assert second.suggest("6") == second.FINISHED
