"""Who waits for whom: more waiting than there are CPUs never comes to a standstill."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import air
from air.testing.executor_suite.harness import value
from air.testing.executor_suite.tools import Counter, Gate, Recorder, identity

pytestmark = pytest.mark.usefixtures("cluster")


@air.remote
class Asker:
    """Asks a task, from a method."""

    def ask(self, number: int) -> int:
        return air.get(identity.remote(number))


@air.remote
def ask(asker: Any, number: int) -> int:
    return air.get(asker.ask.remote(number))


@air.remote
def numbers(count: int) -> Any:
    yield from range(count)


# Tasks that wait for tasks ----------------------------------------------------------------


def test_a_chain_that_is_longer_than_there_are_cpus() -> None:
    @air.remote
    def down(depth: int) -> int:
        return 0 if depth == 0 else 1 + air.get(down.remote(depth - 1))

    assert value(down.remote(12)) == 12


def test_a_tree_that_is_wider_than_there_are_cpus() -> None:
    @air.remote
    def leaves(depth: int) -> int:
        return 1 if depth == 0 else sum(air.get([leaves.remote(depth - 1) for _ in range(3)]))

    assert value(leaves.remote(3)) == 27


def test_short_tasks_that_one_result_sets_free_all_begin() -> None:
    """All of them on the worker that has just given the result, and has nothing else to do."""
    holder = Counter.options(num_cpus=1).remote()
    value(holder.add.remote())  # from now on there is one CPU
    value([identity.remote(number) for number in range(100)])  # short, as is known from now on
    for _ in range(10):
        first = identity.remote(1)
        assert value([identity.remote(first) for _ in range(5)]) == [1] * 5


def test_tasks_that_need_every_cpu_wait_for_their_like() -> None:
    @air.remote(num_cpus=2)
    def down(depth: int) -> int:
        return 0 if depth == 0 else 1 + air.get(down.remote(depth - 1))

    assert value([down.remote(3), down.remote(3)]) == [3, 3]


def test_a_task_waits_for_an_actor_that_waits_for_a_task() -> None:
    asker = Asker.remote()
    assert value([ask.remote(asker, number) for number in range(20)]) == list(range(20))


def test_an_actor_that_holds_a_cpu_gives_it_back_while_it_waits() -> None:
    askers = [Asker.options(num_cpus=1).remote() for _ in range(2)]
    calls = [
        ask.options(num_cpus=0).remote(asker, number) for number in range(5) for asker in askers
    ]
    assert value(calls) == [number for number in range(5) for _ in askers]


@pytest.mark.parametrize("kind", ["actor", "task"])
def test_async_code_that_holds_every_cpu_gives_them_back_while_it_awaits(kind: str) -> None:
    async def work() -> list[int]:
        first = await identity.remote(1)
        return [first, *[await ref async for ref in numbers.remote(3)]]

    @air.remote(num_cpus=2)
    class Worker:
        async def work(self) -> list[int]:
            return await work()

    if kind == "task":
        assert value(air.remote(num_cpus=2)(work).remote()) == [1, 0, 1, 2]
    else:
        worker = Worker.remote()
        assert value([worker.work.remote() for _ in range(3)]) == [[1, 0, 1, 2]] * 3


def test_a_child_that_is_waited_for_goes_before_a_backlog() -> None:
    @air.remote
    def parent() -> int:
        return air.get(identity.remote(1))

    gate = Gate.remote()

    @air.remote
    def block(gate: Any) -> None:
        air.get(gate.wait.remote())

    backlog = [block.remote(gate) for _ in range(4)]
    backlog += [identity.remote(number) for number in range(500)]
    assert value(parent.remote()) == 1
    value(gate.open.remote())
    value(backlog)


def test_waiting_in_several_threads_of_a_task() -> None:
    @air.remote
    def parent() -> list[int]:
        found: list[int] = []
        threads = [
            threading.Thread(target=lambda n=n: found.append(air.get(identity.remote(n))))
            for n in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(found)

    assert value([parent.remote() for _ in range(4)]) == [list(range(5))] * 4


def test_a_task_asks_again_and_again_whether_a_value_is_there() -> None:
    @air.remote
    def poll(refs: list[Any]) -> int:
        while not air.wait(refs, timeout=0)[0]:
            pass
        return air.get(refs[0])

    gate = Gate.remote()
    polling = poll.remote([gate.wait.remote(5)])
    value(gate.arrived.remote(1))
    value(gate.open.remote())
    assert value(polling) == 5


# Streams ----------------------------------------------------------------------------------


def test_two_streams_that_are_ahead_leave_room_for_their_consumers() -> None:
    """Both CPUs are held by generators that wait until somebody takes what they made."""
    total = 0
    for pair in zip(numbers.remote(300), numbers.remote(300), strict=True):
        total += sum(value([identity.remote(ref) for ref in pair]))
    assert total == 2 * sum(range(300))


def test_streams_that_nobody_takes_hold_nothing_up() -> None:
    streams = [numbers.remote(1000) for _ in range(3)]
    assert value([identity.remote(number) for number in range(10)]) == list(range(10))
    assert sum(1 for _ in streams[0]) == 1000
    for stream in streams:
        stream.close()
    assert value(identity.remote(1)) == 1


def test_a_task_consumes_a_stream_that_a_task_produces() -> None:
    @air.remote
    def consume(count: int) -> int:
        return sum(air.get(ref) for ref in numbers.remote(count))

    assert value([consume.remote(200) for _ in range(4)]) == [sum(range(200))] * 4


# Threads of the program -------------------------------------------------------------------


def test_a_thousand_calls_from_several_threads(start_thread: Callable[..., Any]) -> None:
    counter = Counter.remote()

    def count() -> list[int]:
        return [value(ref) for ref in [counter.add.remote() for _ in range(250)]]

    threads = [start_thread(count) for _ in range(4)]
    found = [thread.outcome() for thread in threads]
    assert all(one == sorted(one) for one in found)
    assert sorted(number for one in found for number in one) == list(range(1, 1001))


def test_everything_from_several_threads(start_thread: Callable[..., Any]) -> None:
    def mixture(seed: int) -> bool:
        for number in range(seed, seed + 15):
            recorder = Recorder.remote()
            refs = [identity.remote(number), air.put(bytes(100_000)), recorder.add.remote(number)]
            ready, rest = air.wait(refs, num_returns=2, timeout=30)
            assert len(ready) == 2
            assert value([*ready, *rest])
            assert [value(ref) for ref in numbers.remote(5)] == list(range(5))
            assert value(identity.remote(refs[1])) == bytes(100_000)
        return True

    threads = [start_thread(lambda seed=seed: mixture(seed)) for seed in range(4)]
    assert [thread.outcome() for thread in threads] == [True] * 4


def test_a_loop_of_the_program_and_threads_at_the_same_time(
    start_thread: Callable[..., Any],
) -> None:
    counter = Counter.remote()

    async def gather() -> list[int]:
        return await asyncio.gather(*(_awaited(counter.add.remote(0)) for _ in range(100)))

    threads = [start_thread(lambda: asyncio.run(gather())) for _ in range(3)]
    threads += [start_thread(lambda: value([counter.add.remote(0) for _ in range(100)]))]
    assert [thread.outcome() for thread in threads] == [[0] * 100] * 4


async def _awaited(ref: Any) -> int:
    return int(await ref)
