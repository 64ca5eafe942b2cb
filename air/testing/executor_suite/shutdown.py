"""The end: nothing is left, and one can start again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import air
from air.errors import AirError, NotInitialized
from air.executor.current import get_executor
from air.testing.executor_suite.harness import TIMEOUT, Backend, value
from air.testing.executor_suite.tools import Counter, Gate, add, identity
from air.testing.leaks import Belongings, check_nothing_left


@air.remote
def endless() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def _noting(method: Any, called: threading.Event) -> Any:
    def noted(*args: Any, **kwargs: Any) -> Any:
        called.set()
        return method(*args, **kwargs)

    return noted


@air.remote
class Stuck:
    async def stream(self) -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 1


@air.remote
class Finder:
    def __init__(self) -> None:
        self.found = air.get_actor("here")

    def find(self) -> Any:
        mine = air.get_runtime_context().namespace
        return mine, air.get([self.found.add.remote(), air.get_actor("here").add.remote()])

    def start(self) -> Any:
        return air.get([air.remote(find_here).remote(), Finder.remote().find.remote()])


def find_here() -> Any:
    return air.get_runtime_context().namespace, air.get(air.get_actor("here").add.remote())


class TestShutdown:
    @pytest.fixture(autouse=True)
    def leaves_nothing(self) -> Iterator[None]:
        before = Belongings.now()
        yield
        air.shutdown()
        check_nothing_left(before)

    def test_unused(self, backend: Backend) -> None:
        backend.start()
        assert air.is_initialized()
        air.shutdown()
        assert not air.is_initialized()

    def test_twice(self, backend: Backend) -> None:
        backend.start()
        executor = get_executor()
        air.shutdown()
        air.shutdown()
        executor.shutdown()

    def test_with_everything_in_use(self, backend: Backend) -> None:
        backend.start()
        gate, counter = Gate.remote(), Counter.options(name="kept").remote()
        stream = endless.remote()
        kept: list[Any] = [
            value(identity.remote(1)),
            air.put(b"x" * 1_000_000),
            gate.wait.remote(),
            add.remote(gate.wait.remote(), 1),
            counter.add.remote(),
            next(stream),
        ]
        air.shutdown()
        del kept

    @pytest.mark.parametrize(
        "way", ["get", "wait", "future", "await", "argument", "stream", "async stream"]
    )
    def test_nobody_waits_any_more(
        self, backend: Backend, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend.start()
        gate = Gate.remote()
        pending = gate.wait.remote()
        dependent = add.remote(pending, 1)
        stream = Stuck.remote().stream.remote()
        value(gate.arrived.remote(1))

        async def await_it() -> Any:
            return await pending

        async def take_from_it() -> Any:
            return await anext(stream)

        waiting = {
            "get": lambda: air.get(pending),
            "wait": lambda: [air.get(ref) for ref in air.wait([pending])[0]],
            "future": lambda: pending.future().result(),
            "await": lambda: asyncio.run(await_it()),
            "argument": lambda: air.get(dependent),
            "stream": lambda: air.get(next(stream)),
            "async stream": lambda: air.get(asyncio.run(take_from_it())),
        }
        executor = get_executor()
        asked = threading.Event()
        ways = "get wait as_future await_ref next_in_stream await_next_in_stream"
        for name in ways.split():
            monkeypatch.setattr(executor, name, _noting(getattr(executor, name), asked))
        with ThreadPoolExecutor(1) as pool:
            outcome = pool.submit(waiting[way])
            assert asked.wait(TIMEOUT)
            air.shutdown()
            error = outcome.exception(TIMEOUT)
        assert isinstance(error, AirError)

    def test_start_again(self, backend: Backend) -> None:
        for _ in range(2):
            backend.start()
            Counter.options(name="again").remote()
            assert value(air.get_actor("again").add.remote()) == 1
            air.shutdown()

    def test_nothing_of_the_old_can_be_used(self, backend: Backend) -> None:
        backend.start()
        executor, ref, counter = get_executor(), air.put(1), Counter.remote()
        air.shutdown()
        with pytest.raises(NotInitialized):
            executor.put(1)
        with pytest.raises(NotInitialized):
            executor.get([ref], None)
        with pytest.raises(NotInitialized):
            counter.add.remote()
        with pytest.raises(NotInitialized):
            executor.nodes()

    def test_old_references_mean_nothing_to_the_next_one(self, backend: Backend) -> None:
        backend.start()
        old = identity.remote(1)
        value(old)
        air.shutdown()
        backend.start()
        new = identity.remote(2)
        with pytest.raises(AirError, match="shut down"):
            air.get(old, timeout=5)
        del old
        assert value(new) == 2

    def test_handles_start_no_other_backend(self, backend: Backend) -> None:
        backend.start()
        counter = Counter.remote()
        air.shutdown()
        with pytest.raises(NotInitialized):
            air.kill(counter)
        assert not air.is_initialized()

    def test_is_not_for_tasks(self, backend: Backend) -> None:
        backend.start()

        @air.remote
        def end() -> None:
            air.shutdown()

        @air.remote
        class Actor:
            def end(self) -> None:
                air.shutdown()

        for ref in (end.remote(), Actor.remote().end.remote()):
            with pytest.raises(RuntimeError, match=r"air\.shutdown\(\) is for the program"):
                value(ref)
        assert value([identity.remote(number) for number in range(4)]) == [0, 1, 2, 3]

    def test_functions_can_be_used_again(self, backend: Backend) -> None:
        offset = 1

        @air.remote
        def shift(number: int) -> int:
            return number + offset

        for _ in range(2):
            backend.start()
            assert value(shift.remote(1)) == 2
            air.shutdown()

    def test_second_start_is_refused(self, backend: Backend) -> None:
        backend.start()
        executor = get_executor()
        with pytest.raises(RuntimeError, match="initialized already"):
            backend.start()
        backend.start(ignore_reinit_error=True)
        assert get_executor() is executor

    def test_options(self, backend: Backend) -> None:
        backend.start(num_cpus=1, resources={"gizmo": 3}, labels={"zone": "a"}, namespace="mine")
        assert air.cluster_resources()["CPU"] == 1
        assert air.cluster_resources()["gizmo"] == 3
        assert air.nodes()[0]["Labels"]["zone"] == "a"
        assert air.get_runtime_context().namespace == "mine"
        Counter.options(name="here").remote()
        assert value(air.get_actor("here", "mine").add.remote()) == 1

    def test_namespace_of_the_program(self, backend: Backend) -> None:
        backend.start(namespace="mine")
        Counter.options(name="here").remote()
        assert value(air.remote(find_here).remote()) == ("mine", 1)
        # Its own name is registered elsewhere; what it does is still the program's.
        finder = Finder.options(name="finder", namespace="another").remote()
        assert value(finder.find.remote()) == ("mine", [2, 3])
        assert value(finder.start.remote()) == [("mine", 4), ("mine", [5, 6])]
