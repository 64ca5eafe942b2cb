"""Quantities of resources."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from air.errors import InvalidOption
from air.executor.resources import (
    Resources,
    check_bundle,
    check_custom,
    describe,
    make_request,
    missing_hint,
)

amounts = st.dictionaries(
    st.sampled_from(["CPU", "GPU", "memory", "widget"]),
    st.integers(0, 10**9).map(lambda units: units / 10_000),
)


def test_is_a_mapping():
    resources = Resources({"GPU": 0.5, "CPU": 2, "widget": 0})
    assert dict(resources) == {"CPU": 2, "GPU": 0.5}
    assert list(resources) == ["CPU", "GPU"]
    assert len(resources) == 2
    assert resources == Resources({"CPU": 2.0, "GPU": 0.5})
    assert hash(resources) == hash(Resources({"GPU": 0.5, "CPU": 2}))
    assert resources.to_dict() == {"CPU": 2, "GPU": 0.5}
    assert resources.get("widget", 0) == 0
    assert not Resources({"CPU": 0})


def test_sums_are_exact():
    total = sum([Resources({"CPU": 0.1})] * 1000, Resources())
    assert total == Resources({"CPU": 100})
    for _ in range(1000):
        total = total - Resources({"CPU": 0.1})
    assert total == Resources()


@given(amounts, amounts)
def test_subtraction_undoes_addition(left, right):
    left, right = Resources(left), Resources(right)
    assert left + right - right == left
    assert left.fits_in(left + right)
    assert not (left - left).is_negative()


def test_fits_in():
    supply = Resources({"CPU": 2, "widget": 1})
    assert Resources({"CPU": 2}).fits_in(supply)
    assert not Resources({"CPU": 2.0001}).fits_in(supply)
    assert not Resources({"GPU": 0.1}).fits_in(supply)
    assert Resources().fits_in(Resources())


def test_below_zero():
    assert (Resources() - Resources({"CPU": 1})).is_negative()


def test_without():
    assert Resources({"CPU": 1, "GPU": 1}).without("GPU", "other") == Resources({"CPU": 1})


def test_pickles():
    resources = Resources({"CPU": 0.3})
    assert pickle.loads(pickle.dumps(resources)) == resources


def test_describe():
    assert describe(Resources({"GPU": 0.5, "CPU": 2})) == "{'CPU': 2, 'GPU': 0.5}"
    assert repr(Resources()) == "Resources({})"


def test_make_request():
    assert make_request(
        num_cpus=None, num_gpus=0.5, memory=1e9, resources={"widget": 1}, default_cpus=1
    ) == Resources({"CPU": 1, "GPU": 0.5, "memory": 1e9, "widget": 1})
    empty = make_request(num_cpus=0, num_gpus=0, memory=0, resources=None, default_cpus=1)
    assert empty == Resources()


@pytest.mark.parametrize(
    ("request_", "hint"),
    [
        ({"CPU": 9, "widget": 9}, ""),
        ({"CPU": 1, "wigdet": 1}, " No node has any 'wigdet'. Did you mean 'widget'?"),
        ({"licence": 1}, " No node has any 'licence'."),
        ({"GPU": 1}, " No node has any 'GPU'."),  # not CPU, which nobody means by num_gpus
        ({"memory": 1}, " No node has any 'memory'."),
    ],
)
def test_hints_for_resources_that_nobody_has(request_, hint):
    assert missing_hint(request_, {"CPU": 2, "widget": 1, "memo": 1}) == hint
    assert missing_hint(request_, {"CPU", "widget", "memo"}, "box") == hint.replace("node", "box")


def test_check_custom_names_what_it_checks():
    with pytest.raises(InvalidOption, match=r"gear\['widget'\] must be a number >= 0, got 'two'"):
        check_custom({"widget": "two"}, what="gear")


@pytest.mark.parametrize(
    ("bundle", "message"),
    [
        ({}, "bundle 3 must be a non-empty mapping"),
        ([1], "bundle 3 must be a non-empty mapping"),
        ({1: 1}, "a key of bundle 3 must be non-empty text"),
        ({"num_cpus": 1}, "Did you mean 'CPU'"),
        ({"gpu": 1}, "Did you mean 'GPU'"),
        ({"CPU": -1}, "bundle 3, resource 'CPU' must be a number >= 0"),
        ({"CPU": 0}, "asks for nothing"),
    ],
)
def test_bundles_are_checked(bundle, message):
    with pytest.raises(InvalidOption) as caught:
        check_bundle(bundle, 3)
    assert message in str(caught.value)


def test_bundle():
    assert check_bundle({"CPU": 1, "widget": 0.5}, 0) == Resources({"CPU": 1, "widget": 0.5})
