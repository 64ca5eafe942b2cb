"""A thread for what must not run under the lock: the user's code above all."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

logger = logging.getLogger(__name__)

_CLOSE_S = 5.0


class Helper:
    """Runs functions in the order in which they come.

    The thread starts with the first of them. When the interpreter ends, and gives no more threads,
    whoever closes this runs them.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, function: Callable[[], object]) -> None:
        """Run *function* soon; called under the reactor's lock."""
        if self._closed:
            return
        self._jobs.put(function)
        if self._thread is None:
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            with contextlib.suppress(RuntimeError):  # no more threads now: there may be later
                thread.start()
                self._thread = thread

    def close(self) -> None:
        """Run what is left, and no more; waits for that for a while."""
        self._closed = True
        self._jobs.put(None)
        if self._thread is None:
            self._work()
        elif self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_S)

    def _work(self) -> None:
        while (function := self._jobs.get()) is not None:
            try:
                function()
            except Exception:
                logger.exception("%r failed", function)
            del function  # it may hold values
