"""Waiting awake where events come soon, asleep where they do not."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from air_cluster.transport import poller as module
from air_cluster.transport.poller import READ, WRITE, Poller, Wakefulness, to_mask

STEP = 2.0**-15  # exact in sums; short of what counts as taken away
SHORT, LONG = module._AWAKE_S / 2, module._AWAKE_S * 2


class Pipe:
    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.events: list[int] = []

    def fileno(self) -> int:
        return self.reader

    def on_events(self, mask: int) -> None:
        self.events.append(mask)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


@pytest.fixture
def poller() -> Iterator[Poller]:
    made = Poller()
    yield made
    made.close()


def after(*sleeps: float) -> Wakefulness:
    made = Wakefulness()
    for seconds in sleeps:
        made.slept(seconds)
    return made


def test_at_first_nobody_stays_awake() -> None:
    assert not Wakefulness().pays


def test_several_short_waits_in_a_row_make_it_pay() -> None:
    assert not after(SHORT, SHORT).pays
    assert after(SHORT, SHORT, SHORT).pays


def test_a_long_wait_ends_it() -> None:
    assert not after(SHORT, SHORT, SHORT, LONG).pays
    assert after(SHORT, SHORT, SHORT, LONG, SHORT, SHORT, SHORT).pays


def test_it_rests_when_others_want_the_processor() -> None:
    wakefulness = after(SHORT, SHORT, SHORT)
    wakefulness.disturbed()
    for _ in range(module._REST + module._SHORT_WAITS - 1):
        wakefulness.slept(SHORT)
        assert not wakefulness.pays
    wakefulness.slept(SHORT)
    assert wakefulness.pays


def test_a_long_wait_does_not_shorten_the_rest() -> None:
    wakefulness = Wakefulness()
    wakefulness.disturbed()
    wakefulness.slept(LONG)
    for _ in range(module._SHORT_WAITS + 1):
        wakefulness.slept(SHORT)
    assert not wakefulness.pays


def test_an_event_ends_the_wait(poller: Poller, pipe: Pipe) -> None:
    poller.register(pipe, READ)
    assert poller.wait(0, alone=True) == []
    os.write(pipe.writer, b"x")
    ((fd, events),) = poller.wait(None, alone=True)
    assert poller.find(fd) is pipe
    assert to_mask(events) == READ


def test_what_hangs_up_is_ready_for_all_that_is_tried(poller: Poller, pipe: Pipe) -> None:
    poller.register(pipe, READ)
    os.close(pipe.writer)
    ((_, events),) = poller.wait(None, alone=True)
    assert to_mask(events) & READ
    pipe.writer = os.dup(pipe.reader)


def test_masks(poller: Poller) -> None:
    reader, writer = os.pipe()

    class Writer:
        def fileno(self) -> int:
            return writer

        def on_events(self, mask: int) -> None:
            raise AssertionError

    end = Writer()
    poller.register(end, READ | WRITE)
    ((_, events),) = poller.wait(None, alone=True)
    assert to_mask(events) == WRITE
    poller.modify(end, 0)
    assert poller.wait(0, alone=True) == []
    os.close(reader)
    os.close(writer)


def test_what_is_not_watched_any_more_is_nobodys(poller: Poller, pipe: Pipe) -> None:
    poller.register(pipe, READ)
    poller.unregister(pipe)
    poller.unregister(pipe)
    os.write(pipe.writer, b"x")
    assert poller.wait(0, alone=True) == []
    assert poller.find(pipe.reader) is None


class Recorder:
    """The system's poll, which finds nothing before it is asked without a limit of time."""

    def __init__(self) -> None:
        self.timeouts: list[float | None] = []

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        self.timeouts.append(timeout)
        return [] if timeout == 0 else [(1, 1)]

    def close(self) -> None:
        pass


@pytest.fixture
def looks(poller: Poller, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[float | None]]:
    """The timeouts that the system is asked for in one wait after three short ones."""
    now = [0.0]

    def clock() -> float:
        now[0] += tick[0]
        return now[0]

    tick = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", clock)
    monkeypatch.setattr(module, "_HAS_SEVERAL_CPUS", True)

    def look(*, alone: bool = True, step: float = 0.0, timeout: Any = None) -> list[float | None]:
        poller._epoll.close()
        recorder = Recorder()
        poller._epoll = recorder  # type: ignore[assignment]
        poller._wakefulness = Wakefulness()
        tick[0] = 0.0
        for _ in range(3):
            poller.wait(None, alone=alone)
        recorder.timeouts.clear()
        tick[0] = step
        poller.wait(timeout, alone=alone)
        return recorder.timeouts

    return look


def test_it_looks_again_and_again_before_it_sleeps(looks: Any) -> None:
    assert looks(step=STEP) == [0] * math.ceil(module._AWAKE_S / STEP) + [None]


def test_it_sleeps_at_once_beside_other_threads(looks: Any) -> None:
    assert looks(alone=False, step=STEP) == [None]


def test_it_sleeps_once_somebody_else_had_the_processor(looks: Any) -> None:
    assert looks(step=module._TAKEN_S * 1.5) == [0, None]


def test_a_short_time_limit_is_the_systems(looks: Any) -> None:
    assert looks(timeout=SHORT) == [SHORT]
    assert looks(timeout=0) == [0]
