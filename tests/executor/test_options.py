"""Options of tasks, actors and methods, as a person types them."""

from __future__ import annotations

import pytest

import air
from air.errors import InvalidOption
from air.executor.options import (
    ACTOR_KEYS,
    METHOD_KEYS,
    TASK_KEYS,
    ActorOptions,
    MethodOptions,
    TaskOptions,
    actor_options,
    method_options,
    task_options,
)
from air.executor.resources import Resources
from air.executor.scheduling import NodePlacement, SpreadPlacement


def test_defaults():
    assert task_options({}) == TaskOptions()
    assert TaskOptions().resources == Resources({"CPU": 1})
    assert actor_options({}) == ActorOptions()
    assert not ActorOptions().resources
    assert method_options({}, MethodOptions(num_returns=2)) == MethodOptions(num_returns=2)


def test_given_wins_over_base():
    options = task_options({"num_cpus": 2}, {"num_cpus": 4, "max_retries": 0})
    assert options.resources == Resources({"CPU": 2})
    assert options.max_retries == 0


def test_none_means_default():
    assert task_options(dict.fromkeys(TASK_KEYS)) == TaskOptions()
    assert actor_options(dict.fromkeys(ACTOR_KEYS)) == ActorOptions()


def test_numbers_beyond_all_use_are_cut():
    assert task_options({"max_retries": 10**30}).max_retries == 2**31 - 1
    options = actor_options(dict.fromkeys(("max_restarts", "max_concurrency"), 10**30))
    assert options.max_restarts == options.max_concurrency == 2**31 - 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_cpu": 1}, "Did you mean 'num_cpus'"),
        ({"max_restarts": 1}, "a task has no option 'max_restarts'"),
        ({"num_cpus": -1}, "num_cpus must be a number >= 0, got -1"),
        ({"num_cpus": True}, "num_cpus must be a number >= 0, got True"),
        ({"num_cpus": float("nan")}, "num_cpus"),
        ({"num_cpus": 0.00001}, "num_cpus must be 0 or at least 0.0001, got 1e-05"),
        ({"resources": {"a": 0.00001}}, "resources['a'] must be 0 or at least 0.0001"),
        ({"resources": {"\ud800": 1}}, "a key of resources must be text that UTF-8 can encode"),
        ({"name": "\ud800"}, "name must be text that UTF-8 can encode"),
        ({"scheduling_strategy": "SPRED"}, "Did you mean 'SPREAD'"),
        ({"num_gpus": 1.5}, "num_gpus above 1 must be a whole number, got 1.5"),
        ({"memory": "1 GB"}, "memory"),
        ({"resources": {"CPU": 1}}, "use num_cpus="),
        ({"resources": {"": 1}}, "non-empty text"),
        ({"resources": 3}, "resources must map names to quantities, got 3"),
        ({"num_returns": -1}, "num_returns"),
        ({"num_returns": 1.0}, "num_returns"),
        ({"num_returns": "stream"}, "'streaming'"),
        ({"max_retries": -2}, "max_retries must be a whole number >= -1, got -2"),
        ({"retry_exceptions": ValueError}, "retry_exceptions"),
        ({"retry_exceptions": ["ValueError"]}, "retry_exceptions"),
        ({"scheduling_strategy": "PACK"}, "'DEFAULT', 'SPREAD'"),
        ({"name": ""}, "name must be non-empty text"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_task_options_are_checked(given, message):
    with pytest.raises(InvalidOption) as caught:
        task_options(given)
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_restart": 1}, "Did you mean 'max_restarts'"),
        ({"num_returns": 2}, "an actor has no option 'num_returns'"),
        ({"max_concurrency": 0}, "max_concurrency must be a whole number >= 1, got 0"),
        ({"lifetime": "forever"}, "lifetime must be None or 'detached'"),
        ({"get_if_exists": 1, "name": "a"}, "get_if_exists must be True or False"),
        ({"get_if_exists": True}, "get_if_exists=True needs name"),
        ({"namespace": 3}, "namespace must be non-empty text"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_actor_options_are_checked(given, message):
    with pytest.raises(InvalidOption) as caught:
        actor_options(given)
    assert message in str(caught.value)


def test_method_options_are_checked():
    with pytest.raises(InvalidOption, match="num_returns"):
        method_options({"num_return": 2}, MethodOptions())
    with pytest.raises(InvalidOption, match="needs options"):
        air.method()
    with pytest.raises(InvalidOption, match=r"air\.method has no option 'num_cpus'"):
        air.method(num_cpus=1)


def test_method_options_reach_the_handle(air_local):
    @air.remote
    class Many:
        @air.method(num_returns=0)
        def none(self):
            return None

        @air.method(num_returns=2)
        def two(self):
            return 1, 2

    many = Many.remote()
    assert many.none.remote() is None
    assert air.get(many.two.remote()) == [1, 2]


def test_scheduling_strategies():
    assert task_options({"scheduling_strategy": "DEFAULT"}).placement is None
    assert task_options({"scheduling_strategy": "SPREAD"}).placement == SpreadPlacement()
    strategy = air.util.scheduling_strategies.NodeAffinitySchedulingStrategy("abc", soft=True)
    assert actor_options({"scheduling_strategy": strategy}).placement == NodePlacement("abc", True)
    with pytest.raises(InvalidOption, match="an object of"):
        task_options({"scheduling_strategy": type(strategy)})


def test_retry_exceptions():
    assert task_options({"retry_exceptions": True}).retry_exceptions is True
    assert task_options({"retry_exceptions": [OSError]}).retry_exceptions == (OSError,)


def test_keys_are_what_the_values_hold():
    assert {"num_cpus", "num_gpus", "memory", "resources", "name"} <= TASK_KEYS & ACTOR_KEYS
    assert {"num_returns", "name", "concurrency_group", "bytes_ahead"} == METHOD_KEYS
    assert "placement" not in ACTOR_KEYS
    assert "detached" not in ACTOR_KEYS
