"""Actors whose methods are in concurrency groups."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import air
from air.errors import InvalidOption
from air.executor.capabilities import Capability
from air.testing.executor_suite.harness import TIMEOUT, need, value
from air.testing.executor_suite.tools import Gate, Recorder


class _Async:
    """Says in a log what it does, and waits at gates."""

    def __init__(self, log: Any) -> None:
        self.log = log

    @air.method(concurrency_group="io")
    async def read(self, name: str, gate: Any) -> str:
        await self.log.add.remote(f"{name} starts")
        await gate.wait.remote()
        await self.log.add.remote(f"{name} ends")
        return name

    @air.method(concurrency_group="io")
    async def read_all(self, names: list[str]) -> Any:
        for name in names:
            yield name

    async def compute(self, name: str, gate: Any) -> str:
        return await _Async.read(self, name, gate)

    async def ping(self, _value: Any = None) -> str:
        return "here"


Async = air.remote(concurrency_groups={"io": 2})(_Async)


@air.remote(concurrency_groups={"io": 2, "compute": 1})
class Plain:
    def __init__(self) -> None:
        self.opened = threading.Event()
        self.items: list[Any] = []

    @air.method(concurrency_group="io")
    def wait(self) -> bool:
        return self.opened.wait(TIMEOUT)

    @air.method(concurrency_group="compute")
    def open(self) -> None:
        self.opened.set()

    @air.method(concurrency_group="compute")
    def add(self, item: Any) -> None:
        self.items.append(item)

    @air.method(concurrency_group="compute")
    def get(self) -> list[Any]:
        return self.items

    @air.method(concurrency_group="io", num_returns="streaming")
    def count(self, number: int) -> Iterator[int]:
        yield from range(number)

    def thread(self) -> int:
        return threading.get_ident()


@pytest.mark.usefixtures("session")
class TestConcurrencyGroups:
    def test_an_async_group_runs_as_many_as_its_size_says(self) -> None:
        log, gate = Recorder.remote(), Gate.remote()
        actor = Async.remote(log)
        refs = [actor.read.remote(name, gate) for name in "abc"]
        value(gate.arrived.remote(2))
        # Neither those that are in no group nor those of another one wait for them.
        assert value(actor.ping.remote()) == "here"
        assert value(log.items.remote()) == ["a starts", "b starts"]
        value(gate.open.remote())
        assert value(refs) == ["a", "b", "c"]

    def test_those_in_no_group_share_max_concurrency(self) -> None:
        log, gate = Recorder.remote(), Gate.remote()
        actor = Async.options(max_concurrency=1).remote(log)
        refs = [actor.compute.remote(name, gate) for name in "ab"]
        value(gate.arrived.remote(1))
        late = actor.ping.remote()
        inside = actor.ping.options(concurrency_group="io").remote()
        assert value(inside) == "here"
        assert value(log.items.remote()) == ["a starts"]
        value(gate.open.remote())
        assert value([*refs, late]) == ["a", "b", "here"]
        assert value(log.items.remote()) == ["a starts", "a ends", "b starts", "b ends"]

    def test_one_call_can_be_put_into_a_group(self) -> None:
        log, gate = Recorder.remote(), Gate.remote()
        actor = Async.options(concurrency_groups={"io": 1, "other": 1}).remote(log)
        refs = [actor.read.remote("a", gate)]
        value(gate.arrived.remote(1))
        refs.append(actor.read.options(concurrency_group="other").remote("b", gate))
        value(gate.arrived.remote(2))
        refs.append(actor.read.options(concurrency_group=None).remote("c", gate))
        value(gate.arrived.remote(3))
        value(gate.open.remote())
        assert value(refs) == ["a", "b", "c"]

    def test_an_argument_that_is_not_there_holds_up_its_group_only(self) -> None:
        gate = Gate.remote()
        actor = Async.remote(Recorder.remote())
        late = actor.ping.remote(gate.wait.remote())
        behind = actor.ping.remote()
        assert value(actor.ping.options(concurrency_group="io").remote()) == "here"
        assert air.wait([late, behind], timeout=0) == ([], [late, behind])
        value(gate.open.remote())
        assert value([late, behind]) == ["here", "here"]

    def test_calls_of_a_group_keep_their_order(self) -> None:
        actor = Plain.remote()
        refs = [actor.add.remote(number) for number in range(50)]
        assert value(actor.get.remote()) == list(range(50))
        assert value(refs) == [None] * 50

    def test_plain_groups_have_threads_of_their_own(self) -> None:
        need(Capability.THREADED_ACTORS)
        actor = Plain.remote()
        waiting = [actor.wait.remote() for _ in range(2)]
        third = actor.wait.remote()
        threads = value([actor.thread.remote() for _ in range(4)])
        assert len(set(threads)) == 1
        assert value(actor.thread.options(concurrency_group="compute").remote()) != threads[0]
        value(actor.open.remote())
        assert value([*waiting, third]) == [True] * 3

    def test_streams(self) -> None:
        assert value(list(Plain.remote().count.remote(3))) == [0, 1, 2]
        assert value(list(Async.remote(None).read_all.remote(["a", "b"]))) == ["a", "b"]

    def test_a_handle_that_was_passed_on_knows_them(self) -> None:
        @air.remote
        def use(handle: Any) -> Any:
            with pytest.raises(InvalidOption, match="Did you mean 'compute'"):
                handle.get.options(concurrency_group="computer")
            air.get(handle.add.options(concurrency_group="io").remote(1))
            return air.get(handle.get.remote())

        actor = Plain.options(name="grouped").remote()
        assert value(use.remote(actor)) == [1]
        found = air.get_actor("grouped")
        assert value(found.get.options(concurrency_group="io").remote()) == [1]
        air.kill(actor)

    def test_calls_that_wait_can_be_cancelled(self) -> None:
        gate = Gate.remote()
        actor = Async.options(concurrency_groups={"io": 1}).remote(Recorder.remote())
        first = actor.read.remote("a", gate)
        value(gate.arrived.remote(1))
        second, third = actor.read.remote("b", gate), actor.ping.remote(gate.wait.remote())
        for ref in (second, third):
            air.cancel(ref)
            with pytest.raises(air.errors.TaskCancelled):
                value(ref)
        value(gate.open.remote())
        assert value(first) == "a"

    def test_unknown_groups(self) -> None:
        class Misspelt:
            @air.method(concurrency_group="netwrok")
            def read(self) -> None: ...

        expected = r"Misspelt.read .* 'netwrok'.* Did you mean 'network'"
        with pytest.raises(InvalidOption, match=expected):
            air.remote(concurrency_groups={"network": 1})(Misspelt)
        plain = air.remote(Misspelt)
        with pytest.raises(InvalidOption, match=r"the actor's class has no groups: declare it"):
            plain.remote()
        with pytest.raises(InvalidOption, match=expected):
            plain.options(concurrency_groups={"network": 1})
        made = plain.options(concurrency_groups={"netwrok": 1}).remote()
        assert value(made.read.remote()) is None
        with pytest.raises(InvalidOption, match=r"Groups are: .*'compute', 'io'"):
            Plain.remote().get.options(concurrency_group="network")
        with pytest.raises(InvalidOption, match=r"'io'.* no groups"):
            Gate.remote().wait.options(concurrency_group="io")

    @pytest.mark.parametrize(
        ("groups", "message"),
        [
            (["io"], "must be a dict of names and sizes"),
            ({"io": 0}, "size of concurrency group 'io'"),
            ({"io": -1}, "size of concurrency group 'io'"),
            ({"io": 1.5}, "size of concurrency group 'io'"),
            ({"io": "2"}, "size of concurrency group 'io'"),
            ({"io": None}, "size of concurrency group 'io'"),
            ({1: 2}, "name of a concurrency group"),
            ({"": 2}, "name of a concurrency group"),
        ],
    )
    def test_bad_groups(self, groups: Any, message: str) -> None:
        with pytest.raises(InvalidOption, match=message):
            air.remote(concurrency_groups=groups)(_Async)
        with pytest.raises(InvalidOption, match=message):
            Plain.options(concurrency_groups=groups)
        with pytest.raises(InvalidOption, match="concurrency_group"):
            air.method(concurrency_group=3)
