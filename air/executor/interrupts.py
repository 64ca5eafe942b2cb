"""Ctrl-C at the moments at which its exception would be lost, or would do harm.

Python raises ``KeyboardInterrupt`` wherever the main thread happens to be. Under a finalizer, or in
what C code has called back, the exception is printed and forgotten; while an extension module is
loaded it may be dropped or turn into an ``ImportError``; and C code that has called back goes on
with what it got. At these moments the signal has to wait.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., Any])

_FINALIZER = "__del__"
_WEAKREF_CALLBACKS = frozenset(
    {
        "_get_module_lock.<locals>.cb",  # of every import
        "WeakKeyDictionary.__init__.<locals>.remove",
        "WeakSet.__init__.<locals>._remove",
        "WeakValueDictionary.__init__.<locals>.remove",
    }
)
_called_from_c: set[CodeType] = set()


def called_from_c(function: Function) -> Function:
    """Tell :func:`is_lost_in` that C code calls *function* and drops what it raises."""
    _called_from_c.add(function.__code__)
    return function


def is_lost_in(frame: FrameType | None) -> bool:
    """Whether nobody would see what is raised in *frame*: a finalizer, or called from C."""
    while frame is not None:
        code = frame.f_code
        if (
            code.co_name == _FINALIZER
            or code.co_qualname in _WEAKREF_CALLBACKS
            or code in _called_from_c
        ):
            return True
        frame = frame.f_back
    return False


class HeldInterrupts:
    """Keeps Ctrl-C while its ``with`` block runs, and raises it at the end.

    For what is short, or lets it through now and then with :meth:`run`. Without effect where there
    is nothing to keep: in other threads than the main one, and in a program that does without
    ``KeyboardInterrupt``.
    """

    def __init__(self) -> None:
        self._previous: Callable[[int, FrameType | None], Any] | None = None
        self._came = False
        self._lets_through = False
        self._is_over = False

    def __enter__(self) -> Self:
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler) and threading.current_thread() is threading.main_thread():
            self._previous = handler
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, self._previous)
        self._is_over = True
        self._raise_what_came()

    def run(self, function: Callable[[], T]) -> T:
        """Call *function*, which Ctrl-C may end: with one that has come already at once.

        Nothing is raised in the caller before or after the call: a ``try`` around it sees all.
        """
        try:
            self._lets_through = True
            self._raise_what_came()
            return function()
        finally:
            self._lets_through = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        assert self._previous is not None
        if self._is_over:  # a debugger has put back the handler that it had found
            self._previous(number, frame)
        elif self._lets_through:
            # What it raises ends the function; until run() has noticed that, nothing else may.
            self._lets_through = False
            self._previous(number, frame)
            self._lets_through = True
        else:
            self._came = True

    def _raise_what_came(self) -> None:
        if self._came:
            self._came = False
            signal.raise_signal(signal.SIGINT)
