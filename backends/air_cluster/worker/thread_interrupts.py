"""Interrupts the user's code in other threads than the main one, when its call is cancelled.

Python can raise an exception in another thread: it comes up between two instructions there, so
what waits in C (``time.sleep``, a lock, a socket) is interrupted when that returns. It would come
up in our own code as well, in the middle of handling a message. So it is sent under the reactor's
lock, and only while what the thread runs is not ours; should the thread come to wait for that lock
in the same moment, it is taken back. A thread that waits in ``air.get`` raises by itself.

Whoever takes the *permit* of a call's code has the right to end it: its own end, or cancellation.
So nothing is raised in what comes after it, and calls that nobody cancels need no lock for that.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from air.executor.interrupts import is_lost_in
from air_cluster.transport.reactor import Reactor

T = TypeVar("T")

_AGAIN_S = 0.002
_OURS = ("air_cluster.", "air.executor.", "air.core.")
_GOES_ON_WITH_USERS_CODE = {
    ("air_cluster.worker.thread_host", "_produce"),
    ("air_cluster.worker.reporter", "produce"),
    ("air_cluster.worker.reporter", "advance"),
    ("air_cluster.worker.reporter", "close_iterator"),
    ("air_cluster.worker.coroutines", "run"),
    ("air_cluster.worker.coroutines", "drive"),
    ("air_cluster.worker.coroutines", "following"),
}


class InterruptibleCall:
    """The code of one call, which runs in the thread that has made this.

    The same for these threads as :class:`Interruptible` is for the main one.
    """

    __slots__ = ("_cancelled", "_permit", "_reactor", "_then", "_thread")

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._thread = threading.get_ident()
        self._cancelled = False
        self._then: Callable[[], object] = bool
        self._permit: list[None] = []  # there is one in it while the code runs

    @property
    def is_here(self) -> bool:
        """Whether the calling thread is the one that runs the code."""
        return threading.get_ident() == self._thread

    def cancel(self, then: Callable[[], object] = bool) -> None:
        """Interrupt the code, now or as soon as it runs; called under the lock.

        Args:
            then: called, under the lock, once nothing comes up in the code before the interrupt.
        """
        if not self._cancelled:
            self._cancelled = True
            self._then = then
            self._interrupt()

    def run(self, function: Callable[[], T]) -> T:
        """Call the user's code.

        Raises:
            KeyboardInterrupt: the call was cancelled.
        """
        self._permit.append(None)
        try:
            if self._cancelled:
                raise KeyboardInterrupt
            return function()
        finally:
            try:
                self._permit.pop()
            except IndexError:
                self._interrupted()

    def ended_by(self, error: BaseException) -> bool:
        """Whether *error*, which came out of :meth:`run`, is the cancellation."""
        return self._cancelled and isinstance(error, KeyboardInterrupt)

    def _interrupted(self) -> None:
        """The code has ended after the permit was taken.

        If the exception has not come up in it, it comes up here, or not at all any more.
        """
        with self._reactor.lock:
            _take_back_from(self._thread)
            self._permit.clear()
            self._reactor.thread_interrupts.pop(self._thread, None)

    def _interrupt(self) -> None:
        """Raise in the thread, now or soon; called under the lock."""
        if not self._take_permit():
            # The code does not run, or not yet.
            if self._reactor.thread_interrupts.get(self._thread) == self._raise_here:
                del self._reactor.thread_interrupts[self._thread]
            self._settled()
            return
        time.sleep(0)  # lets others have Python's lock, so that it is not taken from us below
        if self._runs_users_code():
            _raise_in(self._thread, KeyboardInterrupt)
            if self._runs_users_code():
                self._settled()
                return
            _take_back_from(self._thread)
        self._permit.append(None)
        reactor = self._reactor
        reactor.thread_interrupts[self._thread] = self._raise_here
        reactor.nudge()
        reactor.call_later(_AGAIN_S, self._interrupt)

    def _raise_here(self) -> None:
        """Called in the thread, where it waits for messages."""
        if self._take_permit():
            self._settled()
            raise KeyboardInterrupt

    def _settled(self) -> None:
        then, self._then = self._then, bool
        then()

    def _take_permit(self) -> bool:
        try:
            self._permit.pop()
        except IndexError:
            return False
        return True

    def _runs_users_code(self) -> bool:
        """Whether the thread runs what may be interrupted anywhere, or has been."""
        innermost = frame = sys._current_frames().get(self._thread)
        while frame is not None and frame.f_code is not _RUN:
            if _is_ours(frame):
                # Back from the code: what was raised there has come up.
                return frame is innermost and frame.f_code is _INTERRUPTED
            frame = frame.f_back
        return not is_lost_in(innermost)


_RUN = InterruptibleCall.run.__code__
_INTERRUPTED = InterruptibleCall._interrupted.__code__


def _is_ours(frame: FrameType) -> bool:
    module = frame.f_globals.get("__name__", "")
    if not module.startswith(_OURS):
        return False
    return (module, frame.f_code.co_name) not in _GOES_ON_WITH_USERS_CODE


class _Nothing(BaseException):
    """Comes up in :func:`_take_back_from` alone."""


def _take_back_from(thread: int) -> None:
    """Let no exception come up in a thread that has not yet.

    Afterwards Python would go on to look for one in all threads, which makes everything slower,
    until it finds one: so it is given one.
    """
    _raise_in(thread, None)
    with contextlib.suppress(_Nothing):
        _raise_in(threading.get_ident(), _Nothing)
        while True:
            pass


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Have an exception come up in a thread, or ``None`` in place of the one that has not yet."""
    send = ctypes.pythonapi.PyThreadState_SetAsyncExc
    send(ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error))
