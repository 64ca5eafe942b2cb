"""The one asyncio loop of the backend, which turns only while somebody drives it.

There is no thread behind it: a call turns the loop until nothing more can happen at once, and
``get`` and ``wait`` turn it until what they wait for is there. When the loop has nothing to do,
it asks its selector to sleep; that is where this module takes part, with public means only.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor as PoolExecutor
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Any

from air_local.set_aside import running_loop_set_aside

_POOL_PREFIX = "air-local-pool"
_MAX_TURNS = 100
"""Turns of the loop at a call. Code that never comes to rest (``while True: await sleep(0)``)
must not keep the call from returning."""


class _Selector(selectors.DefaultSelector):
    """Finds out when the loop would sleep, and lets :class:`Loop` decide."""

    owner: Loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            self.owner.on_turn()
            return events
        pause = self.owner.on_rest(timeout)
        return super().select(pause) if pause is None or pause > 0 else events


class _EventLoop(asyncio.SelectorEventLoop):
    """Counts what runs in threads: it ends without the selector knowing beforehand."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        super().__init__(selector)
        self.in_threads = 0

    def run_in_executor(  # type: ignore[override]
        self, executor: PoolExecutor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = super().run_in_executor(executor, func, *args)
        self.in_threads += 1
        future.add_done_callback(self._left_thread)
        return future

    def _left_thread(self, _: object) -> None:
        self.in_threads -= 1


class Loop:
    """Turns an asyncio loop in the calling thread. One thread at a time may drive it.

    Attributes:
        stuck: whether the last :meth:`drive` ended because nothing could ever happen.
        next_timer: seconds until the loop has something to do, as known when it came to rest;
            ``None`` if it waits for no timer.
    """

    def __init__(self) -> None:
        self._selector = _Selector()
        self._selector.owner = self
        self.asyncio_loop = _EventLoop(self._selector)
        self.asyncio_loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix=_POOL_PREFIX))
        self.stuck = False
        self.next_timer: float | None = None
        self._until: Callable[[], object] = bool
        self._deadline: float | None = None
        self._may_rest = False
        self._turns = 0

    def create_task(
        self, coroutine: Coroutine[Any, Any, None], context: Context
    ) -> asyncio.Task[None]:
        """Schedule a coroutine, from the thread that drives the loop or while nobody does."""
        return self.asyncio_loop.create_task(coroutine, context=context)

    def wake(self, callback: Callable[[], object] = bool) -> None:
        """Make the driving thread look again, after running *callback*. From any thread."""
        # The loop may have been closed by then.
        with contextlib.suppress(RuntimeError):
            self.asyncio_loop.call_soon_threadsafe(callback)

    def step(self, until: Callable[[], object]) -> None:
        """Turn until nothing more can happen without waiting, or *until* is true."""
        self._may_rest = False
        self._run(until, None)

    def drive(self, until: Callable[[], object], deadline: float | None) -> None:
        """Turn until *until* is true or ``time.monotonic()`` reaches *deadline*.

        Ends early, with ``stuck`` set, when nothing could ever happen.
        """
        self._may_rest = True
        self._run(until, deadline)

    def is_waiting_outside(self) -> bool:
        """Whether sockets or threads could give the loop something to do."""
        # The loop itself always watches one file: the pipe that wakes it from other threads.
        watched = len(self._selector.get_map() or ())
        return watched > 1 or self.asyncio_loop.in_threads > 0

    def close(self) -> None:
        """Cancel everything that is left, let it clean up, and close the loop."""
        loop = self.asyncio_loop
        if loop.is_closed():
            return
        with running_loop_set_aside():
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            self._until, self._deadline, self._may_rest = bool, None, True
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks, timeout=5))
            loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), timeout=5))
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    def on_turn(self) -> None:
        """The loop is about to run callbacks."""
        self._turns += 1
        if self._until() or (not self._may_rest and self._turns >= _MAX_TURNS) or self._is_late():
            self.asyncio_loop.stop()

    def on_rest(self, timeout: float | None) -> float | None:
        """The loop has nothing to do for *timeout* seconds; returns how long it may sleep."""
        self.next_timer = timeout
        if not self._may_rest or self._until() or self._is_late():
            self.asyncio_loop.stop()
            return 0
        if timeout is None and not self.is_waiting_outside() and not _other_threads():
            self.stuck = True
            self.asyncio_loop.stop()
            return 0
        if self._deadline is None:
            return timeout
        left = max(0.0, self._deadline - time.monotonic())
        return left if timeout is None else min(left, timeout)

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _run(self, until: Callable[[], object], deadline: float | None) -> None:
        self._until, self._deadline = until, deadline
        self._turns, self.stuck = 0, False
        with running_loop_set_aside():
            self.asyncio_loop.run_forever()


def _other_threads() -> bool:
    """Whether a thread is alive that might give the loop something to do."""
    me = threading.current_thread()
    return any(
        thread is not me and not thread.name.startswith(_POOL_PREFIX)
        for thread in threading.enumerate()
    )
