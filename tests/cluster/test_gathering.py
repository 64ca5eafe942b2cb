"""Calls of busy actors go out several at a time, and nobody can tell but by their speed."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import air
from air.errors import ActorDied, SerializationError
from air.executor.current import get_executor
from air.testing.executor_suite.harness import value
from air.testing.executor_suite.tools import Counter, Gate, Recorder

pytestmark = pytest.mark.usefixtures("cluster")


@air.remote
class Toucher:
    """Several calls at once, each of which can be seen from outside."""

    async def touch(self, path: str) -> None:
        Path(path).touch()


@air.remote
class Taker:
    def count(self, *args: Any) -> int:
        return len(args)


def test_a_program_that_goes_on_computing_sends_its_calls(tmp_path: Path) -> None:
    toucher = Toucher.remote()
    value(toucher.touch.remote(str(tmp_path / "first")))
    paths = [tmp_path / str(number) for number in range(10)]
    refs = [toucher.touch.remote(str(path)) for path in paths]
    deadline = time.monotonic() + 30
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline  # meanwhile this thread leaves the cluster alone
    value(refs)


def test_calls_wait_for_no_answer_of_earlier_ones() -> None:
    gate = Gate.remote()
    value(gate.arrived.remote(0))
    waiting = [gate.wait.remote(number) for number in range(100)]
    gate.open.remote()
    assert value(waiting) == list(range(100))


def test_a_caller_of_many_takes_answers_in_as_it_goes() -> None:
    recorder = Recorder.remote()
    refs = [recorder.add.remote(number) for number in range(500)]
    assert value(refs) == list(range(1, 501))
    assert value(recorder.items.remote()) == list(range(500))


@air.remote
class Reader:
    """Has the threads of its process read calls in turn."""

    def __init__(self) -> None:
        self._order: list[str] = []

    async def note(self, name: str) -> None:
        self._order.append(name)

    async def order(self) -> list[str]:
        return self._order

    async def hold(self, held: Path, handed: Path, sent: Path) -> None:
        """The background thread reads the next call, and this one what comes then."""
        loop, reactor = asyncio.get_running_loop(), get_executor()._client.reactor  # type: ignore[attr-defined]
        known = len(loop._ready)  # type: ignore[attr-defined]
        held.touch()
        until(lambda: len(loop._ready) > known)  # type: ignore[attr-defined]
        handed.touch()

        def all_read() -> bool:
            is_sent = sent.exists()
            reactor.serve()
            return is_sent

        until(all_read)


def until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not ready():
        assert time.monotonic() < deadline


def test_calls_begin_in_order_whichever_thread_of_the_actor_reads_them(tmp_path: Path) -> None:
    reader = Reader.remote()
    held, handed, sent = (tmp_path / name for name in ("held", "handed", "sent"))
    refs = [reader.hold.remote(held, handed, sent)]
    until(held.exists)
    refs.append(reader.note.remote("first"))
    until(handed.exists)
    refs.append(reader.note.remote("second"))
    air.wait(refs, num_returns=3, timeout=0)  # sends it
    sent.touch()
    value(refs)
    assert value(reader.order.remote()) == ["first", "second"]


def test_calls_of_many_actors_take_turns() -> None:
    counters = [Counter.options(num_cpus=0).remote() for _ in range(5)]
    refs = [counter.add.remote() for _ in range(40) for counter in counters]
    assert value(refs) == [number for number in range(1, 41) for _ in counters]


def test_calls_of_an_actor_that_dies_with_them_waiting() -> None:
    counter = Counter.remote()
    value(counter.add.remote())
    refs = [counter.add.remote() for _ in range(10)]
    air.kill(counter)
    refs += [counter.add.remote() for _ in range(10)]
    for ref in refs:
        try:
            value(ref)
        except ActorDied:
            continue
        assert ref in refs[:10]


def test_a_call_that_is_too_long_for_a_message_fails_alone() -> None:
    taker = Taker.remote()
    before = taker.count.remote()
    part = air.put(b"x" * 60_000)
    refused = taker.count.remote(*[part] * 9_000)
    after = taker.count.remote(part, part)
    with pytest.raises(SerializationError, match=r"Taker.count: a ActorCall of \d+ bytes"):
        value(refused)
    assert value([before, after]) == [0, 2]


@air.remote
class Ending:
    """Calls that end in the same moment, before one that does something else."""

    async def give(self, number: int) -> int:
        return number

    async def hold_up(self, until: str) -> None:
        deadline = time.monotonic() + 30
        while not Path(until).exists():
            assert time.monotonic() < deadline  # all that happens meanwhile is in other threads

    async def leave(self) -> None:
        air.exit_actor()

    async def die(self) -> None:
        os._exit(1)


def test_an_answer_waits_for_no_call_that_holds_up_the_loop(tmp_path: Path) -> None:
    ending, end = Ending.remote(), tmp_path / "end"
    value(ending.give.remote(0))
    given = [ending.give.remote(number) for number in range(10)]
    held_up = ending.hold_up.remote(str(end))
    assert value(given) == list(range(10))
    end.touch()
    value(held_up)


def test_answers_arrive_before_the_news_that_the_actor_has_left() -> None:
    ending = Ending.remote()
    value(ending.give.remote(0))
    given = [ending.give.remote(number) for number in range(10)]
    left = ending.leave.remote()
    assert value(given) == list(range(10))
    with pytest.raises(ActorDied, match=r"Ending.leave called air.exit_actor"):
        value(left)


def test_a_call_whose_answer_died_with_the_actor_says_so() -> None:
    ending = Ending.remote()
    value(ending.give.remote(0))
    given = [ending.give.remote(number) for number in range(10)]
    died = ending.die.remote()
    with pytest.raises(ActorDied):
        value(died)
    for number, ref in enumerate(given):
        try:
            outcome = value(ref)
        except ActorDied as error:
            outcome = str(error)
        assert outcome == number or "Ending.give did not finish" in outcome
