"""Tasks run where their large arguments are, as long as there is room."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import air
from air.testing.executor_suite.harness import eventually, value
from air.util.scheduling_strategies import NodeAffinitySchedulingStrategy

BYTES = 8_000_000


@air.remote
def make(nbytes: int = BYTES) -> Any:
    return np.ones(nbytes, np.uint8)


@air.remote
def where(*arrays: Any) -> tuple[str, int]:
    return air.get_runtime_context().get_node_id(), sum(int(array[-1]) for array in arrays)


@air.remote
class Holder:
    def where(self) -> str:
        return str(air.get_runtime_context().get_node_id())


def names() -> list[str]:
    return [node["NodeID"] for node in air.nodes()]


def at(name: str, *, soft: bool = False) -> Any:
    return NodeAffinitySchedulingStrategy(name, soft=soft)


def ran(task: Any, *arrays: Any) -> tuple[str, int]:
    """What :func:`where` says of a task that may go anywhere: nothing else runs."""
    assert eventually(lambda: air.available_resources()["CPU"] == 2)
    found: tuple[str, int] = value(task.remote(*arrays))
    return found


@pytest.fixture
def large(two: Any) -> Any:
    """A large value on the second node, where nothing runs any more."""
    ref = make.options(scheduling_strategy=at(names()[1])).remote()
    air.wait([ref], fetch_local=False)
    assert eventually(lambda: air.available_resources()["CPU"] == 2)
    return ref


def test_where_the_largest_is(large: Any) -> None:
    first, second = names()
    assert ran(where, large) == (second, 1)
    assert ran(where, value(large)) == (first, 1), "a value of the caller is here"
    assert ran(where, air.put(np.ones(2 * BYTES, np.uint8)), large) == (first, 2)
    assert ran(where, air.put(np.ones(BYTES // 2, np.uint8)), large) == (second, 2)
    small = make.options(scheduling_strategy=at(second)).remote(100_000)
    air.wait([small], fetch_local=False)
    assert ran(where, small) == (first, 1), "that travels fast"


def test_as_soon_as_the_arguments_are_there(two: Any) -> None:
    second = names()[1]
    chain = make.options(scheduling_strategy=at(second)).remote()
    for _ in range(3):  # each is given the worker of the one before it
        chain = air.remote(np.copy).remote(chain)
    assert value(where.remote(chain)) == (second, 1)


def test_what_the_caller_says_comes_first(large: Any) -> None:
    first, second = names()
    for soft in (False, True):
        assert ran(where.options(scheduling_strategy=at(first, soft=soft)), large) == (first, 1)
    assert ran(where.options(resources={"widget": 1}), large) == (second, 1)


def test_another_node_will_do(large: Any) -> None:
    first, second = names()
    holder = Holder.options(num_cpus=1, scheduling_strategy=at(second)).remote()
    value(holder.where.remote())
    assert value(where.remote(large)) == (first, 1)
    air.kill(holder)
    assert ran(where, large) == (second, 1)


def test_many_use_both_nodes(large: Any) -> None:
    found = value([where.remote(large) for _ in range(50)])
    assert {total for _, total in found} == {1}
    assert names()[1] in {name for name, _ in found}


def test_its_node_is_gone(two: Any) -> None:
    first, second = names()
    ref = make.options(scheduling_strategy=at(second, soft=True)).remote()
    assert value(where.remote(ref))[0] == second
    two.nodes.pop().kill()
    assert value(where.remote(ref)) == (first, 1)
