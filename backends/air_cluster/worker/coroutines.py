"""Coroutines and asynchronous generators; imported only by workers that meet one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

from air_cluster.worker.reporter import Job, Reporter, close_iterator


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The value of a coroutine that a plain task returned, on a loop of its own."""
    return asyncio.run(coroutine)


def drive(source: Any) -> Iterator[Any]:
    """The values of an asynchronous generator, on a loop of its own."""
    with asyncio.Runner() as runner:

        async def following() -> Any:
            return await anext(source)

        try:
            while True:
                try:
                    yield runner.run(following())
                except StopAsyncIteration:
                    return
        finally:
            runner.run(source.aclose())


async def steps(items: Iterator[Any]) -> AsyncIterator[Any]:
    """The values of a plain generator, whose steps block the loop; between them it goes on."""
    try:
        for value in items:
            yield value
    finally:
        close_iterator(items)


async def produce(
    reporter: Reporter, job: Job, items: AsyncIterator[Any], places: asyncio.Semaphore
) -> None:
    """:meth:`Reporter.produce` for an asynchronous generator, on the running loop.

    Args:
        places: of which this call has one; another call has it while there is no room for values.
    """
    production = reporter.open_production(job)
    loop = asyncio.get_running_loop()
    room = asyncio.Event()
    production.resume = lambda: loop.call_soon_threadsafe(room.set)
    try:
        async for value in items:
            if not production.ended:
                reporter.send_item(job, production, value)
            if not production.has_room:
                places.release()
                try:
                    while not production.has_room:
                        room.clear()
                        if not production.has_room:
                            await room.wait()
                finally:
                    await _back_to(places)
            if production.ended:
                break
    finally:
        reporter.close_production(job)
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


async def _back_to(places: asyncio.Semaphore) -> None:
    """Have a place again: also when the call was cancelled, and is once more meanwhile."""
    cancelled: asyncio.CancelledError | None = None
    while True:
        try:
            await places.acquire()
            break
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
