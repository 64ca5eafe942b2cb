"""Actors with which tests know and steer what happens, instead of sleeping."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import air


@air.remote
class Gate:
    """Lets callers of :meth:`wait` through once somebody has opened it."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._arrived = 0
        self._someone = asyncio.Condition()

    async def wait(self, result: Any = "through") -> Any:
        """Wait for :meth:`open`; returns *result*."""
        async with self._someone:
            self._arrived += 1
            self._someone.notify_all()
        await self._open.wait()
        return result

    async def open(self) -> None:
        """Let everybody through, now and later."""
        self._open.set()

    async def arrived(self, count: int) -> None:
        """Wait until *count* callers have come to :meth:`wait`."""
        async with self._someone:
            await self._someone.wait_for(lambda: self._arrived >= count)


@air.remote
class Recorder:
    """Remembers, in order, what it was told."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._grown = asyncio.Condition()

    async def add(self, item: Any) -> int:
        """Remember *item*; returns how many there are."""
        async with self._grown:
            self._items.append(item)
            self._grown.notify_all()
        return len(self._items)

    async def items(self) -> list[Any]:
        """Everything so far."""
        return list(self._items)

    async def wait_for(self, item: Any) -> None:
        """Wait until *item* has been added."""
        async with self._grown:
            await self._grown.wait_for(lambda: item in self._items)


@air.remote
class Counter:
    """A plain actor with a number in it."""

    def __init__(self, start: int = 0) -> None:
        self.count = start

    def add(self, amount: int = 1) -> int:
        """Add to the number and return it."""
        self.count += amount
        return self.count

    def get(self) -> int:
        """The number."""
        return self.count

    def fail(self, message: str) -> None:
        """Raise ``ValueError``."""
        raise ValueError(message)


@air.remote
def identity(item: Any) -> Any:
    """A task that returns its argument."""
    return item


@air.remote
def add(left: Any, right: Any) -> Any:
    """A task that adds."""
    return left + right


def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of the kind that supplies the first argument itself."""

    @functools.wraps(function)
    def supplied(*args: Any, **kwargs: Any) -> Any:
        return function("a session", *args, **kwargs)

    return supplied
