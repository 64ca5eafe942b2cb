"""An asyncio loop that serves the reactor's events while it waits."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

import pytest

from air_cluster.transport import reactor as module
from air_cluster.transport.reactor import Reactor
from air_cluster.worker.leading_loop import LeadingLoop

variable = ContextVar("variable", default="unset")
Run = Callable[[Callable[[LeadingLoop], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def run(reactor: Reactor) -> Run:
    """Runs a coroutine function on a leading loop, which it is given; fails if it hangs."""

    def run(function: Callable[[LeadingLoop], Coroutine[Any, Any, None]]) -> None:
        loop = LeadingLoop(reactor)

        async def bounded() -> None:
            late: list[bool] = []
            asyncio.get_running_loop().call_later(10, late.append, True)
            await asyncio.wait_for(function(loop), 20)
            assert not late, "it went on only because a timer ended the wait"

        loop.run(bounded())

    return run


def test_the_loops_thread_serves_events_while_it_waits(
    reactor: Reactor, make_bell: Any, run: Run
) -> None:
    served_by: list[int] = []

    async def main(loop: LeadingLoop) -> None:
        rung = asyncio.Event()

        def on_ring() -> None:
            served_by.append(threading.get_ident())
            loop.call_soon(rung.set)

        bell = make_bell(on_ring)
        asyncio.get_running_loop().call_soon(bell.ring)
        await rung.wait()

    run(main)
    assert served_by == [threading.get_ident()]


def test_events_are_served_between_the_steps_of_a_busy_loop(
    reactor: Reactor, make_bell: Any, run: Run
) -> None:
    async def main(loop: LeadingLoop) -> None:
        bell = make_bell()
        bell.ring()
        while not bell.rung:
            await asyncio.sleep(0)

    run(main)


def test_timers_and_sockets_of_the_loop_work(reactor: Reactor, run: Run) -> None:
    async def main(_loop: LeadingLoop) -> None:
        here, there = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=here)
        there.sendall(b"ping")
        assert await reader.readexactly(4) == b"ping"
        await asyncio.sleep(0.001)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.001)
        writer.close()
        there.close()

    run(main)


def test_other_threads_can_call(reactor: Reactor, threads: Any, run: Run) -> None:
    async def main(loop: LeadingLoop) -> None:
        called = asyncio.Event()
        threads.start(lambda: loop.call_soon(called.set))
        await called.wait()
        assert await asyncio.to_thread(lambda: 7) == 7

    run(main)


def test_the_loop_goes_on_while_another_thread_leads(
    reactor: Reactor, threads: Any, make_bell: Any, run: Run
) -> None:
    async def main(loop: LeadingLoop) -> None:
        bell = make_bell()
        leads = threading.Event()

        def looking() -> int:
            leads.set()
            return bell.rung

        threads.start(lambda: reactor.wait_for(looking))
        assert leads.wait(20)
        with reactor.lock:
            pass  # now it waits for events, ours among them
        for _ in range(3):
            called = asyncio.Event()
            threads.start(lambda called=called: loop.call_soon(called.set))
            await called.wait()
            await asyncio.sleep(0.001)
        bell.ring()

    run(main)
    threads.join()


def test_the_background_serves_while_the_loop_is_busy(
    reactor: Reactor, make_bell: Any, run: Run
) -> None:
    """What the loop itself has to do meanwhile is noted once, and does not keep it turning."""
    reactor.start_background("background")
    looked: list[int] = []

    async def main(loop: LeadingLoop) -> None:
        served = threading.Event()
        bell = make_bell(served.set)
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        note, count = selector.on_events, looked.append
        selector.on_events = lambda mask: (count(mask), note(mask))
        called = asyncio.Event()
        asyncio.get_running_loop().call_soon_threadsafe(called.set)
        bell.ring()
        assert served.wait(20)  # blocks the loop, as a plain call of air.get would
        again = threading.Event()
        bell.on_ring = again.set
        bell.ring()
        assert again.wait(20)
        assert len(looked) == 1
        await called.wait()

    run(main)


def test_what_becomes_ready_while_another_thread_leads_is_not_slept_over(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    """The loop waits for the background's round to end, and has something to do after it."""
    reactor.start_background("background")
    me = threading.get_ident()
    wake = reactor._wake

    async def main(loop: LeadingLoop) -> None:
        called = asyncio.Event()
        threadsafe = asyncio.get_running_loop().call_soon_threadsafe

        def wake_later() -> None:
            if threading.get_ident() == me and not woken:
                woken.append(True)
                threadsafe(called.set)  # as if another thread did: it wakes the leader as well
            else:
                wake()

        woken: list[bool] = []
        leads = False
        while not leads:  # as soon as this thread has computed for a moment
            with reactor.lock:
                leads = reactor._leader == module._BACKGROUND
        monkeypatch.setattr(reactor, "_wake", wake_later)
        await called.wait()
        assert woken

    run(main)


def test_a_call_that_waits_does_not_see_the_loops_events_again_and_again(
    reactor: Reactor, make_bell: Any, run: Run
) -> None:
    looked: list[int] = []

    async def main(_loop: LeadingLoop) -> None:
        selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
        note, count = selector.on_events, looked.append
        selector.on_events = lambda mask: (count(mask), note(mask))
        called = asyncio.Event()
        asyncio.get_running_loop().call_soon_threadsafe(called.set)
        bell = make_bell()

        def three_rounds_later() -> bool:
            if looked and bell.rung < 3:
                bell.ring()
            return bool(bell.rung == 3)

        reactor.wait_for(three_rounds_later)
        assert len(looked) == 1
        await called.wait()

    run(main)


def test_what_one_call_sets_in_its_context_is_not_seen_by_others(
    reactor: Reactor, make_bell: Any, run: Run
) -> None:
    seen: list[str] = []

    async def main(loop: LeadingLoop) -> None:
        variable.set("mine")
        done = asyncio.Event()

        def note() -> None:
            seen.append(variable.get())
            done.set()

        bell = make_bell(lambda: loop.call_soon(note))
        bell.ring()
        reactor.wait_for(lambda: bell.rung)  # handlers run here, in the context of this call
        await done.wait()

    run(main)
    assert seen == ["unset"]


def test_it_gives_its_descriptors_back(
    reactor: Reactor, run: Run, count_fds: Callable[[], int]
) -> None:
    async def main(_loop: LeadingLoop) -> None:
        await asyncio.sleep(0)

    before = count_fds()
    run(main)
    assert count_fds() == before


def test_it_turns_without_a_reactor_too(reactor: Reactor, threads: Any, run: Run) -> None:
    """A closed reactor has no events; the loop's own are served on."""

    async def main(_loop: LeadingLoop) -> None:
        await asyncio.to_thread(reactor.close)
        await asyncio.sleep(0.001)

    run(main)
