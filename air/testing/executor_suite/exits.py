"""What ``air.exit_actor()`` ends: the actor, from wherever in it that is called, and its calls."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from typing import Any

import pytest

import air
from air.errors import ActorDied
from air.executor.capabilities import Capability
from air.testing.executor_suite.harness import TIMEOUT, eventually, need, value
from air.testing.executor_suite.tools import Gate, Recorder, identity


class _Async:
    def __init__(self, recorder: Any = None) -> None:
        self.recorder = recorder

    async def ping(self) -> str:
        return "pong"

    async def wait(self, gate: Any) -> str:
        try:
            await gate.wait.remote()
        except asyncio.CancelledError:
            if self.recorder is not None:
                self.recorder.add.remote("cleaned up")
            raise
        return "went on"

    async def count(self, gate: Any) -> AsyncIterator[int]:
        yield 0
        yield 1
        await gate.wait.remote()
        yield 2

    async def quit(self) -> None:
        air.exit_actor()

    async def quit_deep_inside(self) -> None:
        await asyncio.gather(self._inner(), asyncio.sleep(0))

    async def quit_in_a_task(self) -> None:
        await asyncio.create_task(self._inner())

    async def quit_in_a_thread(self) -> None:
        await asyncio.to_thread(air.exit_actor)

    async def quit_later(self) -> str:
        self.task = asyncio.create_task(self._inner())
        return "quits"

    async def quit_and_go_on(self) -> str:
        try:
            await self._inner()
        except BaseException:
            return "went on"
        return "went on"

    async def _inner(self) -> None:
        await asyncio.sleep(0)
        air.exit_actor()


Async = air.remote(_Async)
Grouped = air.remote(concurrency_groups={"io": 1})(_Async)


class _Threaded:
    def __init__(self) -> None:
        self.opened = threading.Event()

    def ping(self) -> str:
        return "pong"

    def wait(self, recorder: Any) -> bool:
        air.get(recorder.add.remote("waits"))
        return self.opened.wait(TIMEOUT)

    def open(self) -> None:
        self.opened.set()

    def quit(self) -> None:
        try:
            air.exit_actor()
        finally:
            self.opened.set()

    def count(self) -> Iterator[int]:
        yield 0
        yield 1
        air.exit_actor()
        yield 2

    def quit_and_go_on(self) -> str:
        try:
            air.exit_actor()
        except BaseException:
            return "went on"
        return "went on"

    def quit_in_a_thread(self) -> None:
        context = copy_context()
        thread = threading.Thread(target=context.run, args=[_quit_quietly])
        thread.start()
        thread.join()

    def quit_in_a_thread_of_its_own(self) -> str:
        errors: list[BaseException] = []

        def run() -> None:
            try:
                air.exit_actor()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        return f"{type(errors[0]).__name__}: {errors[0]}"


def _quit_quietly() -> None:
    try:
        air.exit_actor()
    except BaseException:
        return


Threaded = air.remote(_Threaded)


def assert_left(refs: list[Any]) -> None:
    """All of them were in an actor that has left."""
    for ref in refs:
        with pytest.raises(ActorDied, match=r"air\.exit_actor"):
            value(ref)


@pytest.mark.usefixtures("session")
class TestExits:
    @pytest.mark.parametrize(
        "how", ["quit", "quit_deep_inside", "quit_in_a_task", "quit_in_a_thread", "quit_and_go_on"]
    )
    def test_async(self, how: str) -> None:
        gate, recorder = Gate.remote(), Recorder.remote()
        actor = Async.options(max_concurrency=3).remote(recorder)
        done = actor.ping.remote()
        running = [actor.wait.remote(gate) for _ in range(2)]
        value(gate.arrived.remote(2))
        leaving = getattr(actor, how).remote()
        queued = [actor.wait.remote(gate), actor.ping.remote()]
        assert_left([leaving, *running, *queued])
        value(recorder.wait_for.remote("cleaned up"))
        value(gate.open.remote())
        assert_left([*running, *queued, actor.ping.remote()])
        assert value(done) == "pong"

    def test_async_in_a_task_that_nobody_awaits(self) -> None:
        gate, actor = Gate.remote(), Async.remote()
        running = actor.wait.remote(gate)
        value(gate.arrived.remote(1))
        assert value(actor.quit_later.remote()) == "quits"
        assert_left([running])
        assert_left([actor.ping.remote()])

    def test_async_groups(self) -> None:
        gate, actor = Gate.remote(), Grouped.remote()
        inside = actor.wait.options(concurrency_group="io")
        refs = [inside.remote(gate), inside.remote(gate), actor.wait.remote(gate)]
        value(gate.arrived.remote(2))
        assert_left([actor.quit.remote()])
        value(gate.open.remote())
        assert_left(refs)

    def test_a_stream_half_consumed(self) -> None:
        gate, actor = Gate.remote(), Async.remote()
        stream = actor.count.options(num_returns="streaming").remote(gate)
        assert value([next(stream), next(stream)]) == [0, 1]
        assert_left([actor.quit.remote()])
        value(gate.open.remote())
        assert_left(list(stream))

    def test_a_stream_that_quits(self) -> None:
        for actor in (Threaded.remote(), Threaded.options(max_concurrency=2).remote()):
            refs = list(actor.count.options(num_returns="streaming").remote())
            assert value(refs[:2]) == [0, 1]
            assert_left(refs[2:])
            assert len(refs) == 3

    @pytest.mark.parametrize("options", [{}, {"max_concurrency": 2}])
    @pytest.mark.parametrize("how", ["quit", "quit_and_go_on", "quit_in_a_thread"])
    def test_plain(self, options: dict[str, Any], how: str) -> None:
        actor = Threaded.options(**options).remote()
        done = [actor.ping.remote() for _ in range(20)]
        leaving = getattr(actor, how).remote()
        assert_left([leaving])
        assert value(done) == ["pong"] * 20
        assert_left([actor.ping.remote()])

    def test_threads(self) -> None:
        need(Capability.THREADED_ACTORS)
        recorder, actor = Recorder.remote(), Threaded.options(max_concurrency=2).remote()
        done = actor.ping.remote()
        running = actor.wait.remote(recorder)
        value(recorder.wait_for.remote("waits"))
        leaving = actor.quit.remote()  # which lets the other one go on
        queued = [actor.ping.remote() for _ in range(3)]
        assert_left([leaving, running, *queued, identity.remote(queued[0])])
        assert value(done) == "pong"

    def test_groups_of_threads(self) -> None:
        need(Capability.THREADED_ACTORS)
        recorder = Recorder.remote()
        actor = Threaded.options(concurrency_groups={"io": 1}).remote()
        inside = actor.wait.options(concurrency_group="io")
        refs = [inside.remote(recorder), inside.remote(recorder)]
        value(recorder.wait_for.remote("waits"))
        assert_left([actor.quit.remote()])
        assert_left(refs)
        assert value(recorder.items.remote()) == ["waits"]

    def test_references_that_it_returned_before(self) -> None:
        @air.remote(max_concurrency=2)
        class Maker:
            def __init__(self) -> None:
                self.kept: list[Any] = []

            def make(self, others: list[Any]) -> Any:
                self.kept += others
                return [air.put("made"), *others]

            def quit(self) -> None:
                air.exit_actor()

        for _ in range(5):
            maker = Maker.remote()
            refs = maker.make.remote([identity.remote("given")])
            assert_left([maker.quit.remote()] if value(refs) else [])
            assert value(value(refs)) == ["made", "given"]

    def test_the_name_is_free(self) -> None:
        for _ in range(3):
            actor = Threaded.options(name="leaves", max_concurrency=2).remote()
            assert_left([actor.quit.remote()])

            def is_free() -> bool:
                try:
                    air.get_actor("leaves")
                except ValueError:
                    return True
                return False

            assert eventually(is_free)

    def test_the_resources_are_free(self) -> None:
        greedy = Threaded.options(max_concurrency=2, resources={"widget": 2})
        for _ in range(2):
            actor = greedy.remote()
            assert value(actor.ping.remote()) == "pong"
            assert_left([actor.quit.remote()])

    @pytest.mark.parametrize("quits", [_quit_quietly, air.exit_actor])
    def test_in_the_constructor(self, quits: Any) -> None:
        @air.remote
        class Reluctant:
            def __init__(self) -> None:
                quits()

            def work(self) -> None: ...

        assert_left([Reluctant.remote().work.remote()])

    def test_outside_of_a_method(self) -> None:
        @air.remote
        def quit_in_a_task() -> None:
            air.exit_actor()

        with pytest.raises(RuntimeError, match="inside a method of an actor"):
            air.exit_actor()
        with pytest.raises(RuntimeError, match="inside a method of an actor"):
            value(quit_in_a_task.remote())
        actor = Threaded.remote()
        told = value(actor.quit_in_a_thread_of_its_own.remote())
        assert told.startswith("RuntimeError")
        assert "copy_context" in told
        assert value(actor.ping.remote()) == "pong"
