"""Calls of one caller keep their order, and so do results."""

from __future__ import annotations

from typing import Any

import pytest

import air
from air.testing.executor_suite.harness import value
from air.testing.executor_suite.tools import Gate, identity


@air.remote
class Log:
    def __init__(self) -> None:
        self.items: list[Any] = []

    def add(self, item: Any) -> None:
        self.items.append(item)

    def get(self) -> list[Any]:
        return self.items


@pytest.mark.usefixtures("session")
class TestOrdering:
    def test_calls_keep_their_order(self) -> None:
        log = Log.remote()
        for number in range(100):
            log.add.remote(number)
        assert value(log.get.remote()) == list(range(100))

    def test_calls_through_other_handles_keep_their_order(self) -> None:
        log = Log.options(name="log").remote()
        for number in range(10):
            log.add.remote(number)
            air.get_actor("log").add.remote(-number)
        expected = [sign * number for number in range(10) for sign in (1, -1)]
        assert value(log.get.remote()) == expected
        air.kill(log)

    def test_a_call_is_not_overtaken_while_it_waits_for_arguments(self) -> None:
        log, gate = Log.remote(), Gate.remote()
        log.add.remote(gate.wait.remote("first"))
        log.add.remote("second")
        items = log.get.remote()
        gate.open.remote()
        assert value(items) == ["first", "second"]

    def test_calls_from_a_task_keep_their_order(self) -> None:
        log = Log.remote()

        @air.remote
        def fill(log: Any, name: str) -> None:
            for number in range(10):
                log.add.remote((name, number))
            air.get(log.get.remote())

        value([fill.remote(log, name) for name in "ab"])
        items = value(log.get.remote())
        for name in "ab":
            assert [item for item in items if item[0] == name] == [(name, n) for n in range(10)]

    def test_constructor_comes_first(self) -> None:
        @air.remote
        class Late:
            def __init__(self, item: Any) -> None:
                self.log = [item]

            def get(self) -> list[Any]:
                self.log.append("get")
                return self.log

        gate = Gate.remote()
        late = Late.remote(gate.wait.remote("built"))
        log = late.get.remote()
        gate.open.remote()
        assert value(log) == ["built", "get"]

    def test_results_keep_the_order_of_the_references(self) -> None:
        gate = Gate.remote()
        refs = [gate.wait.remote(0), identity.remote(1), gate.wait.remote(2), identity.remote(3)]
        gate.open.remote()
        assert value(refs) == [0, 1, 2, 3]

    def test_wait_keeps_the_order_of_the_references(self) -> None:
        refs = [identity.remote(number) for number in range(6)]
        value(refs)
        backwards = refs[::-1]
        assert air.wait(backwards, num_returns=6)[0] == backwards
        assert air.wait(backwards, num_returns=2) == (backwards[:2], backwards[2:])
