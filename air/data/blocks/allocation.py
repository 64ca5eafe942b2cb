"""What allocators do with memory that nobody uses.

Arrow's pool and the C library keep freed memory for later use, tens of MiB a process. That is fast,
and too much where a budget is small.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Callable
from typing import Any

import pyarrow as pa

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_AT_ONCE = (128 << 10, 128 << 10)
_LATER = (64 << 20, 32 << 20)
"""What glibc comes to by itself in a process that has allocated much."""

_usual: pa.MemoryPool | None = None
"""The pool that was in force before another was put in its place."""

_keeps_nothing: bool | None = None
"""What was wanted last; ``None`` in a process that has not been told."""


def give_back() -> None:
    """Return what is free to the system now."""
    pa.default_memory_pool().release_unused()
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(0)


def keep_nothing(wanted: bool) -> None:
    """From now on, larger pieces of memory go back to the system as soon as they are freed.

    For processes that are ours alone. Memory costs more there; if *wanted* is false what is freed
    is kept for the next block: a process that has not allocated much yet would give it back, and
    get it again page by page.
    """
    global _usual, _keeps_nothing
    if wanted is _keeps_nothing:
        return
    _keeps_nothing = wanted
    if wanted:
        _usual = pa.default_memory_pool()
        pa.set_memory_pool(pa.system_memory_pool())
        give_back()
    elif _usual is not None:
        pa.set_memory_pool(_usual)
        _usual = None
    mallopt = _of_libc("mallopt")
    if mallopt is not None:
        for setting, value in zip(
            (_TRIM_THRESHOLD, _MMAP_THRESHOLD), _AT_ONCE if wanted else _LATER, strict=True
        ):
            mallopt(setting, value)


@functools.cache
def _of_libc(name: str) -> Callable[..., Any] | None:
    """A function of the C library, where it is glibc."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        if hasattr(library, "gnu_get_libc_version"):
            return getattr(library, name)
    return None
