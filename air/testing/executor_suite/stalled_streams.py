"""Streams of actors whose consumers do not take what was yielded: others run meanwhile."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

import air
from air.errors import ActorDied, DeadlockError, TaskCancelled
from air.executor.capabilities import Capability
from air.executor.streaming import VALUES_AHEAD
from air.testing.executor_suite.harness import eventually, has, need, value
from air.testing.executor_suite.tools import Gate, Recorder, identity
from air.util import state

MANY = VALUES_AHEAD + 20
"""More values than are made ahead."""

noted: ContextVar[int] = ContextVar("noted", default=-1)


class Many:
    """Yields more values than are made ahead."""

    def give(self, stop: int = MANY) -> Iterator[int]:
        yield from range(stop)

    def guarded(self, recorder: Any) -> Iterator[int]:
        try:
            yield from range(10 * MANY)
        finally:
            air.get(recorder.add.remote("closed"))

    def context(self, number: int) -> Iterator[tuple[int, str | None]]:
        token = noted.set(number)
        try:
            for _ in range(MANY):
                yield noted.get(), air.get_runtime_context().get_task_id()
        finally:
            noted.reset(token)

    def plain(self) -> int:
        return noted.get()

    @air.method(num_returns="streaming")
    def asynchronous(self, stop: int = MANY) -> Any:
        async def numbers() -> AsyncIterator[int]:
            for number in range(stop):
                await asyncio.sleep(0)
                yield number

        return numbers()

    def leave(self) -> None:
        air.exit_actor()

    def leave_late(self, recorder: Any) -> Iterator[int]:
        yield from range(MANY)
        air.get(recorder.add.remote("leaves"))
        air.exit_actor()


class AsyncMany:
    async def give(self, stop: int = MANY) -> AsyncIterator[int]:
        for number in range(stop):
            yield number

    async def guarded(self, recorder: Any) -> AsyncIterator[int]:
        try:
            for number in range(10 * MANY):
                yield number
        finally:
            await recorder.add.remote("closed")

    def context(self, number: int) -> Iterator[tuple[int, str | None]]:
        yield from Many.context(self, number)  # type: ignore[arg-type]

    async def plain(self) -> int:
        return noted.get()


@air.remote
def numbers() -> Iterator[int]:
    yield from range(MANY)


KINDS = {
    "one thread": lambda: air.remote(Many).remote(),
    "two threads": lambda: air.remote(Many).options(max_concurrency=2).remote(),
    "a group": lambda: (
        air.remote(Many).options(concurrency_groups={"io": 1}, max_concurrency=1).remote()
    ),
    "a loop": lambda: air.remote(AsyncMany).options(max_concurrency=1).remote(),
}


@pytest.mark.usefixtures("session")
class TestStalledStreams:
    @pytest.fixture(params=list(KINDS))
    def actor(self, request: pytest.FixtureRequest) -> Any:
        return KINDS[request.param]()

    def test_the_last_one_is_read_first(self, actor: Any) -> None:
        streams = [actor.give.remote() for _ in range(3)]
        for stream in reversed(streams):
            assert [value(ref) for ref in stream] == list(range(MANY))

    def test_side_by_side(self, actor: Any) -> None:
        streams = [actor.give.remote() for _ in range(3)]
        for number, refs in enumerate(zip(*streams, strict=True)):
            assert value(list(refs)) == [number] * 3

    def test_calls_run_beside_them(self, actor: Any) -> None:
        streams = [actor.give.remote() for _ in range(3)]
        for stream in streams:
            next(stream)
        for _ in range(MANY - 1):
            next(streams[0])
            assert value(actor.plain.remote()) == -1
        assert list(streams[0]) == []
        assert len(list(streams[2])) == MANY - 1

    def test_each_has_a_context_of_its_own(self, actor: Any) -> None:
        streams = [actor.context.remote(number) for number in range(3)]
        seen: list[set[Any]] = [set(), set(), set()]
        for refs in zip(*streams, strict=True):
            for told, ref in zip(seen, refs, strict=True):
                told.add(value(ref))
            assert value(actor.plain.remote()) == -1
        assert [{number for number, _ in told} for told in seen] == [{0}, {1}, {2}]
        assert len(set.union(*({task for _, task in told} for told in seen))) == 3

    @pytest.mark.parametrize("how", ["close", "drop", "cancel"])
    def test_one_that_is_wanted_no_longer_is_closed(self, actor: Any, how: str) -> None:
        recorder = Recorder.remote()
        stream, other = actor.guarded.remote(recorder), actor.give.remote()
        refs = [next(stream)]
        value(actor.plain.remote())
        if how == "close":
            stream.close()
        elif how == "drop":
            del stream
            gc.collect()
        else:
            air.cancel(stream)
            refs += list(stream)
            with pytest.raises(TaskCancelled):
                value(refs.pop())
        value(recorder.wait_for.remote("closed"))
        assert value(refs) == list(range(len(refs)))
        assert len(list(other)) == MANY
        assert value(actor.plain.remote()) == -1

    def test_tasks_lend_their_cpus(self) -> None:
        streams = [numbers.remote() for _ in range(3)]
        for stream in streams:
            next(stream)
        assert value(identity.remote(1)) == 1
        assert [len(list(stream)) for stream in reversed(streams)] == [MANY - 1] * 3

    @pytest.mark.parametrize("kind", ["a task", "a method"])
    def test_they_are_listed(self, kind: str) -> None:
        need(Capability.PARALLEL_TASKS)

        def listed() -> state.TaskState:
            [found] = state.list_tasks(filters=[("name", "=", kind)], detail=True)
            return found

        function = numbers if kind == "a task" else KINDS["one thread"]().give
        stream = function.options(name=kind).remote()
        next(stream)
        assert eventually(lambda: "consumer" in str(listed().waits_for))
        assert listed().state == "RUNNING"
        assert len(list(stream)) == MANY - 1
        assert eventually(lambda: listed().state == "FINISHED")
        assert listed().waits_for is None

    def test_a_method_that_reads_another_one_of_its_own_actor(self) -> None:
        @air.remote
        class Selfish(Many):
            def read(self) -> list[Any]:
                me = air.get_runtime_context().current_actor
                return [air.get(ref) for ref in me.give.remote(3)]

        actor = Selfish.remote()
        with pytest.raises(DeadlockError, match=r"Selfish\.give"):
            value(actor.read.remote())
        assert len(list(actor.give.remote())) == MANY
        if has(Capability.THREADED_ACTORS):
            assert value(Selfish.options(max_concurrency=2).remote().read.remote()) == [0, 1, 2]

    def test_asynchronous_generators_in_plain_methods(self) -> None:
        actor = KINDS["one thread"]()
        streams = [actor.asynchronous.remote() for _ in range(2)]
        for number, refs in enumerate(zip(*streams, strict=True)):
            assert value(list(refs)) == [number] * 2
            assert value(actor.plain.remote()) == -1

    def test_its_actor_leaves_meanwhile(self) -> None:
        actor = KINDS["one thread"]()
        stream = actor.guarded.remote(Recorder.remote())
        assert value(next(stream)) == 0
        with pytest.raises(ActorDied):
            value(actor.leave.remote())
        *refs, last = stream
        assert value(refs) == list(range(1, len(refs) + 1))
        with pytest.raises(ActorDied):
            value(last)

    def test_it_leaves_its_actor_itself(self) -> None:
        actor, recorder = KINDS["one thread"](), Recorder.remote()
        stream, other = actor.leave_late.remote(recorder), actor.give.remote()
        for number in range(MANY):
            assert value(next(stream)) == number
        for last in [stream, other]:
            with pytest.raises(ActorDied):
                value(list(last)[-1])
        assert value(recorder.items.remote()) == ["leaves"]

    def test_cancelling_it_does_not_interrupt_what_runs(self) -> None:
        need(Capability.PARALLEL_TASKS)

        @air.remote
        class Waiting(Many):
            def wait(self, gate: Any) -> Any:
                return air.get(gate.wait.remote())

        actor, gate = Waiting.remote(), Gate.remote()
        stream = actor.give.remote()
        assert value(next(stream)) == 0
        waits = actor.wait.remote(gate)
        value(gate.arrived.remote(1))
        air.cancel(stream)
        gate.open.remote()
        assert value(waits) == "through"
        *refs, last = stream
        assert value(refs) == list(range(1, len(refs) + 1))
        with pytest.raises(TaskCancelled):
            value(last)
