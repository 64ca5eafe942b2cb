"""Decides what runs next, in the calling thread, and how to wait for an outcome."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from air.errors import DeadlockError, UnsupportedByBackend
from air.executor.capabilities import Capability
from air.executor.portable_exceptions import set_plainly
from air_local.calls import ActorExit, Call, Frame, cancelled, current_frame
from air_local.interruptions import is_for_the_program
from air_local.placement import Node
from air_local.set_aside import running_loop_set_aside
from air_local.store import Entry, Failure, Store
from air_local.surroundings import Surroundings

if TYPE_CHECKING:
    import asyncio

    from air_local.event_loop import Loop

_log = logging.getLogger("air.local")
_WARN_AFTER = 30.0
_POLL = 0.01
_MAX_NAMES = 5


class Engine:
    """Starts calls when their arguments are there, and drives the event loop.

    There is no thread of its own. A call whose arguments are there starts at once, in the
    thread that makes it; one that has to wait starts in whatever thread next makes a call or
    waits for something.
    """

    def __init__(self, node: Node, surroundings: Surroundings, lock: threading.RLock) -> None:
        self._node = node
        self.surroundings = surroundings
        self._changed = threading.Condition(lock)
        self._startable: deque[Callable[[], None]] = deque()
        self._unfinished: dict[Call, None] = {}
        self._loop: Loop | None = None
        self._driver: int | None = None
        self._closing = False
        self._interruption: BaseException | None = None  # to raise when the loop has stopped
        self.ended: Callable[[Call], None] = lambda call: None
        self.task_made: Callable[[Frame, asyncio.Task[Any]], None] | None = None

    # Starting calls ---------------------------------------------------------------------

    def when_arguments_are_there(self, call: Call, store: Store, start: Callable[[], None]) -> None:
        """Run *start* once the references among the arguments have values.

        A call in a placement group also waits until that has its bundles.
        """
        assert call.arguments is not None
        self._unfinished[call] = None
        call.on_finish.append(lambda: self._has_ended(call))
        needed = [store.entry(ref) for ref in call.arguments.references()]
        if call.frame.group is not None:
            needed.append(call.frame.group.ready)

        def is_last() -> bool:
            with self._changed:
                call.waiting_for -= 1
                return call.waiting_for == 0

        def one_more() -> None:
            if is_last():
                # Not here: this is the thread that made the value, maybe inside the loop.
                self.soon(start)

        for entry in needed:
            if not entry.done:
                with self._changed:
                    call.waiting_for += 1
                store.when_done(entry, one_more)
        if is_last():
            start()

    def _has_ended(self, call: Call) -> None:
        self._unfinished.pop(call, None)
        if call.function:
            self.ended(call)

    def soon(self, start: Callable[[], None]) -> None:
        """Run *start* in whatever thread next makes a call or waits for something."""
        self._startable.append(start)

    def unfinished(self) -> list[Call]:
        """The calls that have no outcome yet, in the order in which they were made."""
        return list(self._unfinished)

    def run(self, call: Call, ended: Callable[[], None]) -> None:
        """Run a call, or put it on the event loop if it is async.

        *ended* is called when its code runs no more, which for a cancelled coroutine may be
        later than its outcome.
        """
        with self._changed:
            skip = call.finished
            call.started = not skip
            call.began = None if skip else time.time()
        obstacle = None if skip else call.obstacle()
        if obstacle is not None:
            call.fail(obstacle)
        if skip or obstacle is not None:
            ended()
        elif call.is_async:
            self.on_loop(lambda: self._start_on_loop(call, ended))
        else:
            rest = None
            try:
                # Code that runs elsewhere would not find the caller's event loop running.
                within = self.surroundings.within(call.frame.environment)
                with self._node.hold(call.frame), running_loop_set_aside(), within:
                    rest = call.context.run(_run_to_end, call)
            finally:
                if rest is None:
                    ended()
            if rest is not None and call.frame.environment:
                rest.close()
                error = UnsupportedByBackend(
                    "local",
                    Capability.ASYNC_ENVIRONMENTS.value,
                    f"{call.name} turned out to be one: others run while it waits",
                )
                call.fail(Failure(error, call.name))
                ended()
            elif rest is not None:
                call.is_async = True
                self.on_loop(lambda: self._start_on_loop(call, ended, rest))

    def _start_on_loop(
        self, call: Call, ended: Callable[[], None], rest: Coroutine[Any, Any, Any] | None = None
    ) -> None:
        if call.finished:
            if rest is not None:
                rest.close()
            ended()
            return
        assert self._loop is not None
        call.running = self._loop.create_task(self._run_async(call, rest), call.context)

        def done(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                task.exception()  # else asyncio complains of the Ctrl-C that went through it
            ended()

        call.running.add_done_callback(done)

    async def _run_async(self, call: Call, rest: Coroutine[Any, Any, Any] | None) -> None:
        with self._node.hold(call.frame):
            while True:
                try:
                    value = call.invoke() if rest is None else rest
                    rest = None
                    if inspect.isawaitable(value):
                        value = await value
                    call.succeed(value)
                    return
                except BaseException as error:
                    if is_for_the_program(error):
                        _fail(call, error)
                        self._interrupt(error)
                        return
                    if call.finished or not call.should_retry(error):
                        _fail(call, error)
                        return

    # Waiting ----------------------------------------------------------------------------

    def notify(self) -> None:
        """An entry is done: let those who wait look again."""
        with self._changed:
            self._changed.notify_all()
            driver = self._driver
        if driver is not None and driver != threading.get_ident() and self._loop is not None:
            self._loop.wake()

    def progress(self) -> None:
        """Run everything that can run without waiting."""
        if self._driver == threading.get_ident():
            return  # inside the loop, which turns when this returns
        while True:
            self._run_startable()
            if self._loop is None:
                return
            with self._drive() as loop:
                if loop is None:
                    return
                loop.step(until=lambda: self._startable or self._closing)
            if not self._startable:
                return

    def wait_until(
        self,
        done: Callable[[], bool],
        deadline: float | None,
        pending: Callable[[], Sequence[Entry]],
    ) -> bool:
        """Run what can run until *done*; returns whether it came to that before *deadline*.

        False as well once the backend is shut down.

        Raises:
            DeadlockError: it never would, and there is no deadline to say when to give up.
        """
        self.progress()
        self._run_startable()
        warn_at = time.monotonic() + _WARN_AFTER
        while not done():
            now = time.monotonic()
            if self._closing or (deadline is not None and now >= deadline):
                return False
            if now >= warn_at:
                _log.warning("still waiting for %s", names_of(pending()))
                warn_at = now + _WARN_AFTER
            until = warn_at if deadline is None else min(deadline, warn_at)
            if not self._wait_once(done, until, pending):
                if deadline is None:
                    raise DeadlockError(
                        f"waiting for {names_of(pending())} would never end: on the local backend"
                        " nothing runs while the program waits, and nothing that is left to run"
                        " could make the value appear"
                    )
                return False
            self._run_startable()
        return True

    async def until_done(self, entry: Entry, store: Store) -> None:
        """Wait for an entry in async code, on the loop of this backend or on another one."""
        if entry.done:
            return
        import asyncio

        here = asyncio.get_running_loop()
        change = here.create_future()

        def deliver() -> None:
            if not change.done():
                change.set_result(None)

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # closed meanwhile: nobody waits any more
                here.call_soon_threadsafe(deliver)

        store.when_done(entry, wake)
        try:
            if self.owns(here):
                await change
                return
            if self._driver == threading.get_ident():
                raise DeadlockError(_inside_loop([entry]))
            # The caller's own loop runs in this thread, so ours only turns when it is given a
            # chance: now, at its next timer, and whenever the caller makes another call.
            while not entry.done:
                self.progress()
                if not entry.done:
                    await asyncio.wait({change}, timeout=self._next_event_in())
        finally:
            store.forget(entry, wake)

    def _next_event_in(self) -> float | None:
        """Seconds until the loop has something to do; ``None`` if nobody knows of anything."""
        loop = self._loop
        if loop is None:
            return None
        if loop.is_waiting_outside():
            return _POLL  # two loops in one thread cannot both sleep on their files
        return loop.next_timer

    def _wait_once(
        self, done: Callable[[], bool], until: float, pending: Callable[[], Sequence[Entry]]
    ) -> bool:
        """Wait for a change; returns false when there will never be one."""
        with self._changed:
            if done() or self._startable:
                return True
            if self._driver == threading.get_ident():
                raise DeadlockError(_inside_loop(pending()))
            if self._driver is not None:
                self._changed.wait(max(0.0, until - time.monotonic()))
                return True
            self._ensure_loop()
        with self._drive() as loop:
            if loop is None:
                return True
            loop.drive(lambda: done() or self._startable or self._closing, until)
            return not loop.stuck or done() or bool(self._startable)

    def _run_startable(self) -> None:
        while self._startable:
            try:
                start = self._startable.popleft()
            except IndexError:  # another thread was quicker
                return
            start()

    @contextlib.contextmanager
    def _drive(self) -> Iterator[Loop | None]:
        """The loop, for this thread alone; ``None`` if it is being driven already."""
        with self._changed:
            if self._driver is not None:
                yielded = None
            else:
                yielded = self._ensure_loop()
                self._driver = threading.get_ident()
        if yielded is None:
            yield None
            return
        try:
            yield yielded
        finally:
            with self._changed:
                self._driver = None
                self._changed.notify_all()
            if self._closing:
                yielded.close()
        interruption, self._interruption = self._interruption, None
        if interruption is not None:
            raise interruption

    def _interrupt(self, error: BaseException) -> None:
        """Raise *error* out of the call that drives the loop; called on the loop."""
        assert self._loop is not None
        self._interruption = error
        self._loop.asyncio_loop.stop()

    # The loop ---------------------------------------------------------------------------

    def owns(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether *loop* is the one of this backend."""
        return self._loop is not None and loop is self._loop.asyncio_loop

    def on_loop(self, callback: Callable[[], object]) -> None:
        """Run *callback* on the event loop soon."""
        with self._changed:  # so that no other thread starts driving the loop meanwhile
            loop = self._ensure_loop()
            if self._driver in (None, threading.get_ident()):
                loop.asyncio_loop.call_soon(callback, context=contextvars.Context())
            else:
                loop.wake(callback)

    def spawn(self, coroutine: Coroutine[Any, Any, None], context: contextvars.Context) -> None:
        """Run a coroutine that belongs to no call on the event loop."""
        self.on_loop(lambda: self._ensure_loop().create_task(coroutine, context))

    def close(self) -> None:
        """End everything that waits or runs on the event loop."""
        self._startable.clear()
        for call in self.unfinished():
            call.fail(cancelled(call.name))
        with self._changed:
            self._closing = True
            loop = self._loop
            driven = self._driver is not None
        if loop is None:
            return
        if driven:  # shut down from inside the loop, or from another thread
            loop.wake()
        else:
            loop.close()

    def _ensure_loop(self) -> Loop:
        with self._changed:
            if self._loop is None:
                from air_local.event_loop import Loop  # asyncio, which few programs need

                self._loop = Loop()
                self._loop.asyncio_loop.set_task_factory(self._make_task)
            return self._loop

    def _make_task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        """Make a task and note which actor it belongs to, so that it ends with the actor."""
        import asyncio

        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        context = options.get("context")
        frame = current_frame.get() if context is None else context.get(current_frame)
        if frame is not None and self.task_made is not None:
            self.task_made(frame, task)
        return task


def _run_to_end(call: Call) -> Coroutine[Any, Any, Any] | None:
    """Run the code of a call; a coroutine that it returns is the rest of it."""
    handled = sys.exception()
    while True:
        try:
            value = call.invoke()
            if inspect.iscoroutine(value):
                return value
            call.succeed(value)  # may fail: it cannot be pickled, or is not what num_returns says
            return None
        except BaseException as error:
            if is_for_the_program(error):
                _fail(call, error)
                raise
            if call.finished or not call.should_retry(error):
                _forget_context(error, handled)
                _fail(call, error)
                return None


def _forget_context(error: BaseException, handled: BaseException | None) -> None:
    """Cut off what the caller was handling: in another process nobody would know of it."""
    link: BaseException | None = error
    while link is not None and handled is not None:
        if link.__context__ is handled:
            set_plainly(link, "__context__", None)
        link = link.__context__


def _fail(call: Call, error: BaseException) -> None:
    if not isinstance(error, ActorExit):  # else all calls of its actor have failed already
        call.fail(Failure(error, call.name))


def _inside_loop(pending: Sequence[Entry]) -> str:
    return (
        f"waiting for {names_of(pending)} inside an async method would never end: its event loop"
        " stands still meanwhile. Use `await ref` (or `await asyncio.gather(*refs)`) there, and"
        " in what it calls"
    )


def names_of(entries: Sequence[Entry]) -> str:
    """What makes some values, and how far it is, for messages."""
    shown = [
        entry.label + (entry.call.situation() if entry.call is not None else "")
        for entry in entries[:_MAX_NAMES]
    ]
    more = len(entries) - len(shown)
    names = ", ".join(dict.fromkeys(shown)) or "a value"
    return names + (f" and {more} more" if more else "")
