"""Actors with async methods, and ``await`` on references."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import air
from air.errors import ActorDied, DeadlockError
from air.executor.capabilities import Capability
from air.testing.executor_suite.harness import TIMEOUT, has, last_frame, value
from air.testing.executor_suite.tools import Counter, Gate, Recorder, add, identity


@air.remote
class Async:
    def __init__(self) -> None:
        self.log: list[str] = []

    async def double(self, number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    async def fetch(self, refs: list[Any]) -> list[Any]:
        return [await ref for ref in refs]

    async def gather(self, refs: list[Any]) -> list[Any]:
        return list(await asyncio.gather(*refs))

    async def fail(self, message: str) -> None:
        await asyncio.sleep(0)
        raise ValueError(message)

    def plain(self, number: int) -> int:
        return number + 1

    async def step(self, name: str, gate: Any) -> None:
        self.log.append(f"{name} starts")
        await gate.wait.remote()
        self.log.append(f"{name} ends")

    async def get_log(self) -> list[str]:
        return self.log

    async def block(self, refs: list[Any]) -> Any:
        return air.get(refs[0])

    async def nested(self, number: int) -> int:
        return await add.remote(number, await identity.remote(1))

    async def call_itself(self) -> int:
        return await air.get_runtime_context().current_actor.double.remote(4)


@pytest.mark.usefixtures("session")
class TestAsyncActors:
    def test_results(self) -> None:
        actor = Async.remote()
        assert value([actor.double.remote(number) for number in range(5)]) == [0, 2, 4, 6, 8]

    def test_plain_methods(self) -> None:
        assert value(Async.remote().plain.remote(1)) == 2

    def test_constructor_runs_on_the_event_loop(self) -> None:
        @air.remote
        class Background:
            def __init__(self) -> None:
                self.task = asyncio.get_running_loop().create_task(self.work())

            async def work(self) -> str:
                return "worked"

            async def result(self) -> str:
                return await self.task

        assert value(Background.remote().result.remote()) == "worked"

    def test_coroutine_of_a_plain_method(self) -> None:
        class Plain:
            def work(self) -> Any:
                return self._work()

            async def _work(self) -> int:
                return await identity.remote(4)

        class Mixed(Plain):
            async def other(self) -> None: ...

        assert value(air.remote(Mixed).remote().work.remote()) == 4

    def test_methods_run_at_the_same_time(self) -> None:
        gate = Gate.remote()
        waiting = [gate.wait.remote(number) for number in range(3)]
        value(gate.arrived.remote(3))
        gate.open.remote()
        assert value(waiting) == [0, 1, 2]

    def test_methods_start_in_order(self) -> None:
        recorder = Recorder.remote()
        for number in range(20):
            recorder.add.remote(number)
        assert value(recorder.items.remote()) == list(range(20))

    def test_max_concurrency(self) -> None:
        gate = Gate.remote()
        actor = Async.options(max_concurrency=1).remote()
        steps = [actor.step.remote(name, gate) for name in ("first", "second")]
        log = actor.get_log.remote()
        value(gate.arrived.remote(1))
        gate.open.remote()
        value(steps)
        assert value(log) == ["first starts", "first ends", "second starts", "second ends"]

    def test_await_references(self) -> None:
        actor = Async.remote()
        refs = [air.put(1), identity.remote(2), actor.double.remote(3), add.remote(2, 2)]
        assert value(actor.fetch.remote(refs)) == [1, 2, 6, 4]
        assert value(actor.gather.remote(refs)) == [1, 2, 6, 4]

    def test_await_what_is_not_there_yet(self) -> None:
        gate, actor = Gate.remote(), Async.remote()
        fetched = actor.fetch.remote(
            [gate.wait.remote("a"), add.remote(gate.wait.remote("b"), "c")]
        )
        gate.open.remote()
        assert value(fetched) == ["a", "bc"]

    def test_calls_of_others_inside(self) -> None:
        actor = Async.remote()
        assert value(actor.nested.remote(4)) == 5
        assert value(actor.call_itself.remote()) == 8

    def test_errors(self) -> None:
        actor = Async.remote()
        with pytest.raises(ValueError, match="oops") as caught:
            value(actor.fail.remote("oops"))
        assert last_frame(caught.value) == "fail"
        assert value(actor.double.remote(1)) == 2

    def test_errors_of_awaited_references(self) -> None:
        actor = Async.remote()
        with pytest.raises(ValueError, match="oops") as caught:
            value(actor.fetch.remote([actor.fail.remote("oops")]))
        assert last_frame(caught.value) == "fail"

    def test_timers(self) -> None:
        @air.remote
        class Sleeper:
            async def nap(self, seconds: float) -> float:
                await asyncio.sleep(seconds)
                return seconds

        sleeper = Sleeper.remote()
        naps = [sleeper.nap.remote(seconds) for seconds in (0.03, 0.01, 0.02)]
        assert air.wait(naps, timeout=TIMEOUT)[0] == [naps[1]]
        assert value(naps) == [0.03, 0.01, 0.02]

    def test_threads_inside(self) -> None:
        @air.remote
        class Threaded:
            async def work(self, number: int) -> int:
                return await asyncio.to_thread(lambda: number + 1)

        actor = Threaded.remote()
        assert value([actor.work.remote(number) for number in range(3)]) == [1, 2, 3]

    def test_background_task_ends_with_the_actor(self) -> None:
        recorder = Recorder.remote()

        @air.remote
        class Background:
            async def start(self, recorder: Any) -> None:
                self.task = asyncio.create_task(self.run(recorder))

            async def run(self, recorder: Any) -> None:
                while True:
                    await recorder.add.remote("tick")
                    await asyncio.sleep(0.001)

        actor = Background.remote()
        value(actor.start.remote(recorder))
        value(recorder.wait_for.remote("tick"))
        air.kill(actor)
        with pytest.raises(ActorDied):
            value(actor.start.remote(recorder))

    def test_blocking_inside_an_async_method(self) -> None:
        gate, actor = Gate.remote(), Async.remote()
        assert value(actor.block.remote([air.put(1)])) == 1
        if has(Capability.PARALLEL_TASKS):
            return
        with pytest.raises(DeadlockError, match="Use `await ref`"):
            value(actor.block.remote([gate.wait.remote()]))

    def test_waiting_for_ever_is_an_error_without_parallel_tasks(self) -> None:
        if has(Capability.PARALLEL_TASKS):
            return
        gate = Gate.remote()
        pending = gate.wait.options(name="the gate").remote()
        with pytest.raises(DeadlockError, match="the gate"):
            air.get(pending)
        with pytest.raises(DeadlockError, match="the gate"):
            air.wait([pending])
        gate.open.remote()
        assert value(pending) == "through"

    # In the caller's own event loop -----------------------------------------------------

    def test_await_in_several_loops(self) -> None:
        gate = Gate.remote()
        pending = gate.wait.remote()

        async def main() -> Any:
            return await asyncio.wait_for(_await(pending), TIMEOUT)

        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(asyncio.run, main()) for _ in range(3)]
            value(gate.open.remote())
            assert [future.result(TIMEOUT) for future in waiting] == ["through"] * 3

    def test_a_loop_that_stopped_waiting_harms_nobody(self) -> None:
        gate = Gate.remote()
        pending = gate.wait.remote()

        async def main() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pending, 0.01)

        asyncio.run(main())
        later, future = add.remote(pending, "!"), pending.future()
        gate.open.remote()
        assert future.result(10) == "through"
        assert value(later) == "through!"

    def test_await_in_the_program(self) -> None:
        gate, counter = Gate.remote(), Counter.remote()

        async def main() -> list[Any]:
            waiting = asyncio.ensure_future(_await(gate.wait.remote(0)))
            await asyncio.sleep(0)
            await gate.open.remote()
            return [await waiting, await counter.add.remote(), *await _both(1, 2)]

        async def _both(left: int, right: int) -> Any:
            return await asyncio.gather(identity.remote(left), add.remote(right, 1))

        assert asyncio.run(asyncio.wait_for(main(), TIMEOUT)) == [0, 1, 1, 3]

    def test_errors_in_the_program(self) -> None:
        async def main() -> None:
            await Async.remote().fail.remote("oops")

        with pytest.raises(ValueError, match="oops"):
            asyncio.run(asyncio.wait_for(main(), TIMEOUT))

    def test_timers_in_the_program(self) -> None:
        @air.remote
        class Sleeper:
            async def nap(self, seconds: float) -> float:
                await asyncio.sleep(seconds)
                return seconds

        async def main() -> list[float]:
            sleeper = Sleeper.remote()
            return await asyncio.gather(sleeper.nap.remote(0.02), sleeper.nap.remote(0.01))

        assert asyncio.run(asyncio.wait_for(main(), TIMEOUT)) == [0.02, 0.01]

    def test_get_inside_the_programs_event_loop(self) -> None:
        async def main() -> int:
            return value(Async.remote().double.remote(4))

        assert asyncio.run(asyncio.wait_for(main(), TIMEOUT)) == 8


async def _await(ref: Any) -> Any:
    return await ref
