"""Ctrl-C never lands in the middle of the bookkeeping, and never gets lost."""

from __future__ import annotations

import _thread
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from air_cluster.transport.interrupts import InterruptGuard
from air_cluster.transport.reactor import Reactor

Serve = Callable[[Callable[[], Any]], None]


class Interrupted(BaseException):
    pass


@pytest.fixture
def guard(reactor: Reactor) -> Iterator[InterruptGuard]:
    def interrupt() -> None:
        raise Interrupted

    made = InterruptGuard(reactor, interrupt)
    yield made
    made.remove()


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def interrupt_main_thread() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.fixture
def usable(reactor: Reactor, threads: Any, make_bell: Any, serve: Serve) -> Callable[[], None]:
    """Checks that the reactor is in order: this thread and another can both use it."""

    def usable() -> None:
        assert not reactor.owns_lock()
        bell = make_bell()
        threads.start(bell.ring)
        serve(lambda: bell.rung)
        other = make_bell()
        threads.start(lambda: reactor.wait_for(lambda: other.rung))
        other.ring()
        threads.join()

    return usable


@pytest.mark.usefixtures("guard")
def test_in_the_programs_own_code_it_is_raised_at_once() -> None:
    with pytest.raises(Interrupted):
        press_ctrl_c()


@pytest.mark.usefixtures("guard")
def test_under_the_lock_it_waits(reactor: Reactor) -> None:
    with reactor.lock:
        press_ctrl_c()
        assert reactor.interrupt is not None


@pytest.mark.usefixtures("guard")
def test_in_a_handler_it_waits_until_the_round_is_over(
    reactor: Reactor, make_bell: Any, serve: Serve, usable: Callable[[], None]
) -> None:
    done: list[str] = []

    def handle() -> None:
        press_ctrl_c()
        done.append("handled")

    bell = make_bell(handle)
    reactor.call_soon(lambda: done.append("called soon"))
    bell.ring()
    with pytest.raises(Interrupted):
        serve(lambda: False)
    assert done == ["handled", "called soon"]
    usable()


@pytest.mark.usefixtures("guard")
def test_a_computing_program_hears_of_it_soon(reactor: Reactor, usable: Callable[[], None]) -> None:
    reactor.start_background("background")

    def compute() -> None:
        with reactor.lock:
            press_ctrl_c()
        threading.Event().wait(20)

    with pytest.raises(Interrupted):
        compute()
    usable()


@pytest.mark.usefixtures("guard")
def test_in_a_finalizer_it_waits(reactor: Reactor, usable: Callable[[], None]) -> None:
    """What is raised there, Python prints and forgets."""

    class Finalized:
        def __del__(self) -> None:
            press_ctrl_c()

    reactor.start_background("background")

    def compute() -> None:
        Finalized()
        threading.Event().wait(20)

    with pytest.raises(Interrupted):
        compute()
    usable()


@pytest.mark.usefixtures("guard")
def test_it_is_raised_once(reactor: Reactor, serve: Serve) -> None:
    with reactor.lock:
        press_ctrl_c()
    with pytest.raises(Interrupted):
        serve(lambda: False)
    late: list[int] = []
    with reactor.lock:
        reactor.call_later(0.005, lambda: late.append(1))  # after the resending would have come
    serve(lambda: late)


@pytest.mark.usefixtures("guard")
def test_it_ends_a_wait_for_events(
    reactor: Reactor, threads: Any, usable: Callable[[], None]
) -> None:
    def look() -> bool:
        threads.start(send_when_waiting)
        return False

    def send_when_waiting() -> None:
        with reactor.lock:  # the main thread has let go of it, so it waits
            pass
        interrupt_main_thread()

    with pytest.raises(Interrupted):
        reactor.wait_for(look)
    threads.join()
    usable()


@pytest.mark.usefixtures("guard")
def test_it_ends_a_wait_for_another_thread_that_leads(
    reactor: Reactor, threads: Any, make_bell: Any, usable: Callable[[], None]
) -> None:
    bell = make_bell()
    leads = threading.Event()

    def lead() -> None:
        reactor.wait_for(lambda: leads.set() or bell.rung)

    def look() -> bool:
        threads.start(send_when_waiting)
        return False

    def send_when_waiting() -> None:
        with reactor.lock:
            assert reactor._waiting
        interrupt_main_thread()

    threads.start(lead)
    assert leads.wait(20)
    with pytest.raises(Interrupted):
        reactor.wait_for(look)
    bell.ring()
    threads.join()
    usable()


@pytest.mark.usefixtures("guard")
def test_while_another_thread_has_the_lock(
    reactor: Reactor, threads: Any, make_bell: Any, usable: Callable[[], None]
) -> None:
    """The main thread has seen events and has to wait for the lock to handle them."""
    bell = make_bell()

    def look() -> bool:
        threads.start(disturb)
        return False

    def disturb() -> None:
        with reactor.lock:
            bell.ring()
            # Until the main thread stands at the lock: it is found in that function.
            main = threading.main_thread().ident or 0
            while not _stands_in(main, "_take_lock_back"):
                os.sched_yield()
            interrupt_main_thread()
            interrupt_main_thread()

    with pytest.raises(Interrupted):
        reactor.wait_for(look)
    assert bell.rung == 1
    threads.join()
    usable()


def _stands_in(thread: int, function: str) -> bool:
    frame = sys._current_frames().get(thread)
    return frame is not None and frame.f_code.co_name == function


class NoisyLock:
    """The reactor's lock; Ctrl-C is pressed the moment that the main thread releases it."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()

    def release(self) -> None:
        self._lock.release()
        if threading.current_thread() is threading.main_thread():
            press_ctrl_c()


@pytest.mark.usefixtures("guard")
@pytest.mark.parametrize("another_leads", [False, True])
def test_between_letting_go_of_the_lock_and_waiting(
    reactor: Reactor,
    threads: Any,
    make_bell: Any,
    usable: Callable[[], None],
    another_leads: bool,
) -> None:
    bell = make_bell()
    if another_leads:
        leads = threading.Event()
        threads.start(lambda: reactor.wait_for(lambda: leads.set() or bell.rung))
        assert leads.wait(20)
        with reactor.lock:
            pass  # it has let go of it to wait for events
    plain = reactor.lock
    reactor.lock = NoisyLock(plain)  # type: ignore[assignment]
    with pytest.raises(Interrupted):
        reactor.wait_for(lambda: False)
    reactor.lock = plain
    bell.ring()
    threads.join()
    usable()


@pytest.mark.usefixtures("guard")
@pytest.mark.parametrize("another_leads", [False, True])
def test_on_the_way_to_taking_the_lock_back(
    reactor: Reactor,
    threads: Any,
    make_bell: Any,
    usable: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    another_leads: bool,
) -> None:
    """After the wait the main thread has no lock yet, and whoever waits expects that it has."""
    bell = make_bell()
    if another_leads:
        leads = threading.Event()
        threads.start(lambda: reactor.wait_for(lambda: leads.set() or bell.rung))
        assert leads.wait(20)
        with reactor.lock:
            pass  # it has let go of it to wait for events
    take_back = reactor._take_lock_back

    def press_and_take_back() -> None:
        if threading.current_thread() is threading.main_thread():
            monkeypatch.undo()
            press_ctrl_c()
        take_back()

    def look() -> bool:
        threads.start(ring_when_waiting)
        return False

    def ring_when_waiting() -> None:
        with reactor.lock:  # the main thread has let go of it, so it waits
            pass
        other.ring()

    other = make_bell()
    monkeypatch.setattr(reactor, "_take_lock_back", press_and_take_back)
    with pytest.raises(Interrupted):
        reactor.wait_for(look)
    bell.ring()
    threads.join()
    usable()


def test_the_previous_handler_is_put_back(reactor: Reactor) -> None:
    before = signal.getsignal(signal.SIGINT)
    guard = InterruptGuard(reactor, lambda: None)
    assert signal.getsignal(signal.SIGINT) is not before
    guard.remove()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("guard")
def test_a_signal_just_before_a_wait_ends_it(
    reactor: Reactor, monkeypatch: pytest.MonkeyPatch, usable: Callable[[], None]
) -> None:
    """One that Python has noted, but not handled, when the thread enters the system call."""
    wait = reactor._poller.wait

    def late_wait(timeout: float | None, *, alone: bool) -> Any:
        # As if the signal had come in between: nothing interrupts the call any more.
        os.write(signal_fd, bytes([signal.SIGINT]))
        reactor.interrupt = interrupt
        return wait(timeout, alone=alone)

    def interrupt() -> None:
        raise Interrupted

    signal_fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(signal_fd)
    with monkeypatch.context() as patch:
        patch.setattr(reactor._poller, "wait", late_wait)
        with pytest.raises(Interrupted):
            reactor.wait_for(lambda: False)
    usable()


def test_a_guard_that_was_not_removed_keeps_its_pipe(
    count_fds: Callable[[], int],
) -> None:
    """A signal must not write into a file that happens to have got the descriptor's number."""
    before = count_fds()
    reactor = Reactor()
    guard = InterruptGuard(reactor, lambda: None)
    reactor.close()
    assert count_fds() == before + 2
    press_ctrl_c()
    guard.remove()
    assert count_fds() == before


def test_the_wake_up_descriptor_of_a_running_loop_stays(reactor: Reactor) -> None:
    guard = InterruptGuard(reactor, lambda: None)

    async def main() -> int:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: None)
        guard.remove()
        current = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(current)
        return current

    assert asyncio.run(main()) >= 0
    assert signal.set_wakeup_fd(-1) == -1


def test_ctrl_c_is_a_keyboard_interrupt(reactor: Reactor) -> None:
    guard = InterruptGuard.for_keyboard(reactor)
    assert guard is not None
    with pytest.raises(KeyboardInterrupt):
        guard.send()
    with pytest.raises(KeyboardInterrupt):
        _thread.interrupt_main()
    guard.remove()


def test_a_handler_of_the_program_is_left_alone(reactor: Reactor) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert InterruptGuard.for_keyboard(reactor) is None
    finally:
        signal.signal(signal.SIGINT, before)
