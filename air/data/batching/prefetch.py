"""Items of an iterator made ahead of their use, in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def prefetched(make: Callable[[], Iterator[T]], ahead: int) -> Generator[T, None, None]:
    """The items of ``make()``, of which up to *ahead* are made before they are asked for.

    The iterator is made, advanced and closed in one thread of its own. Errors come out where
    their item would. Closing the generator waits for the item that is being made.
    """
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=ahead)
    stopped = threading.Event()

    def produce() -> None:
        try:
            items = make()
            try:
                for item in items:
                    ready.put(("item", item))
                    if stopped.is_set():
                        return
            finally:
                close = getattr(items, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            if not stopped.is_set():  # nobody would take it out
                ready.put(("error", error))
        else:
            ready.put(("end", None))

    thread = threading.Thread(target=produce, name="air-data-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        # The thread looks at the flag after each put; the empty queue has room for that one.
        stopped.set()
        while not ready.empty():
            ready.get_nowait()
        # Garbage may be collected, and the generator closed, in the thread itself.
        if thread.ident != threading.get_ident():
            thread.join()
