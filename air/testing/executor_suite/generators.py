"""Streaming generators: references as the values come."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import air
from air.errors import GetTimeout, InvalidOption, SerializationError, TaskError
from air.executor.capabilities import Capability
from air.executor.current import get_executor
from air.executor.streaming import BYTES_AHEAD
from air.testing.executor_suite.harness import TIMEOUT, last_frame, value
from air.testing.executor_suite.tools import Gate, Recorder, identity

HEAVY = BYTES_AHEAD // 4
"""Bytes of a value of which a producer makes few ahead."""


@air.remote
def count(stop: int) -> Iterator[int]:
    yield from range(stop)


@air.remote
async def count_async(stop: int) -> AsyncIterator[int]:
    for number in range(stop):
        await asyncio.sleep(0)
        yield number


@air.remote
def endless(recorder: Any) -> Iterator[int]:
    try:
        yield from itertools.count()
    finally:
        air.get(recorder.add.remote("closed"))


@air.remote
async def endless_async(recorder: Any) -> AsyncIterator[int]:
    try:
        for number in itertools.count():
            yield number
    finally:
        await recorder.add.remote("closed")


@air.remote
def heavy(recorder: Any, stop: int) -> Iterator[np.ndarray]:
    for number in range(stop):
        air.get(recorder.add.remote(number))
        yield np.full(HEAVY, number, np.uint8)


@air.remote
async def heavy_async(recorder: Any, stop: int) -> AsyncIterator[np.ndarray]:
    for number in range(stop):
        await recorder.add.remote(number)
        yield np.full(HEAVY, number, np.uint8)


@air.remote
async def after(gate: Any) -> AsyncIterator[int]:
    await gate.wait.remote()
    yield 1


@air.remote
def fail_after(stop: int) -> Iterator[int]:
    yield from range(stop)
    raise ValueError("oops")


@air.remote
class Streamer:
    def __init__(self) -> None:
        self.given = 0

    def give(self, stop: int) -> Iterator[int]:
        for number in range(stop):
            self.given += 1
            yield number

    def total(self) -> int:
        return self.given


@air.remote
class Patient:
    @air.method(bytes_ahead=1)
    def one_at_a_time(self, recorder: Any) -> Iterator[int]:
        for number in itertools.count():
            air.get(recorder.add.remote(number))
            yield number

    def many_at_a_time(self, recorder: Any) -> Iterator[int]:
        yield from self.one_at_a_time(recorder)


@air.remote
class AsyncStreamer:
    async def give(self, stop: int) -> AsyncIterator[int]:
        for number in range(stop):
            await asyncio.sleep(0)
            yield number

    def plain(self, stop: int) -> Iterator[int]:
        yield from range(stop)

    async def collect(self, stop: int) -> list[int]:
        return [await ref async for ref in count.remote(stop)]


@pytest.mark.usefixtures("session")
class TestGenerators:
    @pytest.mark.parametrize("function", [count, count_async])
    def test_values_in_order(self, function: Any) -> None:
        stream = function.remote(5)
        assert isinstance(stream, air.ObjectRefGenerator)
        refs = list(stream)
        assert all(isinstance(ref, air.ObjectRef) for ref in refs)
        assert value(refs) == [0, 1, 2, 3, 4]
        assert list(stream) == []

    @pytest.mark.parametrize("function", [count, count_async])
    def test_no_values(self, function: Any) -> None:
        assert list(function.remote(0)) == []

    def test_arguments_are_resolved(self) -> None:
        gate = Gate.remote()
        stream = count.remote(gate.wait.remote(2))
        gate.open.remote()
        assert [value(ref) for ref in stream] == [0, 1]

    def test_any_iterable_when_asked(self) -> None:
        stream = identity.options(num_returns="streaming").remote([1, 2])
        assert [value(ref) for ref in stream] == [1, 2]

    def test_any_way_to_make_an_iterable(self) -> None:
        @air.remote(num_returns="streaming")
        async def later() -> list[int]:
            await asyncio.sleep(0)
            return [1, 2]

        async def items() -> AsyncIterator[int]:
            yield 1
            yield 2

        class Numbers:
            def __call__(self) -> Iterator[int]:
                yield from (1, 2)

        plain = air.remote(lambda: items()).options(num_returns="streaming")
        for function in (later, plain, air.remote(Numbers())):
            assert [value(ref) for ref in function.remote()] == [1, 2]

    def test_what_is_not_iterable(self) -> None:
        (ref,) = identity.options(num_returns="streaming").remote(1)
        with pytest.raises(TypeError, match="must return a generator, but it returned int"):
            value(ref)

    @pytest.mark.parametrize("function", [endless, endless_async])
    def test_infinite_and_closed_early(self, function: Any) -> None:
        recorder = Recorder.remote()
        stream = function.remote(recorder)
        refs = [next(stream) for _ in range(3)]
        stream.close()
        value(recorder.wait_for.remote("closed"))
        assert value(refs) == [0, 1, 2]
        stream.close()  # the second time does nothing

    @pytest.mark.parametrize("function", [endless, endless_async])
    def test_infinite_and_dropped(self, function: Any) -> None:
        recorder = Recorder.remote()
        stream = function.remote(recorder)
        first = next(stream)
        del stream
        value(recorder.wait_for.remote("closed"))
        assert value(first) == 0

    @pytest.mark.parametrize("function", [heavy, heavy_async])
    def test_a_producer_waits_until_large_values_are_taken(self, function: Any) -> None:
        recorder = Recorder.remote()
        stream = function.remote(recorder, 40)
        ahead = BYTES_AHEAD // HEAVY
        if Capability.PARALLEL_TASKS in get_executor().capabilities:
            value(recorder.wait_for.remote(ahead - 1))
        for taken in range(40):
            value([identity.remote(number) for number in range(10)])  # time to go too far
            assert len(value(recorder.items.remote())) <= taken + ahead + 1
            assert value(next(stream))[0] == taken
        assert list(stream) == []

    @pytest.mark.parametrize("limit", [1, 2 * HEAVY])
    @pytest.mark.parametrize("function", [heavy, heavy_async])
    def test_bytes_ahead(self, function: Any, limit: int) -> None:
        recorder = Recorder.remote()
        stream = function.options(bytes_ahead=limit).remote(recorder, 10)
        ahead = -(-limit // HEAVY)
        if Capability.PARALLEL_TASKS in get_executor().capabilities:
            value(recorder.wait_for.remote(ahead - 1))
        for taken in range(10):
            value([identity.remote(number) for number in range(10)])  # time to go too far
            assert len(value(recorder.items.remote())) <= taken + ahead + 1
            assert value(next(stream))[0] == taken
        assert list(stream) == []

    @pytest.mark.parametrize("name", ["one_at_a_time", "many_at_a_time"])
    def test_bytes_ahead_of_a_method(self, name: str) -> None:
        recorder = Recorder.remote()
        method = getattr(Patient.remote(), name)
        if name == "many_at_a_time":
            method = method.options(bytes_ahead=1)
        stream = method.remote(recorder)
        for taken in range(10):
            assert value(next(stream)) == taken
            value([identity.remote(number) for number in range(10)])
            assert len(value(recorder.items.remote())) <= taken + 2
        stream.close()

    def test_bytes_ahead_is_a_number_of_bytes(self) -> None:
        for wrong in (0, -1, 1.5, "1 MiB"):
            with pytest.raises(InvalidOption, match="bytes_ahead"):
                count.options(bytes_ahead=wrong)
            with pytest.raises(InvalidOption, match="bytes_ahead"):
                air.method(bytes_ahead=wrong)

    def test_closed_before_it_began(self) -> None:
        stream = count.remote(3)
        stream.close()

    def test_close_does_not_interrupt_what_runs(self) -> None:
        gate, recorder = Gate.remote(), Recorder.remote()

        @air.remote
        async def patient(gate: Any, recorder: Any) -> AsyncIterator[int]:
            try:
                yield 1
                await gate.wait.remote()
                await recorder.add.remote("went on")
                yield 2
                await recorder.add.remote("went too far")
            finally:
                await recorder.add.remote("closed")

        stream = patient.remote(gate, recorder)
        assert value(next(stream)) == 1
        with pytest.raises(GetTimeout):
            stream.next_within(0.05)
        value(gate.arrived.remote(1))
        stream.close()
        gate.open.remote()
        value(recorder.wait_for.remote("closed"))
        assert value(recorder.items.remote()) == ["went on", "closed"]

    def test_nothing_comes_after_close(self) -> None:
        recorder = Recorder.remote()
        stream = endless.remote(recorder)
        next(stream)
        stream.close()
        assert list(stream) == []

    def test_close_ends_it_for_a_thread_that_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gate, asked = Gate.remote(), threading.Event()
        executor = get_executor()
        next_in_stream = executor.next_in_stream

        def noted(*args: Any) -> Any:
            asked.set()
            return next_in_stream(*args)

        monkeypatch.setattr(executor, "next_in_stream", noted)
        stream = after.remote(gate)
        with ThreadPoolExecutor(1) as pool:
            rest = pool.submit(list, stream)
            assert asked.wait(TIMEOUT)
            value(gate.arrived.remote(1))
            stream.close()
            assert rest.result(TIMEOUT) == []
        gate.open.remote()

    def test_close_ends_it_for_a_coroutine_that_waits(self) -> None:
        gate = Gate.remote()

        async def close_while_waiting() -> list[Any]:
            stream = after.remote(gate)

            async def rest() -> list[Any]:
                return [ref async for ref in stream]

            waiting = asyncio.create_task(rest())
            await gate.arrived.remote(1)
            stream.close()
            return await asyncio.wait_for(waiting, TIMEOUT)

        assert asyncio.run(close_while_waiting()) == []
        gate.open.remote()

    @pytest.mark.parametrize("good", [0, 2])
    def test_error_is_the_last_reference(self, good: int) -> None:
        refs = list(fail_after.remote(good))
        assert value(refs[:good]) == list(range(good))
        assert len(refs) == good + 1
        with pytest.raises(ValueError, match="oops") as caught:
            value(refs[-1])
        assert isinstance(caught.value, TaskError)
        assert last_frame(caught.value) == "fail_after"

    def test_error_among_the_arguments(self) -> None:
        @air.remote
        def fail() -> int:
            raise LookupError("oops")

        (ref,) = count.remote(fail.remote())
        with pytest.raises(LookupError, match="oops"):
            value(ref)

    def test_value_that_cannot_be_pickled(self) -> None:
        @air.remote
        def locks() -> Iterator[Any]:
            yield 1
            yield threading.Lock()

        good, bad = locks.remote()
        assert value(good) == 1
        with pytest.raises(SerializationError, match="yielded"):
            value(bad)

    def test_references_as_arguments_of_other_tasks(self) -> None:
        doubled = [identity.remote(ref) for ref in count.remote(3)]
        assert value(doubled) == [0, 1, 2]

    def test_yielded_values_are_copies(self) -> None:
        @air.remote
        def grow() -> Iterator[list[int]]:
            items: list[int] = []
            for number in range(3):
                items.append(number)
                yield items

        assert [value(ref) for ref in grow.remote()] == [[0], [0, 1], [0, 1, 2]]

    def test_large_values(self) -> None:
        @air.remote
        def arrays() -> Iterator[Any]:
            for number in range(3):
                yield np.full(200_000, number)

        assert [value(ref).sum() for ref in arrays.remote()] == [0, 200_000, 400_000]

    @pytest.mark.parametrize("wrong", [-1, "soon", float("nan")])
    def test_next_within_checks_its_argument(self, wrong: Any) -> None:
        with pytest.raises(InvalidOption, match="timeout"):
            count.remote(1).next_within(wrong)

    def test_next_within(self) -> None:
        stream = count.remote(1)
        assert value(stream.next_within(TIMEOUT)) == 0
        with pytest.raises(StopIteration):
            stream.next_within(TIMEOUT)

    def test_next_within_too_short(self) -> None:
        gate = Gate.remote()

        @air.remote
        async def patient(gate: Any) -> AsyncIterator[Any]:
            yield await gate.wait.remote()

        stream = patient.remote(gate)
        with pytest.raises(GetTimeout, match="patient"):
            stream.next_within(0.05)
        gate.open.remote()
        assert value(next(stream)) == "through"

    def test_retries_skip_what_was_given(self) -> None:
        @air.remote(max_retries=1, retry_exceptions=[ConnectionError])
        def flaky(recorder: Any) -> Iterator[int]:
            for number in range(4):
                if air.get(recorder.add.remote(number)) == 3:
                    raise ConnectionError
                yield number

        @air.remote(max_retries=1, retry_exceptions=[ConnectionError])
        async def flaky_async(recorder: Any) -> AsyncIterator[int]:
            for number in range(4):
                if await recorder.add.remote(number) == 3:
                    raise ConnectionError
                yield number

        for function in (flaky, flaky_async):
            assert [value(ref) for ref in function.remote(Recorder.remote())] == [0, 1, 2, 3]

    def test_actor_methods(self) -> None:
        streamer = Streamer.remote()
        assert [value(ref) for ref in streamer.give.remote(3)] == [0, 1, 2]
        assert value(streamer.total.remote()) == 3

    def test_async_actor_methods(self) -> None:
        streamer = AsyncStreamer.remote()
        assert [value(ref) for ref in streamer.give.remote(3)] == [0, 1, 2]
        assert [value(ref) for ref in streamer.plain.remote(3)] == [0, 1, 2]

    @pytest.mark.parametrize("kind", [Streamer, AsyncStreamer])
    def test_an_actor_goes_on_after_a_stream_that_was_dropped_before_it_began(
        self, kind: Any
    ) -> None:
        streamer = kind.options(max_concurrency=1).remote()
        for _ in range(2):
            streamer.give.remote(1000).close()
        streamer.give.remote(1000)
        gc.collect()
        assert [value(ref) for ref in streamer.give.remote(3)] == [0, 1, 2]

    def test_two_streams_side_by_side(self) -> None:
        first, second = count.remote(3), count.remote(3)
        pairs = [(value(a), value(b)) for a, b in zip(first, second, strict=True)]
        assert pairs == [(0, 0), (1, 1), (2, 2)]

    def test_inside_tasks(self) -> None:
        @air.remote
        def total(stop: int) -> int:
            return sum(air.get(ref) for ref in count.remote(stop))

        assert value(total.remote(5)) == 10

    @pytest.mark.parametrize("function", [count, count_async])
    def test_async_iteration_in_the_program(self, function: Any) -> None:
        async def main() -> list[int]:
            return [await ref async for ref in function.remote(3)]

        assert asyncio.run(asyncio.wait_for(main(), TIMEOUT)) == [0, 1, 2]

    def test_async_iteration_in_an_actor(self) -> None:
        assert value(AsyncStreamer.remote().collect.remote(3)) == [0, 1, 2]

    def test_cannot_be_sent(self) -> None:
        with pytest.raises(TypeError, match="ObjectRefGenerator"):
            identity.remote(count.remote(1))
