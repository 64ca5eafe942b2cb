"""An asyncio loop whose thread leads the reactor while it waits.

So a call and its coroutine meet in one thread. With a loop that waits for its own sockets only,
another thread would have to read the messages and wake it, which costs more than most calls.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from air_cluster.transport.poller import READ
from air_cluster.transport.reactor import Reactor


class _LoopSelector(selectors.EpollSelector):
    """Descriptors of the loop; all of them together are one of the reactor's."""

    def __init__(self, reactor: Reactor) -> None:
        super().__init__()
        self._reactor = reactor
        self._thread = threading.get_ident()
        self._is_ready = False
        self._is_watched = True
        with reactor.lock:
            reactor.register(self, READ)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self._is_watched:
            self._watch()
        if not self._reactor.take_part(None if timeout is None else max(0.0, timeout)):
            return super().select(timeout)
        if not self._is_ready:
            return []
        self._is_ready = False
        return super().select(0)

    def on_events(self, _mask: int) -> None:
        """The loop has something to do."""
        self._is_ready = True
        if threading.get_ident() != self._thread:
            # It remains ready until the loop's thread comes to it: nobody has to be told again.
            self._is_watched = False
            self._reactor.modify(self, 0)

    def _watch(self) -> None:
        with self._reactor.lock:
            self._is_watched = True
            self._reactor.modify(self, READ)

    def close(self) -> None:
        with self._reactor.lock:
            self._reactor.unregister(self)
        super().close()


class LeadingLoop:
    """Runs one coroutine in the calling thread, which serves the reactor's events meanwhile."""

    def __init__(self, reactor: Reactor) -> None:
        self._thread = threading.get_ident()
        self._loop = asyncio.SelectorEventLoop(_LoopSelector(reactor))
        # What one call sets in its context is not for the next one, which may arrive in it.
        self._context = copy_context()

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run *main* to its end, then close the loop."""
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(main)

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Run *function* on the loop; may be called in any thread, by handlers above all."""
        if threading.get_ident() == self._thread:
            self._loop.call_soon(function, *args, context=self._context)
        else:
            self._loop.call_soon_threadsafe(function, *args, context=self._context)
