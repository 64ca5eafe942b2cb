"""Items of an iterator made ahead of their use, in a thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def prefetched(
    make: Callable[[], Iterator[T]], ahead: int, weigh: Callable[[T], int] | None = None
) -> Generator[T, None, None]:
    """The items of ``make()``, some of which are made before they are asked for.

    The iterator is made, advanced and closed in one thread of its own. Errors come out where
    their item would. Closing the generator waits for the item that is being made.

    Args:
        ahead: how much may wait to be taken; the item after that is made, and kept by the thread.
        weigh: how much an item is of that; 1 without. One item waits however much it is.
    """
    ready: _Ready[T] = _Ready(ahead)

    def produce() -> None:
        try:
            items = make()
            try:
                for item in items:
                    if not ready.put("item", item, 1 if weigh is None else weigh(item)):
                        return
            finally:
                close = getattr(items, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            ready.put("error", error)
        else:
            ready.put("end", None)

    thread = threading.Thread(target=produce, name="air-data-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.take()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        ready.stop()
        # Garbage may be collected, and the generator closed, in the thread itself.
        if thread.ident != threading.get_ident():
            thread.join()


class _Ready(Generic[T]):
    """What has been made and not taken yet, between one thread that puts and one that takes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._items: deque[tuple[str, Any, int]] = deque()
        self._weight = 0
        self._stopped = False
        self._changed = threading.Condition()

    def put(self, kind: str, value: Any, weight: int = 0) -> bool:
        """Add when there is room; whether anybody will take it."""
        with self._changed:
            while self._items and self._weight >= self._most and not self._stopped:
                self._changed.wait()
            if not self._stopped:
                self._items.append((kind, value, weight))
                self._weight += weight
                self._changed.notify()
            return not self._stopped

    def take(self) -> tuple[str, Any]:
        """The next one, when it is there."""
        with self._changed:
            while not self._items:
                self._changed.wait()
            kind, value, weight = self._items.popleft()
            self._weight -= weight
            self._changed.notify()
            return kind, value

    def stop(self) -> None:
        """Nothing will be taken any more; what waits is let go."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify()
