"""Tells when the last buffer that was made from a piece of memory is garbage.

Every buffer that Python code derives from another one (slices, arrays over it, Arrow
buffers) keeps the exporter of the memory alive. So the exporter is made an object of its
own for each value that is read, and its end is the end of them all. An array is the one
exporter that a Python class can derive from before Python 3.12.

Only a value with out-of-band buffers needs this module; nothing else imports numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class _Exporter(np.ndarray[Any, Any]):
    """Bytes that call back at their end. Seen by nobody; the world has memoryviews of it."""

    _on_release: Callable[[], None] | None = None

    def __del__(self) -> None:
        if self._on_release is not None:
            self._on_release()


def pinned(view: memoryview, on_release: Callable[[], None]) -> memoryview:
    """The same memory, for as long as anything made from the result lives.

    Args:
        on_release: called once, when nothing made from the result is left, by the thread
            that drops the last of it: in a garbage collection, at any point of its program.
    """
    exporter = np.frombuffer(view, np.uint8).view(_Exporter)
    exporter._on_release = on_release
    return exporter.data
