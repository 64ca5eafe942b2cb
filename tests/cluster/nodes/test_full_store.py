"""A value arrives from another node where memory is full of what is being read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import air
from air.errors import ObjectStoreFull
from air.testing.executor_suite.harness import value

from .conftest import MB, Machines

there = air.remote(num_cpus=0, resources={"widget": 0.1})


@there
class Reader:
    """Keeps arrays that map shared memory."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def read(self, megabytes: int) -> None:
        self.kept.append(air.get(air.put(np.ones(megabytes * MB // 8))))

    def forget(self) -> None:
        self.kept.clear()


@there
def total(array: Any) -> float:
    return float(array.sum())


@there
def get_inside(refs: list[Any]) -> float:
    return float(air.get(refs[0]).sum())


def test_it_says_so_and_goes_on_once_there_is_room(machines: Machines) -> None:
    machines.start()
    machines.start(resources={"widget": 1}, object_store_memory=60 * MB)
    machines.join()
    reader = Reader.remote()
    value(reader.read.remote(45))
    ours = air.put(np.ones(30 * MB // 8))
    for task in (total.remote(ours), get_inside.remote([ours])):
        with pytest.raises(ObjectStoreFull, match=r"of the 60000000 bytes.*written by process"):
            value(task)
    value(reader.forget.remote())
    assert value([total.remote(ours), get_inside.remote([ours])]) == [30 * MB / 8] * 2
    with pytest.raises(ObjectStoreFull, match="60000000 altogether"):
        value(total.remote(air.put(np.ones(80 * MB // 8))))
