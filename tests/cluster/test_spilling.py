"""More values than there is memory: those that nobody reads are on disk meanwhile."""

from __future__ import annotations

import glob
from typing import Any

import numpy as np
import pytest

import air
from air.executor.current import get_executor
from air.testing.executor_suite.harness import eventually, value

MB = 1_000_000
CAP = 100 * MB


@pytest.fixture(autouse=True)
def small() -> Any:
    air.init(backend="cluster", num_cpus=2, object_store_memory=CAP, log_to_driver=False)
    yield
    air.shutdown()


@air.remote
def make(number: float, megabytes: int) -> Any:
    return np.full(megabytes * MB // 8, float(number))


@air.remote
def mean(found: Any) -> float:
    assert found.min() == found.max()
    return float(found[0])


def array(number: float, megabytes: int) -> Any:
    return np.full(megabytes * MB // 8, float(number))


def files() -> list[str]:
    session = get_executor()._client.session  # type: ignore[attr-defined]
    return [p for p in glob.glob(f"{session}/spilled/*/*") if not p.endswith("lock")]


def test_what_was_put_comes_back() -> None:
    refs = [air.put(array(number, 10)) for number in range(40)]
    assert files()
    for _ in range(2):
        for number, ref in enumerate(refs):
            found = value(ref)
            assert found.min() == found.max() == number


def test_results_come_back_and_are_arguments() -> None:
    made = [make.remote(number, 10) for number in range(40)]
    assert value([mean.remote(ref) for ref in made]) == list(range(40))
    assert value(made[0])[0] == 0


def test_small_and_large_ones_together() -> None:
    sizes = [1, 30, 2, 5, 70, 1, 1, 40, 3, 20] * 4
    refs = [air.put(array(number, size)) for number, size in enumerate(sizes)]
    assert [value(mean.remote(ref)) for ref in refs] == list(range(len(sizes)))


def test_what_is_read_stays_as_it_is() -> None:
    read = value(air.put(array(7, 20)))
    refs = [air.put(array(number, 10)) for number in range(30)]
    assert read.min() == read.max() == 7
    assert [value(ref)[0] for ref in refs] == list(range(30))
    assert read.min() == read.max() == 7


def test_files_go_with_their_values() -> None:
    refs = [air.put(array(number, 10)) for number in range(30)]
    assert files()
    del refs
    get_executor().put(None)  # counts off what was dropped
    assert eventually(lambda: not files())


def test_an_actor_that_keeps_values_shares_the_memory() -> None:
    @air.remote
    class Keeper:
        def __init__(self) -> None:
            self.refs: list[Any] = []

        def put(self, number: float) -> None:
            self.refs.append(air.put(array(number, 10)))

        def total(self) -> float:
            return sum(float(air.get(ref)[0]) for ref in self.refs)

    keepers = [Keeper.remote() for _ in range(2)]
    value([keeper.put.remote(number) for number in range(12) for keeper in keepers])
    mine = [air.put(array(number, 10)) for number in range(12)]
    assert value([keeper.total.remote() for keeper in keepers]) == [66, 66]
    assert sum(value(ref)[0] for ref in mine) == 66
