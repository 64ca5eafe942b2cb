"""Keeps ``KeyboardInterrupt`` out of the middle of our own bookkeeping.

Python runs signal handlers between any two instructions of the main thread. An exception in
the middle of a message handler would leave half a message handled, and somebody waiting for
ever. While the main thread serves the reactor or waits in it the interrupt is kept, and raised
as soon as it is safe; so it is where nobody would see it (see ``air.executor.interrupts``).

Such an interrupt does not end the wait. So signals also write to the reactor's pipe
(``signal.set_wakeup_fd``): that wakes whoever leads, who wakes all others.
"""

from __future__ import annotations

import signal
import threading
from _signal import (  # type: ignore[import-not-found]
    getsignal as _getsignal,  # without the search for an enum: 40 times as fast
)
from collections.abc import Callable
from types import FrameType

from air.executor.interrupts import is_lost_in
from air_cluster.transport.reactor import Reactor

_RESEND_S = 0.002


class InterruptGuard:
    """Installs a SIGINT handler that calls *on_interrupt* only where that may raise.

    Args:
        on_interrupt: called in the main thread; raises if the interrupt is meant for it.
    """

    def __init__(self, reactor: Reactor, on_interrupt: Callable[[], None]) -> None:
        self._reactor = reactor
        self._on_interrupt = on_interrupt
        reactor.interrupt = None
        self._wake_fd = reactor.lend_wake_fd()
        self._previous_wake_fd = signal.set_wakeup_fd(self._wake_fd, warn_on_full_buffer=False)
        self._previous = signal.signal(signal.SIGINT, self._handle)

    @classmethod
    def for_keyboard(cls, reactor: Reactor) -> InterruptGuard | None:
        """A guard around what Ctrl-C does by default; ``None`` if the program changed that."""
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return None

        def interrupt() -> None:
            raise KeyboardInterrupt

        return cls(reactor, interrupt)

    def _handle(self, _number: int, frame: FrameType | None) -> None:
        if self._reactor.is_at_work() or is_lost_in(frame):
            self._reactor.interrupt = self._on_interrupt
            # If the main thread computes from now on, nothing else would raise it.
            self._reactor.call_later(_RESEND_S, self._resend)
        else:
            self._reactor.interrupt = None
            self._on_interrupt()

    def _resend(self) -> None:
        if self._reactor.interrupt is not None:
            self.send()

    def renew(self) -> None:
        """Install the handler again, should somebody have put another one in its place."""
        if _getsignal(signal.SIGINT) != self._handle:
            signal.signal(signal.SIGINT, self._handle)

    def send(self) -> None:
        """Interrupt the main thread, also out of a system call."""
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    def remove(self) -> None:
        """Put the previous handler back; without effect in other threads than the main one."""
        if threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGINT, self._previous)
        current = signal.set_wakeup_fd(self._previous_wake_fd)
        if current != self._wake_fd:  # an event loop's, which runs in this thread
            signal.set_wakeup_fd(current, warn_on_full_buffer=False)
        self._reactor.take_wake_fd_back()
