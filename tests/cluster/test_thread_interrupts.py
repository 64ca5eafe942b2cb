"""Interrupts of threads come up in the user's code, and nowhere else."""

from __future__ import annotations

import random
import threading
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest

from air_cluster.transport.reactor import Reactor
from air_cluster.worker.thread_interrupts import InterruptibleCall

_OURS = """
def count(lock, counts):
    with lock:
        counts[0] += 1
        str(counts)
        counts[1] += 1

def wait(reactor, deadline):
    reactor.wait_for(lambda: False, deadline)
"""


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor()
    reactor.start_background("background")
    yield reactor
    reactor.close()


@pytest.fixture
def ours() -> Any:
    """Functions that pass for parts of the backend, where nothing may come up."""
    module = types.ModuleType("air_cluster.pretended")
    exec(_OURS, module.__dict__)
    return module


class Worker(threading.Thread):
    """Runs one call after another, as an actor's thread does."""

    def __init__(self, reactor: Reactor, ours: Any, seed: int) -> None:
        super().__init__()
        self.choice = random.Random(seed)
        self.reactor, self.ours = reactor, ours
        self.call = InterruptibleCall(reactor)
        self.counts, self.between = [0, 0], [0, 0]
        self.interrupted = self.errors = 0
        self.goes_on = True

    def run(self) -> None:
        while self.goes_on:
            self.call = call = InterruptibleCall(self.reactor)
            try:
                call.run(self.code)
            except KeyboardInterrupt as error:
                self.interrupted += call.ended_by(error)
            try:
                self.ours.count(self.reactor.lock, self.between)
            except BaseException:
                self.errors += 1

    def code(self) -> None:
        if self.choice.random() < 0.1:
            self.ours.wait(self.reactor, time.monotonic() + 0.002)
        for _ in range(self.choice.randrange(100)):
            self.ours.count(self.reactor.lock, self.counts)


def test_a_storm(reactor: Reactor, ours: Any) -> None:
    workers = [Worker(reactor, ours, seed) for seed in range(3)]
    for worker in workers:
        worker.start()
    choice = random.Random(0)
    while any(worker.interrupted < 100 for worker in workers):
        with reactor.lock:
            choice.choice(workers).call.cancel()
        for _ in range(choice.randrange(300)):
            pass
    for worker in workers:
        worker.goes_on = False
    for worker in workers:
        worker.join()
        assert worker.counts[0] == worker.counts[1]
        assert worker.between[0] == worker.between[1]
        assert not worker.errors


def test_what_was_cancelled_before_it_began_does_not_run(reactor: Reactor) -> None:
    call, told = InterruptibleCall(reactor), []
    with reactor.lock:
        call.cancel(lambda: told.append("children"))
    with pytest.raises(KeyboardInterrupt) as caught:
        call.run(lambda: told.append("ran"))
    assert call.ended_by(caught.value)
    assert told == ["children"]


def test_what_has_ended_is_left_alone(reactor: Reactor) -> None:
    call = InterruptibleCall(reactor)
    assert call.run(lambda: 1) == 1
    with reactor.lock:
        call.cancel()
    assert sum(range(1000)) == 499500


def test_not_in_a_finalizer(reactor: Reactor) -> None:
    """Nobody would see it there."""
    entered, cancelled = threading.Event(), threading.Event()
    finished: list[str] = []

    class Finalized:
        def __del__(self) -> None:
            entered.set()
            while not cancelled.is_set():
                pass
            finished.append("finalizer")

    def code() -> None:
        Finalized()
        while True:
            pass

    calls: list[InterruptibleCall] = []
    outcome: list[BaseException] = []

    def work() -> None:
        calls.append(InterruptibleCall(reactor))
        try:
            calls[0].run(code)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait(30)
    with reactor.lock:
        calls[0].cancel()
    cancelled.set()
    thread.join(30)
    assert finished == ["finalizer"]
    assert isinstance(outcome[0], KeyboardInterrupt)


def test_a_thread_that_cancels_what_it_runs(reactor: Reactor) -> None:
    """As it does when it serves the message that says so: it raises where it waits next."""
    call = InterruptibleCall(reactor)

    def code() -> None:
        with reactor.lock:
            call.cancel()
        reactor.wait_for(lambda: False, time.monotonic() + 30)

    with pytest.raises(KeyboardInterrupt):
        call.run(code)
