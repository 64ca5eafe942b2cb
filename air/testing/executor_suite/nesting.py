"""Tasks that start tasks: more of them than there are CPUs, waiting for one another."""

from __future__ import annotations

from typing import Any

import pytest

import air
from air.testing.executor_suite.harness import value
from air.testing.executor_suite.tools import Counter, identity

DEPTH = 6  # three times as many as the CPUs that the suite asks for


@air.remote
def descend(depth: int) -> int:
    return 0 if depth == 0 else 1 + air.get(descend.remote(depth - 1))


@air.remote
def fibonacci(number: int) -> int:
    if number < 2:
        return number
    return sum(air.get([fibonacci.remote(number - 1), fibonacci.remote(number - 2)]))


@pytest.mark.usefixtures("session")
class TestNesting:
    def test_recursion_deeper_than_there_are_cpus(self) -> None:
        assert value(descend.remote(DEPTH)) == DEPTH

    def test_a_local_function_that_calls_itself(self) -> None:
        @air.remote
        def descend(depth: int, step: int = 1, *, by: int = 2) -> int:
            return 0 if depth <= 0 else by + air.get(descend.remote(depth - step))

        assert value(descend.remote(3)) == 6

    def test_a_local_class_that_makes_actors_of_itself(self) -> None:
        @air.remote
        class Node:
            def __init__(self, depth: int, width: int = 2) -> None:
                self.children = [Node.remote(depth - 1) for _ in range(width if depth else 0)]

            def count(self, *, start: int = 1) -> int:
                return start + sum(air.get([child.count.remote() for child in self.children]))

        assert value(Node.remote(2).count.remote()) == 7

    def test_tree_of_tasks(self) -> None:
        assert value(fibonacci.remote(5)) == 5

    def test_many_blocked_parents(self) -> None:
        assert value([descend.remote(1) for _ in range(4)]) == [1] * 4

    def test_parent_waits(self) -> None:
        @air.remote
        def parent() -> int:
            refs = [identity.remote(number) for number in range(4)]
            total = 0
            while refs:
                ready, refs = air.wait(refs)
                total += air.get(ready[0])
            return total

        assert value(parent.remote()) == 6

    def test_task_makes_an_actor(self) -> None:
        @air.remote
        def parent() -> list[int]:
            counter = Counter.remote(10)
            return [air.get(counter.add.remote()) for _ in range(3)]

        assert value(parent.remote()) == [11, 12, 13]

    def test_task_returns_an_actor(self) -> None:
        @air.remote
        def make() -> Any:
            return Counter.remote(5)

        counter = value(make.remote())
        assert value(counter.add.remote()) == 6

    def test_actor_starts_tasks(self) -> None:
        @air.remote
        class Boss:
            def work(self, count: int) -> int:
                return sum(air.get([identity.remote(number) for number in range(count)]))

        assert value(Boss.remote().work.remote(5)) == 10

    def test_actor_calls_an_actor(self) -> None:
        @air.remote
        class Front:
            def __init__(self, back: Any) -> None:
                self.back = back

            def add(self, amount: int) -> int:
                return air.get(self.back.add.remote(amount))

        front = Front.remote(Counter.remote())
        assert value([front.add.remote(2), front.add.remote(3)]) == [2, 5]

    def test_results_are_references_of_inner_tasks(self) -> None:
        @air.remote
        def outer() -> Any:
            return identity.remote("inside")

        inner = value(outer.remote())
        assert isinstance(inner, air.ObjectRef)
        assert value(inner) == "inside"

    # The last one: where it does not work, the tasks stay and hold all CPUs.
    def test_recursion_of_async_tasks_deeper_than_there_are_cpus(self) -> None:
        @air.remote
        async def descend_async(depth: int) -> int:
            return 0 if depth == 0 else 1 + await descend_async.remote(depth - 1)

        assert air.get(descend_async.remote(DEPTH), timeout=10) == DEPTH
