"""One event loop for a process, led by whichever thread has to wait.

A thread that waits for a message reads the sockets itself (it *leads*): on the reference
machine a round trip takes 44 us that way, against 125 us when a reader thread has to wake
it. A background thread leads only while nobody else does, so that messages are served while
the program computes. It takes over two milliseconds after the last foreground thread
stopped, which keeps it out of the way of a program that makes one call after another.

Everything that handlers touch is guarded by :attr:`Reactor.lock`. The leader holds it while
it dispatches, and not while it waits for the sockets. Handlers must not block.

Waiting threads look again after each round of events. Who changes what they wait for outside
of a round has one made, with :meth:`Reactor.call_soon`.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from air.executor.threads import start_thread
from air_cluster.transport.poller import READ, Pollable, Poller, to_mask

logger = logging.getLogger(__name__)

_HANDOVER_S = 0.002
_PARK_AFTER = 3
_CLOSE_S = 5.0
_LONGEST_S = 86400.0  # of one wait for events; the system takes no infinity
_NOBODY, _FOREGROUND, _BACKGROUND = 0, 1, 2


class Reactor:
    """Dispatches socket events and timers; see the module's docstring."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._background_alarm = threading.Lock()
        self._background_alarm.acquire()
        self._poller = Poller()
        self._wake_reader, self._wake_writer = os.pipe()
        self._wake_writer_lent = False
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._poller.register(_WakePipe(self._wake_reader), READ)
        self._leader = _NOBODY
        self._leading_thread = 0
        self._waiting: set[int] = set()  # threads
        self._sleeping: list[threading.Lock] = []  # of those who wait, to wake them up by
        self._background: threading.Thread | None = None
        self._own_threads = 1  # the one that leads, and the background
        self._background_parked = False
        self._foreground_left = 0.0
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_ids = itertools.count()
        self._soon: deque[Callable[[], None]] = deque()
        self._last: deque[Callable[[], None]] = deque()
        self._closed = False
        self._released = False
        self.rounds = 0
        """In how many rounds something has happened: if none was added, nothing has arrived."""
        self.interrupt: Callable[[], None] | None = None
        """Set by the interrupt guard when it caught the main thread in the middle of things."""
        self.thread_interrupts: dict[int, Callable[[], None]] = {}
        """The same for other threads: what each calls at the end of a wait, and may raise."""

    # Registration (under the lock) ------------------------------------------------------

    def register(self, pollable: Pollable, mask: int) -> None:
        """Watch a descriptor."""
        self._poller.register(pollable, mask)
        self._wake_leader()

    def modify(self, pollable: Pollable, mask: int) -> None:
        """Watch for other events on it."""
        self._poller.modify(pollable, mask)
        self._wake_leader()

    def unregister(self, pollable: Pollable) -> None:
        """Stop watching it."""
        self._poller.unregister(pollable)

    def call_later(self, delay: float, function: Callable[[], None]) -> None:
        """Run *function* under the lock after *delay* seconds."""
        entry = (time.monotonic() + delay, next(self._timer_ids), function)
        heapq.heappush(self._timers, entry)
        if self._timers[0] is entry:
            self._wake_leader()

    def call_soon(self, function: Callable[[], None]) -> None:
        """Run *function* under the lock, soon, in the leading thread.

        Takes no lock and never blocks: may be called from anywhere, ``__del__`` included.
        """
        self._soon.append(function)
        # The leading thread itself runs it at the end of its round.
        self._wake_leader()

    def call_last(self, function: Callable[[], None]) -> None:
        """Run *function* like :meth:`call_soon`, when nothing else is left for this round."""
        self._last.append(function)
        self._wake_leader()

    def nudge(self) -> None:
        """Have every thread that waits look again at what it waits for.

        For changes that no message brings: those that another thread of this process makes.
        """
        self.call_soon(_nothing)

    def run_soon(self) -> None:
        """Run now what was left to be run soon; called under the lock."""
        while self._soon or self._last:
            self._guarded(self._soon.popleft() if self._soon else self._last.popleft())

    # Waiting ------------------------------------------------------------------------------

    def wait_for(self, ready: Callable[[], Any], deadline: float | None = None) -> bool:
        """Serve events until ``ready()`` is true; false if *deadline* passed first.

        *ready* is called under the lock. *deadline* is in ``time.monotonic`` seconds. Also
        false once the reactor is closed.

        Raises:
            RuntimeError: called by a handler, which would wait for itself.
        """
        with self.lock:
            while not ready():
                remaining = None
                if deadline is not None:
                    remaining = deadline - time.monotonic()
                    if remaining <= 0:
                        return False
                if self._closed:
                    return False
                if self._leader == _NOBODY:
                    self._lead_once(_FOREGROUND, remaining)
                    continue
                if self._leading_thread == threading.get_ident():
                    raise RuntimeError("a message handler must not wait for messages")
                if self._leader == _BACKGROUND:
                    self._wake()
                self._sleep(remaining)
            return True

    def poll(self) -> None:
        """Serve what is there now, without waiting."""
        with self.lock:
            if self._leader == _NOBODY and not self._closed:
                self._lead_once(_FOREGROUND, 0)

    def serve(self) -> None:
        """Serve what is there now, in place of the background thread, which rests for a while then.

        Does nothing in the middle of a handler, and while another thread waits.
        """
        if self.owns_lock():
            return
        with self.lock:
            if self._leader == _BACKGROUND:
                self._wake()
                self._sleep(_HANDOVER_S)
            if self._leader == _NOBODY and not self._closed:
                self._lead_once(_FOREGROUND, 0)

    def take_part(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Serve one round of events, or wait until another thread has; *timeout* in seconds.

        For a loop that has events of its own to serve between the rounds: one of those that are
        watched makes *ready*, which is called under the lock, true. False, at once, when the
        reactor is closed.
        """
        with self.lock:
            while self._leader == _BACKGROUND and not self._closed and not ready():
                self._wake()
                self._sleep(None)
            if self._closed:
                return False
            if ready():
                return True
            if self._leader == _NOBODY:
                self._lead_once(_FOREGROUND, timeout)
            elif timeout is None or timeout > 0:
                self._sleep(timeout)
            return True

    def run(self, until: Callable[[], Any]) -> None:
        """Lead until ``until()`` is true: the main loop of a daemon."""
        self.wait_for(until)

    def _lead_once(self, role: int, timeout: float | None) -> None:
        """One round: wait for events without the lock, then dispatch them with it."""
        self._leader = role
        self._leading_thread = threading.get_ident()
        if self._timers:
            due = max(0.0, self._timers[0][0] - time.monotonic())
            timeout = due if timeout is None else min(timeout, due)
        if timeout is not None:
            timeout = min(timeout, _LONGEST_S)
        if self._soon or self._last:
            timeout = 0
        try:
            try:
                self.lock.release()
                alone = role == _FOREGROUND and threading.active_count() <= self._own_threads
                events = self._poller.wait(timeout, alone=alone)
            finally:
                self._take_lock_back()
            self._dispatch(events)
        finally:
            self._leader = _NOBODY
            if self._closed:
                self._release()
            if role == _FOREGROUND:
                self._foreground_left = time.monotonic()
                self._wake_background()
            self._wake_sleeping()
        self.interrupt_this_thread()

    def _sleep(self, timeout: float | None) -> None:
        """Wait without the lock until the leader has ended a round.

        What a condition variable does, but for signal handlers: see :meth:`_take_lock_back`.
        """
        alarm = threading.Lock()
        alarm.acquire()
        self._sleeping.append(alarm)
        me = threading.get_ident()
        self._waiting.add(me)
        try:
            self.lock.release()
            alarm.acquire(timeout=-1 if timeout is None else min(timeout, _LONGEST_S))
        finally:
            self._take_lock_back()
            self._waiting.discard(me)
            if alarm in self._sleeping:
                self._sleeping.remove(alarm)
        self.interrupt_this_thread()

    def interrupt_this_thread(self) -> None:
        """Raise what is to be raised in the calling thread, if anything is; not under the lock."""
        if self.interrupt is not None and _is_main_thread():
            interrupt, self.interrupt = self.interrupt, None
            interrupt()
        if self.thread_interrupts:
            raises = self.thread_interrupts.pop(threading.get_ident(), None)
            if raises is not None:
                raises()

    def _wake_sleeping(self) -> None:
        while self._sleeping:
            self._sleeping.pop().release()

    def _take_lock_back(self) -> None:
        """Acquire the lock, whatever signals arrive.

        The signal handler of ``interrupts`` does not raise here, but others' may: right after the
        lock was released, or out of ``acquire`` while that has to wait.
        """
        if not self.owns_lock():
            state = (1, threading.get_ident())
            self.lock._acquire_restore(state)  # type: ignore[attr-defined]

    def is_at_work(self) -> bool:
        """Whether the calling thread is in the middle of a round, or of a wait for one."""
        me = threading.get_ident()
        leads = self._leader != _NOBODY and self._leading_thread == me
        return leads or me in self._waiting or self.owns_lock()

    def in_handler(self) -> bool:
        """Whether the calling thread serves events, and so must not wait; under the lock."""
        return self._leader != _NOBODY and self._leading_thread == threading.get_ident()

    def owns_lock(self) -> bool:
        """Whether the calling thread holds the lock."""
        return self.lock._is_owned()  # type: ignore[attr-defined,no-any-return]

    def _dispatch(self, events: list[tuple[int, int]]) -> None:
        self.rounds += 1
        for fd, happened in events:
            pollable = self._poller.find(fd)
            if pollable is None:
                continue  # the handler of another event of this round has closed it
            try:
                pollable.on_events(to_mask(happened))
            except Exception:
                logger.exception("handling an event on %r failed", pollable)
        self.run_soon()
        if self._timers:
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._guarded(heapq.heappop(self._timers)[2])

    def _guarded(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception:
            logger.exception("%r failed", function)

    # The background thread ----------------------------------------------------------------

    def start_background(self, name: str) -> None:
        """Have a thread lead while no other does.

        Raises:
            RuntimeError: the system gives no more threads.
        """
        self._background = threading.Thread(target=self._run_background, name=name, daemon=True)
        self._own_threads = 2
        start_thread(self._background)

    def _run_background(self) -> None:
        quiet_rounds = 0
        while not self._closed:
            # Without the lock: whoever waits for that makes all its users slower, who would hand
            # it over by the system each time.
            idle = time.monotonic() - self._foreground_left
            if self._leader == _NOBODY and not self._waiting and idle >= _HANDOVER_S:
                quiet_rounds = 0
                with self.lock:
                    if self._leader == _NOBODY and not self._waiting and not self._closed:
                        self._lead_once(_BACKGROUND, None)
                continue
            # While one foreground thread leads for long, sleep until it tells us that it
            # stopped; while it comes and goes, look again in a moment.
            quiet_rounds = quiet_rounds + 1 if self._leader == _FOREGROUND else 0
            if quiet_rounds < _PARK_AFTER:
                self._background_alarm.acquire(timeout=_HANDOVER_S)
                continue
            quiet_rounds = 0
            with self.lock:
                parks = self._leader == _FOREGROUND and not self._closed
                self._background_parked = parks
            if parks:
                self._background_alarm.acquire()

    def _wake_background(self) -> None:
        if self._background_parked:
            self._background_parked = False
            self._background_alarm.release()

    def _wake_leader(self) -> None:
        """Unless this is its thread, which does not wait now."""
        if self._leader != _NOBODY and self._leading_thread != threading.get_ident():
            self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._wake_writer, b"\0")

    def lend_wake_fd(self) -> int:
        """A descriptor; whatever is written to it has the leader end its round."""
        self._wake_writer_lent = True
        return self._wake_writer

    def take_wake_fd_back(self) -> None:
        """Nothing will be written to it any more."""
        self._wake_writer_lent = False
        if self._released:
            self._close_pipe()

    def close(self) -> None:
        """Stop the background thread and wake everybody who waits."""
        with self.lock:
            if self._closed:
                return
            self._closed = True
            self._wake()
            self._wake_sleeping()
            self._wake_background()
        background = self._background
        if background is not None and background is not threading.current_thread():
            background.join(timeout=_CLOSE_S)
        with self.lock:
            if self._leader == _NOBODY:
                self._release()
            elif self._leading_thread != threading.get_ident():
                # Whoever still leads was woken, and releases what it uses when it leaves.
                deadline = time.monotonic() + _CLOSE_S
                while not self._released and time.monotonic() < deadline:
                    self._sleep(_CLOSE_S)

    def _release(self) -> None:
        if self._released:
            return
        self._released = True
        self._poller.close()
        if not self._wake_writer_lent:  # else a signal could write into somebody else's file
            self._close_pipe()

    def _close_pipe(self) -> None:
        reader, self._wake_reader = self._wake_reader, -1
        writer, self._wake_writer = self._wake_writer, -1
        for fd in (reader, writer):
            if fd >= 0:
                os.close(fd)

    def abandon(self) -> None:
        """In a forked child: let go of all that the parent goes on using."""
        # Whoever held the lock at the time of the fork is not here to release it.
        self.lock._at_fork_reinit()  # type: ignore[attr-defined]
        self._closed = True
        self._leader = _NOBODY
        self._background = None
        self._release()


class _WakePipe(msgspec.Struct, frozen=True):
    """What is written to it only ends the wait for events."""

    fd: int

    def fileno(self) -> int:
        return self.fd

    def on_events(self, _mask: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 4096)


def _nothing() -> None:
    pass


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
