"""Whichever thread has to wait serves the events for all."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from air_cluster.transport.reactor import Reactor

Serve = Callable[[Callable[[], Any]], None]


def wait_in_thread(
    reactor: Reactor, threads: Any, ready: Callable[[], Any], results: list[bool]
) -> None:
    """Start a thread that waits; returns when it does wait (or lead)."""
    looked = threading.Event()

    def looking() -> Any:
        looked.set()
        return ready()

    threads.start(lambda: results.append(reactor.wait_for(looking)))
    assert looked.wait(20)
    with reactor.lock:
        pass  # it held the lock when it looked, and lets go of it only to wait


def test_what_is_ready_is_not_waited_for(reactor: Reactor) -> None:
    assert reactor.wait_for(lambda: True)


def test_waiting_ends_at_the_deadline(reactor: Reactor) -> None:
    assert not reactor.wait_for(lambda: False, time.monotonic() - 1)
    started = time.monotonic()
    assert not reactor.wait_for(lambda: False, started + 0.01)
    assert time.monotonic() >= started + 0.01


def test_a_deadline_may_be_infinitely_far(reactor: Reactor, threads: Any, make_bell: Any) -> None:
    bell = make_bell()
    results: list[bool] = []
    for _ in range(2):  # one leads, one follows
        threads.start(lambda: results.append(reactor.wait_for(lambda: bell.rung, float("inf"))))
    bell.ring()
    threads.join()
    assert results == [True, True]


def test_what_is_ready_at_the_deadline_counts(reactor: Reactor) -> None:
    assert reactor.wait_for(lambda: True, time.monotonic() - 1)


def test_the_waiting_thread_serves_events_under_the_lock(
    reactor: Reactor, make_bell: Any, serve: Serve
) -> None:
    served_by: list[int] = []
    bell = make_bell(lambda: served_by.append(threading.get_ident()))
    bell.ring()
    serve(lambda: bell.rung)
    assert served_by == [threading.get_ident()]
    assert not reactor.owns_lock()


def test_poll_serves_only_what_is_there(reactor: Reactor, make_bell: Any) -> None:
    bell = make_bell()
    reactor.poll()
    assert bell.rung == 0
    bell.ring()
    reactor.poll()
    assert bell.rung == 1


def test_serving_takes_the_place_of_the_background(reactor: Reactor, make_bell: Any) -> None:
    rung = threading.Event()
    bell = make_bell(rung.set)
    reactor.start_background("background")
    bell.ring()
    assert rung.wait(20)  # now it waits for the next event, or is about to
    served_by: list[int] = []
    reactor.call_later(0, lambda: served_by.append(threading.get_ident()))
    deadline = time.monotonic() + 20
    while threading.get_ident() not in served_by and time.monotonic() < deadline:
        reactor.serve()
        reactor.call_later(0, lambda: served_by.append(threading.get_ident()))
    assert threading.get_ident() in served_by


def test_serving_waits_for_nothing_and_disturbs_no_other_leader(
    reactor: Reactor, threads: Any, make_bell: Any
) -> None:
    reactor.serve()
    bell = make_bell()
    results: list[bool] = []
    wait_in_thread(reactor, threads, lambda: bell.rung, results)
    reactor.serve()
    assert results == []
    bell.ring()
    threads.join()
    assert results == [True]


def test_serving_in_a_handler_or_under_the_lock_does_nothing(
    reactor: Reactor, make_bell: Any, serve: Serve
) -> None:
    order: list[str] = []
    second = make_bell(lambda: order.append("second"))

    def first() -> None:
        second.ring()
        reactor.serve()
        order.append("first")

    first_bell = make_bell(first)
    first_bell.ring()
    serve(lambda: second.rung)
    assert order == ["first", "second"]
    third = make_bell(lambda: order.append("third"))
    third.ring()
    with reactor.lock:
        reactor.serve()
        assert len(order) == 2
    reactor.serve()
    assert order[2:] == ["third"]


def test_one_leader_serves_all_who_wait(reactor: Reactor, threads: Any, make_bell: Any) -> None:
    bells = [make_bell() for _ in range(4)]
    results: list[bool] = []
    for bell in bells:
        wait_in_thread(reactor, threads, lambda bell=bell: bell.rung, results)
    for bell in reversed(bells):  # the leader's own comes last
        bell.ring()
    threads.join()
    assert results == [True] * 4


def test_another_leads_when_the_leader_is_done(
    reactor: Reactor, threads: Any, make_bell: Any
) -> None:
    first, second = make_bell(), make_bell()
    results: list[bool] = []
    wait_in_thread(reactor, threads, lambda: first.rung, results)
    wait_in_thread(reactor, threads, lambda: second.rung, results)
    first.ring()
    second.ring()
    threads.join()
    assert results == [True, True]


def test_another_leads_when_the_leader_fails(
    reactor: Reactor, threads: Any, make_bell: Any
) -> None:
    bell = make_bell()
    failed: list[BaseException] = []

    def fail() -> None:
        def ready() -> bool:
            if bell.rung:
                raise ValueError
            return False

        try:
            reactor.wait_for(ready)
        except ValueError as error:
            failed.append(error)

    threads.start(fail)
    results: list[bool] = []
    wait_in_thread(reactor, threads, lambda: bell.rung == 2, results)
    bell.ring()
    bell.ring()
    threads.join()
    assert results == [True]
    assert len(failed) == 1


def test_a_program_that_computes_is_served_in_the_background(
    reactor: Reactor, make_bell: Any
) -> None:
    rung = threading.Event()
    bell = make_bell(rung.set)
    reactor.start_background("background")
    bell.ring()
    assert rung.wait(20)


def test_the_background_steps_back_for_who_waits_and_takes_over_again(
    reactor: Reactor, make_bell: Any, serve: Serve
) -> None:
    served_by: list[int] = []
    rung = threading.Event()

    def note() -> None:
        served_by.append(threading.get_ident())
        rung.set()
        if len(served_by) % 20:
            bell.ring()

    bell = make_bell(note)
    reactor.start_background("background")
    me = threading.get_ident()
    for turn in (1, 2, 3):
        looks = 0

        def ready(turn: int = turn) -> bool:
            nonlocal looks
            looks += 1
            if looks == 1:
                bell.ring()  # now that everybody knows that this thread waits
            return len(served_by) == 20 * turn

        serve(ready)
        # The background may have been waiting for the first event of these.
        assert served_by[20 * turn - 19 : 20 * turn] == [me] * 19
    rung.clear()
    bell.ring()
    assert rung.wait(20)
    assert served_by[60] != me


def test_the_background_takes_over_after_a_long_wait(reactor: Reactor, make_bell: Any) -> None:
    rung = threading.Event()
    bell = make_bell(rung.set)
    reactor.start_background("background")
    # Long enough for the background to stop looking whether this thread still leads.
    assert not reactor.wait_for(lambda: False, time.monotonic() + 0.03)
    bell.ring()
    assert rung.wait(20)


def test_a_handler_that_fails_stops_nobody(
    reactor: Reactor, make_bell: Any, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("a bug")

    bad, good = make_bell(fail), make_bell()
    bad.ring()
    good.ring()
    with caplog.at_level(logging.ERROR):
        serve(lambda: good.rung and bad.rung)
    assert "a bug" in caplog.text


def test_a_handler_that_waits_is_told_off(reactor: Reactor, make_bell: Any, serve: Serve) -> None:
    told: list[str] = []

    def wait() -> None:
        try:
            reactor.wait_for(lambda: False)
        except RuntimeError as error:
            told.append(str(error))

    bell = make_bell(wait)
    bell.ring()
    serve(lambda: bell.rung)
    assert told == ["a message handler must not wait for messages"]


def test_a_handler_may_look_at_what_is_ready(
    reactor: Reactor, make_bell: Any, serve: Serve
) -> None:
    seen: list[bool] = []
    bell = make_bell(lambda: seen.append(reactor.wait_for(lambda: True)))
    bell.ring()
    serve(lambda: seen)
    assert seen == [True]


# Timers and functions to be called soon ----------------------------------------------------


def test_timers_run_in_the_order_of_their_times(reactor: Reactor, serve: Serve) -> None:
    ran: list[str] = []
    with reactor.lock:
        reactor.call_later(0.004, lambda: ran.append("last"))
        reactor.call_later(0.0, lambda: ran.append("first"))
        reactor.call_later(0.002, lambda: ran.append("middle"))
        reactor.call_later(0.0, lambda: ran.append("second"))
    serve(lambda: len(ran) == 4)
    assert ran == ["first", "second", "middle", "last"]


def test_a_timer_that_is_set_later_and_due_earlier_wakes_the_leader(
    reactor: Reactor, threads: Any
) -> None:
    ran: list[int] = []
    results: list[bool] = []
    with reactor.lock:
        reactor.call_later(3600, lambda: None)
    wait_in_thread(reactor, threads, lambda: ran, results)
    with reactor.lock:
        reactor.call_later(0, lambda: ran.append(1))
    threads.join()
    assert results == [True]


def test_a_timer_that_fails_stops_no_other(
    reactor: Reactor, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[int] = []
    with reactor.lock:
        reactor.call_later(0, lambda: [][0])
        reactor.call_later(0, lambda: ran.append(1))
    serve(lambda: ran)
    assert "IndexError" in caplog.text


def test_call_soon_wakes_the_leader_and_who_waits_looks_again(
    reactor: Reactor, threads: Any
) -> None:
    changed: list[int] = []
    results: list[bool] = []
    wait_in_thread(reactor, threads, lambda: changed, results)
    wait_in_thread(reactor, threads, lambda: changed, results)
    changed.append(1)  # outside of any round of events
    reactor.call_soon(lambda: None)
    threads.join()
    assert results == [True, True]


def test_call_soon_before_anybody_leads(reactor: Reactor, serve: Serve) -> None:
    ran: list[bool] = []
    reactor.call_soon(lambda: ran.append(reactor.owns_lock()))
    serve(lambda: ran)
    assert ran == [True]


def test_run_soon_does_not_wait_for_a_round(reactor: Reactor) -> None:
    ran: list[int] = []
    reactor.call_soon(lambda: (ran.append(1), reactor.call_soon(lambda: ran.append(2))))
    with reactor.lock:
        reactor.run_soon()
    assert ran == [1, 2]


def test_call_soon_from_a_finalizer_while_another_thread_has_the_lock(
    reactor: Reactor, threads: Any, serve: Serve
) -> None:
    ran: list[int] = []

    class Dropped:
        def __del__(self) -> None:
            reactor.call_soon(lambda: ran.append(1))

    held, dropped = threading.Event(), threading.Event()

    def hold() -> None:
        with reactor.lock:
            held.set()
            assert dropped.wait(20)

    threads.start(hold)
    assert held.wait(20)
    Dropped()  # garbage at once; would hang if it had to take the lock
    dropped.set()
    serve(lambda: ran)


def test_finalizers_in_handlers_of_the_leader(
    reactor: Reactor, make_bell: Any, serve: Serve
) -> None:
    ran: list[int] = []

    class Dropped:
        def __del__(self) -> None:
            reactor.call_soon(lambda: ran.append(1))

    bell = make_bell(lambda: Dropped() and None)
    bell.ring()
    serve(lambda: ran)


# Closing ----------------------------------------------------------------------------------


def test_close_wakes_everybody_who_waits(reactor: Reactor, threads: Any) -> None:
    results: list[bool] = []
    for _ in range(3):
        wait_in_thread(reactor, threads, lambda: False, results)
    reactor.close()
    threads.join()
    assert results == [False] * 3


def test_close_gives_its_descriptors_back(threads: Any, count_fds: Callable[[], int]) -> None:
    before = count_fds()
    idle = Reactor()
    idle.close()
    assert count_fds() == before
    with_background = Reactor()
    with_background.start_background("background")
    with_background.close()
    assert count_fds() == before
    for _ in range(5):
        led = Reactor()
        results: list[bool] = []
        wait_in_thread(led, threads, lambda: False, results)
        led.close()
        assert count_fds() == before
        threads.join()
        assert results == [False]


def test_a_handler_may_close(
    make_bell: Any, reactor: Reactor, count_fds: Callable[[], int]
) -> None:
    bells = [make_bell(reactor.close), make_bell(reactor.close)]
    before = count_fds()
    for bell in bells:
        bell.ring()
    assert not reactor.wait_for(lambda: False)
    assert count_fds() == before - 3  # a pipe and an epoll descriptor


def test_the_background_may_close(reactor: Reactor, make_bell: Any) -> None:
    closed = threading.Event()
    bell = make_bell(lambda: (reactor.close(), closed.set()))
    reactor.start_background("background")
    bell.ring()
    assert closed.wait(20)
    assert reactor._background is not None
    reactor._background.join(20)
    assert not reactor._background.is_alive()


def test_a_closed_reactor_does_nothing(reactor: Reactor) -> None:
    reactor.close()
    reactor.close()
    reactor.poll()
    reactor.call_soon(lambda: None)
    assert not reactor.wait_for(lambda: False)
    assert reactor.wait_for(lambda: True)


def test_what_comes_last_comes_after_all_that_is_left_for_the_round(
    reactor: Reactor, serve: Serve
) -> None:
    order: list[str] = []

    def first() -> None:
        order.append("first")
        reactor.call_last(lambda: order.append("last"))
        reactor.call_soon(second)

    def second() -> None:
        order.append("second")
        reactor.call_soon(lambda: order.append("third"))

    reactor.call_soon(first)
    serve(lambda: "last" in order)
    assert order == ["first", "second", "third", "last"]
