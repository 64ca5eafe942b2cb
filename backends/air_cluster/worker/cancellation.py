"""Interrupts the user's code in the main thread of a worker when its call is cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from air_cluster.transport.interrupts import InterruptGuard
from air_cluster.transport.reactor import Reactor

T = TypeVar("T")


_PATIENCE_S, _LOCK_S = 0.1, 0.02


class Interruptible:
    """Runs the code of one call after another, which :meth:`cancel` interrupts.

    Nothing but that code is interrupted: a ``KeyboardInterrupt`` in the middle of loading
    arguments or reporting results would take the worker with it.
    """

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._guard = InterruptGuard(reactor, self._interrupted)
        self._settle: Callable[[], None] = _nothing
        self._cancelled = False
        self._open = False

    def begin(self) -> None:
        """Another call is next; called under the lock."""
        self._cancelled = False
        self._guard.renew()

    def cancel(self, then: Callable[[], object] = bool) -> None:
        """Interrupt the call that began last, now or as soon as it runs; under the lock.

        Args:
            then: called, under the lock, once the code has been interrupted, or does not seem to
                let itself be.
        """
        if not self._cancelled:
            self._cancelled = True
            pending = [then]

            def settle() -> None:
                while pending:
                    pending.pop()()

            self._settle = settle
            self._guard.send()
            self._reactor.call_later(_PATIENCE_S, settle)

    def run(self, function: Callable[[], T]) -> T:
        """Call the user's code.

        Raises:
            KeyboardInterrupt: the call was cancelled.
        """
        try:
            self._open = True
            self._interrupted()  # it may have been cancelled before it came here
            return function()
        finally:
            self._open = False

    @property
    def is_cancelled(self) -> bool:
        """Whether the call that began last was cancelled."""
        return self._cancelled

    def ended_by(self, error: BaseException) -> bool:
        """Whether *error*, which came out of :meth:`run`, is the cancellation."""
        return self._cancelled and isinstance(error, KeyboardInterrupt)

    def _interrupted(self) -> None:
        if self._open and self._cancelled:
            self._open = False
            # Before the code that cleans up starts something; but whoever has the lock may wait for
            # another one, which the interrupted code holds.
            if self._reactor.lock.acquire(timeout=_LOCK_S):
                try:
                    self._settle()
                finally:
                    self._reactor.lock.release()
            else:
                self._reactor.call_soon(self._settle)
            raise KeyboardInterrupt

    def remove(self) -> None:
        """Put the previous signal handler back."""
        self._guard.remove()


def _nothing() -> None:
    pass
