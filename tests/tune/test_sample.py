"""Search domains: what they accept, and what is drawn from them."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from air import tune
from air.tune.search.sample import Domain

SEEDS = st.integers(0, 2**32)
DOMAINS: list[tuple[Domain, float, float]] = [
    (tune.uniform(-1, 2), -1, 2),
    (tune.quniform(0, 1, 0.1), 0, 1),
    (tune.loguniform(1e-4, 1e-1), 1e-4, 1e-1),
    (tune.loguniform(1, 1000, base=2), 1, 1000),
    (tune.qloguniform(0.5, 100, 0.5), 0.5, 100),
    (tune.randint(-3, 4), -3, 3),
    (tune.qrandint(0, 100, 25), 0, 100),
    (tune.qrandint(-21, 13, 5), -20, 10),
    (tune.lograndint(1, 100), 1, 99),
    (tune.qlograndint(1, 11, 2), 2, 10),
    (tune.qlograndint(10, 1000, 10), 10, 1000),
    (tune.randn(), -math.inf, math.inf),
    (tune.qrandn(0, 10, 0.5), -math.inf, math.inf),
]


@pytest.mark.parametrize(("domain", "lowest", "highest"), DOMAINS, ids=repr)
@settings(deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_a_draw_is_valid_and_within_bounds(
    domain: Domain, lowest: float, highest: float, seed: int
) -> None:
    value = domain.sample(seed)
    assert lowest <= value <= highest
    assert domain.is_valid(value)
    assert type(value) in (int, float)


@pytest.mark.parametrize("domain", [domain for domain, _, _ in DOMAINS], ids=repr)
def test_the_same_seed_gives_the_same_values(domain: Domain) -> None:
    assert domain.sample(7, size=20) == domain.sample(7, size=20)
    assert domain.sample(7, size=20) != domain.sample(8, size=20)


def test_random_state_takes_generators_of_numpy() -> None:
    domain = tune.uniform(0, 1)
    assert domain.sample(np.random.default_rng(3)) == domain.sample(np.random.default_rng(3))
    assert domain.sample(np.random.RandomState(3)) == domain.sample(np.random.RandomState(3))
    rng = np.random.default_rng(3)
    assert domain.sample(rng) != domain.sample(rng)


def test_without_a_random_state_numpys_global_seed_governs() -> None:
    before = np.random.get_state()
    try:
        np.random.seed(0)
        once = tune.uniform(0, 1).sample(size=3)
        other = tune.uniform(0, 1).sample(size=3)
        np.random.seed(0)
        assert tune.uniform(0, 1).sample(size=3) == once != other
    finally:
        np.random.set_state(before)


@pytest.mark.parametrize("bad", ["7", 1.5, True])
def test_random_state_refuses_anything_else(bad: object) -> None:
    with pytest.raises(TypeError, match=re.escape(repr(bad))):
        tune.uniform(0, 1).sample(bad)  # type: ignore[arg-type]


def test_randint_leaves_its_upper_bound_out_and_qrandint_does_not() -> None:
    assert set(tune.randint(0, 3).sample(0, size=200)) == {0, 1, 2}
    assert set(tune.qrandint(0, 3).sample(0, size=200)) == {0, 1, 2, 3}


def test_every_multiple_of_q_is_as_likely_at_the_ends_as_in_the_middle() -> None:
    counts = Counter(tune.quniform(0, 1, 0.25).sample(0, size=5000))
    assert set(counts) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert all(900 < count < 1100 for count in counts.values())


def test_multiples_come_without_noise_of_binary_fractions() -> None:
    assert set(tune.quniform(0, 0.5, 0.1).sample(0, size=200)) == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}


def test_loguniform_gives_every_order_of_magnitude_the_same_share() -> None:
    draws = tune.loguniform(1e-3, 1).sample(0, size=3000)
    counts = Counter(math.floor(math.log10(value)) for value in draws)
    assert all(900 < counts[power] < 1100 for power in (-3, -2, -1))


def test_choice_keeps_values_as_they_are() -> None:
    categories = [(1, 2), "text", None, print]
    assert {tune.choice(categories).sample(seed) for seed in range(100)} == set(categories)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tune.uniform(1, 1), "uniform: lower must be below upper, got lower=1, upper=1"),
        (lambda: tune.uniform(2, 1), "lower must be below upper"),
        (lambda: tune.loguniform(0, 1), "loguniform: a logarithmic scale needs lower > 0, got 0"),
        (lambda: tune.loguniform(1, 2, base=1), "base must be > 1"),
        (lambda: tune.quniform(0, 1, 0.3), "quniform: upper must be a multiple of q=0.3, got 1"),
        (lambda: tune.quniform(0, 1, 0), "q must be > 0"),
        (lambda: tune.qrandint(1, 10, 0), "qrandint: q must be > 0, got 0"),
        (lambda: tune.qrandint(1, 4, 5), "qrandint: there is no multiple of q=5 from 1 to 4"),
        (lambda: tune.lograndint(-1, 10), "needs lower > 0"),
        (lambda: tune.randn(0, 0), "sd must be > 0"),
        (lambda: tune.choice([]), "choice: there is nothing to choose from"),
        (lambda: tune.grid_search([]), "grid_search: there is nothing to choose from"),
    ],
)
def test_impossible_bounds_are_refused_when_the_domain_is_made(make, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tune.uniform("0", 1), "uniform: lower must be a finite number, got '0'"),
        (lambda: tune.uniform(0, math.inf), "upper must be a finite number, got inf"),
        (lambda: tune.uniform(math.nan, 1), "lower must be a finite number, got nan"),
        (lambda: tune.randint(0, 2.5), "randint: upper must be a whole number, got 2.5"),
        (lambda: tune.quniform(0, 1, None), "q must be a number > 0, got None"),
        (lambda: tune.choice("abc"), "choice: takes a list of values, got 'abc'"),
        (lambda: tune.choice({"a", "b"}), "a fixed order"),
        (lambda: tune.grid_search(3), "grid_search: takes a list of values, got 3"),
        (lambda: tune.sample_from(3), "sample_from: takes a function"),
    ],
)
def test_values_of_the_wrong_kind_are_refused_when_the_domain_is_made(make, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        make()


def test_a_domain_reads_as_it_was_written() -> None:
    written = [
        "uniform(0, 1)",
        "qloguniform(1, 10, 0.5)",
        "qrandint(0, 10, 5)",
        "qrandn(0, 1, 0.5)",
        "choice(['a', 'b'])",
        "grid_search([1, 2])",
    ]
    for text in written:
        assert repr(eval(f"tune.{text}")) == text
