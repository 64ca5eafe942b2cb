"""Calling coroutine functions from code that is none: a few at a time, results in order.

Programs without such functions do not wait until asyncio is imported.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

_Key = TypeVar("_Key")

DEFAULT_CONCURRENCY = 16


class AsyncCalls:
    """Calls a coroutine function, or an async generator function, in an event loop of its own.

    The loop runs in a thread from the first call on, and all calls are made in it, so that an
    instance of a class may keep what belongs to a loop, such as a session. It ends when nobody has
    this object any more.
    """

    def __init__(self, fn: Callable[[Any], Any], concurrency: int) -> None:
        """*concurrency* calls at most are under way at a time."""
        self._fn = fn
        self._concurrency = concurrency
        self._loop: asyncio.AbstractEventLoop | None = None

    def then(self, finish: Callable[[Any], Any]) -> AsyncCalls:
        """Calls of the same function, of whose results *finish* makes others."""
        fn = self._fn

        async def finished(item: Any) -> Any:
            return finish(await _result(fn, item))

        return AsyncCalls(finished, self._concurrency)

    def __call__(self, item: Any) -> Any:
        """What the function makes of *item*; what an async generator gives, as an iterator."""
        for _, outcome in self.ahead([(None, item)]):
            return outcome()

    def ahead(self, items: Iterable[tuple[_Key, Any]]) -> Iterator[tuple[_Key, Callable[[], Any]]]:
        """For each key, in order, something that waits for what the function makes of its item.

        Later items are taken and their calls begun meanwhile. When this is closed, what is still
        under way is cancelled.
        """
        import asyncio

        under_way: deque[tuple[_Key, Future[Any]]] = deque()
        try:
            for key, item in items:
                if len(under_way) == self._concurrency:
                    yield under_way[0][0], under_way[0][1].result
                    under_way.popleft()
                call = asyncio.run_coroutine_threadsafe(_result(self._fn, item), self._started())
                under_way.append((key, call))
            while under_way:
                yield under_way[0][0], under_way[0][1].result
                under_way.popleft()
        finally:
            for _, future in under_way:
                future.cancel()

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            import asyncio

            self._loop = asyncio.new_event_loop()
            thread = threading.Thread(
                target=_run, args=(self._loop,), name="async functions", daemon=True
            )
            thread.start()
            weakref.finalize(self, _stop, self._loop, thread)
        return self._loop


def outcomes(
    call: Callable[[Any], Any], items: Iterable[tuple[_Key, Any]]
) -> Iterator[tuple[_Key, Callable[[], Any]]]:
    """For each key something that gives what *call* makes of its item; calls it, if it is plain."""
    if isinstance(call, AsyncCalls):
        yield from call.ahead(items)
        return
    for key, item in items:
        yield key, functools.partial(call, item)


async def _result(fn: Callable[[Any], Any], item: Any) -> Any:
    made = fn(item)
    return iter([each async for each in made]) if hasattr(made, "__aiter__") else await made


def _run(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        rest = asyncio.all_tasks(loop)
        for task in rest:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():  # the last reference may be dropped anywhere
        thread.join()
