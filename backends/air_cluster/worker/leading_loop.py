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
    """Descriptors of the loop; all of them together are one of the reactor's.

    That one is watched until it is ready, and then again when the loop has come to its events:
    meanwhile others who lead need not be told of it all the time.
    """

    def __init__(self, reactor: Reactor) -> None:
        super().__init__()
        self._reactor = reactor
        self._ready = False
        with reactor.lock:
            reactor.register(self, READ)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        limit = None if timeout is None else max(0.0, timeout)
        if not self._reactor.take_part(self._is_ready, limit):
            return super().select(timeout)
        if not self._ready:
            return []
        events = super().select(0)
        with self._reactor.lock:
            self._ready = False
            self._reactor.modify(self, READ)
        return events

    def on_events(self, _mask: int) -> None:
        """The loop has something to do."""
        self._ready = True
        self._reactor.modify(self, 0)

    def _is_ready(self) -> bool:
        return self._ready

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
