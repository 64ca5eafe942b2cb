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
_USUAL = (64 << 20, 32 << 20)
"""What glibc comes to by itself in a process that has allocated much."""

_usual: pa.MemoryPool | None = None
"""The pool that was in force before another was put in its place."""

_told: list[int | None] = []
"""What was wanted last, if anything was."""


def give_back() -> None:
    """Return what is free to the system now."""
    current = pa.default_memory_pool()
    if _usual is not None:
        # Arrow decodes Parquet with this one, whichever is in force. pyarrow knows only how to
        # release the one that is.
        pa.set_memory_pool(_usual)
    pa.default_memory_pool().release_unused()
    pa.set_memory_pool(current)
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(0)


def keep_pieces(most: int | None) -> None:
    """From now on, pieces of memory larger than *most* bytes go back to the system when freed.

    For processes that are ours alone. Such memory is had page by page each time, which takes longer
    than to work on it. With ``None`` what is freed is kept for the next block: a process that has
    not allocated much yet would give it back.
    """
    global _usual
    if _told == [most]:
        return
    _told[:] = [most]
    if most is not None and _usual is None:
        _usual = pa.default_memory_pool()
        pa.set_memory_pool(pa.system_memory_pool())
        give_back()
    elif most is None and _usual is not None:
        pa.set_memory_pool(_usual)
        _usual = None
    mallopt = _of_libc("mallopt")
    if mallopt is not None:
        sizes = _USUAL if most is None else (most, most)
        for setting, value in zip((_TRIM_THRESHOLD, _MMAP_THRESHOLD), sizes, strict=True):
            mallopt(setting, value)


@functools.cache
def _of_libc(name: str) -> Callable[..., Any] | None:
    """A function of the C library, where it is glibc."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        if hasattr(library, "gnu_get_libc_version"):
            return getattr(library, name)
    return None
