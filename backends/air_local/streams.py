"""Streaming generators: lazy, each step runs the user's generator to its next ``yield``.

A step is a call like any other, so that a generator method takes its turn in its actor's queue;
between two steps the actor may run other methods.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from air.executor.handles import ObjectRef
from air.executor.options import TaskOptions
from air.executor.returns import not_a_generator
from air_local.calls import Arguments, Call, Frame, cancelled
from air_local.engine import Engine
from air_local.store import Failure, Store, pack

if TYPE_CHECKING:
    from air_local.actors import Actors

_log = logging.getLogger("air.local")


_END = object()
"""What a step gives when the generator has ended."""

_NO_ARGUMENTS = Arguments((), {}, "a generator")


class Stream:
    """A generator task or method and its state."""

    def __init__(
        self,
        store: Store,
        engine: Engine,
        name: str,
        frame: Frame,
        arguments: Arguments,
        function: Callable[[], Callable[..., Any]],
        *,
        is_async: bool,
        retries: TaskOptions | None = None,
        actors: Actors | None = None,
    ) -> None:
        self.store = store
        self.name = name
        self.frame = frame
        self.arguments: Arguments | None = arguments
        self.is_async = is_async
        self.step: Step | None = None
        self.ended = False
        self._lock = threading.Lock()
        self._retry_on = () if retries is None else retries.retried
        self._retries_left = retries.max_retries if retries is not None else 0
        self._engine = engine
        self._function = function
        self.actors = actors
        self._generator: Any = None
        self._context: Context | None = None
        self._yielded = 0
        self._running = False
        self._following: Step | None = None
        self._cancelled = False
        if frame.actor is not None:
            frame.actor.streams.add(self)

    # Used by the executor ---------------------------------------------------------------

    def advance(self) -> Step | None:
        """The step that runs, or a new one; ``None`` when the generator has ended."""
        actor = self.frame.actor
        with self._lock:
            if self.step is not None:
                return self.step
            if self.ended:
                return None
            self.step = step = Step(self, self._context)
            self._context = step.context
            if self._running and actor is None and not self._cancelled:
                self._following = step
                return step
            self._running = not self._cancelled
        if self._cancelled:
            step.fail(cancelled(self.name))
        elif actor is not None and self.actors is not None:
            self.actors.enqueue(actor, step)
        else:
            self._start(step)
        return step

    def _start(self, step: Step) -> None:
        self._engine.when_arguments_are_there(
            step, self.store, lambda: self._engine.run(step, self._left)
        )

    def _left(self) -> None:
        """A step's thread has left the generator and its context: another may enter them.

        That is a moment after the outcome was delivered, so the next step may be there already.
        """
        with self._lock:
            step, self._following = self._following, None
            self._running = step is not None
        if step is not None:
            self._start(step)

    def take(self, step: Step) -> bool:
        """Make room for the next step; false if somebody else has taken *step*."""
        with self._lock:
            if self.step is not step:
                return False
            self.step = None
            return True

    def close(self) -> None:
        """Close the generator: now, or at its next ``yield`` if it is running."""
        if self.ended:
            return
        step, generator = self.step, self._generator
        self.end()
        if step is not None and not step.finished:
            step.closed()
            if step.started:
                return
        self._close_generator(generator)

    def cancel(self) -> None:
        """Close the generator, which does not run: the next step fails."""
        generator, self._generator = self._generator, None
        self._cancelled = True
        self._close_generator(generator)

    def _close_generator(self, generator: Any) -> None:
        if generator is not None and self._context is not None:
            if hasattr(generator, "aclose"):
                self._engine.spawn(_close_async(generator, self.name), self._context)
            else:
                with self._engine.surroundings.within(self.frame.environment):
                    self._context.run(_close, generator, self.name)

    def abandon(self) -> None:
        """Drop the generator, because its actor is dead."""
        self._generator = None

    def end(self) -> None:
        """The generator will not be run again."""
        self.ended = True
        self.arguments = None
        self._generator = None
        actor = self.frame.actor
        if actor is not None and self.actors is not None:
            actor.streams.discard(self)
            self.actors.end_if_forgotten(actor)

    # Used by the steps ------------------------------------------------------------------

    def proceed(self, step: Step) -> Any:
        """Run the generator to its next ``yield``.

        What turns out to be a coroutine or an async generator is for the event loop.
        """
        generator = self._generator
        if generator is None:
            made = self._make(step)
            if inspect.iscoroutine(made) or _is_only_async(made):
                self.is_async = True
                return self._begin_async(made)
            self._generator = generator = self._iterator(made)
            for _ in range(self._yielded):  # after a retry
                next(generator, None)
        value = next(generator, _END)
        if self.ended:
            _close(generator, self.name)
        return value

    async def proceed_async(self, step: Step) -> Any:
        """Run the generator to its next ``yield``, on the event loop."""
        if self._generator is None:
            return await self._begin_async(self._make(step))
        return await self._next_async(self._generator)

    async def _begin_async(self, made: Any) -> Any:
        if inspect.iscoroutine(made):
            made = await made
        generator = aiter(made) if hasattr(made, "__aiter__") else self._iterator(made)
        self._generator = generator
        for _ in range(self._yielded):
            await _next(generator)
        return await self._next_async(generator)

    async def _next_async(self, generator: Any) -> Any:
        value = await _next(generator)
        if self.ended:
            if hasattr(generator, "aclose"):
                await _close_async(generator, self.name)
            else:
                _close(generator, self.name)
        return value

    def should_retry(self, error: BaseException) -> bool:
        """Whether to make the generator anew after *error*, and skip what it gave already."""
        if not isinstance(error, self._retry_on) or self._retries_left == 0 or self.ended:
            return False
        self._retries_left -= 1
        self._generator = None
        return True

    def yielded(self) -> None:
        """One more value was delivered."""
        self._yielded += 1

    def _make(self, step: Step) -> Any:
        args, kwargs = step.unpack_arguments()
        made = self._function()(*args, **kwargs)
        if not self._retry_on:
            self.arguments = None
        return made

    def _iterator(self, made: Any) -> Any:
        if not hasattr(made, "__iter__"):
            raise not_a_generator(made, self.name)
        return iter(made)


class Step(Call):
    """One step of a generator.

    Attributes:
        ref: what it gave: a reference to a value or an error, or ``None`` at the end.
        done: an entry without a value, for those who wait for the step.
    """

    def __init__(self, stream: Stream, context: Context | None) -> None:
        arguments = stream.arguments or _NO_ARGUMENTS
        super().__init__(
            stream.store, stream.name, stream.frame, arguments, is_async=stream.is_async
        )
        if context is not None:
            self.context = context
        self.ref: ObjectRef[Any] | None = None
        self.done = stream.store.create(stream.name, self)
        self._stream = stream

    def is_last(self) -> bool:
        return self._stream.ended

    def invoke(self) -> Any:
        if self.is_async:
            return self._stream.proceed_async(self)
        return self._stream.proceed(self)

    def succeed(self, value: Any) -> None:
        if self.finished:  # closed meanwhile
            return
        if value is _END:
            self._stream.end()
        else:
            parcel = pack(value, f"a value that {self.name} yielded")
            self.ref = self.store.reference(self.store.put(self.name, parcel))
            self._stream.yielded()
        self._finish_step()

    def fail(self, failure: Failure) -> None:
        if self.finished:
            return
        self.error = failure.original
        self.ref = self.store.reference(self.store.put(self.name, failure=failure))
        self._stream.end()
        self._finish_step()

    def closed(self) -> None:
        """Its generator was closed: who waits for the step is told that there is nothing more."""
        self.error = cancelled(self._stream.name).original
        self._finish_step()

    def should_retry(self, error: BaseException) -> bool:
        return self._stream.should_retry(error)

    def _finish_step(self) -> None:
        self.finish()
        self.store.resolve(self.done)


def _is_only_async(made: Any) -> bool:
    return hasattr(made, "__aiter__") and not hasattr(made, "__iter__")


async def _next(generator: Any) -> Any:
    if hasattr(generator, "__anext__"):
        return await anext(generator, _END)
    return next(generator, _END)


def _close(generator: Any, name: str) -> None:
    close = getattr(generator, "close", None)
    if close is None:
        return
    try:
        close()
    except Exception:
        # Closing happens where nobody could catch it, such as in __del__.
        _log.exception("closing the generator of %s failed", name)


async def _close_async(generator: Any, name: str) -> None:
    try:
        await generator.aclose()
    except Exception:
        _log.exception("closing the generator of %s failed", name)
