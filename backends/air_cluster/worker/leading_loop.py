"""An asyncio loop whose thread leads the reactor while it waits.

So a call and its coroutine meet in one thread. With a loop that waits for its own sockets only,
another thread would have to read the messages and wake it, which costs more than most calls.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from air_cluster.transport.poller import READ
from air_cluster.transport.reactor import Reactor

CLEAN_UP_S = 5.0
"""Tasks and threads of a loop that is closed may take so long to end."""


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
        """Run *main* to its end, then cancel what is left and close the loop.

        What does not end by that, nor what runs in threads, is not waited for but for a while.
        """
        try:
            self._loop.run_until_complete(main)
        finally:
            self._close()

    def _close(self) -> None:
        loop = self._loop
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        clean_up = [loop.shutdown_asyncgens, loop.shutdown_default_executor]
        deadline = time.monotonic() + CLEAN_UP_S
        self._wait(tasks, deadline)
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                context = {"message": "a task failed as its actor ended", "task": task}
                loop.call_exception_handler({**context, "exception": task.exception()})
        for shut_down in clean_up:
            self._wait({loop.create_task(shut_down())}, deadline)
        loop.close()

    def _wait(self, tasks: set[asyncio.Task[Any]], deadline: float) -> None:
        if tasks:
            left = max(0.0, deadline - time.monotonic())
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=left))

    def is_here(self) -> bool:
        """Whether the calling thread is that of the loop."""
        return threading.get_ident() == self._thread

    def create_task(self, main: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task in a context of its own; to be called in the loop's thread."""
        return self._loop.create_task(main, context=self._context.copy())

    def call_soon(self, function: Callable[..., object], *args: object) -> None:
        """Run *function* on the loop; may be called in any thread, by handlers above all."""
        if threading.get_ident() == self._thread:
            self._loop.call_soon(function, *args, context=self._context)
        else:
            self._loop.call_soon_threadsafe(function, *args, context=self._context)
