"""Both ends of a stream: the producer stops in time, and is always told when it may go on."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

import air
from air.executor.current import get_executor
from air.executor.streaming import BYTES_AHEAD, VALUES_AHEAD
from air.testing.executor_suite.harness import value
from air.testing.executor_suite.tools import Counter
from air_cluster.client.streams import Stream
from air_cluster.protocol.messages import ActorCall, StreamClose, StreamCredit
from air_cluster.transport.connection import Connection
from air_cluster.worker.reporter import Production

LARGE = BYTES_AHEAD // 4


class Wire:
    """What one end sends, until the other takes it in."""

    def __init__(self) -> None:
        self.sent: deque[Any] = deque()
        self.closed = False

    def send(self, message: Any) -> None:
        self.sent.append(message)


class Ends:
    """A producer and a consumer; messages arrive when :meth:`deliver` is called."""

    def __init__(self, limit: int = BYTES_AHEAD) -> None:
        self.wire = Wire()
        self.stream = Stream(b"task", "task", limit, connection=self.wire)  # type: ignore[arg-type]
        self.production = Production(self.wire, limit)  # type: ignore[arg-type]

    def make(self, size: int) -> None:
        if self.production.made < self.stream.produced:
            self.stream.made_again(self.production.made, size)
        else:
            self.stream.add(size)
        self.production.add(size)

    def deliver(self) -> None:
        while self.wire.sent:
            credit = self.wire.sent.popleft()
            assert isinstance(credit, StreamCredit)
            self.production.taken(credit.consumed)

    def make_all(self, size: int) -> int:
        """Make values as long as there is room; returns how many."""
        made = 0
        while self.production.has_room:
            self.make(size)
            made += 1
        return made

    def start_again(self) -> None:
        self.production = Production(self.wire, self.production.limit)


@pytest.mark.parametrize(
    ("size", "ahead"), [(1, VALUES_AHEAD), (LARGE, 4), (LARGE + 1, 4), (10 * LARGE, 1)]
)
def test_a_producer_stops_after_so_many_values_or_bytes(size: int, ahead: int) -> None:
    ends = Ends()
    assert ends.make_all(size) == ahead
    for _ in range(ahead):
        assert ends.stream.take() is not None
    ends.deliver()
    assert ends.production.has_room
    assert ends.make_all(size) >= 1


@pytest.mark.parametrize(("limit", "ahead"), [(1, 1), (LARGE, 1), (LARGE + 1, 2), (4 * LARGE, 4)])
def test_bytes_ahead_says_when_it_stops(limit: int, ahead: int) -> None:
    ends = Ends(limit)
    for _ in range(3):
        assert ends.make_all(LARGE) == ahead
        while ends.stream.take() is not None:
            pass
        ends.deliver()


def test_values_come_out_in_the_order_in_which_they_went_in() -> None:
    ends = Ends()
    made = [ends.stream.add(LARGE) for _ in range(5)]
    assert [ends.stream.take() for _ in range(6)] == [*made, None]


@pytest.mark.parametrize("seed", range(20))
def test_whoever_takes_everything_gets_more(seed: int) -> None:
    chance = random.Random(seed)
    ends = Ends()
    for _ in range(300):
        while ends.production.has_room and chance.random() < 0.9:
            before = ends.production.bytes_ahead
            ends.make(chance.choice([0, 1, 1000, LARGE, 3 * LARGE]))
            assert before < BYTES_AHEAD
            assert len(ends.production.ahead) <= VALUES_AHEAD
        while ends.stream.ready and chance.random() < 0.8:
            ends.stream.take()
        if chance.random() < 0.5:
            ends.deliver()
        if chance.random() < 0.02:
            ends.start_again()
        if not ends.production.has_room:
            while ends.stream.take() is not None:
                pass
            ends.deliver()
            assert ends.production.has_room


def test_a_retry_makes_again_what_was_taken_without_waiting_for_anybody() -> None:
    ends = Ends()
    for _ in range(100):
        ends.make(LARGE)
        ends.stream.take()
    ends.start_again()
    ends.wire.sent.clear()
    for _ in range(100):
        assert ends.production.has_room
        ends.make(LARGE)
        ends.deliver()
    assert ends.stream.produced == 100
    ends.make(LARGE)
    assert ends.stream.take() is not None


def test_an_end_that_has_ended_is_told_nothing() -> None:
    ends = Ends()
    ends.make_all(LARGE)
    ends.stream.ended = True
    while ends.stream.take() is not None:
        pass
    assert not ends.wire.sent
    assert ends.stream.close() == []
    assert not ends.wire.sent


def test_a_stream_that_is_closed_says_so_and_gives_back_what_is_left() -> None:
    ends = Ends()
    ends.make_all(LARGE)
    ends.stream.take()
    assert len(ends.stream.close()) == 3
    assert isinstance(ends.wire.sent.pop(), StreamClose)


@pytest.mark.usefixtures("air_cluster")
def test_no_call_overtakes_the_news_that_a_stream_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a call sets going elsewhere may reach the producer, which must know by then."""

    @air.remote
    def count() -> Iterator[int]:
        yield from itertools.count()

    stream, counter = count.remote(), Counter.remote()
    value([next(stream), counter.add.remote()])
    sent: list[type] = []
    send = Connection.send

    def noted(connection: Connection, message: Any, payload: Any = ()) -> None:
        sent.append(type(message))
        send(connection, message, payload)

    monkeypatch.setattr(Connection, "send", noted)
    with get_executor()._client.reactor.lock:  # type: ignore[attr-defined]
        # So that no other thread is there to send what this one leaves behind.
        stream.close()
        called = counter.add.remote()
        assert [kind for kind in sent if kind in (StreamClose, ActorCall)] == [
            StreamClose,
            ActorCall,
        ]
    assert value(called) == 2
