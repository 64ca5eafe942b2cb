"""Calls from several threads, and what runs at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import air
from air.executor.capabilities import Capability
from air.testing.executor_suite.harness import TIMEOUT, need, value
from air.testing.executor_suite.tools import Counter, Gate, identity


def in_threads(work: Callable[[int], Any], count: int = 4) -> list[Any]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count), timeout=TIMEOUT))


@air.remote
class Meeting:
    """A plain actor whose callers meet inside it."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count)

    def meet(self) -> bool:
        self.barrier.wait(TIMEOUT)
        return True


@pytest.mark.usefixtures("session")
class TestThreads:
    def test_tasks(self) -> None:
        def work(number: int) -> list[int]:
            return value([identity.remote(number * 100 + step) for step in range(20)])

        assert in_threads(work) == [
            [number * 100 + step for step in range(20)] for number in range(4)
        ]

    def test_one_actor(self) -> None:
        counter = Counter.remote()
        in_threads(lambda _: [value(counter.add.remote()) for _ in range(20)])
        assert value(counter.get.remote()) == 80

    def test_calls_of_each_thread_keep_their_order(self) -> None:
        @air.remote
        class Log:
            def __init__(self) -> None:
                self.items: list[tuple[int, int]] = []

            def add(self, item: tuple[int, int]) -> None:
                self.items.append(item)

            def get(self) -> list[tuple[int, int]]:
                return self.items

        log = Log.remote()
        in_threads(lambda number: value([log.add.remote((number, step)) for step in range(20)]))
        items = value(log.get.remote())
        for number in range(4):
            assert [step for who, step in items if who == number] == list(range(20))

    def test_one_thread_waits_for_what_another_starts(self) -> None:
        gate = Gate.remote()
        waiting = gate.wait.remote("opened")
        with ThreadPoolExecutor(1) as pool:
            got = pool.submit(value, waiting)
            value(gate.open.remote())
            assert got.result(TIMEOUT) == "opened"

    def test_one_stream(self) -> None:
        @air.remote
        def count() -> Iterator[int]:
            yield from range(40)

        stream = count.remote()
        parts = in_threads(lambda _: [value(ref) for ref in stream])
        assert sorted(number for part in parts for number in part) == list(range(40))
        assert all(part == sorted(part) for part in parts)

    def test_threads_inside_a_task(self) -> None:
        @air.remote
        def spread() -> list[int]:
            with ThreadPoolExecutor(2) as pool:
                return list(pool.map(lambda x: air.get(identity.remote(x)), range(4)))

        assert value(spread.remote()) == [0, 1, 2, 3]

    def test_tasks_run_at_the_same_time(self) -> None:
        need(Capability.PARALLEL_TASKS)
        gates = [Gate.remote(), Gate.remote()]

        @air.remote
        def cross(mine: Any, others: Any) -> Any:
            mine.open.remote()
            return air.get(others.wait.remote())

        refs = [cross.remote(*gates), cross.remote(*gates[::-1])]
        assert value(refs) == ["through", "through"]

    def test_tasks_run_while_the_caller_goes_on(self) -> None:
        need(Capability.PARALLEL_TASKS)
        gate = Gate.remote()

        @air.remote
        def wait(gate: Any) -> Any:
            return air.get(gate.wait.remote())

        ref = wait.remote(gate)
        value(gate.arrived.remote(1))
        assert air.wait([ref], timeout=0) == ([], [ref])
        gate.open.remote()
        assert value(ref) == "through"

    def test_methods_run_at_the_same_time(self) -> None:
        need(Capability.THREADED_ACTORS)
        meeting = Meeting.options(max_concurrency=2).remote(2)
        assert value([meeting.meet.remote(), meeting.meet.remote()]) == [True, True]
