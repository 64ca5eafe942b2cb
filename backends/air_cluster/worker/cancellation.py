"""Interrupts the user's code in the main thread of a worker when its call is cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from air_cluster.transport.interrupts import InterruptGuard
from air_cluster.transport.reactor import Reactor

T = TypeVar("T")


class Interruptible:
    """Runs the code of one call after another, which :meth:`cancel` interrupts.

    Nothing but that code is interrupted: a ``KeyboardInterrupt`` in the middle of loading
    arguments or reporting results would take the worker with it.
    """

    def __init__(self, reactor: Reactor) -> None:
        self._guard = InterruptGuard(reactor, self._interrupted)
        self._cancelled = False
        self._open = False

    def begin(self) -> None:
        """Another call is next; called under the lock."""
        self._cancelled = False
        self._guard.renew()

    def cancel(self) -> None:
        """Interrupt the call that began last, now or as soon as it runs; under the lock."""
        if not self._cancelled:
            self._cancelled = True
            self._guard.send()

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

    def ended_by(self, error: BaseException) -> bool:
        """Whether *error*, which came out of :meth:`run`, is the cancellation."""
        return self._cancelled and isinstance(error, KeyboardInterrupt)

    def _interrupted(self) -> None:
        if self._open and self._cancelled:
            self._open = False
            raise KeyboardInterrupt

    def remove(self) -> None:
        """Put the previous signal handler back."""
        self._guard.remove()
