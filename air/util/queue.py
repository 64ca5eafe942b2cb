"""A first-in, first-out queue that tasks and actors share."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import air
from air.errors import ActorDied, AirError, GetTimeout, InvalidOption
from air.executor.handles import ObjectRef
from air.executor.keywords import methods_suggest_keywords
from air.executor.options import DEFAULT_ASYNC_CONCURRENCY
from air.executor.validation import check_flag, check_number, check_timeout


class Empty(AirError, queue.Empty):
    """There was nothing to get, or not enough."""


class Full(AirError, queue.Full):
    """There was no room to put something."""


@methods_suggest_keywords
class Queue:
    """A queue in an actor; it can be passed to tasks and other actors.

    Its methods are those of :class:`queue.Queue` and, for async code, ``get_async`` and
    ``put_async``. It lives until the last process drops it, or :meth:`shutdown`; who uses it
    afterwards, or waits when its actor ends, gets ``ActorDied``. Items that are put by one caller
    come out in the order in which it has put them.
    """

    def __init__(self, maxsize: int = 0, actor_options: Mapping[str, Any] | None = None) -> None:
        """Make a queue.

        Args:
            maxsize: how many items it holds; 0 for any number.
            actor_options: options of the actor that holds them, such as ``{"num_cpus": 1}``.
                Its ``max_concurrency`` (1000) bounds how many callers can wait for items, and how
                many for room; others wait until one of these has been served.

        Raises:
            InvalidOption: a bad size or option.
        """
        self.maxsize = int(check_number(maxsize, "maxsize", minimum=0, integer=True))
        if actor_options is not None and not isinstance(actor_options, Mapping):
            raise InvalidOption(
                f"actor_options must map names to values, got {actor_options!r:.80}"
            )
        given = dict(actor_options or {})
        if "concurrency_groups" in given:
            raise InvalidOption("actor_options cannot name concurrency_groups: a queue has its own")
        actor_class = air.remote(_QueueActor).options(**given)
        waiters = actor_class.actor_options.max_concurrency or DEFAULT_ASYNC_CONCURRENCY
        # However many wait for items, room is made for those who bring some, and the reverse.
        actor_class = actor_class.options(concurrency_groups={"get": waiters, "put": waiters})
        self.actor = actor_class.remote(self.maxsize)

    def __len__(self) -> int:
        return self.qsize()

    def qsize(self) -> int:
        """How many items are in the queue."""
        size: int = air.get(self.actor.qsize.remote())
        return size

    def size(self) -> int:
        """The same as :meth:`qsize`."""
        return self.qsize()

    def empty(self) -> bool:
        """Whether there is nothing in the queue."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether there is no room in the queue."""
        return 0 < self.maxsize <= self.qsize()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Put an item in the queue, waiting for room if there is none.

        Args:
            block: whether to wait at all.
            timeout: seconds to wait; ``None`` waits as long as it takes.

        Raises:
            Full: there was no room, or none within *timeout*.
        """
        self._check_put(air.get(self._start_put(item, block, timeout)))

    async def put_async(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """:meth:`put` for async code."""
        self._check_put(await self._start_put(item, block, timeout))

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Take the first item from the queue, waiting for one if there is none.

        Raises:
            Empty: there was none, or none within *timeout*.
        """
        return self._check_get(air.get(self._start_get(block, timeout)))

    async def get_async(self, block: bool = True, timeout: float | None = None) -> Any:
        """:meth:`get` for async code."""
        return self._check_get(await self._start_get(block, timeout))

    def put_nowait(self, item: Any) -> None:
        """The same as ``put(item, block=False)``."""
        self.put(item, block=False)

    def get_nowait(self) -> Any:
        """The same as ``get(block=False)``."""
        return self.get(block=False)

    def put_nowait_batch(self, items: Iterable[Any]) -> None:
        """Put several items in the queue, all or none.

        Raises:
            Full: there is no room for all.
        """
        items = list(items)
        if not air.get(self.actor.put_batch.remote(items)):
            raise Full(
                f"the queue has no room for {len(items)} items more (maxsize={self.maxsize})"
            )

    def get_nowait_batch(self, num_items: int) -> list[Any]:
        """Take several items from the queue, all or none.

        Raises:
            Empty: there are fewer than *num_items*.
        """
        check_number(num_items, "num_items", minimum=0, integer=True)
        items: list[Any] | None = air.get(self.actor.get_batch.remote(num_items))
        if items is None:
            raise Empty(f"the queue has fewer than {num_items} items")
        return items

    def shutdown(self, force: bool = False, grace_period_s: float = 5) -> None:
        """End the queue's actor; what is in it is lost.

        Args:
            force: do not wait for callers that are putting or getting items.
            grace_period_s: how long to wait for them, in seconds.
        """
        check_flag(force, "force")
        patience = check_timeout(grace_period_s, "grace_period_s")
        if not force:
            # Time is up, or somebody else has ended it: both are as good as waiting.
            with contextlib.suppress(GetTimeout, ActorDied):
                air.get(self.actor.quiet.remote(), timeout=patience)
        air.kill(self.actor)

    def _start_put(self, item: Any, block: bool, timeout: float | None) -> ObjectRef[bool]:
        patience = _patience(block, timeout)
        # Who does not wait does not wait for those who do either.
        ref: ObjectRef[bool] = (
            self.actor.put_batch.remote([item])
            if patience == 0
            else self.actor.put.remote(item, patience)
        )
        return ref

    def _start_get(self, block: bool, timeout: float | None) -> ObjectRef[Any]:
        patience = _patience(block, timeout)
        ref: ObjectRef[Any] = (
            self.actor.get_batch.remote(1) if patience == 0 else self.actor.get.remote(patience)
        )
        return ref

    def _check_put(self, done: bool) -> None:
        if not done:
            raise Full(f"the queue is full (maxsize={self.maxsize})")

    def _check_get(self, got: Sequence[Any] | None) -> Any:
        if not got:
            raise Empty("the queue is empty")
        return got[0]


def _patience(block: bool, timeout: float | None) -> float | None:
    check_flag(block, "block")
    seconds = check_timeout(timeout)
    if timeout is not None and not block:
        raise InvalidOption(f"timeout is {timeout!r}, but block=False does not wait")
    return seconds if block else 0


class _QueueActor:
    """Holds the items. Failing is an answer here, so that no error has to travel."""

    def __init__(self, maxsize: int) -> None:
        self._items: asyncio.Queue[Any] = asyncio.Queue(maxsize)
        self._busy = 0
        self._quiet = asyncio.Condition()

    async def qsize(self) -> int:
        return self._items.qsize()

    @air.method(concurrency_group="put")
    async def put(self, item: Any, timeout: float | None) -> bool:
        try:
            async with self._being_busy(), asyncio.timeout(timeout):
                await self._items.put(item)
        except TimeoutError:
            return False
        return True

    @air.method(concurrency_group="get")
    async def get(self, timeout: float | None) -> tuple[Any, ...]:
        try:
            async with self._being_busy(), asyncio.timeout(timeout):
                return (await self._items.get(),)
        except TimeoutError:
            return ()

    async def put_batch(self, items: list[Any]) -> bool:
        if 0 < self._items.maxsize < self._items.qsize() + len(items):
            return False
        for item in items:
            self._items.put_nowait(item)
        return True

    async def get_batch(self, count: int) -> list[Any] | None:
        if self._items.qsize() < count:
            return None
        return [self._items.get_nowait() for _ in range(count)]

    async def quiet(self) -> None:
        async with self._quiet:
            await self._quiet.wait_for(lambda: self._busy == 0)

    @contextlib.asynccontextmanager
    async def _being_busy(self) -> AsyncIterator[None]:
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            async with self._quiet:
                self._quiet.notify_all()
